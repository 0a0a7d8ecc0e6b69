package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
)

// Position is where a job stands among the jobs of its key in its lane.
type Position struct {
	// First is the first of them; nil where there is none. Of ordered jobs it is
	// the one whose turn it is.
	First *job.Job
	// Before counts those that stand before the job.
	Before int
	// Found says that the job stands in the lane. Where it does not, Before means
	// nothing, unless Cut.
	Found bool
	// Cut says that the job was not found among as many entries as may be looked
	// at: at least Before jobs stand before it.
	Cut bool
}

// positionChunk is how many entries are looked at together, with their jobs:
// most jobs stand near the head, and a chunk holds a shard's reads up for no more
// than a lane's read does.
const positionChunk = 256

// Position returns where a job stands in its lane, having looked at no more than
// limit entries. Keys are served in turn, so that it tells nothing of the jobs of
// other keys. A job that waits for its time, or is being pushed, stands in no lane
// unless it is ordered.
func (s *Store) Position(ctx context.Context, j *job.Job, limit int) (p Position, err error) {
	from := appendLaneStem(nil, LaneOf(j), j.Key)
	for end := after(from); limit > 0; {
		chunk := min(limit, positionChunk)
		entries, err := s.engine.Scan(ctx, j.ID.Shard(), engine.Range{From: from, To: end, Limit: chunk})
		if err == nil {
			err = s.pass(ctx, j.ID, entries, &p)
		}
		if err != nil {
			return Position{}, fmt.Errorf("store: position of %s: %w", j.ID, err)
		}
		if p.Found || len(entries) < chunk {
			return p, nil
		}
		limit -= chunk
		from = slices.Concat(entries[chunk-1].Key, []byte{0})
	}
	p.Cut = true
	return p, nil
}

// pass counts the live entries of a lane up to that of one job.
func (s *Store) pass(ctx context.Context, id job.ID, entries []engine.Entry, p *Position) error {
	tags := make([]laneTag, len(entries))
	ids := make([]job.ID, len(entries))
	for i, e := range entries {
		tag, err := parseLaneTag(e.Value)
		if err != nil {
			return err
		}
		tags[i], ids[i] = tag, tag.id
	}
	jobs, err := s.jobs(ctx, id.Shard(), ids)
	if err != nil {
		return err
	}
	for _, tag := range tags {
		j := jobs[tag.id]
		if !tag.live(j) {
			continue
		}
		if p.First == nil {
			p.First = j
		}
		if p.Found = tag.id == id; p.Found {
			return nil
		}
		p.Before++
	}
	return nil
}
