package control

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
)

// Operation is work on many jobs, or slots of a schedule, that goes on after the call that began it, also
// over a restart. Kind is one of the OperationKinds, Status one of the
// OperationStatuses.
type Operation struct {
	ID     string
	Kind   string
	Filter JobSelection
	Status string
	// Backfill is what a backfill is about, nil of any other operation. It is about slots
	// instead of jobs: Matched are all of its range, Done those that got a run, Skipped
	// those that did not because of its Overlap.
	Backfill *Backfill
	// Matched counts the jobs that were found so far. Done are those that it
	// changed, Skipped those that it left alone, since they ended, began anew or
	// were gone before it came to them. Each job is counted once, also where the
	// server was killed meanwhile.
	Matched, Done, Skipped int64
	// CreatedAt is when it began: it is about jobs that were there by then.
	CreatedAt, UpdatedAt, FinishedAt time.Time
	// Error is why it failed.
	Error string
	// By names the principal that began it.
	By string
}

// The kinds of operations. Purge cancels what waits in a queue and is not being
// pushed; Backfill makes runs of a schedule.
const (
	OperationCancel = "cancel"
	OperationRetry  = "retry"
	OperationRunNow = "run-now"
	OperationDelete = "delete"
	OperationPurge  = "purge"

	OperationBackfill = "backfill"
)

// OperationKinds lists the kinds of operations.
func OperationKinds() []string {
	return []string{OperationCancel, OperationRetry, OperationRunNow, OperationDelete, OperationPurge, OperationBackfill}
}

// The statuses of operations.
const (
	OperationRunning   = "running"
	OperationSucceeded = "succeeded"
	OperationFailed    = "failed"
	OperationCancelled = "cancelled"
)

// OperationStatuses lists the statuses of operations.
func OperationStatuses() []string {
	return []string{OperationRunning, OperationSucceeded, OperationFailed, OperationCancelled}
}

// Over reports whether nothing more will be done.
func (o *Operation) Over() bool { return o.Status != OperationRunning }

// operationRecord is an operation as it is stored, after each step.
type operationRecord struct {
	Kind   string       `json:"kind"`
	Filter JobSelection `json:"filter"`
	By     string       `json:"by,omitempty"`
	Status string       `json:"status"`
	// Runner is the life of a node that works on it; see claimOperation.
	Runner string `json:"runner,omitempty"`
	// Until bounds the jobs: those created at it or later are not touched.
	Until time.Time `json:"until"`
	// Cursor is the last job that was looked at; Listed says that it was the last
	// of all.
	Cursor job.ID `json:"cursor"`
	Listed bool   `json:"listed,omitempty"`
	// Backfill is set of a backfill, which has no Cursor and Step of jobs.
	Backfill *backfillRecord `json:"backfill,omitempty"`
	// Step are the jobs that are being changed. They are stored before the first
	// of them is, so that the step can be taken again after a crash.
	Step targets `json:"step,omitempty"`

	Matched int64 `json:"matched"`
	Done    int64 `json:"done"`
	Skipped int64 `json:"skipped"`

	CancelRequested bool      `json:"cancel_requested,omitempty"`
	FinishedAt      time.Time `json:"finished_at,omitzero"`
	Error           string    `json:"error,omitempty"`
}

func (r *operationRecord) over() bool { return r.Status != OperationRunning }

// end ends the operation. A step that was not taken was never matched.
func (r *operationRecord) end(status string, now time.Time) {
	r.Matched -= int64(len(r.Step))
	r.Step = nil
	r.Status, r.FinishedAt = status, now
}

func shownOperation(d *document[operationRecord]) Operation {
	r := &d.Value
	o := Operation{
		ID: d.Name, Kind: r.Kind, Filter: r.Filter, Status: r.Status, Matched: r.Matched, Done: r.Done, Skipped: r.Skipped,
		CreatedAt: d.Created, UpdatedAt: d.Updated, FinishedAt: r.FinishedAt, Error: r.Error, By: r.By,
	}
	if r.Backfill != nil {
		b := r.Backfill.Backfill
		o.Backfill = &b
	}
	return o
}

// mayWrite returns an error unless the context's principal may change the jobs
// that the filter can choose.
func (s *JobSelection) mayWrite(ctx context.Context) error {
	if s.Queue != "" {
		return allow(ctx, ActionWriteJobs, s.Queue)
	}
	if allow(ctx, ActionWriteJobs) != nil {
		return forbidden("the key has no %s scope over all queues: name a queue in the filter", ActionWriteJobs)
	}
	return nil
}

