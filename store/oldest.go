package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
)

// oldestKeys bounds how many keys of a lane OldestWaiting looks at.
const oldestKeys = 32

// OldestWaiting returns the time of creation of the oldest job that stands in a
// lane of the queue, zero where there is none. Of a lane with many keys it
// looks at the heads of the first 32.
func (s *Store) OldestWaiting(ctx context.Context, queue string) (time.Time, error) {
	shard := s.ShardOf(queue)
	var tags []laneTag
	lanes := []Lane{{Queue: queue, Ordered: true}}
	for _, p := range job.Priorities() {
		lanes = append(lanes, Lane{Queue: queue, Priority: p}, Lane{Queue: queue, Priority: p, AdHoc: true})
	}
	for _, l := range lanes {
		heads, err := s.laneHeads(ctx, shard, l, oldestKeys)
		if err != nil {
			return time.Time{}, fmt.Errorf("store: oldest waiting of queue %q: %w", queue, err)
		}
		tags = append(tags, heads...)
	}
	ids := make([]job.ID, len(tags))
	for i := range tags {
		ids[i] = tags[i].id
	}
	jobs, err := s.jobs(ctx, shard, ids)
	if err != nil {
		return time.Time{}, fmt.Errorf("store: oldest waiting of queue %q: %w", queue, err)
	}
	var oldest time.Time
	for _, t := range tags {
		if j := jobs[t.id]; t.live(j) && j.Status == job.Waiting {
			oldest = earliest(oldest, j.CreatedAt)
		}
	}
	return oldest, nil
}

// laneHeads returns the first entry of each of a lane's first keys.
func (s *Store) laneHeads(ctx context.Context, shard int, l Lane, limit int) (heads []laneTag, err error) {
	stem := appendLaneStem(nil, l, "")
	end := after(appendLanePrefix(nil, l))
	for from := binary.BigEndian.AppendUint64(stem, s.passed.of(l)); len(heads) < limit; {
		entries, err := s.engine.Scan(ctx, shard, engine.Range{From: from, To: end, Limit: 1})
		if err != nil || len(entries) == 0 {
			return heads, err
		}
		tag, err := parseLaneTag(entries[0].Value)
		if err != nil {
			return nil, err
		}
		heads = append(heads, tag)
		at := len(entries[0].Key) - seqLength
		if bytes.Equal(entries[0].Key[:at], stem) {
			s.passed.note(l, binary.BigEndian.Uint64(entries[0].Key[at:]))
		}
		from = after(bytes.Clone(entries[0].Key[:at]))
	}
	return heads, nil
}

// passed remembers of each lane below which number nothing of the empty key
// stands, nor ever will: numbers only rise. Until the engine has cleaned up, the
// entries that were removed cost as much to walk over as if they were there, and
// of a backlog there may be a million. The empty key is the lane's first; those
// after it are looked for from their beginning.
type passed struct {
	mu    sync.Mutex
	below map[Lane]uint64
}

// maxPassed bounds the lanes that are remembered.
const maxPassed = 1024

func (p *passed) of(l Lane) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.below[l]
}

func (p *passed) note(l Lane, seq uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.below == nil || len(p.below) >= maxPassed {
		p.below = make(map[Lane]uint64)
	}
	p.below[l] = max(p.below[l], seq)
}

// forget is for a change of owners: an engine that has lost its latest writes
// gives their numbers a second time.
func (p *passed) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.below = nil
}
