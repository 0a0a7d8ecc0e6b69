package pebble

import (
	"sync/atomic"
	"time"
)

// clock is the engine's time in Unix milliseconds: the wall clock, held where
// that goes back.
type clock struct {
	now  func() time.Time
	high atomic.Int64
}

func (c *clock) millis() int64 {
	return c.raise(c.now().UnixMilli())
}

// raise makes t the least time from now on and returns the time.
func (c *clock) raise(t int64) int64 {
	for {
		high := c.high.Load()
		if t <= high {
			return high
		}
		if c.high.CompareAndSwap(high, t) {
			return t
		}
	}
}
