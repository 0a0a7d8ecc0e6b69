package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
)

// Counts are the numbers of a queue's jobs, and what they take.
type Counts struct {
	// Waiting are all that are stored as waiting. Scheduled and Retrying are
	// those of them that stand among the timers; the rest is ready or being
	// pushed.
	Waiting, Scheduled, Retrying int64

	Succeeded, Dead, Cancelled, Expired int64

	// Bytes are the payloads of the waiting jobs. Those of jobs that were stored
	// before bytes were counted are left out.
	Bytes int64
	// Kept is what the finished jobs take: payloads, answers and records. Those
	// that ended before bytes were counted are left out.
	Kept int64
	// Trimmed are the dead jobs that retention has removed, ever.
	Trimmed int64
}

// QueueCounts are the counts of a named queue.
type QueueCounts struct {
	Queue string
	Counts
}

func (c *Counts) add(k class, v int64) {
	switch k {
	case class(job.Waiting):
		c.Waiting += v
	case class(job.Succeeded):
		c.Succeeded += v
	case class(job.Dead):
		c.Dead += v
	case class(job.Cancelled):
		c.Cancelled += v
	case class(job.Expired):
		c.Expired += v
	case classScheduled:
		c.Scheduled += v
	case classRetrying:
		c.Retrying += v
	case classBytes:
		c.Bytes += v
	case classKept:
		c.Kept += v
	case classTrimmed:
		c.Trimmed += v
	}
}

// Counts returns the counts of a queue; zero for one that never had a job.
func (s *Store) Counts(ctx context.Context, queue string) (Counts, error) {
	names := make([][]byte, 0, classes)
	for c := class(1); c <= classes; c++ {
		names = append(names, appendCountName(nil, queue, c))
	}
	values, err := s.engine.Counters(ctx, s.ShardOf(queue), names...)
	if err != nil {
		return Counts{}, fmt.Errorf("store: counts of queue %q: %w", queue, err)
	}
	var counts Counts
	for i, v := range values {
		counts.add(class(i+1), v)
	}
	return counts, nil
}

// ListQueues returns up to limit queues that have jobs, by name, beginning
// after the name after.
func (s *Store) ListQueues(ctx context.Context, after string, limit int) ([]QueueCounts, error) {
	if limit < 1 || limit > engine.MaxScan {
		return nil, fmt.Errorf("store: list queues: %w: limit %d", ErrInvalid, limit)
	}
	var all []QueueCounts
	for shard := range s.Shards() {
		queues, err := s.queues(ctx, shard, after, limit)
		if err != nil {
			return nil, fmt.Errorf("store: list queues: %w", err)
		}
		all = append(all, queues...)
	}
	slices.SortFunc(all, func(a, b QueueCounts) int { return strings.Compare(a.Queue, b.Queue) })
	return all[:min(limit, len(all))], nil
}

// queues returns up to limit queues of one shard, by name.
func (s *Store) queues(ctx context.Context, shard int, after string, limit int) ([]QueueCounts, error) {
	// Names end with 0, so 1 comes after all counters of the queue and before
	// those of any other, longer or greater.
	var from []byte
	if after != "" {
		from = append(append([]byte{spaceCount}, after...), 1)
	}
	var queues []QueueCounts
	for len(queues) <= limit {
		counters, err := s.engine.ScanCounters(ctx, shard, []byte{spaceCount}, from, countChunk)
		if err != nil {
			return nil, err
		}
		for _, c := range counters {
			queue, k, err := parseCount(c.Name)
			if err != nil {
				return nil, err
			}
			if n := len(queues); n == 0 || queues[n-1].Queue != queue {
				queues = append(queues, QueueCounts{Queue: queue})
			}
			queues[len(queues)-1].add(k, c.Value)
		}
		if len(counters) < countChunk {
			break
		}
		from = counters[len(counters)-1].Name
	}
	// One more than wanted was begun, so that those wanted are whole.
	return queues[:min(limit, len(queues))], nil
}

// countChunk is how many counters are read at once.
const countChunk = 1_000
