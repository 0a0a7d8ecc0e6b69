package pebble

import (
	"testing"
	"time"
)

// A clock that is set back by an hour is an hour ahead of the wall clock, and goes on
// at half the speed until that has caught up.
func TestClockIsSetBack(t *testing.T) {
	t.Parallel()
	begun := time.UnixMilli(1e12)
	var passed, set time.Duration
	c := clock{wall: func() time.Time { return begun.Add(passed + set) }, mono: func() time.Duration { return passed }}
	shows := func(want time.Duration) {
		t.Helper()
		if got := time.UnixMilli(c.millis()).Sub(begun); got != want {
			t.Errorf("after %s, set by %s, it shows %s, not %s", passed, set, got, want)
		}
	}
	shows(0)
	passed = time.Hour
	shows(time.Hour)
	set = -time.Hour
	shows(time.Hour)
	for range 10_000 {
		passed += time.Millisecond
		c.millis()
	}
	shows(time.Hour + 5*time.Second)
	passed = 2 * time.Hour
	shows(90 * time.Minute)
	passed = 4 * time.Hour
	shows(3 * time.Hour)
	set = time.Hour
	shows(5 * time.Hour)
	c.raise(begun.Add(6 * time.Hour).UnixMilli()) // what the store was last written at
	shows(6 * time.Hour)
	passed += time.Minute
	shows(6*time.Hour + 30*time.Second)
}
