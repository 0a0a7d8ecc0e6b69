package dispatcher

import (
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
)

func keyed1(j *job.Job) { j.Key = "k" }

// A lost push that is waited for, of a job that was cancelled meanwhile, gives back
// its place in limits that its key was given only after that.
func TestACancelledLostPushGivesBackItsKey(t *testing.T) {
	t.Parallel()
	c := config("a")
	c.DefaultQueue.LostWaits = true
	f := newFixture(t, c)
	lost := f.entry(keyed1)
	claim := claimOf(7, lost)
	claim.Entries[0].Deadline = noon.Add(time.Minute)
	f.step(recovered{Claims: []store.Claim{claim}})
	f.rest()
	f.send(store.CommandCancel, lost)
	f.rest()
	f.reconfigure(func(c *Config) { c.DefaultQueue.KeyConcurrency = 2 })
	f.arrive(f.entries(3, keyed1)...)
	if len(f.pushes) != 1 {
		t.Errorf("%d pushes beside the lost one, want 1", len(f.pushes))
	}
	f.pass(time.Minute)
	if len(f.pushes) != 2 {
		t.Errorf("%d pushes when it has ended, want 2", len(f.pushes))
	}
	for len(f.pushes) > 0 {
		f.answered(succeeded)
	}
	f.empty()
}
