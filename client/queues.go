package client

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"time"

	"github.com/orchestrix/orchestrix/job"
)

// QueueConfig is the flow control of a queue.
type QueueConfig struct {
	// Concurrency is how many pushes may be in flight at once; 0 means the
	// server's default.
	Concurrency int `json:"concurrency,omitempty"`
	// Rate bounds how many pushes start; nil means that nothing but concurrency
	// does.
	Rate *job.Rate `json:"rate,omitempty"`
	// PriorityMode is weighted, the default, or strict.
	PriorityMode string `json:"priority_mode,omitempty"`
	// Retry overrides the server's policy field by field.
	Retry *job.Policy `json:"retry,omitempty"`
	// KeyConcurrency bounds the pushes of one key at once; 0 bounds nothing. 1 keeps
	// the order: the jobs of a key run one after the other, as they were enqueued.
	KeyConcurrency int `json:"key_concurrency,omitempty"`
	// KeyRate bounds how many pushes of one key start; nil bounds nothing.
	KeyRate *job.Rate `json:"key_rate,omitempty"`
	// OnDead is skip, the default, or block: where the order is kept, a dead job
	// then holds up those of its key behind it.
	OnDead string `json:"on_dead,omitempty"`
	// AfterLost is repush, the default, or wait: a push whose node died is repeated
	// only after its deadline. A KeyConcurrency of 1 implies it.
	AfterLost string `json:"after_lost,omitempty"`
	// Ramp is on (the default) or off: whether its concurrency is ramped up when it
	// was resumed.
	Ramp string `json:"ramp,omitempty"`
	// MaxPending bounds the jobs that wait, those that are delayed or being pushed
	// included, and MaxBytes what their payloads take; 0 bounds nothing. What is
	// over is refused with 429.
	MaxPending int `json:"max_pending,omitempty"`
	MaxBytes   int `json:"max_bytes,omitempty"`
	// Retention is how long ended jobs are kept; nil means the server's.
	Retention   *Retention `json:"retention,omitempty"`
	Description string     `json:"description,omitempty"`
}

// Queue is a queue as the server shows it.
type Queue struct {
	QueueConfig
	Name string `json:"name"`
	// Configured says whether it has a configuration of its own.
	Configured  bool      `json:"configured"`
	Paused      bool      `json:"paused"`
	PauseReason string    `json:"pause_reason,omitempty"`
	PausedAt    time.Time `json:"paused_at,omitzero"`
	CreatedAt   time.Time `json:"created_at,omitzero"`
	UpdatedAt   time.Time `json:"updated_at,omitzero"`
	// Workers are the names of those that serve it.
	Workers []string `json:"workers"`
	// Counts are the jobs per shown status.
	Counts map[string]int64 `json:"counts"`
	// Bytes is what the payloads of the jobs that have not ended take.
	Bytes int64 `json:"bytes"`
	// KeptBytes is what the jobs that have ended take: payloads, answers, records.
	KeptBytes int64 `json:"kept_bytes"`
	// Trimmed counts what retention has removed.
	Trimmed Trimmed `json:"trimmed"`
	// OldestPendingAge is how long the oldest job that is ready has waited.
	OldestPendingAge job.Duration `json:"oldest_pending_age,omitempty"`
	// Throughput is attempts settled per second, over the last minute.
	Throughput float64 `json:"throughput"`
	InFlight   int     `json:"in_flight"`
	// Blocked says why ready jobs wait: paused, no_worker, concurrency, ramp,
	// rate, throttled, circuit_open or key. WaitingReason says it in a sentence.
	Blocked       string `json:"blocked,omitempty"`
	WaitingReason string `json:"waiting_reason,omitempty"`
}

// PutQueue replaces the configuration of a queue.
func (c *Client) PutQueue(ctx context.Context, name string, config QueueConfig) (*Queue, error) {
	return c.queue(ctx, "put", call{method: http.MethodPut, path: queuePath(name), body: config}, name)
}

// PatchQueue merges patch into a queue's configuration (RFC 7396).
func (c *Client) PatchQueue(ctx context.Context, name string, patch map[string]any) (*Queue, error) {
	return c.queue(ctx, "patch", call{method: http.MethodPatch, path: queuePath(name), body: patch, contentType: mergePatch}, name)
}

// Queue returns a queue with its counts.
func (c *Client) Queue(ctx context.Context, name string) (*Queue, error) {
	return c.queue(ctx, "get", call{method: http.MethodGet, path: queuePath(name)}, name)
}

// PauseQueue stops pushes of a queue; those under way are finished, and jobs
// are still accepted. reason is shown to people; it may be empty.
func (c *Client) PauseQueue(ctx context.Context, name, reason string) (*Queue, error) {
	return c.queue(ctx, "pause", call{method: http.MethodPost, path: queuePath(name) + "/pause", body: pauseBody(reason)}, name)
}

// ResumeQueue lets pushes of a queue go on.
func (c *Client) ResumeQueue(ctx context.Context, name string) (*Queue, error) {
	return c.queue(ctx, "resume", call{method: http.MethodPost, path: queuePath(name) + "/resume"}, name)
}

// DeleteQueue removes the configuration of a queue that has no waiting jobs.
func (c *Client) DeleteQueue(ctx context.Context, name string) error {
	if err := c.do(ctx, call{method: http.MethodDelete, path: queuePath(name)}, nil); err != nil {
		return fmt.Errorf("delete queue %s: %w", name, err)
	}
	return nil
}

// Queues walks all queues.
func (c *Client) Queues(ctx context.Context) iter.Seq2[Queue, error] {
	return walk[Queue](ctx, c, "/v1/queues", "list queues")
}

func (c *Client) queue(ctx context.Context, verb string, call call, name string) (*Queue, error) {
	return get[Queue](ctx, c, call, verb+" queue "+name)
}

func queuePath(name string) string { return "/v1/queues/" + url.PathEscape(name) }
