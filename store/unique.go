package store

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
)

// A unique lock is an entry under the digest of a job's content, whose value is
// the id of the job that holds it. An enqueue takes it under the guard that it is
// free; all else that becomes of it is in the owner's commits, and each of them
// ends a lock under the guard that it still is its job's. So nobody has to know
// whether a job holds its lock, and no lock is ended twice.

// fieldUnique is the field of a job's record that is about its uniqueness.
const fieldUnique protowire.Number = 31 // message

const (
	uniqueBy protowire.Number = iota + 1 // repeated
	uniqueUntil
	uniqueTTL
	uniqueOnConflict
	uniqueDigest
	uniqueReplacedBy
)

func appendUnique(b []byte, u *job.Unique) []byte {
	if u == nil {
		return b
	}
	start := len(b)
	for _, part := range u.By {
		b = appendText(b, uniqueBy, string(part))
	}
	b = appendText(b, uniqueUntil, string(u.Until))
	b = appendInt(b, uniqueTTL, int64(u.TTL))
	b = appendText(b, uniqueOnConflict, string(u.OnConflict))
	b = appendBytes(b, uniqueDigest, u.Digest[:])
	if !u.ReplacedBy.IsZero() {
		b = appendBytes(b, uniqueReplacedBy, u.ReplacedBy[:])
	}
	return wrapMessage(b, start, fieldUnique)
}

func appendBytes(b []byte, n protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
}

func decodeUnique(j *job.Job, outer *fields) {
	f := outer.message()
	u := &job.Unique{}
	for f.next() {
		switch f.number {
		case uniqueBy:
			u.By = append(u.By, job.UniquePart(f.text()))
		case uniqueUntil:
			u.Until = job.UniqueUntil(f.text())
		case uniqueTTL:
			u.TTL = job.Duration(f.int())
		case uniqueOnConflict:
			u.OnConflict = job.UniqueConflict(f.text())
		case uniqueDigest:
			f.exactly(u.Digest[:])
		case uniqueReplacedBy:
			f.exactly(u.ReplacedBy[:])
		}
	}
	outer.adopt(&f)
	j.Unique = u
}

func (b *batch) uniqueKey(j *job.Job) []byte {
	start := len(b.buf)
	b.buf = appendUniqueKey(b.buf, j)
	return b.since(start)
}

func appendUniqueKey(b []byte, j *job.Job) []byte {
	return append(appendName(b, spaceUnique, j.Queue), j.Unique.Digest[:]...)
}

func parseUniqueHolder(value []byte) (id job.ID, err error) {
	if copy(id[:], value) != len(value) || len(value) != idLength {
		return id, fmt.Errorf("store: unique lock: %w", errBadRecord)
	}
	return id, nil
}

// encodeLocks ends and begins the unique locks of a commit, in groups of their own.
// What begins comes last: it may be the lock that another job's end frees.
func (b *batch) encodeLocks(c *Commit, gone []*job.Job) {
	for i := range c.Claim {
		if j := c.Claim[i].Entry.Job; j.Unique != nil && j.Unique.Until == job.UntilStarted && j.StartedAt.IsZero() {
			b.unlock(j)
		}
	}
	for i := range c.Settle {
		if s := &c.Settle[i]; s.lockEnds() {
			b.unlock(s.Job)
		}
	}
	for i := range c.TimersDone {
		if t := &c.TimersDone[i]; t.Kind == TimerUnlock && t.Entry != nil {
			b.unlock(t.Entry.Job)
		}
	}
	for _, j := range gone {
		if j.Unique != nil {
			b.unlock(j)
		}
	}
	for i := range c.Settle {
		if s := &c.Settle[i]; s.lockBegins() {
			b.lock(s.Job)
		}
	}
	for _, j := range c.Replace {
		b.put(b.uniqueKey(j), j.ID[:])
		b.closeGroup()
	}
}

// lockEnds reports whether a job ends with which its lock does, if it has it.
func (s *Settle) lockEnds() bool {
	return s.Job.Unique != nil && s.Job.Unique.Until != job.UntilTTL && s.Was.Status == job.Waiting && s.Job.Settled()
}

// lockBegins reports whether a job runs again that takes its lock where it is free.
func (s *Settle) lockBegins() bool {
	return s.Job.Unique != nil && s.Job.Unique.Until != job.UntilTTL && s.Was.Status != job.Waiting && s.Job.Status == job.Waiting
}

func (b *batch) unlock(j *job.Job) {
	key := b.uniqueKey(j)
	b.guards = []engine.Guard{{Key: key, Value: j.ID[:]}}
	b.delete(key)
	b.closeGroup()
}

