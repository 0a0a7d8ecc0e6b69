package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/job"
)

// ordered enqueues an ordered job of a key.
func (f *fixture) ordered(key string, change func(*job.Job)) *job.Job {
	return f.one("q", func(j *job.Job) {
		j.Key, j.Ordered = key, true
		if change != nil {
			change(j)
		}
	})
}

func (f *fixture) head(key string) *Entry {
	f.Helper()
	heads, err := f.owner.ReadHeads(ctx(), "q", []string{key})
	f.check(err)
	if len(heads) == 0 {
		return nil
	}
	return heads[0]
}

func (f *fixture) headIs(what string, key string, want *job.Job, place Place) *Entry {
	f.Helper()
	e := f.head(key)
	if e == nil || want == nil {
		if e != nil || want != nil {
			f.Fatalf("%s: the head is %+v, want %+v", what, e, want)
		}
		return nil
	}
	if e.Job.ID != want.ID || e.Place != place || e.Seq == 0 || len(e.Payload) == 0 {
		f.Fatalf("%s: the head is %s (%d, seq %d), want %s (%d)", what, e.Job.ID, e.Place, e.Seq, want.ID, place)
	}
	return e
}

// An ordered job is the first of its key from its enqueue until it is terminal,
// whatever happens to it, also for a new owner.
func TestTurns(t *testing.T) {
	t.Parallel()
	overEngines(t, 1, func(t *testing.T, f *fixture) {
		f.own(0)
		first := f.ordered("k", func(j *job.Job) { j.Priority, j.Due = job.Low, start.Add(time.Minute) })
		second := f.ordered("k", func(j *job.Job) { j.Priority = job.Critical })
		third := f.ordered("k", func(j *job.Job) { j.URL = "https://example.com/" })
		other := f.ordered("z\x00", nil)
		f.headIs("delayed", "k", first, InTimers)
		f.clock.advance(time.Minute)
		timers, _, err := f.owner.ReadTimers(ctx(), f.clock.Now(), 10)
		f.check(err)
		f.commit(&Commit{Promote: []*Entry{timers[0].Entry}})
		e := f.headIs("due", "k", first, InLane)
		f.commit(&Commit{Claim: []ClaimEntry{f.claimOf(e)}})
		f.headIs("pushed", "k", first, InLane)
		f.own(0)
		claims, err := f.owner.Recover(ctx())
		f.check(err)
		lost := claims[0].Entries[0].Entry
		f.equal("turn", lost.Seq, uint64(1))
		j := f.settled(lost.Job, job.Waiting, job.OutcomeFailed)
		f.commit(&Commit{Settle: []Settle{{Job: j, Was: lost.Standing()}}, ClaimsDone: []uint64{claims[0].Number}})
		e = f.headIs("retrying", "k", first, InTimers)
		j = f.settled(e.Job, job.Succeeded, job.OutcomeSucceeded)
		f.commit(&Commit{Settle: []Settle{{Job: j, Was: e.Standing()}}})
		f.headIs("the next", "k", second, InLane)

		// One that is cancelled out of its turn leaves an entry behind, which is
		// removed when it is found.
		cancelled := *third
		cancelled.Status, cancelled.FinishedAt = job.Cancelled, f.clock.Now()
		f.commit(&Commit{Settle: []Settle{{Job: &cancelled, Was: Standing{Status: job.Waiting, Place: InLane}}}})
		e = f.head("k")
		done := f.settled(e.Job, job.Dead, job.OutcomeFailed)
		done.Turn, done.Blocks = e.Seq, true
		f.commit(&Commit{Settle: []Settle{{Job: done, Was: e.Standing()}}})
		e = f.headIs("dead, but blocking", "k", second, Nowhere)
		again := *e.Job
		again.Status, again.Blocks, again.Incarnation, again.Due = job.Waiting, false, 1, f.clock.Now()
		f.commit(&Commit{Settle: []Settle{{Job: &again, Was: e.Standing()}}})
		e = f.headIs("redriven in its place", "k", second, InTimers)
		done = f.settled(e.Job, job.Succeeded, job.OutcomeSucceeded)
		f.commit(&Commit{Settle: []Settle{{Job: done, Was: e.Standing()}}})
		f.headIs("nothing is left", "k", nil, InLane)

		heads, last, more, err := f.owner.WalkHeads(ctx(), "q", "", 2)
		f.check(err)
		f.equal("walk", fmt.Sprintf("%v %q %v", ids(heads), last, more), fmt.Sprintf("%v %q true", []job.ID{other.ID}, "z\x00"))
		heads, last, more, err = f.owner.WalkHeads(ctx(), "q", "z\x00", 10)
		f.check(err)
		f.equal("behind it", fmt.Sprintf("%d %q %v", len(heads), last, more), `0 "" false`)
		lanes, err := f.owner.Lanes(ctx())
		f.check(err)
		f.equal("lanes", lanes, []Lane{{Queue: "q", Ordered: true}})
		f.audit(0)
	})
}

// A long past of a key is not walked over again.
func TestTurnsAfterALongPast(t *testing.T) {
	t.Parallel()
	f, _ := modelFixture(t, 1)
	f.own(0)
	for range 300 {
		j := f.ordered("k", nil)
		done := *j
		done.Status, done.FinishedAt = job.Cancelled, f.clock.Now()
		f.commit(&Commit{Settle: []Settle{{Job: &done, Was: Standing{Status: job.Waiting, Place: InLane}}}})
	}
	last := f.ordered("k", nil)
	f.headIs("behind stale entries", "k", last, InLane)
	f.commit(&Commit{TimersDone: nil, Limits: []Limit{{Queue: "q", State: []byte("x")}}})
	lane, err := f.owner.store.laneHeads(ctx(), 0, Lane{Queue: "q", Ordered: true}, 5)
	f.check(err)
	f.equal("what is left", len(lane), 1)
	f.headIs("still", "k", last, InLane)
}
