package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
)

// The bounds of what concurrent enqueues of one shard share a commit for.
const (
	maxBatchJobs  = 1_000
	maxBatchBytes = 8 << 20
)

// Enqueue stores jobs in their queue's shard and returns, in their order, what
// became of each. They are durable when it returns without an error. Concurrent
// calls for one shard share a commit.
//
// A job without an idempotency key is stored unless its id is there already:
// then an earlier try has stored it, and it is returned as it stands by now. So
// a call that failed may be repeated with the same jobs, whole or in parts. More
// than 1,000 jobs, or more than 8 MiB, are stored in several commits: after an
// error some of the jobs may be stored, and where the error is ErrUnavailable
// or of the context, it is not known which.
//
// A job that is Unique takes the lock on its content; where another has it,
// nothing is stored, whatever its OnConflict: that is for the caller to carry out.
// Its idempotency key is looked at first.
//
// A job with a Backlog is stored only where there is room for it: see Backlog.
func (s *Store) Enqueue(ctx context.Context, shard int, jobs []NewJob) ([]Enqueued, error) {
	if err := s.checkNew(shard, jobs); err != nil {
		return nil, fmt.Errorf("store: enqueue: %w", err)
	}
	results := make([]Enqueued, len(jobs))
	for done := 0; done < len(jobs); {
		n := chunk(jobs[done:])
		call := newCall(jobs[done:done+n], results[done:done+n])
		err := s.submit(ctx, shard, call)
		call.batch.free()
		if err != nil {
			return nil, fmt.Errorf("store: enqueue into shard %d: %w", shard, err)
		}
		done += n
	}
	return results, nil
}

func (s *Store) checkNew(shard int, jobs []NewJob) error {
	if shard < 0 || shard >= s.Shards() {
		return fmt.Errorf("%w: shard %d of %d", ErrInvalid, shard, s.Shards())
	}
	for i := range jobs {
		j := jobs[i].Job
		switch {
		case j.ID.Shard() != shard:
			return fmt.Errorf("%w: %s is not of shard %d", ErrInvalid, j.ID, shard)
		case j.Status != job.Waiting:
			return fmt.Errorf("%w: new job %s is %s", ErrInvalid, j.ID, j.Status)
		case len(jobs[i].Payload) > engine.MaxValue:
			return fmt.Errorf("%w: payload of %d bytes", ErrInvalid, len(jobs[i].Payload))
		}
	}
	return nil
}

// chunk returns how many of the jobs go into one batch.
func chunk(jobs []NewJob) int {
	size := 0
	for i := range jobs {
		if size += len(jobs[i].Payload); i > 0 && (i == maxBatchJobs || size > maxBatchBytes) {
			return i
		}
	}
	return len(jobs)
}

// enqueueCall is one call of Enqueue, or a chunk of it. Its groups are made by
// its own goroutine; the leader of the moment (combine.go) applies them.
type enqueueCall struct {
	jobs    []NewJob
	results []Enqueued
	batch   *batch
	units   []unit
	size    int
	bounded bool // some jobs have a backlog
	// overtaken says that nothing of a delivery was stored: see outbox.go.
	overtaken bool
	turn      chan bool // true: lead; false: it is done, see err
	err       error
}

// unit is what is stored by one group: one job that has a key of its own (see
// NewJob.keyed), or a run of jobs without.
type unit struct {
	call     *enqueueCall
	first, n int
	group    int // in the call's batch
}

// keyed reports whether what is stored already may forbid to store the job: it has
// an idempotency key, or is unique.
func (nj *NewJob) keyed() bool { return nj.Job.IdempotencyKey != "" || nj.Job.Unique != nil }

// guards are the conditions of the unit's group: that its key is free, of a job with
// an idempotency key; that its record is not there and the lock is free, of a unique
// one; else that the first record is not there. Which is which the first byte of
// their keys tells.
func (u unit) guards() []engine.Guard { return u.call.batch.groups[u.group].Guards }

// keys calls f with each key that another unit may also want.
func (u unit) keys(f func(key []byte)) {
	for _, g := range u.guards() {
		if g.Key[0] != spaceJob {
			f(g.Key)
		}
	}
}

func newCall(jobs []NewJob, results []Enqueued) *enqueueCall {
	c := &enqueueCall{jobs: jobs, results: results, batch: newBatch(), turn: make(chan bool, 1)}
	for first := 0; first < len(jobs); {
		n := 1
		if !jobs[first].keyed() {
			for first+n < len(jobs) && !jobs[first+n].keyed() {
				n++
			}
		}
		c.units = append(c.units, c.unit(first, n))
		first += n
	}
	for i := range jobs {
		c.size += len(jobs[i].Payload)
		c.bounded = c.bounded || jobs[i].Backlog != nil
	}
	return c
}

