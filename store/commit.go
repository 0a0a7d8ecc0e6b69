package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
)

// pendingCommit is a commit that is under way, or whose outcome is not known.
type pendingCommit struct {
	commit *Commit
	number uint64
	batch  *batch
	stale  []*staleSpan
	turns  [][]byte // stale entries of ordered jobs
	main   int      // the index of the group with the promotions
	sent   uint32   // entries of the outbox so far
	// firings is the index of the group of the first firing; the others follow it.
	firings int
}

// Commit carries out a commit: all of it or nothing, durable on return.
//
// After ErrUnavailable (or the end of ctx) its outcome is not known, and the
// next call must be with the same *Commit, unchanged: it has the same number,
// so that it is applied once at most. Any other is refused with ErrInvalid, as
// is a commit that breaks a rule of its parts; then nothing was changed.
//
// A job may be in one part of a commit only; a fired timer in TimersDone goes
// with a Settle of its job.
func (o *Owner) Commit(ctx context.Context, c *Commit) error {
	o.committing.Lock()
	defer o.committing.Unlock()
	p, err := o.prepare(ctx, c)
	if err != nil {
		return o.failed("commit", err)
	}
	result, err := o.store.engine.Apply(ctx, o.shard, &engine.Batch{Fence: &o.fence, Commit: p.number, Groups: p.batch.groups})
	switch {
	case errors.Is(err, engine.ErrInvalid):
		o.tracker.staleKept(p.stale)
		o.turns.keep(p.turns)
		o.pending = nil
		return o.failed("commit", err)
	case err != nil:
		return o.failed(fmt.Sprintf("commit %d", p.number), err)
	}
	o.pending = nil
	o.state.Lock()
	o.commit = p.number
	o.state.Unlock()
	o.applied(p, result)
	p.batch.free()
	return nil
}

// prepare makes the batch of a commit, or returns that of the one under way.
func (o *Owner) prepare(ctx context.Context, c *Commit) (*pendingCommit, error) {
	if p := o.pending; p != nil {
		if p.commit != c {
			return nil, fmt.Errorf("%w: the outcome of commit %d is not known yet", ErrInvalid, p.number)
		}
		return p, nil
	}
	p := &pendingCommit{commit: c, number: o.NextCommit(), batch: newBatch()}
	if err := o.encode(ctx, p); err != nil {
		p.batch.free()
		return nil, err
	}
	o.pending = p
	return p, nil
}

func (o *Owner) encode(ctx context.Context, p *pendingCommit) error {
	b, c := p.batch, p.commit
	if err := o.encodeClaim(p); err != nil {
		return err
	}
	for i := range c.Settle {
		if err := o.encodeSettle(b, &c.Settle[i]); err != nil {
			return err
		}
	}
	if err := b.encodeAccepted(c.Accept); err != nil {
		return err
	}
	for _, e := range c.Promote {
		if e.Place != InTimers {
			return fmt.Errorf("%w: promoted job %s is not among the timers", ErrInvalid, e.Job.ID)
		}
		b.deleteDue(e.Job.Queue, e.Job.Due, e.Job.ID, Retrying(e.Job))
		if !e.Job.Ordered { // it never left its lane
			b.putLane(e.Job)
		}
	}
	for _, seq := range c.Consumed {
		b.deleteNumber(spaceInbox, seq)
	}
	for _, n := range c.ClaimsDone {
		b.deleteNumber(spaceClaim, n)
	}
	for _, j := range c.Replace {
		b.putNew(j)
		if first := FirstTimer(j); !first.IsZero() {
			o.timers.put(first)
		}
	}
	if err := o.putOutgoing(p, c.Send...); err != nil {
		return err
	}
	if err := o.tellSchedules(p); err != nil {
		return err
	}
	if err := b.putLimits(c.Limits); err != nil {
		return err
	}
	gone, err := o.deletable(ctx, c)
	if err != nil {
		return err
	}
	free, err := o.encodeDone(ctx, b, c, gone)
	if err != nil {
		return err
	}
	p.stale = o.tracker.takeStale()
	b.deleteStale(p.stale)
	p.turns = o.turns.take()
	b.deletes = append(b.deletes, p.turns...)
	p.main = b.closeGroup()
	for _, f := range free {
		b.guards = []engine.Guard{{Key: f.Key, Value: f.Value}}
		b.delete(f.Key)
		b.closeGroup()
	}
	b.encodeLocks(c, gone)
	return o.encodeFirings(p)
}

func (b *batch) deleteNumber(space byte, n uint64) {
	start := len(b.buf)
	b.buf = appendNumberKey(b.buf, space, n)
	b.delete(b.since(start))
}

func (o *Owner) encodeClaim(p *pendingCommit) error {
	b, entries, h := p.batch, p.commit.Claim, p.commit.HandOver
	switch {
	case h != nil && (h.Node == "" || len(h.Entries) == 0 || len(entries) > 0):
		return fmt.Errorf("%w: a hand-over by %q of %d pushes beside %d claims", ErrInvalid, h.Node, len(h.Entries), len(entries))
	case h != nil:
		start := len(b.buf)
		b.buf = appendHandOver(b.buf, h)
		b.putNumber(spaceClaim, p.number, b.since(start))
		return nil
	case len(entries) == 0:
		return nil
	}
	for i := range entries {
		e := entries[i].Entry
		switch {
		case e.Job.Status != job.Waiting || e.Place == Nowhere:
			return fmt.Errorf("%w: claimed job %s does not wait", ErrInvalid, e.Job.ID)
		case e.Place == InLane && e.Seq == 0:
			return fmt.Errorf("%w: where claimed job %s stands in its lane is not known", ErrInvalid, e.Job.ID)
		}
		b.leave(e.Job, e.Standing())
	}
	start := len(b.buf)
	b.buf = appendClaim(b.buf, entries)
	b.putNumber(spaceClaim, p.number, b.since(start))
	return nil
}