// mayRead reports whether the context's principal may see an operation: that
// takes a scope to read, or to change, all jobs that it may be about.
func (s *JobSelection) mayRead(ctx context.Context) bool {
	var queues []string
	if s.Queue != "" {
		queues = []string{s.Queue}
	}
	return allow(ctx, ActionRead, queues...) == nil || allow(ctx, ActionWriteJobs, queues...) == nil
}

// GetOperation returns an operation. With a wait over zero it returns when the
// operation is over or, at the latest, after that time, with the operation as it
// is then; a wait is cut to MaxWait.
func (c *Control) GetOperation(ctx context.Context, id string, wait time.Duration) (Operation, error) {
	const longest = 250 * time.Millisecond // a page takes about as long as a few of these
	over := time.NewTimer(min(wait, MaxWait))
	defer over.Stop()
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, longest) {
		d, err := c.operation(ctx, id)
		if err != nil || d.Value.over() || wait <= 0 {
			return shownOperation(&d), err
		}
		select {
		case <-time.After(pause):
		case <-over.C:
			wait = 0
		case <-ctx.Done():
			return Operation{}, ctx.Err()
		}
	}
}

// operation returns an operation that the context's principal may see.
func (c *Control) operation(ctx context.Context, id string) (document[operationRecord], error) {
	var none document[operationRecord]
	if !validOperationID(id) {
		return none, notFound("operation", id)
	}
	d, err := get[operationRecord](ctx, c, kindOperation, id)
	if err != nil {
		return none, err
	}
	if d.Version == 0 || !d.Value.Filter.mayRead(ctx) {
		return none, notFound("operation", id)
	}
	return d, nil
}

// OperationList is one page of operations, newest first.
type OperationList struct {
	Operations []Operation
	Cursor     string
}

// ListOperations returns a page of the operations that the context's principal
// may see.
func (c *Control) ListOperations(ctx context.Context, cursor string, limit int) (OperationList, error) {
	if _, err := visible(ctx); err != nil && !mayWriteJobs(ctx) {
		return OperationList{}, err
	}
	before, err := checkPage("operations", cursor, &limit)
	if err != nil {
		return OperationList{}, err
	}
	docs, err := all[operationRecord](ctx, c, kindOperation) // few: see keptOperations
	if err != nil {
		return OperationList{}, err
	}
	var list OperationList
	for _, d := range slices.Backward(docs) {
		if (before != "" && d.Name >= before) || !d.Value.Filter.mayRead(ctx) {
			continue
		}
		if len(list.Operations) == limit {
			list.Cursor = encodeCursor(list.Operations[limit-1].ID, "operations")
			break
		}
		list.Operations = append(list.Operations, shownOperation(&d))
	}
	return list, nil
}

// mayWriteJobs reports whether the context's principal may change the jobs of
// any queue.
func mayWriteJobs(ctx context.Context) bool {
	p, _ := ctx.Value(principalKey{}).(Principal)
	return slices.ContainsFunc(p.Scopes, func(s Scope) bool { return s.allows(ActionWriteJobs) })
}

// CancelOperation ends an operation after the step that it is in; what was done
// stays done. It is a Conflict where the operation is over. Where it has not
// stopped within two seconds, requested is true and it will.
func (c *Control) CancelOperation(ctx context.Context, id string) (o Operation, requested bool, err error) {
	for {
		d, err := c.operation(ctx, id)
		if err != nil {
			return Operation{}, false, err
		}
		if err := d.Value.Filter.mayWrite(ctx); err != nil {
			return Operation{}, false, err
		}
		if d.Value.over() {
			return Operation{}, false, conflict("state_forbids", "the operation cannot be cancelled: it has already %s", ended[d.Value.Status])
		}
		d.Value.CancelRequested = true
		err = c.putOperation(ctx, &d)
		if err == nil {
			break
		}
		if !errors.Is(err, store.ErrVersion) { // a step was stored meanwhile
			return Operation{}, false, err
		}
	}
	o, err = c.GetOperation(ctx, id, commandWait)
	return o, err == nil && !o.Over(), err
}

var ended = map[string]string{OperationSucceeded: "succeeded", OperationFailed: "failed", OperationCancelled: "been cancelled"}

// An operation's id is a prefix and the digits of 48 bits of milliseconds and 80
// random ones: ids sort by their time.
const (
	operationPrefix = "op_"
	operationDigits = 26
)

var operationText = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

func newOperationID(now time.Time) string {
	var id [16]byte
	rand.Read(id[6:])
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(now.UnixMilli()))
	copy(id[:6], ms[2:])
	return operationPrefix + operationText.EncodeToString(id[:])
}

func validOperationID(id string) bool {
	if len(id) != len(operationPrefix)+operationDigits || id[:len(operationPrefix)] != operationPrefix {
		return false
	}
	_, err := operationText.DecodeString(id[len(operationPrefix):])
	return err == nil
}
