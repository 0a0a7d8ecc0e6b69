package store

import (
	"bytes"
	"context"
	"fmt"

	"github.com/orchestrix/orchestrix/store/engine"
)

// limitsChunk is how many limits are read at once.
const limitsChunk = 1_000

// Limits returns the state of all limits of the shard that are not at rest, by
// queue.
func (o *Owner) Limits(ctx context.Context) ([]Limit, error) {
	var limits []Limit
	for from := []byte{spaceLimit}; ; {
		entries, err := o.store.engine.Scan(ctx, o.shard, engine.Range{From: from, To: []byte{spaceLimit + 1}, Limit: limitsChunk})
		if err != nil {
			return nil, o.failed("limits", err)
		}
		for _, e := range entries {
			name := bytes.TrimSuffix(e.Key[1:], []byte{0})
			limits = append(limits, Limit{Queue: string(name), State: e.Value})
			from = after(e.Key)
		}
		if len(entries) < limitsChunk {
			return limits, nil
		}
	}
}

func (b *batch) putLimits(limits []Limit) error {
	for _, l := range limits {
		if len(l.State) > MaxLimitState {
			return fmt.Errorf("%w: the state of the limits of queue %s has %d bytes", ErrInvalid, l.Queue, len(l.State))
		}
		start := len(b.buf)
		b.buf = appendName(b.buf, spaceLimit, l.Queue)
		key := b.since(start)
		if l.State == nil {
			b.delete(key)
		} else {
			b.put(key, l.State)
		}
	}
	return nil
}
