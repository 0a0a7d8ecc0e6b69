package store

import (
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/orchestrix/orchestrix/job"
)

// TestOldestWaitingRemembers compares a store that remembers where its lanes
// begin with one that has just been opened.
func TestOldestWaitingRemembers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		f, e := modelFixture(t, 1)
		f.own(0)
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			f.clock.advance(time.Second)
			switch rapid.IntRange(0, 9).Draw(rt, "step") {
			case 0:
				f.own(0)
			case 1, 2, 3, 4:
				f.one("q", func(j *job.Job) { j.Key = rapid.SampledFrom([]string{"", "", "k"}).Draw(rt, "key") })
			default:
				f.claimNext("q")
			}
			got, err := f.OldestWaiting(ctx(), "q")
			f.check(err)
			want, err := New(e).OldestWaiting(ctx(), "q")
			f.check(err)
			f.equal("oldest", got, want)
		}
	})
}

// claimNext takes the next entry of the queue's lane out of it, if there is one.
func (f *fixture) claimNext(queue string) {
	f.Helper()
	entries, _, err := f.owner.ReadLane(ctx(), lane(queue), 1, 1<<20)
	f.check(err)
	if len(entries) > 0 {
		f.commit(&Commit{Claim: []ClaimEntry{f.claimOf(entries[0])}})
	}
}

// TestOldestWaitingSkipsWhatIsGone shows where the next walk over a lane begins:
// behind what was removed, and for a new owner at the lane's beginning.
func TestOldestWaitingSkipsWhatIsGone(t *testing.T) {
	t.Parallel()
	f, _ := modelFixture(t, 1)
	f.own(0)
	for range 3 {
		f.one("q", nil)
	}
	f.claimNext("q")
	f.equal("before the first walk", f.passed.of(lane("q")), uint64(0))
	at, err := f.OldestWaiting(ctx(), "q")
	f.check(err)
	f.equal("oldest", at, start)
	f.equal("after it", f.passed.of(lane("q")), uint64(2))
	f.own(0)
	f.equal("for a new owner", f.passed.of(lane("q")), uint64(0))
}

// TestPassedIsBounded fills it with more lanes than it may remember.
func TestPassedIsBounded(t *testing.T) {
	t.Parallel()
	var p passed
	for i := range 3 * maxPassed {
		p.note(Lane{Queue: strconv.Itoa(i)}, 1)
		if len(p.below) > maxPassed {
			t.Fatalf("%d lanes are remembered, want at most %d", len(p.below), maxPassed)
		}
	}
}
