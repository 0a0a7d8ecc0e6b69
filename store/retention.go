package store

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/orchestrix/orchestrix/job"
)

// Retention says how long the finished jobs of a queue are kept.
type Retention struct {
	// Ages are how long a job is kept after its end, by its terminal status. A
	// status that is absent is kept for ever.
	Ages map[job.Status]time.Duration
	// MaxBytes bounds what the finished jobs take: their payloads, answers and
	// records. 0 bounds nothing. What is over goes oldest first, by id, of the
	// succeeded jobs, then of the cancelled, the expired and, last, the dead.
	MaxBytes int64
}

func (r Retention) equal(o Retention) bool {
	return r.MaxBytes == o.MaxBytes && maps.Equal(r.Ages, o.Ages)
}

// RetentionRules are the retention of all queues. They must not be changed after
// they were handed over.
type RetentionRules struct {
	// Ages are those of every queue that is not in Own.
	Ages map[job.Status]time.Duration
	// Own are the queues with a retention of their own, which replaces Ages as a
	// whole.
	Own map[string]Retention
}

// Empty reports whether everything is kept for ever.
func (r *RetentionRules) Empty() bool { return len(r.Ages) == 0 && len(r.Own) == 0 }

// Trim is a finished job that is not to be kept any longer.
type Trim struct {
	Job *job.Job
	Why TrimReason
}

// TrimReason says why a finished job is not kept any longer.
type TrimReason uint8

// The reasons.
const (
	TrimAge   TrimReason = iota // it was kept long enough
	TrimBytes                   // its queue's MaxBytes leaves no room for it
)

// String returns the reason's name.
func (r TrimReason) String() string {
	if r == TrimBytes {
		return "bytes"
	}
	return "age"
}

// retention looks for finished jobs that are not to be kept. The queues that have
// a retention of their own have a walker each; another one walks over the jobs of
// all others by status. So what is held in memory is bounded by what is
// configured, whatever the number of queues.
type retention struct {
	mu      sync.Mutex
	rules   *RetentionRules
	walkers []*walker // the one of all other queues first, the others by name
	own     map[string]*walker
	turn    int       // whose turn it is to be looked at first
	rest    time.Time // until then nothing is looked at that may be in vain
}

const (
	// retentionRows bounds how many index entries one call looks at.
	retentionRows = 2_000
	// scanRows is what a scan costs beside what it finds, in rows.
	scanRows = 8
	// passEvery is the least time between two walks over the same jobs, so that a
	// walk finds many to be removed at once.
	passEvery = time.Minute
	// passAtLeast is the greatest: nothing depends on it.
	passAtLeast = time.Hour
	// vainPause is how long a shard does not look at kept jobs again for each that
	// was looked at in vain. So to look costs at most some hundredths of a
	// processor, however many are kept.
	vainPause = 2 * time.Millisecond
)

// ReadFinished returns finished jobs that the rules keep no longer, up to limit,
// and when to ask again: at once, where next is not after now. The work of a call
// is bounded; the walkers take turns, and none waits until another has nothing
// left.
//
// What it costs does not grow with what is kept. A walk begins at the oldest job
// that the last one left, ends at those too young to have been kept long enough,
// and is repeated when the first of what it left may be due. A job that is left
// in its way (it was created long before it ended) is looked at again, at a pace
// that is bounded for the shard. Jobs that are not removed are found again.
func (o *Owner) ReadFinished(ctx context.Context, rules *RetentionRules, now time.Time, limit int) (trims []Trim, next time.Time, err error) {
	r := &o.retain
	r.mu.Lock()
	defer r.mu.Unlock()
	r.adopt(rules, o)
	limit, rows := max(limit, 1), retentionRows
	for i := range r.walkers {
		w := r.walkers[(r.turn+i)%len(r.walkers)]
		if w.at().After(now) {
			continue
		}
		found, used, err := o.walk(ctx, w, now, limit-len(trims), rows)
		if err != nil {
			return nil, time.Time{}, o.failed("read finished", err)
		}
		trims = append(trims, found...)
		rows -= used
		if len(trims) >= limit || rows <= 0 {
			r.turn = (r.turn + i + 1) % len(r.walkers)
			break
		}
	}
	return trims, r.next(), nil
}

// next returns when the first walker has something to do.
func (r *retention) next() time.Time {
	next := r.walkers[0].at()
	for _, w := range r.walkers[1:] {
		if at := w.at(); at.Before(next) {
			next = at
		}
	}
	return next
}

// adopt takes over rules. Where a queue loses its own retention, its jobs may be
// anywhere behind the walker of all others, which then begins anew.
func (r *retention) adopt(rules *RetentionRules, o *Owner) {
	if r.rules == rules {
		return
	}
	before, old := r.rules, r.own
	others := newWalker("", Retention{Ages: rules.Ages})
	if before != nil && !lost(old, rules.Own) {
		others = r.walkers[0]
		others.follow(Retention{Ages: rules.Ages})
	}
	r.rules, r.own = rules, make(map[string]*walker)
	r.walkers = []*walker{others}
	for _, queue := range slices.Sorted(maps.Keys(rules.Own)) {
		if o.store.ShardOf(queue) != o.shard {
			continue
		}
		w := old[queue]
		if w == nil {
			w = newWalker(queue, rules.Own[queue])
		}
		w.follow(rules.Own[queue])
		r.own[queue] = w
		r.walkers = append(r.walkers, w)
	}
	r.turn %= len(r.walkers)
}

func lost(old map[string]*walker, own map[string]Retention) bool {
	for queue := range old {
		if _, ok := own[queue]; !ok {
			return true
		}
	}
	return false
}

// settled notes jobs that became terminal: they may lie below where the walks
// are, and they take room.
func (r *retention) settled(settles []Settle) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rules == nil {
		return // every walk has yet to begin
	}
	for i := range settles {
		j := settles[i].Job
		if !j.Settled() {
			continue
		}
		w := r.own[j.Queue]
		if w == nil {
			w = r.walkers[0]
		}
		w.full = w.full || w.rule.MaxBytes > 0
		w.pass(j.Status).ended(j.ID)
	}
}