func (b *batch) lock(j *job.Job) {
	key := b.uniqueKey(j)
	b.guards = []engine.Guard{{Key: key}}
	b.put(key, j.ID[:])
	b.closeGroup()
}

// MaxReplaceAge is how old a CommandReplace may be: who sent it has given up long
// ago. (It also keeps the payload, which is stored already, from being removed with
// those of finished jobs: see settledAge.)
const MaxReplaceAge = time.Minute

// Replace asks the owner of a shard to store new jobs, each in the place of a
// waiting job that holds the unique lock on its content: holders has one for each
// of the jobs, as an Enqueue of them found it. It returns the place in the inbox of
// the last of them, 0 where none was sent: when that is answered (InboxPending),
// each of the jobs is stored, and the one whose lock it took is cancelled, or
// neither is. So a caller that does not see its job then may enqueue it again, but
// not before.
//
// The idempotency key of a job is taken at once, and given back with a refusal. A
// job whose key is held is not sent.
func (s *Store) Replace(ctx context.Context, shard int, jobs []NewJob, holders []job.ID) (last uint64, err error) {
	if err := s.checkNew(shard, jobs); err != nil {
		return 0, fmt.Errorf("store: replace: %w", err)
	}
	for len(jobs) > 0 {
		n := chunk(jobs)
		seq, err := s.askReplace(ctx, shard, jobs[:n], holders)
		if err != nil {
			return 0, fmt.Errorf("store: replace in shard %d: %w", shard, err)
		}
		last = max(last, seq)
		jobs, holders = jobs[n:], holders[n:]
	}
	return last, nil
}

func (s *Store) askReplace(ctx context.Context, shard int, jobs []NewJob, holders []job.ID) (last uint64, err error) {
	at, err := s.engine.Now(ctx)
	if err != nil {
		return 0, err
	}
	b := newBatch()
	defer b.free()
	taken := map[string]bool{}
	for i := range jobs {
		nj := &jobs[i]
		if nj.Job.Unique == nil || holders[i].Shard() != shard {
			return 0, fmt.Errorf("%w: %s cannot replace %s", ErrInvalid, nj.Job.ID, holders[i])
		}
		if nj.Job.IdempotencyKey != "" {
			key := b.idempotencyKey(nj.Job)
			if taken[string(key)] {
				continue // guards see the state before the batch
			}
			taken[string(key)] = true
			b.guards = []engine.Guard{{Key: key}}
			b.putHolder(nj)
		}
		b.put(b.idKey(spacePayload, nj.Job.ID), nj.Payload)
		command := appendCommand(nil, &Command{Kind: CommandReplace, ID: holders[i], At: at, New: nj.Job})
		b.stamped = append(b.stamped, engine.Entry{Key: []byte{spaceInbox}, Value: command})
		b.closeGroup()
	}
	result, err := s.engine.Apply(ctx, shard, &engine.Batch{Groups: b.groups})
	if err != nil {
		return 0, err
	}
	for _, g := range result.Groups {
		last = max(last, g.FirstSeq)
	}
	return last, nil
}

// findHeld notes which commands name the job that holds the lock they are about.
func (o *Owner) findHeld(ctx context.Context, commands []Command) error {
	var asking []*Command
	var keys [][]byte
	for i := range commands {
		if c := &commands[i]; c.New != nil {
			asking, keys = append(asking, c), append(keys, appendUniqueKey(nil, c.New))
		}
	}
	if len(asking) == 0 {
		return nil
	}
	values, err := o.store.engine.Get(ctx, o.shard, keys...)
	if err != nil {
		return err
	}
	for i, c := range asking {
		c.Holds = bytes.Equal(values[i], c.ID[:])
	}
	return nil
}

// refuse removes what was stored of jobs that were to replace others. It returns
// the idempotency keys that they had taken.
func (o *Owner) refuse(ctx context.Context, b *batch, refused []*job.Job) (held []release, err error) {
	ids := make([]job.ID, len(refused))
	for i, j := range refused {
		ids[i] = j.ID
	}
	stored, err := o.store.jobs(ctx, o.shard, ids)
	if err != nil {
		return nil, err
	}
	for _, j := range refused {
		if stored[j.ID] != nil {
			continue // it was asked for twice
		}
		b.delete(b.idKey(spacePayload, j.ID))
		if j.IdempotencyKey != "" {
			held = append(held, release{id: j.ID, key: b.idempotencyKey(j), deleted: true})
		}
	}
	return held, nil
}
