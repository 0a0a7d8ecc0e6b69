package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"time"

	"github.com/orchestrix/orchestrix/job"
)

// NewJob is a job to be enqueued. Only Type is needed.
type NewJob struct {
	// Queue is where the job waits; empty means "default".
	Queue string `json:"queue,omitempty"`
	// Type says what the worker is to do.
	Type string `json:"type"`
	// Payload is what the worker receives as the request's body: a
	// json.RawMessage as it is but for white space, anything else as JSON; nil
	// sends null.
	Payload any `json:"payload,omitempty"`
	// Body is sent to the byte instead of Payload, where it is not nil.
	Body []byte `json:"body_base64,omitzero"`
	// ContentType is that of what is sent. Where it is empty, that is
	// application/json for a Payload, which may have no other type but one that ends
	// in +json, and application/octet-stream for a Body.
	ContentType string `json:"content_type,omitempty"`
	// Key is an optional label (a tenant, an order id) that a queue shares its
	// capacity over.
	Key string `json:"key,omitempty"`
	// Priority is critical, high, normal or low; empty means normal.
	Priority string `json:"priority,omitempty"`
	// Delay and RunAt put the first attempt off; at most one of them may be set.
	Delay job.Duration `json:"delay,omitempty"`
	RunAt time.Time    `json:"run_at,omitzero"`
	// ExpiresAt bars any attempt from starting at or after it.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	// Timeout bounds one attempt, 1s to 1h.
	Timeout job.Duration `json:"timeout,omitempty"`
	// Retry overrides the queue's policy field by field.
	Retry *job.Policy `json:"retry,omitempty"`
	// IdempotencyKey makes a repeated enqueue answer the first job. Where it is
	// empty, and the client may repeat calls, it makes one up.
	IdempotencyKey string `json:"idempotency_key,omitempty"`
	// Unique asks that the job be the only one of its queue with its content; an
	// empty one asks so by all of it, until the job has ended.
	Unique *job.Unique       `json:"unique,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
	// Headers are added to the request that the worker receives.
	Headers map[string]string `json:"headers,omitempty"`
	// URL sends the job there rather than to a worker of its queue.
	URL string `json:"url,omitempty"`
	// Method is how it is sent there: GET, POST, PUT, PATCH or DELETE; empty means
	// POST. GET takes neither Payload nor Body.
	Method string `json:"method,omitempty"`
}

// Job is a job as the server shows it. In a list it has no payload, no result
// and no attempts.
type Job struct {
	ID       string `json:"id"`
	Queue    string `json:"queue"`
	Type     string `json:"type"`
	Status   string `json:"status"`
	Reason   string `json:"reason,omitempty"`
	Key      string `json:"key,omitempty"`
	Priority string `json:"priority"`
	// Attempt is the number of attempts that have ended, and Failures those of
	// this incarnation that count against max_attempts.
	Attempt     int               `json:"attempt"`
	Failures    int               `json:"failures,omitempty"`
	Incarnation int               `json:"incarnation,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Headers     map[string]string `json:"headers,omitempty"`
	URL         string            `json:"url,omitempty"`
	Method      string            `json:"method,omitempty"` // of a job with a URL
	ContentType string            `json:"content_type,omitempty"`
	PayloadSize int               `json:"payload_size"` // in bytes
	Timeout     job.Duration      `json:"timeout,omitempty"`
	// Retry is what the job itself sets.
	Retry          *job.Policy `json:"retry,omitempty"`
	IdempotencyKey string      `json:"idempotency_key,omitempty"`
	// Schedule is the schedule that it is a run of, ScheduledFor the slot that it is the
	// run for; both are empty of any other job.
	Schedule     string      `json:"schedule,omitempty"`
	ScheduledFor time.Time   `json:"scheduled_for,omitzero"`
	Unique       *job.Unique `json:"unique,omitempty"`
	// ReplacedBy is the id of the job that has taken this one's place, where its
	// Reason is replaced.
	ReplacedBy string `json:"replaced_by,omitempty"`

	CreatedAt     time.Time `json:"created_at"`
	RunAt         time.Time `json:"run_at,omitzero"`
	ExpiresAt     time.Time `json:"expires_at,omitzero"`
	NextAttemptAt time.Time `json:"next_attempt_at,omitzero"`
	FinishedAt    time.Time `json:"finished_at,omitzero"`

	// Payload is set where the payload is JSON, Body where it is a text of another
	// type, BodyBase64 where it is neither. JobPayload returns its exact bytes.
	Payload    json.RawMessage `json:"payload,omitempty"`
	Body       string          `json:"body,omitempty"`
	BodyBase64 []byte          `json:"body_base64,omitempty"`
	// Result is the last attempt's answer: as JSON where it is, else as a JSON
	// string, which is base64 where ResultEncoding says so.
	Result         json.RawMessage `json:"result,omitempty"`
	ResultType     string          `json:"result_type,omitempty"`
	ResultEncoding string          `json:"result_encoding,omitempty"`
	// Accepted says that a worker has taken the running attempt over: when it was last
	// heard of, and when the attempt has to have ended.
	Accepted    bool      `json:"accepted,omitempty"`
	HeartbeatAt time.Time `json:"heartbeat_at,omitzero"`
	Deadline    time.Time `json:"deadline,omitzero"`
	// Progress is how far a worker has said it to be; nil where none has.
	Progress *Progress `json:"progress,omitempty"`
	// Attempts are the newest, the oldest of them first.
	Attempts []Attempt `json:"attempts,omitempty"`
}

