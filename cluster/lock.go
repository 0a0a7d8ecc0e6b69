package cluster

import (
	"context"
	"time"
)

// Lock is what a leader is elected by: at most one of those that use it is to hold it.
// It only makes a leader be found fast. Two may believe that they hold it, since
// one of them was frozen or clocks differ: what a leader writes is fenced by its term
// in the store. A Lock is used by one node, one call at a time.
type Lock interface {
	// Take takes the lock or, where this node has it, renews it: from the beginning of
	// the call it is held for its lease. It reports false where another has it; an
	// error leaves open who has.
	Take(ctx context.Context) (held bool, err error)
	// Release gives the lock up, so that another may take it at once, and does nothing
	// where this node does not have it.
	Release(ctx context.Context) error
	// Lease is how long the lock is held without being renewed.
	Lease() time.Duration
}

// Sole is the Lock of a node that has its store for itself: it always has it.
type Sole struct{}

// Take reports true.
func (Sole) Take(context.Context) (bool, error) { return true, nil }

// Release does nothing.
func (Sole) Release(context.Context) error { return nil }

// Lease is LeaderLease.
func (Sole) Lease() time.Duration { return LeaderLease }
