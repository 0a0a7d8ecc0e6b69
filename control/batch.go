package control

import (
	"context"
	"sync"
	"time"

	"github.com/orchestrix/orchestrix/store"
)

// MaxBatch is how many jobs one batch may hold.
const MaxBatch = 10_000

// Outcome is what became of one job of a batch: a receipt or an error.
type Outcome struct {
	Receipt
	Err error
}

// EnqueueBatch stores jobs, each on its own: one that is wrong, or whose shard is
// not available, does not keep the others from being stored. The outcomes are in
// the order of the jobs. It fails as a whole only where nothing was stored: where
// there are too many jobs, or the store is not available to any of them.
func (c *Control) EnqueueBatch(ctx context.Context, jobs []NewJob) ([]Outcome, error) {
	if len(jobs) > MaxBatch {
		return nil, invalidField("jobs", "must have at most %d entries", MaxBatch)
	}
	now, err := c.store.Now(ctx)
	if err != nil {
		return nil, storeError("enqueue", err)
	}
	b := batch{Control: c, now: now, outcomes: make([]Outcome, len(jobs))}
	b.sort(ctx, jobs)
	b.store(ctx)
	return b.outcomes, b.failed()
}

// batch is the work on one batch.
type batch struct {
	*Control
	now      time.Time
	outcomes []Outcome
	groups   []group
}

// group is the jobs of one shard, and where in the batch each of them stands.
type group struct {
	shard int
	jobs  []store.NewJob
	at    []int
}

// sort checks the jobs and groups the right ones by shard.
func (b *batch) sort(ctx context.Context, jobs []NewJob) {
	byShard := make(map[int]int, 1)
	for i := range jobs {
		n := &jobs[i]
		j, err := b.newJob(ctx, n, b.now)
		if err != nil {
			b.totals.refused.Add(1)
			b.outcomes[i].Err = err
			continue
		}
		at, ok := byShard[j.ID.Shard()]
		if !ok {
			at = len(b.groups)
			byShard[j.ID.Shard()] = at
			b.groups = append(b.groups, group{shard: j.ID.Shard()})
		}
		g := &b.groups[at]
		g.jobs = append(g.jobs, b.stored(j, n))
		g.at = append(g.at, i)
	}
}

// store enqueues the groups at once, so that the batch takes as long as its
// slowest shard.
func (b *batch) store(ctx context.Context) {
	if len(b.groups) == 1 {
		b.enqueue(ctx, &b.groups[0])
		return
	}
	var all sync.WaitGroup
	for i := range b.groups {
		all.Go(func() { b.enqueue(ctx, &b.groups[i]) })
	}
	all.Wait()
}

func (b *batch) enqueue(ctx context.Context, g *group) {
	done, err := b.enqueueUnique(ctx, g.shard, g.jobs)
	for k, i := range g.at {
		if err != nil {
			b.outcomes[i].Err = storeError("enqueue", err)
			continue
		}
		b.outcomes[i].Receipt, b.outcomes[i].Err = b.receipt(ctx, &g.jobs[k], done[k], b.now)
	}
}

// failed returns an error where the store answered none of the jobs, so that a
// client need not look into each outcome to see that it should try again.
func (b *batch) failed() error {
	var first error
	for i := range b.outcomes {
		if err := b.outcomes[i].Err; err == nil || KindOf(err) != Unavailable && KindOf(err) != 0 {
			return nil
		} else if first == nil {
			first = err
		}
	}
	return first
}