// unit makes the group of n jobs. One guard is enough for a run: its jobs
// become visible at once, so that the first is there if any is. (A later try
// may draw its runs differently: see retrySkipped.)
func (c *enqueueCall) unit(first, n int) unit {
	u := unit{call: c, first: first, n: n}
	b := c.batch
	for i := range c.jobs[first : first+n] {
		nj := &c.jobs[first+i]
		b.putNew(nj.Job)
		b.put(b.idKey(spacePayload, nj.Job.ID), nj.Payload)
	}
	nj := &c.jobs[first]
	record := engine.Guard{Key: b.puts[b.firstPut].Key}
	switch {
	case nj.Job.Unique != nil:
		b.guardUnique(nj, record)
	case nj.Job.IdempotencyKey != "":
		b.guards = []engine.Guard{{Key: b.putHolder(nj)}}
	default:
		b.guards = []engine.Guard{record}
	}
	u.group = b.closeGroup()
	return u
}

// guardUnique gives a unique job its keys. Its record is looked at before them: the
// lock, and in the end the idempotency key too, may be another's when an earlier try
// is repeated.
func (b *batch) guardUnique(nj *NewJob, record engine.Guard) {
	b.guards = []engine.Guard{record}
	if nj.Job.IdempotencyKey != "" {
		b.guards = append(b.guards, engine.Guard{Key: b.putHolder(nj)})
	}
	lock := b.uniqueKey(nj.Job)
	b.put(lock, nj.Job.ID[:])
	b.guards = append(b.guards, engine.Guard{Key: lock})
}

// putHolder gives a job its idempotency key, and returns the key.
func (b *batch) putHolder(nj *NewJob) []byte {
	key := b.idempotencyKey(nj.Job)
	start := len(b.buf)
	b.buf = appendHolder(b.buf, holder{nj.Job.ID, nj.Digest})
	b.put(key, b.since(start))
	return key
}

// putNew puts all of a new job but its payload and the keys that it holds.
func (b *batch) putNew(j *job.Job) {
	b.put(b.idKey(spaceJob, j.ID), b.recordNew(j))
	b.putStatus(j, job.Waiting)
	if j.Key != "" {
		b.put(b.queueKey(j), nil)
	}
	if !j.ExpiresAt.IsZero() {
		b.put(b.timerKey(j.ExpiresAt, TimerExpire, j.ID), nil)
	}
	if end := j.UniqueEnd(); !end.IsZero() {
		b.put(b.timerKey(end, TimerUnlock, j.ID), nil)
	}
	if delayed(j) {
		b.putDue(j)
	}
	if inLane(j) {
		b.putLane(j)
	}
}

// FirstTimer returns when the first timer of a new job fires; zero where it has
// none.
func FirstTimer(j *job.Job) time.Time {
	first := earliest(j.ExpiresAt, j.UniqueEnd())
	if delayed(j) {
		first = earliest(first, j.Due)
	}
	return first
}

// inLane reports whether a new job gets a place in its lane. An ordered one has
// its turn by it, also where it is delayed.
func inLane(j *job.Job) bool { return j.Ordered || !delayed(j) }

// delayed reports whether a new job has to wait for its time. Among the timers
// nothing is put into the past, which ReadTimers relies on.
func delayed(j *job.Job) bool { return j.Due.After(j.CreatedAt) }

// applyAll stores the units of the calls and sets their results, or returns
// the units whose outcome is the error. Each round resolves all but the units
// that need another look.
func (s *Store) applyAll(ctx context.Context, shard int, calls []*enqueueCall) (failed []unit, err error) {
	var todo []unit
	bounded := false
	for _, c := range calls {
		todo = append(todo, c.units...)
		bounded = bounded || c.bounded
	}
	for len(todo) > 0 {
		round, twins := split(todo)
		var over []unit
		if bounded {
			if round, over, err = s.admit(ctx, shard, round); err != nil {
				return todo, err
			}
			if len(round) == 0 {
				todo = twins
				continue
			}
		}
		again, err := s.applyRound(ctx, shard, round)
		if err != nil {
			s.announce(perhaps(shard, todo))
			return todo, err
		}
		todo = slices.Concat(again, over, twins)
	}
	return nil, nil
}

// split sets aside the units that want a key which an earlier one wants too:
// guards see the state before the batch, so both would be stored. In the next
// round the twin finds the first.
func split(units []unit) (round, twins []unit) {
	seen := map[string]bool{}
	for i, u := range units {
		if u.seen(seen) {
			return splitAt(units, i, seen)
		}
	}
	return units, nil
}

