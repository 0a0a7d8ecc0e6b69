package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/orchestrix/orchestrix/job"
)

// laneTag is the value of a lane's entry. The entry is live while the stored
// job is waiting with just this due time and incarnation, and otherwise stale
// for ever: a due time, once left, never comes back within an incarnation.
type laneTag struct {
	id          job.ID
	due         int64 // ms
	incarnation int
}

func tagOf(j *job.Job) laneTag { return laneTag{j.ID, millis(j.Due), j.Incarnation} }

// live reports whether the entry stands for the job as it is stored. That of an
// ordered job does so until the job is terminal, and longer where it blocks.
func (t laneTag) live(j *job.Job) bool {
	if j != nil && j.Ordered {
		return t.incarnation == j.Incarnation && (j.Status == job.Waiting || j.Blocks)
	}
	return j != nil && j.Status == job.Waiting && t == tagOf(j)
}

func appendLaneTag(b []byte, t laneTag) []byte {
	b = append(b, t.id[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(t.due))
	return binary.AppendUvarint(b, uint64(t.incarnation))
}

func parseLaneTag(b []byte) (t laneTag, err error) {
	if len(b) < idLength+8+1 {
		return t, errBadRecord
	}
	copy(t.id[:], b)
	t.due = int64(binary.BigEndian.Uint64(b[idLength:]))
	v, n := binary.Uvarint(b[idLength+8:])
	if n <= 0 {
		return t, errBadRecord
	}
	t.incarnation = int(v)
	return t, nil
}

// A TimerDue's value is its class, so that it can be counted down whatever has
// become of its job. A TimerRelease's is the incarnation that ended and the
// engine's key of the idempotency entry, since the job may be gone by then.

func appendRelease(b []byte, j *job.Job) []byte {
	b = binary.AppendUvarint(b, uint64(j.Incarnation))
	return appendIdempotencyKey(b, j.Queue, j.IdempotencyKey)
}

func (t *Timer) parseValue(b []byte) error {
	switch t.Kind {
	case TimerDue:
		if len(b) != 1 {
			return errBadRecord
		}
		t.retrying = class(b[0]) == classRetrying
	case TimerRelease:
		v, n := binary.Uvarint(b)
		if n <= 0 || n == len(b) {
			return errBadRecord
		}
		t.incarnation, t.held = int(v), bytes.Clone(b[n:])
	case TimerFire:
		t.name = string(b)
	}
	return nil
}

// holder is the value under an idempotency key.
type holder struct {
	id     job.ID
	digest [32]byte
}

func appendHolder(b []byte, h holder) []byte {
	return append(append(b, h.id[:]...), h.digest[:]...)
}

func parseHolder(b []byte) (h holder, err error) {
	if len(b) != idLength+len(h.digest) {
		return h, fmt.Errorf("store: idempotency entry: %w", errBadRecord)
	}
	copy(h.id[:], b)
	copy(h.digest[:], b[idLength:])
	return h, nil
}

// The fields of a claim record: its entries, and the node that it was handed over
// by.
const (
	claimEntries protowire.Number = 1
	claimNode    protowire.Number = 2
)

// The fields of a claim's entry.
const (
	claimID protowire.Number = iota + 1
	claimAttempt
	claimWorker
	claimStarted
	claimDeadline
	claimTurn // of an ordered job
	claimProbe
)

func appendClaim(b []byte, entries []ClaimEntry) []byte {
	for i := range entries {
		e := &entries[i]
		start := len(b)
		b = protowire.AppendTag(b, claimID, protowire.BytesType)
		b = protowire.AppendBytes(b, e.Entry.Job.ID[:])
		b = appendInt(b, claimAttempt, int64(e.Attempt))
		b = appendText(b, claimWorker, e.Worker)
		b = appendTime(b, claimStarted, e.Started)
		b = appendTime(b, claimDeadline, e.Deadline)
		if e.Entry.Job.Ordered {
			b = appendInt(b, claimTurn, int64(e.Entry.Seq))
		}
		if e.Probe {
			b = appendInt(b, claimProbe, 1)
		}
		b = wrapMessage(b, start, claimEntries)
	}
	return b
}

func appendHandOver(b []byte, h *HandOver) []byte {
	return appendText(appendClaim(b, h.Entries), claimNode, h.Node)
}

// claimed is a claim's entry as it is stored.
type claimed struct {
	id                job.ID
	attempt           int
	worker            string
	started, deadline time.Time
	turn              uint64
	probe             bool
}

func parseClaim(data []byte) (entries []claimed, node string, err error) {
	f := fields{rest: bytes.Clone(data)}
	for f.next() {
		switch f.number {
		case claimEntries:
			entries = append(entries, parseClaimed(&f))
		case claimNode:
			node = f.text()
		}
	}
	if f.err != nil {
		return nil, "", fmt.Errorf("store: claim: %w", f.err)
	}
	return entries, node, nil
}

func parseClaimed(outer *fields) (c claimed) {
	f := outer.message()
	for f.next() {
		switch f.number {
		case claimID:
			if copy(c.id[:], f.bytes()) != idLength {
				f.bad()
			}
		case claimAttempt:
			c.attempt = int(f.int())
		case claimWorker:
			c.worker = f.text()
		case claimStarted:
			c.started = timeOf(f.int())
		case claimDeadline:
			c.deadline = timeOf(f.int())
		case claimTurn:
			c.turn = uint64(f.int())
		case claimProbe:
			c.probe = f.int() != 0
		}
	}
	outer.adopt(&f)
	return c
}

// The fields of a command.
const (
	commandKind protowire.Number = iota + 1
	commandID
	commandAt
	commandIncarnation
	commandNewID // of the job that is asked for
	commandNew   // and its record
	commandAttempt
	commandReport
	commandName // of the schedule
	commandRun
	commandOutcome
)

func appendCommand(b []byte, c *Command) []byte {
	b = appendInt(b, commandKind, int64(c.Kind))
	b = protowire.AppendTag(b, commandID, protowire.BytesType)
	b = protowire.AppendBytes(b, c.ID[:])
	b = appendTime(b, commandAt, c.At)
	b = appendInt(b, commandIncarnation, int64(c.Incarnation))
	b = appendInt(b, commandAttempt, int64(c.Attempt))
	if c.Report != nil {
		b = appendBytes(b, commandReport, c.Report)
	}
	if c.Name != "" {
		b = appendText(b, commandName, c.Name)
		b = appendBytes(b, commandRun, c.Run[:])
		b = appendInt(b, commandOutcome, int64(c.Outcome))
	}
	if c.New == nil {
		return b
	}
	b = appendBytes(b, commandNewID, c.New.ID[:])
	start := len(b)
	return wrapMessage(appendJob(b, c.New), start, commandNew)
}

func parseCommand(data []byte) (c Command, err error) {
	var newID job.ID
	var record []byte
	f := fields{rest: data}
	for f.next() {
		switch f.number {
		case commandKind:
			c.Kind = CommandKind(f.small())
		case commandID:
			if copy(c.ID[:], f.bytes()) != idLength {
				f.bad()
			}
		case commandAt:
			c.At = timeOf(f.int())
		case commandIncarnation:
			c.Incarnation = int(f.int())
		case commandNewID:
			f.exactly(newID[:])
		case commandNew:
			record = f.bytes()
		case commandAttempt:
			c.Attempt = int(f.int())
		case commandReport:
			c.Report = bytes.Clone(f.bytes())
		case commandName:
			c.Name = f.text()
		case commandRun:
			f.exactly(c.Run[:])
		case commandOutcome:
			c.Outcome = job.Status(f.small())
		}
	}
	if f.err == nil && record != nil {
		c.New, f.err = decodeJob(newID, record)
	}
	if f.err != nil {
		return Command{}, fmt.Errorf("store: command: %w", f.err)
	}
	return c, nil
}

// A result is the attempt it answered, its content type, and the body.

func appendResult(b []byte, attempt int, contentType string, body []byte) []byte {
	b = binary.AppendUvarint(b, uint64(attempt))
	b = binary.AppendUvarint(b, uint64(len(contentType)))
	b = append(b, contentType...)
	return append(b, body...)
}

func parseResult(b []byte) (attempt int, contentType string, body []byte, err error) {
	a, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, "", nil, errBadRecord
	}
	b = b[n:]
	length, n := binary.Uvarint(b)
	if n <= 0 || length > uint64(len(b)-n) {
		return 0, "", nil, errBadRecord
	}
	b = b[n:]
	return int(a), string(b[:length]), b[length:], nil
}

// The fields of a document.
const (
	documentVersion protowire.Number = iota + 1
	documentCreated
	documentUpdated
	documentData
)

func appendDocument(b []byte, d *Document) []byte {
	b = appendInt(b, documentVersion, int64(d.Version))
	b = appendTime(b, documentCreated, d.Created)
	b = appendTime(b, documentUpdated, d.Updated)
	return protowire.AppendBytes(protowire.AppendTag(b, documentData, protowire.BytesType), d.Data)
}

func parseDocument(kind, name string, data []byte) (Document, error) {
	d := Document{Kind: kind, Name: name}
	f := fields{rest: data}
	for f.next() {
		switch f.number {
		case documentVersion:
			d.Version = uint64(f.int())
		case documentCreated:
			d.Created = timeOf(f.int())
		case documentUpdated:
			d.Updated = timeOf(f.int())
		case documentData:
			d.Data = f.bytes()
		}
	}
	if f.err != nil {
		return Document{}, fmt.Errorf("store: document %s/%s: %w", kind, name, f.err)
	}
	return d, nil
}
