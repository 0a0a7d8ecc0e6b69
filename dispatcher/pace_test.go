package dispatcher

import (
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/store"
)

var paceStart = time.UnixMilli(1_800_000_000_000)

// busyPace returns a pace that has seen perMs attempts end in each millisecond.
func busyPace(perMs int) (*pace, time.Time) {
	p, now := &pace{}, paceStart
	for range 3 * int(paceInterval/time.Millisecond) {
		p.count(now, perMs)
		now = now.Add(time.Millisecond)
	}
	return p, now
}

func TestAQuietShardNeverWaits(t *testing.T) {
	t.Parallel()
	for _, perMs := range []int{0, 1} {
		p, now := busyPace(perMs)
		for n := range 5 {
			if _, held := p.hold(now, n); held {
				t.Errorf("%d a millisecond: a commit of %d is held back", perMs, n)
			}
		}
	}
}

func TestABusyShardGathers(t *testing.T) {
	t.Parallel()
	p, now := busyPace(10)
	until, held := p.hold(now, 1)
	if !held || !until.Equal(now.Add(maxHold)) {
		t.Fatalf("a commit of 1 is held until %v (%v), want %v", until, held, now.Add(maxHold))
	}
	if again, held := p.hold(now.Add(time.Millisecond), 2); !held || !again.Equal(until) {
		t.Errorf("a millisecond later it is held until %v (%v), want still %v", again, held, until)
	}
	if _, held := p.hold(now.Add(maxHold), 3); held {
		t.Error("it is held for longer than maxHold")
	}
	if _, held := p.hold(now.Add(maxHold), 20); held {
		t.Error("a commit of as many as are expected is held")
	}
}

func TestACommitWithoutAttemptsIsNotHeld(t *testing.T) {
	t.Parallel()
	p, now := busyPace(10)
	if _, held := p.hold(now, 0); held {
		t.Error("claims alone are held back")
	}
}

func TestAPauseEndsTheGathering(t *testing.T) {
	t.Parallel()
	p, now := busyPace(100)
	now = now.Add(time.Minute)
	p.count(now, 1)
	if _, held := p.hold(now, 1); held {
		t.Error("the rate of a minute ago holds a commit back")
	}
}

func TestEnoughIsEnough(t *testing.T) {
	t.Parallel()
	p, now := busyPace(10_000)
	if _, held := p.hold(now, maxGather); held {
		t.Errorf("a commit of %d is held back", maxGather)
	}
}

// A command does not wait for pushes to end, however busy the shard is.
func TestCommandsAreNotHeld(t *testing.T) {
	t.Parallel()
	m := &machine{started: true}
	pace, now := busyPace(10)
	m.pace = *pace
	m.next.Settle = append(m.next.Settle, store.Settle{})
	if !m.holdCommit(now) {
		t.Fatal("a busy shard's commit is not held")
	}
	m.next.Consumed = []uint64{1}
	if m.holdCommit(now) {
		t.Error("a command's commit is held")
	}
}
