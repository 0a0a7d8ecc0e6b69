package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
)

// Accepted is an attempt that its worker has taken over: it goes on without a request,
// until the worker reports its end or a deadline passes. Its record takes the place of
// the claim's entry, and whoever owns the shard waits for it.
type Accepted struct {
	// Entry is the job as it stands, without its payload.
	Entry   *Entry
	Attempt int
	Worker  string
	Started time.Time
	// Deadline is when the attempt has to have ended.
	Deadline time.Time
	// Heartbeat is how long its worker may be silent, and Beat when it was last heard
	// of.
	Heartbeat time.Duration
	Beat      time.Time

	turn uint64 // of an ordered job
}

// Until returns when the attempt is over, should its worker stay silent.
func (a *Accepted) Until() time.Time {
	if silent := a.Beat.Add(a.Heartbeat); silent.Before(a.Deadline) {
		return silent
	}
	return a.Deadline
}

// The fields of an accepted attempt's record.
const (
	acceptedAttempt protowire.Number = iota + 1
	acceptedWorker
	acceptedStarted
	acceptedDeadline
	acceptedHeartbeat
	acceptedBeat
	acceptedTurn // of an ordered job
)

func appendAccepted(b []byte, a *Accepted) []byte {
	b = appendInt(b, acceptedAttempt, int64(a.Attempt))
	b = appendText(b, acceptedWorker, a.Worker)
	b = appendTime(b, acceptedStarted, a.Started)
	b = appendTime(b, acceptedDeadline, a.Deadline)
	b = appendInt(b, acceptedHeartbeat, int64(a.Heartbeat))
	b = appendTime(b, acceptedBeat, a.Beat)
	return appendInt(b, acceptedTurn, int64(a.turn))
}

func parseAccepted(data []byte) (*Accepted, error) {
	a := new(Accepted)
	f := fields{rest: data}
	for f.next() {
		switch f.number {
		case acceptedAttempt:
			a.Attempt = int(f.int())
		case acceptedWorker:
			a.Worker = f.text()
		case acceptedStarted:
			a.Started = timeOf(f.int())
		case acceptedDeadline:
			a.Deadline = timeOf(f.int())
		case acceptedHeartbeat:
			a.Heartbeat = time.Duration(f.int())
		case acceptedBeat:
			a.Beat = timeOf(f.int())
		case acceptedTurn:
			a.turn = uint64(f.int())
		}
	}
	if f.err != nil {
		return nil, fmt.Errorf("store: accepted attempt: %w", f.err)
	}
	return a, nil
}

// GetAccepted returns the accepted attempt of a job, without its Entry; ErrNotFound
// where it has none.
func (s *Store) GetAccepted(ctx context.Context, id job.ID) (*Accepted, error) {
	a, _, err := s.accepted(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("store: accepted attempt of %s: %w", id, err)
	}
	return a, nil
}

// accepted returns the accepted attempt of a job, and how it is stored.
func (s *Store) accepted(ctx context.Context, id job.ID) (*Accepted, []byte, error) {
	if id.Shard() >= s.Shards() {
		return nil, nil, ErrNotFound
	}
	values, err := s.engine.Get(ctx, id.Shard(), appendIDKey(nil, spaceAccepted, id))
	if err != nil {
		return nil, nil, err
	}
	if values[0] == nil {
		return nil, nil, ErrNotFound
	}
	a, err := parseAccepted(values[0])
	return a, values[0], err
}

// beatEvery is the least time between two heartbeats of an attempt that are stored.
const beatEvery = time.Second

// Beat notes that a worker is alive and goes on with an accepted attempt. It returns
// ErrNotFound where that is not the job's accepted attempt, or not any more. What comes
// within a second of the last one costs no write.
func (s *Store) Beat(ctx context.Context, id job.ID, attempt int) error {
	for {
		err := s.beat(ctx, id, attempt)
		if !errors.Is(err, errChanged) {
			if err != nil {
				return fmt.Errorf("store: heartbeat of %s: %w", id, err)
			}
			return nil
		}
	}
}

