package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
)

// encodeDone encodes fired timers, deleted jobs, which are gone, and refused ones.
// It returns the idempotency entries to be freed, each as it is stored: a group of
// its own frees it, under the guard that it still is so.
func (o *Owner) encodeDone(ctx context.Context, b *batch, c *Commit, gone []*job.Job) (free []engine.Entry, err error) {
	var held []release
	for i := range c.TimersDone {
		t := &c.TimersDone[i]
		b.delete(b.timerKey(t.At, t.Kind, t.ID))
		switch {
		case t.Kind == TimerDue:
			if t.Entry == nil {
				return nil, fmt.Errorf("%w: the timer of %s has no job", ErrInvalid, t.ID)
			}
			b.count(t.Entry.Job.Queue, classOf(t.retrying), -1)
		case t.Kind == TimerRelease && len(t.held) > 0 && !wakes(c, t.ID):
			held = append(held, release{id: t.ID, key: t.held, incarnation: t.incarnation})
		}
	}
	refused, err := o.refuse(ctx, b, c.Refuse)
	if err != nil {
		return nil, err
	}
	held = append(held, refused...)
	b.countTrimmed(gone, c.Trim)
	for _, j := range gone {
		o.encodeDelete(b, j)
		if j.IdempotencyKey != "" {
			held = append(held, release{id: j.ID, key: b.idempotencyKey(j), deleted: true})
		}
	}
	if err := o.encodeRecords(ctx, b, gone); err != nil {
		return nil, err
	}
	if err := o.deleteJournals(ctx, b, gone); err != nil {
		return nil, err
	}
	return o.holders(ctx, held)
}

// deletable returns the jobs to be deleted as they are stored, in the order of
// their ids, each once. Those that are gone, or wait again, since the caller
// read them are left out: to count them down once more would be wrong.
func (o *Owner) deletable(ctx context.Context, c *Commit) (gone []*job.Job, err error) {
	ids := make([]job.ID, 0, len(c.Delete)+len(c.Trim))
	add := func(j *job.Job) error {
		if !j.Settled() {
			return fmt.Errorf("%w: deleted job %s is %s", ErrInvalid, j.ID, j.Status)
		}
		ids = append(ids, j.ID)
		return nil
	}
	for _, j := range c.Delete {
		if err := add(j); err != nil {
			return nil, err
		}
	}
	for _, t := range c.Trim {
		if err := add(t.Job); err != nil {
			return nil, err
		}
	}
	stored, err := o.store.jobs(ctx, o.shard, ids)
	if err != nil {
		return nil, err
	}
	for _, id := range sortedIDs(ids) {
		if j := stored[id]; j != nil && j.Settled() && !settles(c, id) {
			gone = append(gone, j)
		}
	}
	return gone, nil
}

// wakes reports whether a commit lets the job wait again: then what ended with
// its last life holds on.
func wakes(c *Commit, id job.ID) bool {
	return slices.ContainsFunc(c.Settle, func(s Settle) bool { return s.Job.ID == id && s.Job.Status == job.Waiting })
}

// settles reports whether a commit settles the job: then what is stored of it
// now tells nothing.
func settles(c *Commit, id job.ID) bool {
	return slices.ContainsFunc(c.Settle, func(s Settle) bool { return s.Job.ID == id })
}

// release is an idempotency entry that may have to be freed.
type release struct {
	id          job.ID
	key         []byte
	incarnation int
	deleted     bool // its job goes with this commit
}

// holders returns those of the entries that are held by just these jobs, which
// must be terminal in the incarnation in question, or gone.
func (o *Owner) holders(ctx context.Context, held []release) ([]engine.Entry, error) {
	if len(held) == 0 {
		return nil, nil
	}
	ids, keys := make([]job.ID, len(held)), make([][]byte, len(held))
	for i := range held {
		ids[i], keys[i] = held[i].id, held[i].key
	}
	values, err := o.store.engine.Get(ctx, o.shard, keys...)
	if err != nil {
		return nil, err
	}
	jobs, err := o.store.jobs(ctx, o.shard, ids)
	if err != nil {
		return nil, err
	}
	var free []engine.Entry
	for i, r := range held {
		if values[i] == nil {
			continue
		}
		h, err := parseHolder(values[i])
		if err != nil {
			return nil, err
		}
		j := jobs[r.id]
		over := r.deleted || j == nil || (j.Settled() && j.Incarnation == r.incarnation)
		if h.id == r.id && over {
			free = append(free, engine.Entry{Key: r.key, Value: values[i]})
		}
	}
	return free, nil
}