// Terminal reports whether the job has come to its end.
func (j *Job) Terminal() bool {
	status, ok := job.ParseStatus(j.Status)
	return ok && status.Terminal()
}

// Attempt is one push of a job and how it ended.
type Attempt struct {
	Number      int          `json:"number"`
	Incarnation int          `json:"incarnation,omitempty"`
	Worker      string       `json:"worker,omitempty"`
	URL         string       `json:"url,omitempty"`
	StartedAt   time.Time    `json:"started_at"`
	Duration    job.Duration `json:"duration"`
	Outcome     string       `json:"outcome"`
	StatusCode  int          `json:"status_code,omitempty"`
	Reason      string       `json:"reason,omitempty"`
	Error       string       `json:"error,omitempty"`
	// Answer is the beginning of the answer's body; AnswerEncoding is base64
	// where it is no text.
	Answer         string `json:"answer,omitempty"`
	AnswerSize     int    `json:"answer_size,omitempty"`
	AnswerType     string `json:"answer_type,omitempty"`
	AnswerEncoding string `json:"answer_encoding,omitempty"`
}

// Receipt is the answer to an enqueue.
type Receipt struct {
	ID        string    `json:"id"`
	Status    string    `json:"status"`
	Queue     string    `json:"queue"`
	Type      string    `json:"type"`
	Priority  string    `json:"priority"`
	CreatedAt time.Time `json:"created_at"`
	RunAt     time.Time `json:"run_at,omitzero"`
	// Existing says that the idempotency key, or the unique content, led to a job
	// that was there already.
	Existing bool `json:"existing,omitempty"`
	// Durability is what the job survives: fsync; on Redis aof or replicas=N; memory
	// for nothing.
	Durability string `json:"durability,omitempty"`
}

// Enqueue stores a job. When it returns without error, the job is durable and
// will be pushed. A repeated idempotency key returns the job that holds it, and a
// Unique job whose content another holds what its OnConflict says.
func (c *Client) Enqueue(ctx context.Context, j NewJob) (*Receipt, error) {
	c.addKey(&j)
	body, err := encode(j)
	if err != nil {
		return nil, fmt.Errorf("enqueue: %w", err)
	}
	var out Receipt
	err = c.do(ctx, call{method: http.MethodPost, path: "/v1/jobs", body: body, once: j.IdempotencyKey == ""}, &out)
	if err != nil {
		return nil, fmt.Errorf("enqueue: %w", err)
	}
	return &out, nil
}

// BatchResult is what became of one job of a batch: its id and status, or why
// it was refused.
type BatchResult struct {
	ID       string   `json:"id,omitempty"`
	Status   string   `json:"status,omitempty"`
	Existing bool     `json:"existing,omitempty"`
	Error    *Problem `json:"error,omitempty"`
}

// MaxBatch is the greatest number of jobs in one batch.
const MaxBatch = 10_000

// EnqueueBatch stores up to MaxBatch jobs with one call. The results are in the
// order of jobs; a job that is refused does not stop the others.
func (c *Client) EnqueueBatch(ctx context.Context, jobs []NewJob) ([]BatchResult, error) {
	keyed := make([]NewJob, len(jobs))
	once := false
	for i, j := range jobs {
		c.addKey(&j)
		keyed[i] = j
		once = once || j.IdempotencyKey == ""
	}
	body, err := encode(struct {
		Jobs []NewJob `json:"jobs"`
	}{keyed})
	if err != nil {
		return nil, fmt.Errorf("enqueue %d jobs: %w", len(jobs), err)
	}
	var out struct {
		Results []BatchResult `json:"results"`
	}
	err = c.do(ctx, call{method: http.MethodPost, path: "/v1/jobs/batch", body: body, once: once}, &out)
	if err != nil {
		return nil, fmt.Errorf("enqueue %d jobs: %w", len(jobs), err)
	}
	return out.Results, nil
}

