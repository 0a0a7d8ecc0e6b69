package dispatcher

import (
	"context"
	"errors"
	"sync/atomic"
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

// lease is a node's trust in its ownership of a shard. It may be used concurrently.
type lease struct {
	length time.Duration
	until  atomic.Pointer[time.Time]
	over   atomic.Bool // it is not renewed any more
}

// newLease is that of a shard which was taken by a call that began then.
func (d *Dispatcher) newLease(begun time.Time) *lease {
	l := &lease{length: d.lease}
	l.renewed(begun)
	return l
}

// renewed notes that it was renewed by a call that began then.
func (l *lease) renewed(begun time.Time) {
	until := begun.Add(l.length - l.length/trustPart)
	l.until.Store(&until)
}

// trusted reports whether a push may begin.
func (l *lease) trusted() bool { return time.Now().Before(*l.until.Load()) }

// await waits until a push may begin. It reports false where none may before ctx
// ends, since the shard was lost, or the push's time is over.
func (l *lease) await(ctx context.Context, deadline time.Time) bool {
	if l.trusted() {
		return true
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	tick := time.NewTicker(trustPause)
	defer tick.Stop()
	for !l.over.Load() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
		if l.trusted() {
			return true
		}
	}
	return false
}

// check is called when the connection of a push stands, before its first byte: what
// was trusted when the push began may not be any more.
func (l *lease) check() error {
	if l.trusted() {
		return nil
	}
	return errUntrusted
}

var errUntrusted = errors.New("the node could not be certain any more that the shard was its own: the push was not begun")
