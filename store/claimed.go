package store

import (
	"context"
	"fmt"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
)

// Claimed returns the jobs that the claim records of a shard hold, or whose workers
// have accepted them, each with the highest attempt that is named. A waiting job whose
// stored attempt is lower is being pushed, or was when its shard's owner died, or goes
// on at its worker. The records are as many as commits have pushes in flight. The owner
// knows it without asking.
func (s *Store) Claimed(ctx context.Context, shard int) (map[job.ID]int, error) {
	attempts := make(map[job.ID]int)
	err := s.scanSpace(ctx, shard, spaceClaim, func(records []engine.Entry) error {
		for _, r := range records {
			entries, _, err := parseClaim(r.Value)
			if err != nil {
				return err
			}
			for _, e := range entries {
				attempts[e.id] = max(attempts[e.id], e.attempt)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("store: claims of shard %d: %w", shard, err)
	}
	err = s.scanSpace(ctx, shard, spaceAccepted, func(records []engine.Entry) error {
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
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("store: accepted attempts of shard %d: %w", shard, err)
	}
	return attempts, nil
}
