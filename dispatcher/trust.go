package dispatcher

import (
	"context"
	"time"
)

// A node trusts that a shard is its own only for as long as its own clock says that
// the lease cannot have run out: from the beginning of the call that took or
// renewed it, and somewhat less than the lease. A node that was frozen, or that does
// not reach the store, begins no push after that: another may be pushing the job
// by then. What it writes is fenced all the same.

// trustPart is the part of the lease that is not relied on, for clocks that run at
// different rates.
const trustPart = 10

// trustPause is how often a push that waits for its shard's lease looks again.
const trustPause = 20 * time.Millisecond

// trust notes that the lease was taken or renewed by a call that began then.
func (l *loop) trust(begun time.Time) {
	until := begun.Add(l.d.lease - l.d.lease/trustPart)
	l.trusted.Store(&until)
}

// awaitTrust waits until a push of the shard may begin, or ctx ends: at the end of
// the push's time, or when the shard was lost. A node that has the store for itself
// does not wait.
func (l *loop) awaitTrust(ctx context.Context, deadline time.Time) {
	if !l.d.shared || time.Now().Before(*l.trusted.Load()) {
		return
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	tick := time.NewTicker(trustPause)
	defer tick.Stop()
	for !time.Now().Before(*l.trusted.Load()) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
