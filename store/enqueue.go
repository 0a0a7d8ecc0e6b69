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
	bounded bool      // some jobs have a backlog
	turn    chan bool // true: lead; false: it is done, see err
	err     error
}

// unit is what is stored by one group: one job with an idempotency key, or a
// run of jobs without.
type unit struct {
	call     *enqueueCall
	first, n int
	group    int // in the call's batch
	holder   string
}

func newCall(jobs []NewJob, results []Enqueued) *enqueueCall {
	c := &enqueueCall{jobs: jobs, results: results, batch: newBatch(), turn: make(chan bool, 1)}
	for first := 0; first < len(jobs); {
		n := 1
		if jobs[first].Job.IdempotencyKey == "" {
			for first+n < len(jobs) && jobs[first+n].Job.IdempotencyKey == "" {
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
		c.encode(&c.jobs[first+i])
	}
	guarded := b.puts[b.firstPut].Key
	if j := c.jobs[first].Job; j.IdempotencyKey != "" {
		guarded = b.idempotencyKey(j)
		u.holder = string(guarded)
		start := len(b.buf)
		b.buf = appendHolder(b.buf, holder{j.ID, c.jobs[first].Digest})
		b.put(guarded, b.since(start))
	}
	b.guards = []engine.Guard{{Key: guarded}}
	u.group = b.closeGroup()
	return u
}

func (c *enqueueCall) encode(nj *NewJob) {
	b, j := c.batch, nj.Job
	b.put(b.idKey(spaceJob, j.ID), b.recordNew(j))
	b.put(b.idKey(spacePayload, j.ID), nj.Payload)
	b.putStatus(j, job.Waiting)
	if j.Key != "" {
		b.put(b.queueKey(j), nil)
	}
	if !j.ExpiresAt.IsZero() {
		b.put(b.timerKey(j.ExpiresAt, TimerExpire, j.ID), nil)
	}
	if delayed(j) {
		b.putDue(j)
	}
	if inLane(j) {
		b.putLane(j)
	}
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

// split sets aside the units whose idempotency key an earlier one has: guards
// see the state before the batch, so both would be stored. In the next round
// the twin finds the first.
func split(units []unit) (round, twins []unit) {
	seen := map[string]bool{}
	for i, u := range units {
		if u.holder == "" {
			continue
		}
		if seen[u.holder] {
			return splitAt(units, i, seen)
		}
		seen[u.holder] = true
	}
	return units, nil
}

func splitAt(units []unit, i int, seen map[string]bool) (round, twins []unit) {
	round = append(round, units[:i]...)
	for _, u := range units[i:] {
		switch {
		case u.holder != "" && seen[u.holder]:
			twins = append(twins, u)
		default:
			seen[u.holder] = u.holder != ""
			round = append(round, u)
		}
	}
	return round, twins
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
		case u.holder != "":
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

// perhaps announces jobs of which it is not known whether they were stored.
func perhaps(shard int, units []unit) Arrivals {
	a := Arrivals{Shard: shard}
	lanes := map[Lane]bool{}
	for _, u := range units {
		for _, nj := range u.call.jobs[u.first : u.first+u.n] {
			if delayed(nj.Job) {
				a.NextDue = earliest(a.NextDue, nj.Job.Due)
			}
			if l := LaneOf(nj.Job); inLane(nj.Job) && !lanes[l] {
				lanes[l] = true
				a.Grown = append(a.Grown, l)
			}
			a.NextDue = earliest(a.NextDue, nj.Job.ExpiresAt)
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
		if delayed(nj.Job) {
			a.NextDue = earliest(a.NextDue, nj.Job.Due)
		}
		if inLane(nj.Job) {
			if len(a.Ready) == 0 {
				a.FirstSeq = seq
			}
			a.Ready = append(a.Ready, &Entry{Job: nj.Job, Payload: nj.Payload, Place: InLane, Seq: seq})
			seq++
		}
		if !nj.Job.ExpiresAt.IsZero() {
			a.NextDue = earliest(a.NextDue, nj.Job.ExpiresAt)
		}
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

// resolveHeld finds what holds the idempotency keys of the held units. Where
// the holder is gone, the unit is tried again in its place.
func (s *Store) resolveHeld(ctx context.Context, shard int, units []unit, held []int, groups []engine.GroupResult, again []unit) ([]unit, error) {
	if len(held) == 0 {
		return again, nil
	}
	holders := make([]holder, len(held))
	ids := make([]job.ID, len(held))
	for i, n := range held {
		h, err := parseHolder(groups[n].Found)
		if err != nil {
			return nil, err
		}
		holders[i], ids[i] = h, h.id
	}
	jobs, err := s.jobs(ctx, shard, ids)
	if err != nil {
		return nil, err
	}
	for i, n := range held {
		u := units[n]
		nj, j := &u.call.jobs[u.first], jobs[ids[i]]
		switch {
		case j == nil && ids[i] == nj.Job.ID: // stored by an earlier try, and deleted since
			u.call.results[u.first] = Enqueued{Job: nj.Job}
		case j == nil:
			u.call.batch.groups[u.group].Guards[0].Value = groups[n].Found
			again = append(again, u)
		default:
			same := holders[i].digest == nj.Digest
			own := ids[i] == nj.Job.ID
			u.call.results[u.first] = Enqueued{Job: j, Existing: same && !own, Conflict: !same && !own}
		}
	}
	return again, nil
}
