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
// queue, those of the queue itself before those of its keys.
func (o *Owner) Limits(ctx context.Context) ([]Limit, error) {
	var limits []Limit
	for from := []byte{spaceLimit}; ; {
		entries, err := o.store.engine.Scan(ctx, o.shard, engine.Range{From: from, To: []byte{spaceLimit + 1}, Limit: limitsChunk})
		if err != nil {
			return nil, o.failed("limits", err)
		}
		for _, e := range entries {
			queue, key, ok := bytes.Cut(e.Key[1:], []byte{0})
			if !ok {
				return nil, o.failed("limits", errBadKey)
			}
			limits = append(limits, Limit{Queue: string(queue), Key: string(key), State: e.Value})
			from = append(bytes.Clone(e.Key), 0)
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
		b.buf = append(appendName(b.buf, spaceLimit, l.Queue), l.Key...)
		key := b.since(start)
		if l.State == nil {
			b.delete(key)
		} else {
			b.put(key, l.State)
		}
	}
	return nil
}
