package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
)

// Claimed returns the jobs that the claim records of a shard hold, or whose workers
// have accepted them, each with the highest attempt that is named. A waiting job whose stored attempt is lower is
// being pushed, or was when its shard's owner died. The records are as many as
// commits have pushes in flight. The owner knows it without asking.
func (s *Store) Claimed(ctx context.Context, shard int) (map[job.ID]int, error) {
	attempts := make(map[job.ID]int)
	for from := []byte{spaceClaim}; ; {
		records, err := s.engine.Scan(ctx, shard, engine.Range{From: from, To: []byte{spaceClaim + 1}, Limit: recoverChunk})
		if err != nil {
			return nil, fmt.Errorf("store: claims of shard %d: %w", shard, err)
		}
		for _, r := range records {
			entries, _, err := parseClaim(r.Value)
			if err != nil {
				return nil, fmt.Errorf("store: claims of shard %d: %w", shard, err)
			}
			for _, e := range entries {
				attempts[e.id] = max(attempts[e.id], e.attempt)
			}
		}
		if len(records) < recoverChunk {
			return attempts, s.addAccepted(ctx, shard, attempts)
		}
		from = slices.Concat(records[len(records)-1].Key, []byte{0})
	}
}

// addAccepted adds the attempts that workers have accepted.
func (s *Store) addAccepted(ctx context.Context, shard int, attempts map[job.ID]int) error {
	for from := []byte{spaceAccepted}; ; {
		records, err := s.engine.Scan(ctx, shard, engine.Range{From: from, To: []byte{spaceAccepted + 1}, Limit: recoverChunk})
		if err != nil {
			return fmt.Errorf("store: accepted attempts of shard %d: %w", shard, err)
		}
		for _, r := range records {
			id, err := tailID(r.Key)
			if err != nil {
				return err
			}
			a, err := parseAccepted(r.Value)
			if err != nil {
				return err
			}
			attempts[id] = max(attempts[id], a.Attempt)
		}
		if len(records) < recoverChunk {
			return nil
		}
		from = slices.Concat(records[len(records)-1].Key, []byte{0})
	}
}
