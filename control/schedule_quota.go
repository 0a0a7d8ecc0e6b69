package control

import (
	"context"
	"sync"
	"time"
)

// DefaultMaxSchedules is how many schedules a store may have.
const DefaultMaxSchedules = 100_000

// countEvery is how old a count of the schedules may be. What other nodes create
// meanwhile may go over the limit.
const countEvery = time.Second

// schedules is what a node knows of how many there are.
type schedules struct {
	mu      sync.Mutex
	count   int64
	counted time.Time
}

// room returns an error where there is no room for one more.
func (s *schedules) room(ctx context.Context, c *Control) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	most := int64(c.o.MaxSchedules)
	if s.count >= most || time.Since(s.counted) > countEvery {
		n, err := c.store.CountSchedules(ctx)
		if err != nil {
			return storeError("count schedules", err)
		}
		s.count, s.counted = n, time.Now()
	}
	if s.count >= most {
		return conflict("too_many_schedules", "there are %d schedules, and no more than %d are allowed (--max-schedules); delete one first", s.count, most)
	}
	return nil
}

// changed notes schedules that were created or, with a negative number, deleted.
func (s *schedules) changed(by int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count += by
}
