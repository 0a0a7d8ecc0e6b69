package store

import (
	"errors"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
)

func TestLook(t *testing.T) {
	t.Parallel()
	overEngines(t, 1, func(t *testing.T, f *fixture) {
		f.own(0)
		other := New(f.engine) // another node
		look := func(what string, grown []Lane, again bool) {
			t.Helper()
			lanes, more, err := f.owner.Look(ctx())
			f.check(err)
			f.equal(what+": lanes", lanes, grown)
			f.equal(what+": again", more, again)
		}
		foreign := func(queue string) {
			t.Helper()
			_, err := other.Enqueue(ctx(), 0, []NewJob{f.job(queue, nil)})
			f.check(err)
		}
		look("empty", nil, false)
		f.enqueue(f.job("q", nil))
		look("this node's own, on its way", nil, true)
		f.take()
		look("this node's own, offered", nil, false)
		f.equal("read", seqs(f.readLane(lane("q"))), []uint64{1})

		foreign("p")
		look("another's, seen for the first time", nil, true)
		look("another's", []Lane{lane("p"), lane("q")}, false)
		look("read once", nil, false)
		f.equal("read", seqs(f.readLane(lane("p"))), []uint64{2})

		foreign("p")
		f.one("q", nil)
		f.equal("above a hole", f.take(), []uint64(nil))
		look("what an offer has skipped", []Lane{lane("p"), lane("q")}, false)
		f.equal("read", seqs(f.readLane(lane("p"))), []uint64{3})

		_, err := other.Send(ctx(), Command{Kind: CommandCancel, ID: job.MakeID(start, 0, [9]byte{})})
		f.check(err)
		commands, _, err := f.owner.ReadInbox(ctx(), 10)
		f.check(err)
		f.equal("commands", len(commands), 1)
		look("a command that was read", nil, false)

		f.clock.advance(time.Hour)
		_, err = other.Own(ctx(), 0, engine.Nonce{9}, time.Minute)
		f.check(err)
		if _, _, err := f.owner.Look(ctx()); !errors.Is(err, ErrFenced) {
			t.Errorf("a shard that was lost: %v", err)
		}
	})
}

// The lanes are listed until that has succeeded.
func TestLookIsRepeated(t *testing.T) {
	t.Parallel()
	f, e := modelFixture(t, 1)
	f.own(0)
	f.one("q", nil)
	if _, again, err := f.owner.Look(ctx()); err != nil || !again {
		t.Fatal(again, err)
	}
	e.Fail = func(op string, _ int) error {
		if op == "scan" {
			return ErrUnavailable
		}
		return nil
	}
	if _, _, err := f.owner.Look(ctx()); !errors.Is(err, ErrUnavailable) {
		t.Fatal(err)
	}
	e.Fail = nil
	lanes, _, err := f.owner.Look(ctx())
	f.check(err)
	f.equal("lanes", lanes, []Lane{lane("q")})
}

func TestClaimed(t *testing.T) {
	t.Parallel()
	overEngines(t, 1, func(t *testing.T, f *fixture) {
		f.own(0)
		claimed := func(want map[job.ID]int) {
			t.Helper()
			got, err := New(f.engine).Claimed(ctx(), 0)
			f.check(err)
			f.equal("claimed", got, want)
		}
		claimed(map[job.ID]int{})
		f.enqueue(f.job("q", nil), f.job("q", nil))
		entries := f.readLane(lane("q"))
		claims := make([]ClaimEntry, len(entries))
		for i, e := range entries {
			claims[i] = ClaimEntry{Entry: e, Attempt: 1 + i, Worker: "w", Started: start, Deadline: start.Add(time.Minute)}
		}
		f.check(f.owner.Commit(ctx(), &Commit{Claim: claims}))
		claimed(map[job.ID]int{entries[0].Job.ID: 1, entries[1].Job.ID: 2})
	})
}
