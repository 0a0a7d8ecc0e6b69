package control

import (
	"context"
	"net/netip"
	"net/textproto"
	"net/url"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/webhook/push"
)

// NewJob is a job as a client asks for it. A zero field is unset.
type NewJob struct {
	// Queue is "default" where it is empty.
	Queue string
	Type  string
	Key   string
	// Priority is normal where it is empty.
	Priority string
	// Payload is sent as it is; where it is nil, the job is sent "null", or
	// nothing where its Method does without. It must not be changed after the call.
	Payload []byte
	// Form is how Payload was given. It decides on the ContentType where that is
	// empty, and which are allowed.
	Form        Form
	ContentType string
	// Delay and RunAt exclude each other; both reach at most ten years ahead.
	Delay          job.Duration
	RunAt          time.Time
	ExpiresAt      time.Time
	Timeout        job.Duration
	Retry          job.Policy
	IdempotencyKey string
	// Unique asks that it be the only job of its queue with its content.
	Unique  *job.Unique
	Labels  map[string]string
	Headers map[string]string
	// URL makes it an ad-hoc job, which no registered worker gets.
	URL string
	// Method is how it is sent there, POST where it is empty.
	Method string
	// Digest stands for the request as sent. It is looked at where there is an
	// IdempotencyKey.
	Digest [32]byte
}

// The bounds and defaults of a job beside those of package job.
const (
	DefaultQueue = "default"
	MaxDelay     = 3650 * 24 * time.Hour
	MinTimeout   = job.Duration(time.Second)
	MaxTimeout   = job.Duration(time.Hour)
)

// Receipt is what became of an enqueued job.
type Receipt struct {
	Job *job.Job
	// Status is what is shown of the job now.
	Status string
	// Existing says that it is an earlier job, which has the idempotency key or the
	// unique content.
	Existing bool
}

// Enqueue stores a job, or finds the one that holds its idempotency key or, where
// it is unique, its content. When it returns without an error, the job is durable.
func (c *Control) Enqueue(ctx context.Context, n *NewJob) (Receipt, error) {
	now, err := c.store.Now(ctx)
	if err != nil {
		return Receipt{}, storeError("enqueue", err)
	}
	j, err := c.newJob(ctx, n, now)
	if err != nil {
		c.totals.refused.Add(1)
		return Receipt{}, err
	}
	nj := c.stored(j, n)
	done, err := c.enqueueUnique(ctx, j.ID.Shard(), []store.NewJob{nj})
	if err != nil {
		return Receipt{}, storeError("enqueue", err)
	}
	return c.receipt(ctx, &nj, done[0], now)
}

func (c *Control) stored(j *job.Job, n *NewJob) store.NewJob {
	return store.NewJob{Job: j, Payload: n.payload(), Digest: n.Digest, Backlog: c.backlog(j.Queue)}
}

func (c *Control) receipt(ctx context.Context, nj *store.NewJob, e store.Enqueued, now time.Time) (Receipt, error) {
	switch {
	case e.Full != nil:
		return Receipt{}, c.full(nj.Job, nj.Backlog, e.Full, now)
	case e.Conflict:
		c.totals.refused.Add(1)
		return Receipt{}, &Error{
			Kind: Invalid, Code: "idempotency_key_reused",
			Detail: "the idempotency key belongs to " + e.Job.ID.String() + ", which was enqueued with another body",
			Fields: []job.FieldError{badField("idempotency_key", "was used with another body")},
		}
	case e.Existing:
		return c.existing(ctx, e.Job, now), nil
	case e.Held:
		return c.held(ctx, nj, e.Job, now)
	case e.Pending:
		return Receipt{}, unanswered()
	}
	c.totals.enqueued.Add(1)
	c.o.OnEnqueued(e.Job.Queue)
	return Receipt{Job: e.Job, Status: e.Job.Display(now, false)}, nil
}

// newJob returns the job to be stored, or what is wrong with the request.
func (c *Control) newJob(ctx context.Context, n *NewJob, now time.Time) (*job.Job, error) {
	if n.Queue == "" {
		n.Queue = DefaultQueue
	}
	if fields := c.faults(n, now); len(fields) > 0 {
		return nil, invalid(fields...)
	}
	if err := allow(ctx, ActionWriteJobs, n.Queue); err != nil {
		return nil, err
	}
	if len(n.Payload) > c.o.MaxPayload {
		return nil, &Error{
			Kind: TooLarge, Code: "payload_too_large", Detail: "the payload is too large",
			Fields: []job.FieldError{badField(n.Form.String(), "must be at most %d bytes long", c.o.MaxPayload)},
		}
	}
	j := n.job(now, c.store.Shards())
	j.Ordered = c.keepsOrder(j.Queue, j.Key)
	n.unique(j)
	return j, nil
}

