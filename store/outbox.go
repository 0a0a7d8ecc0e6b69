package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
)

// The outbox is how a commit has an effect on another shard, since there is no
// transaction over two of them. A commit writes what is to be done to the outbox of
// its own shard. The owner delivers it, in order: in one step the target takes
// the entries and remembers the place of the last one, and takes nothing that is not
// behind that. So each entry is taken once, whoever delivers it and however
// often; and it is removed only when it was taken.
//
// An entry's place is the epoch, the commit and its number within that: it rises
// over all owners, needs no counter, and is never used again, not even where a store
// has lost its newest commits, since the epoch rises then too.

// Outgoing is a new job for the shard of its ID, this one or another: see NewJob. It
// has no idempotency key, is not unique, and is stored whatever its queue's
// backlog. Where Command is set there is no job, and that is put into the inbox of
// the shard of its ID; its At is set by the store.
type Outgoing struct {
	Job     *job.Job
	Payload []byte
	Command *Command
}

// shard returns where it goes.
func (o *Outgoing) shard() int {
	if o.Command != nil {
		return o.Command.ID.Shard()
	}
	return o.Job.ID.Shard()
}

const (
	outboxPlace = 8 + 8 + 4 // an entry's place among those for one target
	outboxKey   = 1 + 2 + outboxPlace
)

// appendOutboxPrefix appends what the keys of all entries for a target begin
// with.
func appendOutboxPrefix(b []byte, target int) []byte {
	return binary.BigEndian.AppendUint16(append(b, spaceOutbox), uint16(target))
}

// appendTakenKey appends the key under which a target remembers the last place of
// a source.
func appendTakenKey(b []byte, source int) []byte {
	return binary.BigEndian.AppendUint16(append(b, spaceTaken), uint16(source))
}

// The fields of an entry.
const (
	outgoingID protowire.Number = iota + 1
	outgoingJob
	outgoingPayload
	outgoingCommand
)

func appendOutgoing(b []byte, o *Outgoing) []byte {
	if o.Command != nil {
		start := len(b)
		return wrapMessage(appendCommand(b, o.Command), start, outgoingCommand)
	}
	b = appendBytes(b, outgoingID, o.Job.ID[:])
	start := len(b)
	b = wrapMessage(appendJob(b, o.Job), start, outgoingJob)
	return appendBytes(b, outgoingPayload, o.Payload)
}

func parseOutgoing(data []byte) (o Outgoing, err error) {
	var id job.ID
	var record, command []byte
	f := fields{rest: data}
	for f.next() {
		switch f.number {
		case outgoingCommand:
			command = f.bytes()
		case outgoingID:
			f.exactly(id[:])
		case outgoingJob:
			record = f.bytes()
		case outgoingPayload:
			o.Payload = f.bytes()
		}
	}
	switch {
	case f.err != nil:
	case command != nil:
		var c Command
		c, f.err = parseCommand(command)
		o.Command = &c
	default:
		o.Job, f.err = decodeJob(id, record)
	}
	if f.err != nil {
		return Outgoing{}, fmt.Errorf("store: outbox entry: %w", f.err)
	}
	return o, nil
}

// putOutgoing writes entries of a commit, behind those that were written before.
func (o *Owner) putOutgoing(p *pendingCommit, outgoing ...Outgoing) error {
	b := p.batch
	for i := range outgoing {
		out := &outgoing[i]
		if err := o.checkOutgoing(out); err != nil {
			return err
		}
		start := len(b.buf)
		b.buf = appendOutboxPrefix(b.buf, out.shard())
		b.buf = binary.BigEndian.AppendUint64(b.buf, o.fence.Epoch)
		b.buf = binary.BigEndian.AppendUint64(b.buf, p.number)
		b.buf = binary.BigEndian.AppendUint32(b.buf, p.sent)
		p.sent++
		key := b.since(start)
		start = len(b.buf)
		b.buf = appendOutgoing(b.buf, out)
		b.put(key, b.since(start))
	}
	return nil
}

func (o *Owner) checkOutgoing(out *Outgoing) error {
	switch j := out.Job; {
	case out.shard() >= o.store.Shards():
		return fmt.Errorf("%w: an outbox entry for shard %d", ErrInvalid, out.shard())
	case out.Command != nil:
		return nil
	case j.Status != job.Waiting || j.IdempotencyKey != "" || j.Unique != nil:
		return fmt.Errorf("%w: outgoing job %s", ErrInvalid, j.ID)
	case len(out.Payload) > maxOutgoing:
		return fmt.Errorf("%w: outgoing payload of %d bytes", ErrInvalid, len(out.Payload))
	}
	return nil
}

// maxOutgoing bounds the payload of an outgoing job, in bytes: its record stands in
// the same value.
const maxOutgoing = engine.MaxValue - 1<<20

