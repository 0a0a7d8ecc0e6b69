package store

import (
	"bytes"
	"context"
	"fmt"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
)

// KeyDepth counts the jobs of a key that stand in the lanes of a queue, up to
// limit. Those that wait for their time or are being pushed are not counted,
// unless they are ordered; some that ended a moment ago may be.
func (s *Store) KeyDepth(ctx context.Context, queue, key string, limit int) (int, error) {
	shard := s.ShardOf(queue)
	lanes := []Lane{{Queue: queue, Ordered: true}}
	for _, p := range job.Priorities() {
		lanes = append(lanes, Lane{Queue: queue, Priority: p}, Lane{Queue: queue, Priority: p, AdHoc: true})
	}
	n := 0
	for _, l := range lanes {
		stem := appendLaneStem(nil, l, key)
		for from, end := stem, after(stem); n < limit; {
			chunk := min(limit-n, engine.MaxScan)
			entries, err := s.engine.Scan(ctx, shard, engine.Range{From: from, To: end, Limit: chunk, KeysOnly: true})
			if err != nil {
				return 0, fmt.Errorf("store: depth of key %q of queue %q: %w", key, queue, err)
			}
			n += len(entries)
			if len(entries) < chunk {
				break
			}
			from = append(bytes.Clone(entries[len(entries)-1].Key), 0)
		}
	}
	return n, nil
}
