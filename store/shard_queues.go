package store

import (
	"context"
	"fmt"

	"github.com/orchestrix/orchestrix/store/engine"
)

// ShardQueues returns up to limit queues of one shard that have jobs, by name, beginning
// after the name after. It is for the node that serves the shard: see ListQueues for
// those of all shards.
func (s *Store) ShardQueues(ctx context.Context, shard int, after string, limit int) ([]QueueCounts, error) {
	if limit < 1 || limit > engine.MaxScan {
		return nil, fmt.Errorf("store: queues of shard %d: %w: limit %d", shard, ErrInvalid, limit)
	}
	queues, err := s.queues(ctx, shard, after, limit)
	if err != nil {
		return nil, fmt.Errorf("store: queues of shard %d: %w", shard, err)
	}
	return queues, nil
}
