package store

import (
	"bytes"
	"container/heap"
	"context"
	"fmt"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
)

// JobFilter says which jobs a list shows; a zero field lets all through.
type JobFilter struct {
	Queue, Type, Key string
	Status           job.Status
	// Label are labels that a job must have, with these values.
	Label map[string]string
	// CreatedAfter is inclusive, CreatedBefore exclusive.
	CreatedAfter, CreatedBefore time.Time
	// Keep is an extra condition; it must not keep or change the job.
	Keep func(*job.Job) bool
}

// JobPage is a page of a list.
type JobPage struct {
	// Jobs are the newest first.
	Jobs []*job.Job
	// Next is where the next page begins; zero at the end.
	Next job.ID
}

// MaxListScan is how many jobs are looked at, at most, for one page.
const MaxListScan = 10_000

// ListJobs returns a page of the jobs that the filter lets through, newest
// first, merged over the shards by id, beginning below before (zero: at the
// newest). The best index leads: that by (queue, key), (queue, status), status,
// or none; what else the filter says is tried on each job, and a page is short,
// with Next set, where MaxListScan were looked at in vain.
func (s *Store) ListJobs(ctx context.Context, f JobFilter, before job.ID, limit int) (JobPage, error) {
	if limit < 1 || limit > engine.MaxScan {
		return JobPage{}, fmt.Errorf("store: list jobs: %w: limit %d", ErrInvalid, limit)
	}
	if !f.CreatedBefore.IsZero() {
		if end := job.MakeID(f.CreatedBefore, 0, [9]byte{}); before.IsZero() || compareIDs(end, before) < 0 {
			before = end
		}
	}
	m, err := s.merge(ctx, &f, before, limit)
	if err != nil {
		return JobPage{}, fmt.Errorf("store: list jobs: %w", err)
	}
	page, err := m.page(ctx, &f, limit)
	if err != nil {
		return JobPage{}, fmt.Errorf("store: list jobs: %w", err)
	}
	return page, nil
}

func (f *JobFilter) keeps(j *job.Job) bool {
	for k, v := range f.Label {
		if have, ok := j.Labels[k]; !ok || have != v {
			return false
		}
	}
	return (f.Queue == "" || f.Queue == j.Queue) && (f.Type == "" || f.Type == j.Type) &&
		(f.Key == "" || f.Key == j.Key) && (f.Status == 0 || f.Status == j.Status) &&
		(f.CreatedAfter.IsZero() || !j.CreatedAt.Before(f.CreatedAfter)) &&
		(f.CreatedBefore.IsZero() || j.CreatedAt.Before(f.CreatedBefore)) &&
		(f.Keep == nil || f.Keep(j))
}

// indexes returns the beginnings of the index's keys that lead to the jobs.
func (f *JobFilter) indexes() [][]byte {
	switch {
	case f.Queue != "" && f.Key != "":
		return [][]byte{appendQueueKeyPrefix(nil, f.Queue, f.Key)}
	case f.Queue != "" && f.Status != 0:
		return [][]byte{appendQueueStatusPrefix(nil, f.Queue, f.Status)}
	case f.Queue != "":
		var all [][]byte
		for _, status := range job.Statuses() {
			all = append(all, appendQueueStatusPrefix(nil, f.Queue, status))
		}
		return all
	case f.Status != 0:
		return [][]byte{appendStatusPrefix(nil, f.Status)}
	default:
		return [][]byte{{spaceJob}}
	}
}

// merge reads the ids of several indexes, newest first.
type merge struct {
	store   *Store
	sources []*source
	least   job.ID // ids below are too old
	chunk   int
}

// source is one index of one shard.
type source struct {
	shard  int
	prefix []byte
	before []byte // the key below which it goes on; nil at its end
	ids    []job.ID
}

func (s *Store) merge(ctx context.Context, f *JobFilter, before job.ID, limit int) (*merge, error) {
	first, last := 0, s.Shards()-1
	if f.Queue != "" {
		first = s.ShardOf(f.Queue)
		last = first
	}
	prefixes := f.indexes()
	m := &merge{store: s, chunk: min(max(2*limit/((last-first+1)*len(prefixes)), 16), 1_000)}
	if !f.CreatedAfter.IsZero() {
		m.least = job.MakeID(f.CreatedAfter, 0, [9]byte{})
	}
	for shard := first; shard <= last; shard++ {
		for _, prefix := range prefixes {
			src := &source{shard: shard, prefix: prefix, before: after(prefix)}
			if !before.IsZero() {
				src.before = append(bytes.Clone(prefix), before[:]...)
			}
			if err := m.fill(ctx, src); err != nil {
				return nil, err
			}
			if len(src.ids) > 0 {
				m.sources = append(m.sources, src)
			}
		}
	}
	heap.Init(m)
	return m, nil
}

