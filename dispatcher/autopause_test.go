package dispatcher

import (
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
)

var testAutoPause = job.AutoPause{Mode: job.On, After: job.Duration(time.Hour), MinAttempts: 3}

// ailing is a machine with one worker that is to be paused when it only fails.
func ailing(t testing.TB) *fixture {
	c := config("w")
	c.Workers[0].AutoPause = testAutoPause
	c.Retry.MaxAttempts, c.Retry.MaxDuration = 1000, job.Duration(1000*time.Hour)
	c.Retry.InitialDelay = job.Duration(20 * time.Minute)
	return started(t, c)
}

func limitsOf(state []byte) []store.Limit {
	if state == nil {
		return nil
	}
	return []store.Limit{{Queue: "q", State: state}}
}

func TestAWorkerThatOnlyFailsIsToBePaused(t *testing.T) {
	t.Parallel()
	f := ailing(t)
	f.arrive(f.entry())
	for range 3 { // at 0, 20 and 40 minutes
		f.answered(failed)
		f.pass(20 * time.Minute)
	}
	if len(f.failing) != 0 {
		t.Fatalf("asked for a pause too early: %+v", f.failing)
	}
	f.answered(failed)
	if want := (Failing{"w", noon, 4, noon.Add(time.Hour)}); len(f.failing) != 1 || f.failing[0] != want {
		t.Errorf("asked for %+v, want %+v", f.failing, want)
	}
	f.arrive(f.entry())
	f.answered(failed)
	if len(f.failing) != 1 {
		t.Error("asked again at once")
	}
	f.pass(askAgain)
	f.arrive(f.entry())
	f.answered(failed)
	if len(f.failing) != 2 {
		t.Error("not asked again")
	}
}

func TestASuccessOrAResumptionBeginsAnew(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]func(*fixture){
		"success":    func(f *fixture) { f.arrive(f.entry()); f.answered(succeeded) },
		"resumption": func(f *fixture) { f.reconfigure(func(c *Config) { c.Workers[0].Resumed = f.now }); f.rest() },
		"another URL": func(f *fixture) {
			f.reconfigure(func(c *Config) { c.Workers[0].URL = "http://elsewhere" })
			f.rest()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := ailing(t)
			for range 3 {
				f.arrive(f.entry())
				f.answered(failed)
				f.now = f.now.Add(5 * time.Minute)
			}
			if !f.m.queues["q"].stored {
				t.Fatal("nothing is kept of a worker that has failed for minutes")
			}
			f.now = f.now.Add(time.Hour)
			begin(f)
			if f.m.queues["q"].stored {
				t.Error("what was known of its failures is still kept")
			}
			f.pushes = nil
			f.arrive(f.entry())
			f.answered(failed)
			if len(f.failing) != 0 {
				t.Errorf("asked for %+v", f.failing)
			}
		})
	}
}

// A worker that fails now and then costs no write, and one that fails for long is
// known to the next owner.
func TestFailuresOutliveTheirOwner(t *testing.T) {
	t.Parallel()
	f := ailing(t)
	f.arrive(f.entries(2)...)
	f.answered(failed)
	f.answered(failed)
	for _, c := range f.commits {
		if len(c.Limits) > 0 {
			t.Fatal("a worker that has just failed costs a write")
		}
	}
	f.now = f.now.Add(2 * time.Minute)
	f.arrive(f.entries(2)...)
	f.answered(failed)
	next := newFixture(t, f.m.cfg)
	next.now = noon.Add(time.Hour)
	next.step(recovered{Limits: limitsOf(f.m.queues["q"].limitState(f.now))})
	next.rest()
	next.arrive(next.entry())
	next.answered(failed)
	if want := (Failing{"w", noon, 4, noon.Add(time.Hour)}); len(next.failing) != 1 || next.failing[0] != want {
		t.Errorf("the next owner asks for %+v, want %+v", next.failing, want)
	}
}

func TestAutoPauseIsOff(t *testing.T) {
	t.Parallel()
	f := ailing(t)
	f.reconfigure(func(c *Config) { c.Workers[0].AutoPause = job.AutoPause{} })
	for range 10 {
		f.arrive(f.entry())
		f.answered(failed)
		f.now = f.now.Add(time.Hour)
	}
	if len(f.failing) != 0 || f.m.queues["q"].stored {
		t.Errorf("asked for %+v, stored %v", f.failing, f.m.queues["q"].stored)
	}
}
