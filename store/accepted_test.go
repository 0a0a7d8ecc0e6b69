package store

import (
	"errors"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/job"
)

// accepted takes the entries of queue "q" over: they are claimed, and accepted by the
// next commit.
func (f *fixture) accepted(entries ...*Entry) (claim uint64) {
	f.Helper()
	c := &Commit{}
	for _, e := range entries {
		c.Claim = append(c.Claim, f.claimOf(e))
	}
	claim = f.owner.NextCommit()
	f.commit(c)
	c = &Commit{}
	for _, e := range entries {
		e.Place = InClaim
		c.Accept = append(c.Accept, Accepted{
			Entry: e, Attempt: 1, Worker: "w", Started: f.clock.Now(), Deadline: f.clock.Now().Add(time.Hour),
			Heartbeat: time.Minute, Beat: f.clock.Now(),
		})
	}
	f.commit(c)
	return claim
}

// An accepted attempt is waited for by the next owner, in the place of its claim, until
// it is settled.
func TestAcceptedAttempts(t *testing.T) {
	t.Parallel()
	overEngines(t, 1, func(_ *testing.T, f *fixture) {
		f.own(0)
		f.one("q", nil)
		f.one("q", nil)
		f.one("q", nil)
		entries := f.readLane(lane("q"))
		claim := f.accepted(entries[:2]...)
		f.audit(0)
		f.own(0) // another owner
		claims, err := f.owner.Recover(ctx())
		f.check(err)
		if len(claims) != 1 || claims[0].Number != claim || len(claims[0].Entries) != 0 {
			f.Fatalf("claims: %+v", claims)
		}
		running, err := f.Claimed(ctx(), 0)
		f.check(err)
		f.equal("running", running, map[job.ID]int{entries[0].Job.ID: 1, entries[1].Job.ID: 1})
		all, err := f.owner.Accepted(ctx())
		f.check(err)
		if len(all) != 2 || all[0].Attempt != 1 || all[0].Worker != "w" || !all[0].Until().Equal(start.Add(time.Minute)) || all[0].Entry.Place != InAccepted {
			f.Fatalf("accepted: %+v", all)
		}
		done := all[0].Entry
		f.commit(&Commit{
			ClaimsDone: []uint64{claim},
			Settle:     []Settle{{Job: f.settled(done.Job, job.Succeeded, job.OutcomeSucceeded), Was: done.Standing()}},
		})
		f.audit(0)
		if _, err := f.GetAccepted(ctx(), done.Job.ID); !errors.Is(err, ErrNotFound) {
			f.Errorf("settled: %v", err)
		}
		retried := all[1].Entry
		f.commit(&Commit{Settle: []Settle{{Job: f.settled(retried.Job, job.Waiting, job.OutcomeTimedOut), Was: retried.Standing()}}})
		f.audit(0)
		if all, err := f.owner.Accepted(ctx()); err != nil || len(all) != 0 {
			f.Errorf("left: %+v, %v", all, err)
		}
	})
}

// A sign of life moves the deadline, costs a write a second at most, and is refused where
// the attempt is another one or has ended.
func TestBeats(t *testing.T) {
	t.Parallel()
	overEngines(t, 1, func(_ *testing.T, f *fixture) {
		f.own(0)
		id := f.one("q", nil).ID
		f.accepted(f.readLane(lane("q"))...)
		until := func() time.Duration {
			beats, err := f.owner.ReadBeats(ctx(), []job.ID{id, job.NewID(start, 0)})
			f.check(err)
			if len(beats) > 1 {
				f.Errorf("beats: %v", beats)
			}
			return beats[id].Sub(start)
		}
		f.equal("when it is accepted", until(), time.Minute)
		f.clock.advance(999 * time.Millisecond)
		f.check(f.Beat(ctx(), id, 1))
		f.equal("within a second", until(), time.Minute)
		f.clock.advance(29*time.Second + time.Millisecond)
		f.check(f.Beat(ctx(), id, 1))
		f.equal("after half a minute", until(), 90*time.Second)
		f.clock.advance(time.Hour)
		f.check(f.Beat(ctx(), id, 1))
		f.equal("its deadline stands", until(), time.Hour)
		for _, attempt := range []int{0, 2} {
			if err := f.Beat(ctx(), id, attempt); !errors.Is(err, ErrNotFound) {
				f.Errorf("attempt %d: %v", attempt, err)
			}
		}
		all, err := f.owner.Accepted(ctx())
		f.check(err)
		e := all[0].Entry
		f.commit(&Commit{Settle: []Settle{{Job: f.settled(e.Job, job.Succeeded, job.OutcomeSucceeded), Was: e.Standing()}}})
		if err := f.Beat(ctx(), id, 1); !errors.Is(err, ErrNotFound) {
			f.Errorf("ended: %v", err)
		}
	})
}

// A sign of life that comes between the reading and the writing of another, or of the
// end, is no error, and brings nothing back.
func TestBeatAgainstTheEnd(t *testing.T) {
	t.Parallel()
	f, e := modelFixture(t, 1)
	f.own(0)
	id := f.one("q", nil).ID
	f.accepted(f.readLane(lane("q"))...)
	f.clock.advance(time.Minute)
	e.Fail = func(op string, _ int) error {
		if op != "apply" {
			return nil
		}
		e.Fail = nil
		all, err := f.owner.Accepted(ctx())
		f.check(err)
		a := all[0].Entry
		f.commit(&Commit{Settle: []Settle{{Job: f.settled(a.Job, job.Succeeded, job.OutcomeSucceeded), Was: a.Standing()}}})
		return nil
	}
	if err := f.Beat(ctx(), id, 1); !errors.Is(err, ErrNotFound) {
		t.Errorf("the attempt ended meanwhile: %v", err)
	}
	f.audit(0)
}

func TestAcceptedThatIsWrong(t *testing.T) {
	t.Parallel()
	f, _ := modelFixture(t, 1)
	f.own(0)
	f.one("q", nil)
	e := f.readLane(lane("q"))[0]
	ended := *e.Job
	ended.Status = job.Dead
	for name, a := range map[string]Accepted{
		"an ended job":     {Entry: &Entry{Job: &ended}, Attempt: 1, Heartbeat: time.Second},
		"an old attempt":   {Entry: e, Attempt: 0, Heartbeat: time.Second},
		"without patience": {Entry: e, Attempt: 1},
	} {
		if err := f.owner.Commit(ctx(), &Commit{Accept: []Accepted{a}}); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := f.GetAccepted(ctx(), job.NewID(start, 7)); !errors.Is(err, ErrNotFound) {
		t.Errorf("of a shard that is not there: %v", err)
	}
}

func FuzzAccepted(f *testing.F) {
	f.Add(appendAccepted(nil, &Accepted{Attempt: 1, Worker: "w", Started: start, Deadline: start, Heartbeat: time.Second, Beat: start, turn: 7}))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := parseAccepted(data)
		if err != nil {
			return
		}
		if again, err := parseAccepted(appendAccepted(nil, a)); err != nil || *again != *a {
			t.Errorf("%+v, %+v, %v", a, again, err)
		}
	})
}
