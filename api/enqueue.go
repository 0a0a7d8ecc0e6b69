package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/orchestrix/orchestrix/control"
	"github.com/orchestrix/orchestrix/job"
)

// The two calls that take jobs are the hot path: no reflection, one pass over the
// body, buffers that are used again.

const (
	enqueuePath = "/v1/jobs"
	batchPath   = "/v1/jobs/batch"

	// envelopeRoom is what a job may take beside its payload.
	envelopeRoom = 64 << 10
	// contentRoom is how much longer a payload may be as it is written than as it is
	// sent: base64 adds a third, and in a text quotes and line breaks are escaped.
	contentRoom  = 2
	maxBatchBody = 64 << 20
	// maxPooled is the largest buffer that is kept for the next request, so that
	// one large batch does not stay in memory for ever.
	maxPooled = 4 << 20
	// maxPooledJobs is the same for the jobs of a batch.
	maxPooledJobs = 2000

	idempotencyHeader = "Idempotency-Key"
)

// scratch is what one enqueue works with.
type scratch struct {
	body   bytes.Buffer
	reader reader
	jobs   []control.NewJob
	answer []byte
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func (s *scratch) release() {
	if s.body.Cap() <= maxPooled {
		s.body.Reset()
		s.reader.reset(nil, false)
		if clear(s.jobs); cap(s.jobs) > maxPooledJobs {
			s.jobs = nil
		}
		scratches.Put(s)
	}
}

// fill reads the request's body.
func (s *scratch) fill(g *gin.Context, limit int64) error {
	r := g.Request
	if r.ContentLength > limit {
		return tooLarge(limit)
	}
	if r.ContentLength > 0 {
		// What a client announces is no reason to reserve more than this.
		s.body.Grow(int(min(r.ContentLength, 1<<20)) + bytes.MinRead)
	}
	_, err := s.body.ReadFrom(http.MaxBytesReader(g.Writer, r.Body, limit))
	return readError(err, limit)
}

func readError(err error, limit int64) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge(limit)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return newProblem(http.StatusBadRequest, "body_unreadable", "the body could not be read to its end", FieldProblem{"body", "must be complete"})
	}
	return nil
}

func tooLarge(limit int64) *Problem {
	return newProblem(http.StatusRequestEntityTooLarge, "body_too_large", "the body is too large",
		FieldProblem{"body", fmt.Sprintf("must be at most %d bytes long", limit)})
}

// enqueue is POST /v1/jobs.
func (a *api) enqueue(g *gin.Context) {
	s := scratches.Get().(*scratch)
	defer s.release()
	ctx, err := a.authenticate(g)
	if err != nil {
		a.fail(g, err)
		return
	}
	r, err := a.enqueueOne(ctx, g, s)
	if err != nil {
		a.fail(g, err)
		return
	}
	status := http.StatusAccepted
	if r.Existing {
		status = http.StatusOK
	}
	s.answer = append(a.appendReceipt(s.answer[:0], &r), '}')
	g.Writer.Header()["Location"] = []string{"/v1/jobs/" + r.Job.ID.String()}
	writeJSON(g.Writer, status, s.answer)
}

func (a *api) enqueueOne(ctx context.Context, g *gin.Context, s *scratch) (control.Receipt, error) {
	limit := int64(contentRoom*a.control.MaxPayload() + envelopeRoom)
	if err := s.fill(g, limit); err != nil {
		return control.Receipt{}, namePayload(err)
	}
	var n control.NewJob
	body := s.body.Bytes()
	s.reader.reset(body, false)
	jobObject.read(&s.reader, &n)
	if p := s.reader.end(); p != nil {
		return control.Receipt{}, p
	}
	useHeaderKey(&s.reader, &n, g.GetHeader(idempotencyHeader))
	if len(s.reader.faults) > 0 {
		return control.Receipt{}, faultsProblem(s.reader.faults)
	}
	if n.IdempotencyKey != "" {
		n.Digest = sha256.Sum256(body)
	}
	return a.control.Enqueue(ctx, &n)
}

// namePayload names the payload in a body that is too large: of a job, nothing
// else can be.
func namePayload(err error) error {
	if p, ok := errors.AsType[*Problem](err); ok && p.Status == http.StatusRequestEntityTooLarge {
		p.Code, p.Errors[0].Field = "payload_too_large", "payload"
	}
	return err
}

func useHeaderKey(r *reader, n *control.NewJob, key string) {
	switch {
	case key == "":
	case n.IdempotencyKey != "" && n.IdempotencyKey != key:
		r.faults = append(r.faults, job.FieldError{Field: "idempotency_key", Message: "differs from the Idempotency-Key header"})
	default:
		n.IdempotencyKey = key
	}
}

// enqueueBatch is POST /v1/jobs/batch.
func (a *api) enqueueBatch(g *gin.Context) {
	s := scratches.Get().(*scratch)
	defer s.release()
	ctx, err := a.authenticate(g)
	if err == nil {
		err = s.fill(g, maxBatchBody)
	}
	if err != nil {
		a.fail(g, err)
		return
	}
	b := s.batch()
	outcomes, err := b.enqueue(ctx, a)
	if err != nil {
		a.fail(g, err)
		return
	}
	s.answer = a.appendOutcomes(s.answer[:0], outcomes, g.GetString(requestIDHeader))
	writeJSON(g.Writer, http.StatusAccepted, s.answer)
}

// batch is a decoded batch. A job that is wrong in itself stands among the faults
// and not among the jobs.
type batch struct {
	reader *reader
	body   []byte
	jobs   []control.NewJob
	// faults are the problems of jobs by their place in the batch.
	faults map[int]*Problem
	count  int
}