func (b *batch) putNumber(space byte, n uint64, value []byte) {
	start := len(b.buf)
	b.buf = appendNumberKey(b.buf, space, n)
	b.put(b.since(start), value)
}

// leave takes a job away from where it stands.
func (b *batch) leave(j *job.Job, was Standing) {
	switch {
	case was.Place == InLane && was.Seq != 0 && !j.Ordered:
		b.deleteLane(j, was.Seq)
	case was.Place == InAccepted:
		b.delete(b.idKey(spaceAccepted, j.ID))
	case was.Place == InTimers:
		b.deleteDue(j.Queue, was.Due, j.ID, was.Retrying)
	}
}

func (o *Owner) encodeSettle(b *batch, s *Settle) error {
	j := s.Job
	if j.Status == job.Waiting {
		if j.Due.IsZero() {
			return fmt.Errorf("%w: settled job %s waits, but for no time", ErrInvalid, j.ID)
		}
		if s.Was.Place == InLane && s.Was.Seq == 0 && !j.Ordered && millis(j.Due) == millis(s.Was.Due) {
			// The entry that is left behind in the lane would be live again.
			j.Due = j.Due.Add(time.Millisecond)
		}
	}
	b.leave(j, s.Was)
	if j.Ordered {
		b.settleTurn(s)
	}
	b.put(b.idKey(spaceJob, j.ID), b.recount(s))
	if j.Status == job.Waiting {
		b.putDue(j)
		o.timers.put(j.Due)
	}
	if s.Was.Status != j.Status {
		b.deleteStatus(j, s.Was.Status)
		b.putStatus(j, j.Status)
	}
	o.encodeEnd(b, s)
	b.putResult(s)
	return nil
}

// putResult keeps an answer that is too long for its attempt.
func (b *batch) putResult(s *Settle) {
	n := len(s.Job.Attempts)
	if n == 0 || len(s.Answer) <= len(s.Job.Attempts[n-1].Answer) {
		return
	}
	start := len(b.buf)
	b.buf = appendResult(b.buf, s.Job.Attempts[n-1].Number, s.AnswerType, s.Answer)
	value := b.since(start)
	b.put(b.idKey(spaceResult, s.Job.ID), value)
}

// encodeEnd keeps the timers that begin or end with a job's life.
func (o *Owner) encodeEnd(b *batch, s *Settle) {
	j := s.Job
	switch ended, began := s.Was.Status == job.Waiting && j.Settled(), s.Was.Status != job.Waiting && j.Status == job.Waiting; {
	case ended:
		if !j.ExpiresAt.IsZero() {
			b.delete(b.timerKey(j.ExpiresAt, TimerExpire, j.ID))
		}
		if j.IdempotencyKey != "" {
			at := o.ReleaseTime(j)
			start := len(b.buf)
			b.buf = appendRelease(b.buf, j)
			value := b.since(start)
			b.put(b.timerKey(at, TimerRelease, j.ID), value)
			o.timers.put(at)
		}
	case began && !j.ExpiresAt.IsZero():
		b.put(b.timerKey(j.ExpiresAt, TimerExpire, j.ID), nil)
		o.timers.put(j.ExpiresAt)
	}
}

// ReleaseTime returns when the idempotency key of a job that has ended is free
// again; zero where it has none.
func (o *Owner) ReleaseTime(j *job.Job) time.Time {
	if j.IdempotencyKey == "" {
		return time.Time{}
	}
	return j.FinishedAt.Add(o.store.ttl)
}

// applied brings what is in memory up to what is stored now.
func (o *Owner) applied(p *pendingCommit, result engine.Result) {
	t := &o.tracker
	t.mu.Lock()
	for i := range p.commit.Claim {
		if e := p.commit.Claim[i].Entry; e.Place == InLane && !e.Job.Ordered {
			t.left(LaneOf(e.Job), e.Job.Key, e.Seq)
		}
	}
	for i := range p.commit.Settle {
		if s := &p.commit.Settle[i]; s.Was.Place == InLane && s.Was.Seq != 0 && !s.Job.Ordered {
			t.left(LaneOf(s.Job), s.Job.Key, s.Was.Seq)
		}
	}
	t.mu.Unlock()
	t.staleRemoved(p.stale)
	for i := range p.commit.Fire {
		p.commit.Fire[i].Applied = !result.Repeated && !result.Groups[p.firings+i].Skipped
	}
	firstSeq := uint64(0)
	if !result.Repeated {
		firstSeq = result.Groups[p.main].FirstSeq
	}
	t.promoted(p.commit, firstSeq, uint64(len(p.batch.groups[p.main].Stamped)))
	o.retain.settled(p.commit.Settle)
	o.turns.settled(p.commit.Settle)
}