func (s *Store) beat(ctx context.Context, id job.ID, attempt int) error {
	a, stored, err := s.accepted(ctx, id)
	if err != nil {
		return err
	}
	if a.Attempt != attempt {
		return ErrNotFound
	}
	now, err := s.engine.Now(ctx)
	if err != nil || now.Sub(a.Beat) < beatEvery {
		return err
	}
	a.Beat = now
	key := appendIDKey(nil, spaceAccepted, id)
	result, err := s.engine.Apply(ctx, id.Shard(), &engine.Batch{Groups: []engine.Group{{
		Guards: []engine.Guard{{Key: key, Value: stored}},
		Puts:   []engine.Entry{{Key: key, Value: appendAccepted(nil, a)}},
	}}})
	if err == nil && result.Groups[0].Skipped {
		return errChanged // by another heartbeat, or it has ended
	}
	return err
}

// Accepted returns all accepted attempts of the shard.
func (o *Owner) Accepted(ctx context.Context) (all []Accepted, err error) {
	err = o.store.scanSpace(ctx, o.shard, spaceAccepted, func(records []engine.Entry) error {
		some, err := o.loadAccepted(ctx, records)
		all = append(all, some...)
		return err
	})
	if err != nil {
		return nil, o.failed("read accepted attempts", err)
	}
	return all, nil
}

func (o *Owner) loadAccepted(ctx context.Context, records []engine.Entry) ([]Accepted, error) {
	ids := make([]job.ID, len(records))
	for i, r := range records {
		var err error
		if ids[i], err = tailID(r.Key); err != nil {
			return nil, err
		}
	}
	jobs, err := o.store.jobs(ctx, o.shard, ids)
	if err != nil {
		return nil, err
	}
	all := make([]Accepted, 0, len(records))
	for i, r := range records {
		a, err := parseAccepted(r.Value)
		if err != nil {
			return nil, err
		}
		j := jobs[ids[i]]
		if j == nil || j.Settled() {
			return nil, fmt.Errorf("%w: attempt %d of %s was accepted, which does not wait", errBadRecord, a.Attempt, ids[i])
		}
		a.Entry = &Entry{Job: j, Place: InAccepted, Seq: a.turn}
		all = append(all, *a)
	}
	return all, nil
}

// ReadBeats returns until when the accepted attempts of jobs go on, by job, as their
// workers have said; a job without one is left out.
func (o *Owner) ReadBeats(ctx context.Context, ids []job.ID) (map[job.ID]time.Time, error) {
	values, err := o.store.engine.Get(ctx, o.shard, idKeys(spaceAccepted, ids)...)
	if err != nil {
		return nil, o.failed("read heartbeats", err)
	}
	until := make(map[job.ID]time.Time, len(ids))
	for i, v := range values {
		if v == nil {
			continue
		}
		a, err := parseAccepted(v)
		if err != nil {
			return nil, o.failed("read heartbeats", err)
		}
		until[ids[i]] = a.Until()
	}
	return until, nil
}

// encodeAccepted puts the records of accepted attempts.
func (b *batch) encodeAccepted(accepted []Accepted) error {
	for i := range accepted {
		a := &accepted[i]
		if a.Entry.Job.Settled() || a.Attempt <= a.Entry.Job.Attempt || a.Heartbeat <= 0 {
			return fmt.Errorf("%w: accepted attempt %d of %s", ErrInvalid, a.Attempt, a.Entry.Job.ID)
		}
		if a.turn = 0; a.Entry.Job.Ordered {
			a.turn = a.Entry.Seq
		}
		start := len(b.buf)
		b.buf = appendAccepted(b.buf, a)
		value := b.since(start)
		b.put(b.idKey(spaceAccepted, a.Entry.Job.ID), value)
	}
	return nil
}