// batchObject is the table of a batch's body.
var batchObject = object[batch]{
	name: "JobBatch", description: "Jobs that are enqueued together, each of them on its own.",
	fields: []field[batch]{{
		name: "jobs", required: true, schema: batchSchema(),
		read: func(r *reader, b *batch) { b.read(r) },
	}},
}

// batch decodes the body.
func (s *scratch) batch() *batch {
	b := &batch{reader: &s.reader, body: s.body.Bytes(), jobs: s.jobs[:0]}
	s.reader.reset(b.body, false)
	batchObject.read(&s.reader, b)
	s.jobs = b.jobs
	return b
}

func (b *batch) read(r *reader) {
	r.list(func(i int) {
		if b.count = i + 1; b.count > control.MaxBatch {
			r.scan.Skip()
			return
		}
		b.one(r, i)
	})
	if b.count > control.MaxBatch && r.scan.Err() == nil {
		r.faults = append(r.faults[:0], job.FieldError{Field: "jobs", Message: fmt.Sprintf("must have at most %d entries, not %d", control.MaxBatch, b.count)})
		b.faults = nil
	}
}

// one reads one job, and takes its faults out of those of the whole body.
func (b *batch) one(r *reader, i int) {
	r.scan.Peek() // to stand at the job's first byte
	start, known := r.scan.Offset(), len(r.faults)
	b.jobs = append(b.jobs, control.NewJob{})
	n := &b.jobs[len(b.jobs)-1]
	jobObject.read(r, n)
	if len(r.faults) > known {
		if b.faults == nil {
			b.faults = make(map[int]*Problem)
		}
		b.faults[i] = faultsProblem(r.faults[known:])
		r.faults = r.faults[:known]
		b.jobs = b.jobs[:len(b.jobs)-1]
	} else if n.IdempotencyKey != "" {
		n.Digest = sha256.Sum256(b.body[start:r.scan.Offset()])
	}
}

// enqueue stores the jobs and returns the outcomes of all, in order.
func (b *batch) enqueue(ctx context.Context, a *api) ([]control.Outcome, error) {
	if p := b.reader.end(); p != nil {
		return nil, p
	}
	if len(b.reader.faults) > 0 {
		return nil, faultsProblem(b.reader.faults)
	}
	done, err := a.control.EnqueueBatch(ctx, b.jobs)
	if err != nil || len(b.faults) == 0 {
		return done, err
	}
	all := make([]control.Outcome, 0, b.count)
	for i := range b.count {
		if p := b.faults[i]; p != nil {
			all = append(all, control.Outcome{Err: p})
			continue
		}
		all = append(all, done[0])
		done = done[1:]
	}
	return all, nil
}

// appendReceipt appends an object without its last brace. What it holds is
// validated text that needs no escapes.
func (a *api) appendReceipt(b []byte, r *control.Receipt) []byte {
	b = append(b, `{"id":"`...)
	b = r.Job.ID.Append(b)
	b = append(b, `","status":"`...)
	b = append(b, r.Status...)
	b = append(b, `","queue":"`...)
	b = append(b, r.Job.Queue...)
	b = append(b, `","type":"`...)
	b = append(b, r.Job.Type...)
	b = append(b, `","priority":"`...)
	b = append(b, r.Job.Priority.String()...)
	b = append(b, `","created_at":"`...)
	b = r.Job.CreatedAt.AppendFormat(b, time.RFC3339Nano)
	b = append(b, '"')
	if !r.Job.RunAt.IsZero() {
		b = append(b, `,"run_at":"`...)
		b = r.Job.RunAt.AppendFormat(b, time.RFC3339Nano)
		b = append(b, '"')
	}
	if r.Existing {
		b = append(b, `,"existing":true`...)
	}
	return append(b, a.durability...)
}

func (a *api) appendOutcomes(b []byte, outcomes []control.Outcome, id string) []byte {
	b = append(b, `{"results":[`...)
	for i := range outcomes {
		if i > 0 {
			b = append(b, ',')
		}
		if o := &outcomes[i]; o.Err != nil {
			b = appendRefusal(b, o.Err, i)
		} else {
			b = appendOutcome(b, &o.Receipt)
		}
	}
	a.logUnserved(outcomes, id)
	b = append(b, ']')
	return append(append(b, a.durability...), '}')
}

// logUnserved logs once what kept the server from storing jobs of a batch, rather
// than once for each of ten thousand jobs.
func (a *api) logUnserved(outcomes []control.Outcome, id string) {
	for i := range outcomes {
		if err := outcomes[i].Err; err != nil && problemOf(err).Status >= http.StatusInternalServerError {
			a.log.Warn("jobs of a batch not served", "request_id", id, "first", i, "error", err)
			return
		}
	}
}

func appendOutcome(b []byte, r *control.Receipt) []byte {
	b = append(b, `{"id":"`...)
	b = r.Job.ID.Append(b)
	b = append(b, `","status":"`...)
	b = append(b, r.Status...)
	if r.Existing {
		return append(b, `","existing":true}`...)
	}
	return append(b, `"}`...)
}

// appendRefusal appends a job's problem, its fields named from the body's root.
func appendRefusal(b []byte, err error, i int) []byte {
	p := problemOf(err)
	if decoded := new(*Problem); !errors.As(err, decoded) {
		for k := range p.Errors {
			p.Errors[k].Field = "jobs[" + strconv.Itoa(i) + "]." + p.Errors[k].Field
		}
	}
	text, err := json.Marshal(p)
	if err != nil { // it holds strings and numbers only
		panic(err)
	}
	b = append(b, `{"error":`...)
	return append(append(b, text...), '}')
}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h["Content-Type"] = jsonType
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	w.Write(body)
}

var jsonType = []string{"application/json"}
