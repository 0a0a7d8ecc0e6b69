package pebble_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/store/engine"
	"github.com/orchestrix/orchestrix/store/engine/enginetest"
	"github.com/orchestrix/orchestrix/store/engine/pebble"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	enginetest.Run(t, func(t testing.TB) enginetest.Store {
		clock := new(turnable)
		dir := t.TempDir()
		e := openStore(t, dir, pebble.Options{Shards: 3, Now: clock.now})
		reopen := func(t testing.TB) engine.Engine {
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			e = openStore(t, dir, pebble.Options{Now: clock.now})
			return e
		}
		return enginetest.Store{Engine: e, Reopen: reopen, Advance: clock.advance}
	})
}

// In memory the suite runs on the real clock.
func TestConformanceInMemory(t *testing.T) {
	t.Parallel()
	enginetest.Run(t, func(t testing.TB) enginetest.Store {
		e, err := pebble.OpenMemory(pebble.Options{Shards: 2})
		if err != nil {
			t.Fatal(err)
		}
		closeAtEnd(t, e)
		return enginetest.Store{Engine: e}
	})
}

// turnable is a real clock that can be turned forward.
type turnable struct{ ahead atomic.Int64 }

func (c *turnable) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *turnable) advance(d time.Duration) { c.ahead.Add(int64(d)) }

func openStore(t testing.TB, dir string, o pebble.Options) *pebble.Engine {
	t.Helper()
	e, err := pebble.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, e)
	return e
}

func closeAtEnd(t testing.TB, e *pebble.Engine) {
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
}