// What comes behind such a unit in its call, and has an ordered key of it, is set
// aside too, or it would be stored before it.
func splitAt(units []unit, i int, seen map[string]bool) (round, twins []unit) {
	round, twins = append(round, units[:i]...), append(twins, units[i])
	waits := map[orderedKey]bool{}
	units[i].ordered(waits)
	for _, u := range units[i+1:] {
		if u.behind(waits) || u.seen(seen) {
			u.ordered(waits)
			twins = append(twins, u)
		} else {
			round = append(round, u)
		}
	}
	return round, twins
}

// orderedKey is a key of a queue, whose jobs of one call are stored in their order.
type orderedKey struct {
	call       *enqueueCall
	queue, key string
}

// ordered notes the unit's ordered keys.
func (u unit) ordered(keys map[orderedKey]bool) {
	for _, nj := range u.call.jobs[u.first : u.first+u.n] {
		if nj.Job.Ordered {
			keys[orderedKey{u.call, nj.Job.Queue, nj.Job.Key}] = true
		}
	}
}

// behind reports whether the unit has one of the keys.
func (u unit) behind(keys map[orderedKey]bool) bool {
	if len(keys) == 0 {
		return false
	}
	own := map[orderedKey]bool{}
	u.ordered(own)
	for k := range own {
		if keys[k] {
			return true
		}
	}
	return false
}

// seen notes the unit's keys, and reports whether one of them was noted before.
func (u unit) seen(keys map[string]bool) (twin bool) {
	u.keys(func(key []byte) {
		if keys[string(key)] {
			twin = true
			return
		}
		keys[string(key)] = true
	})
	return twin
}

func (s *Store) applyRound(ctx context.Context, shard int, units []unit) (again []unit, err error) {
	groups := make([]engine.Group, len(units))
	for i, u := range units {
		groups[i] = u.call.batch.groups[u.group]
	}
	result, err := s.engine.Apply(ctx, shard, &engine.Batch{Groups: groups})
	if err != nil {
		return nil, err
	}
	arrivals := Arrivals{Shard: shard}
	var held []int
	for i, u := range units {
		switch g := &result.Groups[i]; {
		case !g.Skipped:
			u.stored(g.FirstSeq, &arrivals, s.enqueued != nil)
		case u.overtakenBy(g):
			u.call.overtaken = true
		case u.heldBy(g):
			held = append(held, i)
		default:
			again, err = u.retrySkipped(g.Found, again)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(arrivals.Ready) > 0 || !arrivals.NextDue.IsZero() {
		s.announce(arrivals)
	}
	return s.resolveHeld(ctx, shard, units, held, result.Groups, again)
}

// heldBy reports whether a group was skipped since a key of the job is held, and
// not since the job itself is there.
func (u unit) heldBy(g *engine.GroupResult) bool { return u.guards()[g.Failed].Key[0] != spaceJob }

// perhaps announces jobs of which it is not known whether they were stored.
func perhaps(shard int, units []unit) Arrivals {
	a := Arrivals{Shard: shard}
	lanes := map[Lane]bool{}
	for _, u := range units {
		for _, nj := range u.call.jobs[u.first : u.first+u.n] {
			if l := LaneOf(nj.Job); inLane(nj.Job) && !lanes[l] {
				lanes[l] = true
				a.Grown = append(a.Grown, l)
			}
			a.NextDue = earliest(a.NextDue, FirstTimer(nj.Job))
		}
	}
	return a
}

func (s *Store) announce(a Arrivals) {
	if s.enqueued != nil {
		s.enqueued(a)
	}
}

// stored notes that the unit's jobs are stored.
func (u unit) stored(seq uint64, a *Arrivals, announced bool) {
	for i := u.first; i < u.first+u.n; i++ {
		nj := &u.call.jobs[i]
		u.call.results[i] = Enqueued{Job: nj.Job}
		if !announced {
			continue
		}
		if inLane(nj.Job) {
			if len(a.Ready) == 0 {
				a.FirstSeq = seq
			}
			a.Ready = append(a.Ready, &Entry{Job: nj.Job, Payload: nj.Payload, Place: InLane, Seq: seq})
			seq++
		}
		a.NextDue = earliest(a.NextDue, FirstTimer(nj.Job))
	}
}

// earliest returns the earlier of two times; a zero time is none.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

// retrySkipped is for a run whose first job is there already: an earlier try
// stored it, but perhaps not the rest, so each of a longer run is tried alone.
func (u unit) retrySkipped(found []byte, again []unit) ([]unit, error) {
	if u.n > 1 {
		for i := range u.n {
			again = append(again, u.call.unit(u.first+i, 1))
		}
		return again, nil
	}
	j, err := decodeJob(u.call.jobs[u.first].Job.ID, found)
	u.call.results[u.first] = Enqueued{Job: j}
	return again, err
}
