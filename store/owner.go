package store

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
)

// Owner is the ownership of a shard under one epoch: the right to change its
// jobs. It reads what has to be done and commits what was done.
//
// Its methods may be called concurrently, but a read shows the store as it was
// at some moment during the call: an owner that settles a job that it was not
// handed, while a read is under way, must expect to be handed it as it was
// before, and tell Drop. Commits are carried out one at a time.
//
// After ErrFenced or ErrHistory an Owner is of no more use: drop all that was
// read through it, and own the shard anew.
type Owner struct {
	store *Store
	shard int
	fence engine.Fence

	tracker tracker
	timers  timerReader
	turns   turns
	retain  retention
	inbox   atomic.Uint64 // no command below this number is in the inbox

	reading    sync.Mutex // one ReadLanes at a time has the readers of several lanes
	committing sync.Mutex
	state      sync.Mutex // guards commit
	commit     uint64
	pending    *pendingCommit // guarded by committing
}

// Own makes nonce the owner of a shard for the length of the lease. Where
// another owner's lease has not run out, the error is an *engine.HeldError.
func (s *Store) Own(ctx context.Context, shard int, nonce engine.Nonce, lease time.Duration) (*Owner, error) {
	head, err := s.engine.Acquire(ctx, shard, nonce, lease)
	if err != nil {
		return nil, fmt.Errorf("store: own shard %d: %w", shard, err)
	}
	o := &Owner{store: s, shard: shard, fence: head.Fence, commit: head.Commit}
	o.tracker.init(head.Seq)
	s.passed.forget()
	return o, nil
}

// Shard returns the shard.
func (o *Owner) Shard() int { return o.shard }

// ShardOf returns the shard of a queue, this one or another.
func (o *Owner) ShardOf(queue string) int { return o.store.ShardOf(queue) }

// Epoch returns the epoch under which it is owned.
func (o *Owner) Epoch() uint64 { return o.fence.Epoch }

// CommitNumber returns the number of the last successful commit, of this owner
// or an earlier one.
func (o *Owner) CommitNumber() uint64 {
	o.state.Lock()
	defer o.state.Unlock()
	return o.commit
}

// NextCommit returns the number that the next commit has, or that of one whose
// outcome is unknown. It is the number of the claim in that commit.
func (o *Owner) NextCommit() uint64 { return o.CommitNumber() + 1 }

// Renew extends the lease to now plus lease. It returns ErrFenced where another
// has taken the shard.
func (o *Owner) Renew(ctx context.Context, lease time.Duration) error {
	return o.failed("renew", o.store.engine.Renew(ctx, o.shard, o.fence, lease))
}

// Release gives the shard up at once.
func (o *Owner) Release(ctx context.Context) error {
	return o.failed("release", o.store.engine.Release(ctx, o.shard, o.fence))
}

// failed wraps an error with what was tried.
func (o *Owner) failed(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("store: shard %d, epoch %d: %s: %w", o.shard, o.fence.Epoch, what, err)
}

// Recover returns the claim records that earlier owners left behind, with the
// live entries only: the job is not terminal, its stored attempt is lower, and its
// worker has not accepted it.
// A record without a live entry is returned without entries, so that it can be
// put into ClaimsDone.
func (o *Owner) Recover(ctx context.Context) (claims []Claim, err error) {
	err = o.store.scanSpace(ctx, o.shard, spaceClaim, func(records []engine.Entry) error {
		for _, r := range records {
			c, err := o.recover(ctx, r)
			if err != nil {
				return err
			}
			claims = append(claims, c)
		}
		return nil
	})
	if err != nil {
		return nil, o.failed("recover", err)
	}
	return claims, nil
}

// scanSpace calls f with all entries of a space of a shard, some at a time, in their
// order, until it returns an error.
func (s *Store) scanSpace(ctx context.Context, shard int, space byte, f func([]engine.Entry) error) error {
	for from := []byte{space}; ; {
		entries, err := s.engine.Scan(ctx, shard, engine.Range{From: from, To: []byte{space + 1}, Limit: recoverChunk})
		if err != nil {
			return err
		}
		if err := f(entries); err != nil {
			return err
		}
		if len(entries) < recoverChunk {
			return nil
		}
		from = slices.Concat(entries[len(entries)-1].Key, []byte{0})
	}
}

const recoverChunk = 100

func (o *Owner) recover(ctx context.Context, record engine.Entry) (c Claim, err error) {
	if c.Number, err = parseNumber(record.Key); err != nil {
		return c, err
	}
	entries, node, err := parseClaim(record.Value)
	if err != nil {
		return c, err
	}
	c.Node = node
	ids := make([]job.ID, len(entries))
	for i := range entries {
		ids[i] = entries[i].id
	}
	jobs, err := o.store.jobs(ctx, o.shard, ids)
	if err != nil {
		return c, err
	}
	accepted, err := o.store.engine.Get(ctx, o.shard, idKeys(spaceAccepted, ids)...)
	if err != nil {
		return c, err
	}
	live := make([]job.ID, 0, len(ids))
	for i, e := range entries {
		if j := jobs[e.id]; j == nil || j.Settled() || j.Attempt >= e.attempt || accepted[i] != nil {
			continue
		}
		live = append(live, e.id)
		c.Entries = append(c.Entries, ClaimEntry{
			Entry:   &Entry{Job: jobs[e.id], Place: InClaim, Seq: e.turn},
			Attempt: e.attempt, Worker: e.worker, Started: e.started, Deadline: e.deadline, Probe: e.probe,
		})
	}
	payloads, err := o.store.payloads(ctx, o.shard, live)
	for i := range c.Entries {
		c.Entries[i].Entry.Payload = payloads[c.Entries[i].Entry.Job.ID]
	}
	return c, err
}

// placed is a job to be loaded with the place where it stands.
type placed struct {
	id    job.ID
	key   []byte // of the lane's entry that led to it, where one did
	tag   laneTag
	entry *Entry // nil where the job is not there
}

// place loads the jobs, without payloads. A job may be in the list more than
// once: then its entry is shared.
func (o *Owner) place(ctx context.Context, list []placed) error {
	ids := make([]job.ID, len(list))
	for i := range list {
		ids[i] = list[i].id
	}
	jobs, err := o.store.jobs(ctx, o.shard, ids)
	if err != nil {
		return err
	}
	entries := make(map[job.ID]*Entry, len(jobs))
	var keys [][]byte
	var waiting []*Entry
	for i := range list {
		id := list[i].id
		if j := jobs[id]; j != nil && entries[id] == nil {
			entries[id] = &Entry{Job: j}
			if j.Status == job.Waiting {
				keys = append(keys, appendTimerKey(nil, j.Due, TimerDue, id))
				waiting = append(waiting, entries[id])
			}
		}
		list[i].entry = entries[id]
	}
	if len(keys) == 0 {
		return nil
	}
	timers, err := o.store.engine.Get(ctx, o.shard, keys...)
	if err != nil {
		return err
	}
	for i, e := range waiting {
		e.Place = InLane
		if timers[i] != nil {
			e.Place = InTimers
		}
	}
	return nil
}
