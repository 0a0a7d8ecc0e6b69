package pebble

import (
	"sync"
	"time"
)

// clock is the engine's time in Unix milliseconds: the wall clock. Where that is set
// back the time goes on at half the speed until the wall clock has caught up, so that
// what is due within minutes does not wait for as long as the clock was set back.
type clock struct {
	wall func() time.Time
	mono func() time.Duration // never set

	mu   sync.Mutex
	high int64
	at   time.Duration // when high was the time, by mono
}

// newClock returns the machine's clock, or one that tests have set, and that stands
// still where it is set back.
func newClock(now func() time.Time) clock {
	if now != nil {
		return clock{wall: now, mono: func() time.Duration { return 0 }}
	}
	begun := time.Now()
	return clock{wall: time.Now, mono: func() time.Duration { return time.Since(begun) }}
}

func (c *clock) millis() int64 {
	wall, mono := c.wall().UnixMilli(), c.mono()
	c.mu.Lock()
	defer c.mu.Unlock()
	if wall >= c.high {
		c.high, c.at = wall, mono
		return wall
	}
	if half := (mono - c.at).Milliseconds() / 2; half > 0 {
		c.high += half
		c.at += time.Duration(2*half) * time.Millisecond
	}
	return c.high
}

// raise makes t the least time from now on.
func (c *clock) raise(t int64) {
	mono := c.mono()
	c.mu.Lock()
	defer c.mu.Unlock()
	if t > c.high {
		c.high, c.at = t, mono
	}
}
