package dispatcher

import (
	"context"
	"runtime"
)

// Thousands of schedules may be due at one instant, in all shards. What that takes is
// done by a few shards at a time, in small parts, so that half of the processors are left
// for what clients ask meanwhile: on all of them, each request would wait for its turn
// among as many busy loops as there are shards.

// burst is how many schedules of one commit make it wait for its turn, and its loop for
// the next one.
const burst = 32

// gate lets a few shards at a time through.
type gate chan struct{}

func newGate() gate { return make(gate, max(1, runtime.GOMAXPROCS(0)/2)) }

// pass calls f in its turn, where there is a crowd; at once, where there is none. It
// does not call it where ctx ends first.
func (g gate) pass(ctx context.Context, crowd bool, f func()) {
	if !crowd {
		f()
		return
	}
	select {
	case g <- struct{}{}:
		defer func() { <-g }()
		f()
	case <-ctx.Done():
	}
}
