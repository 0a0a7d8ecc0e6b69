package store

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// combiner lets the concurrent enqueues of one shard share a commit on any
// engine. The first caller leads: it applies its own call. What arrives
// meanwhile waits; then the first that waits leads, for itself and for those
// behind it. Nobody waits longer than for the commit under way and its own.
type combiner struct {
	mu      sync.Mutex
	led     bool
	waiting []*enqueueCall
}

// submit carries out a call, alone or with others.
func (s *Store) submit(ctx context.Context, shard int, call *enqueueCall) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c := &s.combiners[shard]
	if !c.enter(call) {
		lead, err := c.wait(ctx, call)
		if err != nil || !lead {
			return err
		}
	}
	s.lead(ctx, shard, c, call)
	return call.err
}

// enter reports whether the call leads; else it waits now.
func (c *combiner) enter(call *enqueueCall) (lead bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.led {
		c.led = true
		return true
	}
	c.waiting = append(c.waiting, call)
	return false
}

// wait waits for the call's turn to lead, or for its end. A caller that gives
// up leaves the queue; one whose call is under way gets its outcome.
func (c *combiner) wait(ctx context.Context, call *enqueueCall) (lead bool, err error) {
	select {
	case lead = <-call.turn:
	case <-ctx.Done():
		if c.leave(call) {
			return false, ctx.Err()
		}
		lead = <-call.turn
	}
	if lead {
		return true, nil
	}
	return false, call.err
}

func (c *combiner) leave(call *enqueueCall) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(c.waiting, call)
	if i >= 0 {
		c.waiting = slices.Delete(c.waiting, i, i+1)
	}
	return i >= 0
}

// lead applies the call and those that wait behind it. Its own context does not
// cancel the others.
func (s *Store) lead(ctx context.Context, shard int, c *combiner, call *enqueueCall) {
	calls := c.take(call)
	defer c.pass(calls[1:])
	// Should an engine panic, nobody is left waiting, and nobody is told yes.
	for _, f := range calls {
		f.err = fmt.Errorf("%w: the commit was not finished", ErrUnavailable)
	}
	failed, err := s.applyAll(context.WithoutCancel(ctx), shard, calls)
	for _, f := range calls {
		f.err = nil
	}
	for _, u := range failed {
		u.call.err = err
	}
}

// take returns the call and as many of those waiting as may share its batch.
func (c *combiner) take(call *enqueueCall) []*enqueueCall {
	c.mu.Lock()
	defer c.mu.Unlock()
	calls := []*enqueueCall{call}
	jobs, size := len(call.jobs), call.size
	n := 0
	for ; n < len(c.waiting); n++ {
		jobs, size = jobs+len(c.waiting[n].jobs), size+c.waiting[n].size
		if jobs > maxBatchJobs || size > maxBatchBytes {
			break
		}
		calls = append(calls, c.waiting[n])
	}
	c.waiting = slices.Delete(c.waiting, 0, n)
	return calls
}

// pass releases those that were led and hands the lead to the next.
func (c *combiner) pass(done []*enqueueCall) {
	for _, f := range done {
		f.turn <- false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) == 0 {
		c.led = false
		return
	}
	next := c.waiting[0]
	c.waiting = slices.Delete(c.waiting, 0, 1)
	next.turn <- true
}