// countTrimmed counts the dead ones of the removed jobs that are trimmed: nobody
// asked for their removal, so it must be seen.
func (b *batch) countTrimmed(gone []*job.Job, trims []Trim) {
	if len(trims) == 0 {
		return
	}
	trimmed := make(map[job.ID]bool, len(trims))
	for _, t := range trims {
		trimmed[t.Job.ID] = true
	}
	for _, j := range gone {
		if trimmed[j.ID] && j.Status == job.Dead {
			b.count(j.Queue, classTrimmed, 1)
		}
	}
}

// encodeDelete removes what leads to a job.
func (o *Owner) encodeDelete(b *batch, j *job.Job) {
	b.deleteStatus(j, j.Status)
	b.count(j.Queue, classKept, -int64(j.Counted))
	if j.Blocks && j.Turn != 0 {
		b.deleteLane(j, j.Turn)
	}
	if j.Key != "" {
		b.delete(b.queueKey(j))
	}
	if j.IdempotencyKey != "" {
		// Where the time to live has been changed, this misses; then the timer
		// fires, and finds nothing to do.
		b.delete(b.timerKey(o.ReleaseTime(j), TimerRelease, j.ID))
	}
	if end := j.UniqueEnd(); !end.IsZero() {
		b.delete(b.timerKey(end, TimerUnlock, j.ID))
	}
}

const (
	// minRun is the least number of consecutive jobs that are removed by a range:
	// a range costs readers more than a few points.
	minRun = 16
	// settledAge is how old a job has to be before it is taken for granted that
	// no job with a lower id will arrive. An enqueue takes seconds.
	settledAge = time.Hour
)

// encodeRecords removes the records, payloads and results of jobs, which are in
// the order of their ids, by range where all jobs in it go.
func (o *Owner) encodeRecords(ctx context.Context, b *batch, gone []*job.Job) error {
	stored, err := o.between(ctx, gone)
	if err != nil {
		return err
	}
	for len(gone) > 0 {
		n := 0
		for n < len(gone) && n < len(stored) && stored[n] == gone[n].ID {
			n++
		}
		if n >= minRun {
			b.deleteRun(gone[0].ID, gone[n-1].ID)
		} else {
			n = max(n, 1)
			for _, j := range gone[:n] {
				b.deleteRecord(j)
			}
		}
		gone = gone[n:]
		for len(stored) > 0 && len(gone) > 0 && compareIDs(stored[0], gone[0].ID) < 0 {
			stored = stored[1:]
		}
	}
	return nil
}

// between returns the ids of the jobs that are stored from the first to the
// last of those to be removed, as far as ranges may remove them.
func (o *Owner) between(ctx context.Context, gone []*job.Job) ([]job.ID, error) {
	if len(gone) < minRun {
		return nil, nil
	}
	now, err := o.store.engine.Now(ctx)
	if err != nil {
		return nil, err
	}
	last := gone[len(gone)-1].ID
	if young := job.MakeID(now.Add(-settledAge), 0, [9]byte{}); compareIDs(young, last) < 0 {
		last = young
	}
	if compareIDs(gone[0].ID, last) > 0 {
		return nil, nil
	}
	entries, err := o.store.engine.Scan(ctx, o.shard, engine.Range{
		From: appendIDKey(nil, spaceJob, gone[0].ID), To: append(appendIDKey(nil, spaceJob, last), 0),
		Limit: min(4*len(gone), engine.MaxScan), KeysOnly: true,
	})
	if err != nil {
		return nil, err
	}
	ids := make([]job.ID, len(entries))
	for i, e := range entries {
		if ids[i], err = tailID(e.Key); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

func (b *batch) deleteRun(first, last job.ID) {
	for _, space := range []byte{spaceJob, spacePayload, spaceResult} {
		to := b.idKey(space, last)
		b.deleteRange(b.idKey(space, first), append(to, 0))
	}
}

func (b *batch) deleteRecord(j *job.Job) {
	b.delete(b.idKey(spaceJob, j.ID))
	b.delete(b.idKey(spacePayload, j.ID))
	if mayHaveResult(j) {
		b.delete(b.idKey(spaceResult, j.ID))
	}
}

// mayHaveResult reports whether an answer may have been too long for its
// attempt, as far as can be told from the attempts that were kept.
func mayHaveResult(j *job.Job) bool {
	return j.Attempt > len(j.Attempts) || slices.ContainsFunc(j.Attempts, func(a job.Attempt) bool {
		return a.AnswerSize > len(a.Answer)
	})
}