// addKey gives a job a key of its own, so that the enqueue can be repeated.
func (c *Client) addKey(j *NewJob) {
	if j.IdempotencyKey == "" && c.retries > 0 {
		j.IdempotencyKey = "auto-" + rand.Text()
	}
}

// encode writes v as JSON without the escapes for HTML, so that a payload keeps
// its bytes.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return b.Bytes(), err
}

// Job returns a job with its attempts. With wait it is returned when it has
// come to its end or that time is over, whichever is first; the server bounds
// the wait.
func (c *Client) Job(ctx context.Context, id string, wait time.Duration) (*Job, error) {
	query := url.Values{}
	if wait > 0 {
		query.Set("wait", job.Duration(wait).String())
	}
	return get[Job](ctx, c, call{method: http.MethodGet, path: jobPath(id), query: query}, "get job "+id)
}

// JobPayload returns the exact bytes of a job's payload and their content type.
func (c *Client) JobPayload(ctx context.Context, id string) (data []byte, contentType string, err error) {
	answer := raw{}
	if err := c.do(ctx, call{method: http.MethodGet, path: jobPath(id) + "/payload"}, &answer); err != nil {
		return nil, "", fmt.Errorf("get the payload of job %s: %w", id, err)
	}
	return answer.body, answer.contentType, nil
}

// pollWait is how long one call waits for a job: below the time after which
// proxies usually give up.
const pollWait = 25 * time.Second

// Wait returns the job when it has come to its end, however long that takes:
// bound it with ctx.
func (c *Client) Wait(ctx context.Context, id string) (*Job, error) {
	for {
		j, err := c.Job(ctx, id, pollWait)
		if err != nil || j.Terminal() {
			return j, err
		}
	}
}

// JobFilter chooses jobs; an empty field chooses all.
type JobFilter struct {
	// Status is one that is shown, such as "retrying" or "dead".
	Status string `json:"status,omitempty"`
	Queue  string `json:"queue,omitempty"`
	Type   string `json:"type,omitempty"`
	Key    string `json:"key,omitempty"`
	// Labels must all be there with these values.
	Labels map[string]string `json:"label,omitempty"`
	// CreatedAfter is inclusive, CreatedBefore exclusive.
	CreatedAfter  time.Time `json:"created_after,omitzero"`
	CreatedBefore time.Time `json:"created_before,omitzero"`
}

func (f JobFilter) query() url.Values {
	query := url.Values{}
	for name, value := range map[string]string{"status": f.Status, "queue": f.Queue, "type": f.Type, "key": f.Key} {
		if value != "" {
			query.Set(name, value)
		}
	}
	for k, v := range f.Labels {
		query.Add("label", k+":"+v)
	}
	for name, at := range map[string]time.Time{"created_after": f.CreatedAfter, "created_before": f.CreatedBefore} {
		if !at.IsZero() {
			query.Set(name, at.UTC().Format(time.RFC3339Nano))
		}
	}
	return query
}

// JobPage returns one page of jobs, newest first.
func (c *Client) JobPage(ctx context.Context, filter JobFilter, page PageOptions) (Page[Job], error) {
	out, err := list[Job](ctx, c, "/v1/jobs", page.addTo(filter.query()))
	if err != nil {
		return out, fmt.Errorf("list jobs: %w", err)
	}
	return out, nil
}

// Jobs walks all jobs that the filter chooses, newest first, page by page.
func (c *Client) Jobs(ctx context.Context, filter JobFilter) iter.Seq2[Job, error] {
	return all(func(page PageOptions) (Page[Job], error) { return c.JobPage(ctx, filter, page) }, PageOptions{})
}

// CancelJob asks for the end of a waiting job. A push of it that is under way
// is aborted.
func (c *Client) CancelJob(ctx context.Context, id string) (*Job, error) {
	return c.command(ctx, id, "cancel")
}

// RetryJob runs a terminal job again, under a new incarnation.
func (c *Client) RetryJob(ctx context.Context, id string) (*Job, error) {
	return c.command(ctx, id, "retry")
}

// RunJobNow makes a delayed or retrying job due at once.
func (c *Client) RunJobNow(ctx context.Context, id string) (*Job, error) {
	return c.command(ctx, id, "run-now")
}

func (c *Client) command(ctx context.Context, id, verb string) (*Job, error) {
	return get[Job](ctx, c, call{method: http.MethodPost, path: jobPath(id) + "/" + verb, once: true}, verb+" job "+id)
}

// DeleteJob removes a terminal job with all that is stored of it.
func (c *Client) DeleteJob(ctx context.Context, id string) error {
	if err := c.do(ctx, call{method: http.MethodDelete, path: jobPath(id), once: true}, nil); err != nil {
		return fmt.Errorf("delete job %s: %w", id, err)
	}
	return nil
}

func jobPath(id string) string { return "/v1/jobs/" + url.PathEscape(id) }
