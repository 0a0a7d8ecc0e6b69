package dispatcher

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A gate lets as many through at once as it is wide, those in no crowd at once, and
// nobody whose context has ended.
func TestGate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := make(gate, 2)
		var inside, most, passed atomic.Int64
		ctx, cancel := context.WithCancel(t.Context())
		for range 10 {
			go g.pass(ctx, true, func() {
				most.Store(max(most.Load(), inside.Add(1)))
				time.Sleep(time.Second)
				inside.Add(-1)
				passed.Add(1)
			})
		}
		synctest.Wait()
		alone := false
		g.pass(ctx, false, func() { alone = true })
		if inside.Load() != 2 || !alone {
			t.Errorf("%d are inside, one without a crowd passes: %v", inside.Load(), alone)
		}
		time.Sleep(2500 * time.Millisecond)
		cancel()
		time.Sleep(time.Minute)
		if most.Load() != 2 || passed.Load() != 6 {
			t.Errorf("%d at once, %d in all", most.Load(), passed.Load())
		}
	})
}

// Where the store's time stands still, it is looked at ever more rarely, and once it goes
// on as the machine's does, at once.
func TestStandstill(t *testing.T) {
	t.Parallel()
	var s standstill
	wake := noon.Add(time.Millisecond)
	if got := s.wait(noon, wake, time.Millisecond); got != time.Millisecond {
		t.Fatalf("at first %s", got)
	}
	last := time.Duration(0)
	for range 20 {
		s.passed = true
		got := s.wait(noon, wake, time.Millisecond)
		if got < last || got > longestStand {
			t.Fatalf("after %s it waits %s", last, got)
		}
		last = got
	}
	if last != longestStand {
		t.Errorf("at last it waits %s", last)
	}
	s.passed = true
	if got := s.wait(wake, wake.Add(time.Hour), time.Hour); got != time.Hour {
		t.Errorf("gone on, it waits %s", got)
	}
	if got := s.wait(wake, wake.Add(time.Second), time.Second); got != time.Second {
		t.Errorf("woken by an event, it waits %s", got)
	}
}
