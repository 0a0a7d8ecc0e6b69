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
		for range perMs {
			p.count(now, time.Millisecond)
		}
		now = now.Add(time.Millisecond)
	}
	return p, now
}

// A shard of a busy node waits for an eighth of what even the fastest push takes;
// one fast push is enough for it to wait no more.
func TestSlowPushesAreWaitedForLonger(t *testing.T) {
	t.Parallel()
	p, now := &pace{}, paceStart
	end := func(took time.Duration) {
		p.count(now, took)
		now = now.Add(5 * time.Millisecond)
	}
	for range 500 {
		end(240 * time.Millisecond)
		end(10 * time.Second)
	}
	if until, held := p.hold(now, 1); !held || !until.Equal(now.Add(30*time.Millisecond)) {
		t.Errorf("a commit is held until %s after (%v), want 30ms", until.Sub(now), held)
	}
	p.hold(now, maxGather)
	for range 500 {
		end(10 * time.Second)
	}
	if until, held := p.hold(now, 1); !held || !until.Equal(now.Add(slowHold)) {
		t.Errorf("with very slow pushes it is held until %s after (%v), want %s", until.Sub(now), held, slowHold)
	}
	p.hold(now, maxGather)
	end(2 * time.Millisecond)
	if _, held := p.hold(now, 1); held {
		t.Error("with a fast push it is held")
	}
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
	p.count(now, time.Millisecond)
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

// While a commit is held back or under way, an attempt that ends is not worth a
// step by itself, but none is left unseen for long.
func TestTheMachineSaysHowManyToGather(t *testing.T) {
	t.Parallel()
	m := &machine{started: true, inFlight: 5}
	pace, now := busyPace(10)
	m.pace = *pace
	m.next.Settle = append(m.next.Settle, store.Settle{})
	if !m.holdCommit(now) || m.out.Gather != 19 || !m.out.Wake.Equal(now.Add(maxHold)) {
		t.Errorf("a commit of 1, held for 20, gathers %d until %v", m.out.Gather, m.out.Wake)
	}
	m.current.busy = true
	if out := m.step(now); out.Gather != maxGather || !out.Wake.Equal(now.Add(maxUnseen)) {
		t.Errorf("under a commit, %d are gathered until %v", out.Gather, out.Wake)
	}
	m.inFlight = 0
	if out := m.step(now); out.Gather != 0 || !out.Wake.IsZero() {
		t.Errorf("with nothing in flight, %d are gathered until %v", out.Gather, out.Wake)
	}
}

// A loop is not woken by attempts that end before as many have as it waits for;
// those that ended while it was not waiting yet count.
func TestALoopSleepsUntilEnoughHaveEnded(t *testing.T) {
	t.Parallel()
	l := newLoop(&Dispatcher{}, 0)
	l.listen(true)
	woken := func() bool {
		select {
		case <-l.posted:
			return true
		default:
			return false
		}
	}
	l.landed(result{})
	if !woken() {
		t.Error("not woken by the first one")
	}
	l.sleepUntil(3)
	if l.landed(result{}); woken() {
		t.Error("woken by the second of three")
	}
	if l.landed(result{}); !woken() {
		t.Error("not woken by the third of three")
	}
	if l.sleepUntil(3); !woken() {
		t.Error("sleeps although three have ended already")
	}
	if got := l.collect(nil); len(got) != 1 || len(got[0].(pushed).Results) != 3 {
		t.Errorf("collected %v", got)
	}
	if l.sleepUntil(0); woken() {
		t.Error("woken by nothing")
	}
	l.sleepUntil(3)
	l.landed(result{})
	if l.post(inboxGrew{}); !woken() {
		t.Error("not woken by an event while results are gathered")
	}
}