// Deliver takes the entries of the outbox to their shards, in their order, those of up to
// limit that lie together at a time. It returns how many it removed, and whether there
// may be more. Where a target cannot be reached the others are served all the same, and
// the error says so: call it again later. It is safe to call at any time, also by
// an owner that has lost its shard. limit is 1 to 1,000.
func (o *Owner) Deliver(ctx context.Context, limit int) (removed int, more bool, err error) {
	limit = min(limit, maxBatchJobs)
	var errs []error
	for from := []byte{spaceOutbox}; ; {
		entries, err := o.store.engine.Scan(ctx, o.shard, engine.Range{From: from, To: []byte{spaceOutbox + 1}, Limit: limit})
		if err != nil {
			return removed, true, o.failed("read the outbox", errors.Join(append(errs, err)...))
		}
		last := len(entries) < limit
		var taken engine.Group
		for len(entries) > 0 {
			if len(entries[0].Key) != outboxKey {
				return removed, true, o.failed("read the outbox", errBadKey)
			}
			target := int(binary.BigEndian.Uint16(entries[0].Key[1:]))
			own := entries[:countPrefix(entries, appendOutboxPrefix(nil, target))]
			entries = entries[len(own):]
			from = append(bytes.Clone(own[len(own)-1].Key), 0)
			n, err := o.deliverTo(ctx, target, own)
			if err != nil {
				errs = append(errs, fmt.Errorf("to shard %d: %w", target, err))
			}
			for i := range n {
				taken.Deletes = append(taken.Deletes, own[i].Key)
			}
			if n < len(own) { // the rest of it comes behind that
				more, from = true, appendOutboxPrefix(nil, target+1)
			}
		}
		// What was taken nobody reads any more, so that it needs no fence to remove it.
		if len(taken.Deletes) > 0 {
			if _, err := o.store.engine.Apply(ctx, o.shard, &engine.Batch{Groups: []engine.Group{taken}}); err != nil {
				return removed, true, o.failed("clear the outbox", errors.Join(append(errs, err)...))
			}
			removed += len(taken.Deletes)
		}
		if last {
			return removed, more, o.failed("deliver", errors.Join(errs...))
		}
	}
}

func countPrefix(entries []engine.Entry, prefix []byte) int {
	for i := range entries {
		if !bytes.HasPrefix(entries[i].Key, prefix) {
			return i
		}
	}
	return len(entries)
}

// deliverTo takes entries to one target, at most 8 MiB of them, and returns how many.
func (o *Owner) deliverTo(ctx context.Context, target int, entries []engine.Entry) (n int, err error) {
	size := 0
	for n < len(entries) && (n == 0 || size+len(entries[n].Value) <= maxBatchBytes) {
		size += len(entries[n].Value)
		n++
	}
	for taken := false; !taken; {
		if taken, err = o.offer(ctx, target, entries[:n]); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// offer has the target take those of the entries that it has not. It reports
// whether that has all of them now; if not, another came in between.
func (o *Owner) offer(ctx context.Context, target int, entries []engine.Entry) (taken bool, err error) {
	key := appendTakenKey(nil, o.shard)
	values, err := o.store.engine.Get(ctx, target, key)
	if err != nil {
		return false, err
	}
	now, err := o.store.engine.Now(ctx)
	if err != nil {
		return false, err
	}
	var jobs []NewJob
	var commands []*Command
	for _, e := range entries {
		if bytes.Compare(e.Key[outboxKey-outboxPlace:], values[0]) <= 0 {
			continue
		}
		out, err := parseOutgoing(e.Value)
		if err != nil {
			return false, err
		}
		if out.Command != nil {
			out.Command.At = now
			commands = append(commands, out.Command)
			continue
		}
		if !out.Job.Due.After(now) {
			out.Job.Due = time.Time{} // it was due on the way: no timer is put into the past
		}
		jobs = append(jobs, NewJob{Job: out.Job, Payload: out.Payload})
	}
	if len(jobs)+len(commands) == 0 {
		return true, nil
	}
	last := entries[len(entries)-1].Key[outboxKey-outboxPlace:]
	call := newDelivery(jobs, commands, engine.Guard{Key: key, Value: values[0]}, last)
	defer call.batch.free()
	if err := o.store.submit(ctx, target, call); err != nil {
		return false, err
	}
	if !call.overtaken && len(commands) > 0 {
		o.store.announce(Arrivals{Shard: target, Inbox: true})
	}
	return !call.overtaken, nil
}

// newDelivery returns a call that stores all of the jobs and commands, or none, where
// the key of the guard is as it was, and sets that to last. The commands come behind
// the jobs, whose places in their lanes are counted from the first.
func newDelivery(jobs []NewJob, commands []*Command, guard engine.Guard, last []byte) *enqueueCall {
	c := &enqueueCall{jobs: jobs, results: make([]Enqueued, len(jobs)), batch: newBatch(), turn: make(chan bool, 1)}
	for i := range jobs {
		c.batch.putNew(jobs[i].Job)
		c.batch.put(c.batch.idKey(spacePayload, jobs[i].Job.ID), jobs[i].Payload)
		c.size += len(jobs[i].Payload)
	}
	for _, command := range commands {
		c.batch.putCommand(command)
	}
	c.batch.put(guard.Key, last)
	c.batch.guards = []engine.Guard{guard}
	c.units = []unit{{call: c, n: len(jobs), group: c.batch.closeGroup()}}
	return c
}

// putCommand puts a command into the inbox.
func (b *batch) putCommand(c *Command) {
	start := len(b.buf)
	b.buf = appendCommand(append(b.buf, spaceInbox), c)
	entry := b.since(start)
	b.stamped = append(b.stamped, engine.Entry{Key: entry[:1:1], Value: entry[1:]})
}

// overtakenBy reports whether a group was skipped since the target had taken what
// was to be delivered, or a part of it.
func (u unit) overtakenBy(g *engine.GroupResult) bool {
	return u.guards()[g.Failed].Key[0] == spaceTaken
}
