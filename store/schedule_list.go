package store

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/orchestrix/orchestrix/store/engine"
)

const (
	// listedBytes is about how many bytes of records one page of schedules may take
	// to read: their payloads stand in them.
	listedBytes = 16 << 20
	// listedAtOnce is how many of them are in memory at a time with their payloads.
	listedAtOnce = 32
	// shardsAtOnce is how many shards are asked at the same time.
	shardsAtOnce = 16
)

// ListSchedules returns up to limit schedules by name, over all shards, beginning
// after the name after, without their Payload. next is the name after which the
// next page begins, empty at the end; a page may be short where the payloads of its
// schedules are large.
func (s *Store) ListSchedules(ctx context.Context, after string, limit int) (page []*Schedule, next string, err error) {
	if limit < 1 || limit > engine.MaxScan {
		return nil, "", fmt.Errorf("store: list schedules: %w: limit %d", ErrInvalid, limit)
	}
	names, err := s.scheduleNames(ctx, after, limit+1) // one more tells whether there is a next page
	if err != nil {
		return nil, "", fmt.Errorf("store: list schedules: %w", err)
	}
	wanted := names[:min(limit, len(names))]
	looked, size := 0, 0
	for looked < len(wanted) && size < listedBytes {
		chunk := wanted[looked:min(looked+listedAtOnce, len(wanted))]
		found, err := s.schedulesAnywhere(ctx, chunk)
		if err != nil {
			return nil, "", fmt.Errorf("store: list schedules: %w", err)
		}
		for _, c := range found {
			size += len(c.stored)
			page = append(page, c.listed())
		}
		looked += len(chunk)
	}
	if looked < len(names) {
		next = names[looked-1]
	}
	return page, next, nil
}

// listed returns the schedule without what keeps its payload in memory.
func (s *Schedule) listed() *Schedule {
	s.Payload, s.stored = nil, nil
	s.Spec, s.State = bytes.Clone(s.Spec), bytes.Clone(s.State)
	return s
}

// scheduleNames returns the first names after one, up to limit. Each shard is asked for
// a little more than its share; one that has more of the first names is asked again.
func (s *Store) scheduleNames(ctx context.Context, after string, limit int) ([]string, error) {
	share := min(limit, 2*limit/s.Shards()+16)
	from := make([]string, s.Shards())
	for shard := range from {
		from[shard] = after
	}
	asked := s.allShards()
	var names []string
	for len(asked) > 0 {
		found := make([][]string, len(asked))
		err := s.eachShard(ctx, asked, func(ctx context.Context, i, shard int) (err error) {
			found[i], err = s.shardNames(ctx, shard, from[shard], share)
			return err
		})
		if err != nil {
			return nil, err
		}
		full := asked[:0]
		for i, shard := range asked {
			names = append(names, found[i]...)
			if len(found[i]) == share {
				from[shard] = found[i][share-1]
				full = append(full, shard)
			}
		}
		slices.Sort(names)
		names = names[:min(limit, len(names))]
		// What a shard has not told is behind what it has, and so behind the end of a full list.
		asked = slices.DeleteFunc(full, func(shard int) bool {
			return len(names) == limit && from[shard] >= names[limit-1]
		})
	}
	return names, nil
}

// shardNames returns up to limit names of one shard's schedules, after one.
func (s *Store) shardNames(ctx context.Context, shard int, after string, limit int) ([]string, error) {
	entries, err := s.engine.Scan(ctx, shard, engine.Range{
		From: append(appendScheduleKey(nil, after), 0), To: []byte{spaceSchedule + 1}, Limit: limit, KeysOnly: true,
	})
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = string(e.Key[1:])
	}
	return names, nil
}

// schedulesAnywhere returns those of the schedules that are there, of whatever shard, by
// name.
func (s *Store) schedulesAnywhere(ctx context.Context, names []string) ([]*Schedule, error) {
	byShard := map[int][]string{}
	var shards []int
	for _, name := range names {
		shard := s.ShardOf(name)
		if byShard[shard] == nil {
			shards = append(shards, shard)
		}
		byShard[shard] = append(byShard[shard], name)
	}
	found := make([][]*Schedule, len(shards))
	err := s.eachShard(ctx, shards, func(ctx context.Context, i, shard int) (err error) {
		found[i], err = s.schedules(ctx, shard, byShard[shard])
		return err
	})
	if err != nil {
		return nil, err
	}
	all := slices.Concat(found...)
	all = slices.DeleteFunc(all, func(c *Schedule) bool { return c == nil })
	slices.SortFunc(all, func(a, b *Schedule) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// CountSchedules returns how many schedules there are. It asks each shard for one number.
func (s *Store) CountSchedules(ctx context.Context) (int64, error) {
	counts := make([]int64, s.Shards())
	err := s.eachShard(ctx, s.allShards(), func(ctx context.Context, i, shard int) error {
		values, err := s.engine.Counters(ctx, shard, []byte{spaceSchedules})
		if err == nil {
			counts[i] = values[0]
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("store: count schedules: %w", err)
	}
	total := int64(0)
	for _, n := range counts {
		total += n
	}
	return total, nil
}

func (s *Store) allShards() []int {
	shards := make([]int, s.Shards())
	for shard := range shards {
		shards[shard] = shard
	}
	return shards
}

// eachShard calls f with each of the shards and its place among them, some at a time.
func (s *Store) eachShard(ctx context.Context, shards []int, f func(ctx context.Context, i, shard int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(shardsAtOnce)
	for i, shard := range shards {
		g.Go(func() error { return f(ctx, i, shard) })
	}
	return g.Wait()
}