// fill reads the next ids of a source.
func (m *merge) fill(ctx context.Context, src *source) error {
	if src.before == nil {
		return nil
	}
	from := append(bytes.Clone(src.prefix), m.least[:]...)
	if m.least.IsZero() {
		from = src.prefix
	}
	entries, err := m.store.engine.Scan(ctx, src.shard, engine.Range{
		From: from, To: src.before, Limit: m.chunk, Reverse: true, KeysOnly: true,
	})
	if err != nil {
		return err
	}
	src.ids = src.ids[:0]
	for _, e := range entries {
		id, err := tailID(e.Key)
		if err != nil {
			return err
		}
		src.ids = append(src.ids, id)
	}
	src.before = nil
	if len(entries) == m.chunk {
		src.before = entries[len(entries)-1].Key
	}
	return nil
}

// next returns the next ids, up to n.
func (m *merge) next(ctx context.Context, n int) (ids []job.ID, err error) {
	for len(ids) < n && len(m.sources) > 0 {
		src := m.sources[0]
		ids = append(ids, src.ids[0])
		if src.ids = src.ids[1:]; len(src.ids) == 0 {
			if err := m.fill(ctx, src); err != nil {
				return nil, err
			}
		}
		if len(src.ids) == 0 {
			heap.Pop(m)
		} else {
			heap.Fix(m, 0)
		}
	}
	return ids, nil
}

func (m *merge) page(ctx context.Context, f *JobFilter, limit int) (page JobPage, err error) {
	for looked := 0; looked < MaxListScan; {
		// What the index alone decides is read to the job; a filter that lets few
		// through would else cause many small reads.
		want := min(max(limit-len(page.Jobs), 1), MaxListScan-looked)
		if looked > 0 {
			want = min(max(want, 200), MaxListScan-looked)
		}
		ids, err := m.next(ctx, want)
		if err != nil || len(ids) == 0 {
			page.Next = job.ID{}
			return page, err
		}
		jobs, err := m.store.jobsAnywhere(ctx, ids)
		if err != nil {
			return JobPage{}, err
		}
		looked += len(ids)
		for i, id := range ids {
			page.Next = id
			if j := jobs[id]; j != nil && f.keeps(j) {
				page.Jobs = append(page.Jobs, j)
			}
			if len(page.Jobs) == limit {
				if i == len(ids)-1 && len(m.sources) == 0 {
					page.Next = job.ID{}
				}
				return page, nil
			}
		}
	}
	if len(m.sources) == 0 {
		page.Next = job.ID{}
	}
	return page, nil
}

// Jobs returns those of the jobs that are there, without their payloads.
func (s *Store) Jobs(ctx context.Context, ids ...job.ID) (map[job.ID]*job.Job, error) {
	jobs, err := s.jobsAnywhere(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("store: read %d jobs: %w", len(ids), err)
	}
	return jobs, nil
}

// jobsAnywhere returns the jobs that are there, of whatever shard.
func (s *Store) jobsAnywhere(ctx context.Context, ids []job.ID) (map[job.ID]*job.Job, error) {
	byShard := map[int][]job.ID{}
	for _, id := range ids {
		byShard[id.Shard()] = append(byShard[id.Shard()], id)
	}
	all := make(map[job.ID]*job.Job, len(ids))
	for shard, ids := range byShard {
		jobs, err := s.jobs(ctx, shard, ids)
		if err != nil {
			return nil, err
		}
		for id, j := range jobs {
			all[id] = j
		}
	}
	return all, nil
}

// merge is a heap of sources, that with the newest id first.

func (m *merge) Len() int { return len(m.sources) }

func (m *merge) Less(i, j int) bool { return compareIDs(m.sources[i].ids[0], m.sources[j].ids[0]) > 0 }
func (m *merge) Swap(i, j int)      { m.sources[i], m.sources[j] = m.sources[j], m.sources[i] }
func (m *merge) Push(x any)         { m.sources = append(m.sources, x.(*source)) }
func (m *merge) Pop() any {
	last := m.sources[len(m.sources)-1]
	m.sources = m.sources[:len(m.sources)-1]
	return last
}
