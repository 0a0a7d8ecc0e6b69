package redis

import (
	"sync"
	"time"
)

// trust is how long a look at the server's clock serves: the local one runs on
// from it, and drifts less than a millisecond in ten times that.
const trust = time.Second

// clock is the engine's time in Unix milliseconds: the server's, which every
// script tells, carried on by the local monotonic clock in between. It is never
// ahead of the server's by more than the drift, and never goes back.
type clock struct {
	fixed func() time.Time // instead of the server's; nil in production

	mu     sync.Mutex
	high   int64
	server int64 // what the server told
	at     time.Time
}

// told takes the time that came with an answer. The answer was on its way for
// some of the time, so that what is made of it is late rather than early.
func (c *clock) told(ms int64) {
	at := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if age := at.Sub(c.at); c.at.IsZero() || age > trust/2 || ms >= c.server+age.Milliseconds() {
		c.server, c.at = ms, at
	}
	c.high = max(c.high, ms)
}

// now returns the time; ok is false where the server has to be asked first.
func (c *clock) now() (ms int64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fixed != nil {
		c.high = max(c.high, c.fixed().UnixMilli())
		return c.high, true
	}
	age := time.Since(c.at)
	if c.at.IsZero() || age > trust {
		return 0, false
	}
	c.high = max(c.high, c.server+age.Milliseconds())
	return c.high, true
}

// latest returns the greatest time that was told or returned: what scripts go on
// from.
func (c *clock) latest() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fixed != nil {
		c.high = max(c.high, c.fixed().UnixMilli())
	}
	return c.high
}

// raise makes ms the least time from now on.
func (c *clock) raise(ms int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.high = max(c.high, ms)
}