// job returns the job of a request without faults.
func (n *NewJob) job(now time.Time, shards int) *job.Job {
	j := &job.Job{
		ID: job.NewID(now, job.ShardOf(n.Queue, shards)), Queue: n.Queue, Type: n.Type, Key: n.Key,
		Priority: job.Normal, Labels: n.Labels, Headers: canonical(n.Headers), URL: n.URL, Method: n.Method,
		ContentType: n.contentType(), PayloadSize: len(n.payload()), Timeout: n.Timeout, Retry: n.Retry,
		IdempotencyKey: n.IdempotencyKey, CreatedAt: now, RunAt: millis(n.RunAt), ExpiresAt: millis(n.ExpiresAt),
		Status: job.Waiting,
	}
	if n.Priority != "" {
		j.Priority, _ = job.ParsePriority(n.Priority)
	}
	if n.Delay > 0 {
		j.RunAt = millis(now.Add(n.Delay.Std()))
	}
	if j.RunAt.After(now) {
		j.Due = j.RunAt
	}
	return j
}

// millis returns a time as it is stored.
func millis(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC().Truncate(time.Millisecond)
}

func canonical(headers map[string]string) map[string]string {
	if len(headers) == 0 {
		return nil
	}
	out := make(map[string]string, len(headers))
	for name, value := range headers {
		out[textproto.CanonicalMIMEHeaderKey(name)] = value
	}
	return out
}

// faults returns what is wrong with a request.
func (c *Control) faults(n *NewJob, now time.Time) []job.FieldError {
	var f faults
	f.add("queue", job.CheckName(n.Queue))
	f.add("type", job.CheckType(n.Type))
	if n.Key != "" {
		f.add("key", job.CheckKey(n.Key))
	}
	if n.Priority != "" {
		f.add("priority", checkPriority(n.Priority))
	}
	if n.IdempotencyKey != "" {
		f.add("idempotency_key", job.CheckIdempotencyKey(n.IdempotencyKey))
	}
	if n.Unique != nil {
		f = append(f, n.Unique.Validate("unique.")...)
	}
	f.add("content_type", n.checkContentType())
	f.times(n, now)
	f.add("timeout", checkTimeout(n.Timeout))
	if !n.Retry.IsZero() {
		f = append(f, n.Retry.Validate("retry.")...)
	}
	f.labels(n.Labels)
	if len(n.Headers) > 0 {
		f = append(f, push.ValidateHeaders("headers", n.Headers)...)
	}
	if n.URL != "" {
		f.add("url", c.checkAdHoc(n.URL))
	}
	f.add("method", n.checkMethod())
	if n.Method == job.MethodGet && n.Payload != nil {
		f.add(n.Form.String(), "cannot be sent with GET")
	}
	return f
}

// faults are the field errors found so far.
type faults []job.FieldError

// add appends an error where there is a message.
func (f *faults) add(field, message string) {
	if message != "" {
		*f = append(*f, job.FieldError{Field: field, Message: message})
	}
}

func (f *faults) labels(labels map[string]string) {
	if len(labels) == 0 {
		return
	}
	field := "labels"
	key, message := job.CheckLabels(labels)
	if key != "" {
		field += "." + key
	}
	f.add(field, message)
}

func (f *faults) times(n *NewJob, now time.Time) {
	start := now
	switch {
	case n.Delay < 0 || n.Delay.Std() > MaxDelay:
		f.add("delay", "must be from 0s to "+job.Duration(MaxDelay).String())
	case n.Delay > 0 && !n.RunAt.IsZero():
		f.add("run_at", "must not be given together with delay")
	case n.RunAt.After(now.Add(MaxDelay)):
		f.add("run_at", "must be at most "+job.Duration(MaxDelay).String()+" ahead")
	case n.Delay > 0:
		start = now.Add(n.Delay.Std())
	case n.RunAt.After(now):
		start = n.RunAt
	}
	switch {
	case n.ExpiresAt.IsZero():
	case !millis(n.ExpiresAt).After(start):
		f.add("expires_at", "must be later than the time at which the job may run")
	case n.ExpiresAt.After(now.Add(2 * MaxDelay)):
		f.add("expires_at", "must be at most "+job.Duration(2*MaxDelay).String()+" ahead")
	}
}

func checkPriority(name string) string {
	if _, ok := job.ParsePriority(name); ok {
		return ""
	}
	return "must be critical, high, normal or low"
}

func checkTimeout(d job.Duration) string {
	if d == 0 || (d >= MinTimeout && d <= MaxTimeout) {
		return ""
	}
	return "must be from " + MinTimeout.String() + " to " + MaxTimeout.String()
}

// checkAdHoc judges the URL of an ad-hoc job. A name is not resolved here, where
// it would hold up the enqueue: the guard judges it when it is dialled.
func (c *Control) checkAdHoc(raw string) string {
	if err := push.CheckURL(raw); err != nil {
		return err.Error()
	}
	u, err := url.Parse(raw)
	if err != nil {
		return "is not a valid URL"
	}
	addr, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		return ""
	}
	if err := c.o.Guard.CheckAddr(addr); err != nil {
		return err.Error()
	}
	return ""
}
