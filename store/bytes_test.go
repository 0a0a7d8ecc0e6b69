package store

import (
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
)

// forget makes a stored job one that an earlier version stored: its record does
// not say what it is counted with, and its bytes are not counted.
func (f *fixture) forget(j *job.Job) {
	f.Helper()
	_, err := f.engine.Apply(ctx(), j.ID.Shard(), &engine.Batch{Groups: []engine.Group{{
		Puts:     []engine.Entry{{Key: appendIDKey(nil, spaceJob, j.ID), Value: appendUncounted(nil, j)}},
		Counters: []engine.Counter{{Name: appendCountName(nil, j.Queue, classBytes), Value: -int64(j.Counted)}},
	}}})
	f.check(err)
}

// Jobs that were stored before bytes were counted take nothing away from the
// sum when they end, and are counted from their next life on.
func TestJobsOfEarlierVersionsAreNotCounted(t *testing.T) {
	t.Parallel()
	overEngines(t, 1, func(t *testing.T, f *fixture) {
		f.own(0)
		old := f.one("q", nil)
		f.forget(old)
		f.one("other", nil)
		bytes := func() int64 {
			counts, err := f.Counts(ctx(), "q")
			f.check(err)
			return counts.Bytes
		}
		if n := bytes(); n != 0 {
			t.Fatalf("%d bytes wait", n)
		}
		e := f.readLane(lane("q"))[0]
		dead := f.settled(e.Job, job.Dead, job.OutcomeFailed)
		f.commit(&Commit{Settle: []Settle{{Job: dead, Was: e.Standing()}}})
		if n := bytes(); n != 0 {
			t.Fatalf("%d bytes wait after the end of a job that was not counted", n)
		}
		f.audit(0)
		dead, err := f.Job(ctx(), dead.ID)
		f.check(err)
		again := *dead
		again.Status, again.Incarnation, again.Due = job.Waiting, 1, start.Add(time.Minute)
		f.commit(&Commit{Settle: []Settle{{Job: &again, Was: Standing{Status: job.Dead}}}})
		if n := bytes(); n != int64(old.PayloadSize) {
			t.Fatalf("%d bytes wait, want those of the job that lives again", n)
		}
		f.audit(0)
	})
}

// A commit whose first try stopped halfway counts as much at the second.
func TestBytesOfACommitThatIsRepeated(t *testing.T) {
	t.Parallel()
	f, e := modelFixture(t, 1)
	f.own(0)
	dead := f.finish(1, job.Dead)[0]
	gone, err := f.Job(ctx(), dead)
	f.check(err)
	f.one("q", nil)
	entry := f.readLane(lane("q"))[0]
	done := f.settled(entry.Job, job.Succeeded, job.OutcomeSucceeded)
	c := &Commit{Settle: []Settle{{Job: done, Was: entry.Standing()}}, Delete: []*job.Job{gone}}
	broken := &unreadable{Engine: e, broken: true}
	f.engine = broken // the jobs to be deleted are read after the settles are encoded
	if err := f.owner.Commit(ctx(), c); err == nil {
		t.Fatal("the commit passed without a read")
	}
	broken.broken = false
	f.commit(c)
	f.audit(0)
}
