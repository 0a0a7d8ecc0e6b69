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

// WorkerConfig is what a worker is registered with.
type WorkerConfig struct {
	// URL is where pushes go.
	URL string `json:"url"`
	// Queues are those it serves; its limits apply to each separately.
	Queues []string `json:"queues"`
	// Concurrency bounds the pushes in flight on each queue; 0 leaves it to the
	// queue.
	Concurrency int `json:"concurrency,omitempty"`
	// Timeout bounds one attempt; 0 means the server's.
	Timeout job.Duration `json:"timeout,omitempty"`
	// Async says that it takes over each attempt that it answers with 202, also without
	// the header that says so. HeartbeatTimeout is how long it may be silent then, 0 for
	// a minute, and AsyncTimeout how long the attempt may take, 0 for a day.
	Async            bool         `json:"async,omitempty"`
	HeartbeatTimeout job.Duration `json:"heartbeat_timeout,omitempty"`
	AsyncTimeout     job.Duration `json:"async_timeout,omitempty"`
	// Headers are added to each push.
	Headers map[string]string `json:"headers,omitempty"`
	// Auth tells the worker who pushes, beside the signature; nil for not at all.
	Auth *WorkerAuth `json:"auth,omitempty"`
	// Weight is its share among the workers of a queue; 0 means 1.
	Weight int `json:"weight,omitempty"`
	// Description and Labels are for people.
	Description string            `json:"description,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	// OnGone is what a 410 does to the worker: pause (the default) or ignore.
	OnGone string `json:"on_gone,omitempty"`
	// Circuit is when it is left alone, on each of its queues by itself, since too
	// many pushes fail; nil, and fields that are 0, mean job.DefaultCircuit.
	Circuit *job.Circuit `json:"circuit,omitempty"`
	// AutoPause is when it is paused since it only fails; nil, and fields that are 0,
	// mean job.DefaultAutoPause.
	AutoPause *job.AutoPause `json:"auto_pause,omitempty"`
	// Ramp is on (the default) or off: whether its limits are ramped up when it was
	// resumed or its circuit has closed.
	Ramp string `json:"ramp,omitempty"`
	// SigningSecret is a "whsec_..." of yours; empty has one made where the
	// worker is new, and keeps the one it has.
	SigningSecret string `json:"signing_secret,omitempty"`
	// SigningKey has pushes signed with an ed25519 key pair too: "generate" makes
	// one where there is none, "whsk_..." is one of yours, "none" takes it away;
	// empty keeps what there is. Worker.PublicKeys verify.
	SigningKey string `json:"signing_key,omitempty"`
}

// WorkerAuth is how a worker is told who pushes. Type says which of the others
// count: Username and Password for "basic", Token for "bearer", Name and Value
// for "header", TokenURL to AuthStyle for "oauth2" (client credentials),
// Certificate, Key and CA (PEM) for "mtls". Secrets come back as "[redacted]",
// which means, written back, the one that is stored.
type WorkerAuth struct {
	Type     string `json:"type"`
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`
	Token    string `json:"token,omitempty"`
	Name     string `json:"name,omitempty"`
	Value    string `json:"value,omitempty"`

	TokenURL     string   `json:"token_url,omitempty"`
	ClientID     string   `json:"client_id,omitempty"`
	ClientSecret string   `json:"client_secret,omitempty"`
	Scopes       []string `json:"scopes,omitempty"`
	Audience     string   `json:"audience,omitempty"`
	// AuthStyle is how id and secret reach the token endpoint: header (the
	// default) or body.
	AuthStyle string `json:"auth_style,omitempty"`

	Certificate string `json:"certificate,omitempty"`
	Key         string `json:"key,omitempty"`
	CA          string `json:"ca,omitempty"`
}

// Worker is a registered worker as the server shows it.
type Worker struct {
	WorkerConfig
	Name        string    `json:"name"`
	Paused      bool      `json:"paused"`
	PauseReason string    `json:"pause_reason,omitempty"`
	PausedAt    time.Time `json:"paused_at,omitzero"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
	// Secrets is how many secrets sign; more than one while one rotates.
	Secrets int `json:"secrets"`
	// PublicKeys are "whpk_..." texts that verify the ed25519 signatures, the newest
	// first; see webhook.ParsePublicKey.
	PublicKeys []string `json:"public_keys,omitempty"`
	// CertificateExpiresAt is when the certificate of an mtls auth ends.
	CertificateExpiresAt time.Time `json:"certificate_expires_at,omitzero"`
	// Secret is the signing secret, only in the answer that made it.
	Secret string `json:"secret,omitempty"`

	// InFlight is now; the counts are since the server started.
	InFlight       int       `json:"in_flight"`
	Succeeded      int64     `json:"succeeded"`
	Failed         int64     `json:"failed"`
	LastSuccessAt  time.Time `json:"last_success_at,omitzero"`
	LastFailureAt  time.Time `json:"last_failure_at,omitzero"`
	ThrottledUntil time.Time `json:"throttled_until,omitzero"`
	// Circuits are those that are not closed, by queue.
	Circuits []QueueCircuit `json:"circuits,omitempty"`
}

// QueueCircuit is the circuit of a worker on a queue, while it is not closed.
type QueueCircuit struct {
	Queue string `json:"queue"`
	// State is open, or half_open: one push at a time probes the worker.
	State string `json:"state"`
	// Until is when it is half-open.
	Until time.Time `json:"until"`
	// Opens is how often it was opened since it was last closed.
	Opens int `json:"opens"`
}

// PutWorker registers a worker or replaces its configuration. The answer to the
// registration holds its secret, once: keep it.
func (c *Client) PutWorker(ctx context.Context, name string, config WorkerConfig) (*Worker, error) {
	return c.worker(ctx, "put", call{method: http.MethodPut, path: workerPath(name), body: config}, name)
}

// Worker returns a worker.
func (c *Client) Worker(ctx context.Context, name string) (*Worker, error) {
	return c.worker(ctx, "get", call{method: http.MethodGet, path: workerPath(name)}, name)
}

// PatchWorker merges patch into a worker's configuration (RFC 7396): a field
// set to nil is reset, one that is absent is kept.
func (c *Client) PatchWorker(ctx context.Context, name string, patch map[string]any) (*Worker, error) {
	return c.worker(ctx, "patch", call{method: http.MethodPatch, path: workerPath(name), body: patch, contentType: mergePatch}, name)
}

// mergePatch is the content type of RFC 7396.
const mergePatch = "application/merge-patch+json"

// PauseWorker stops pushes to a worker; those under way are finished. reason is
// shown to people; it may be empty.
func (c *Client) PauseWorker(ctx context.Context, name, reason string) (*Worker, error) {
	return c.worker(ctx, "pause", call{method: http.MethodPost, path: workerPath(name) + "/pause", body: pauseBody(reason)}, name)
}

// pauseBody is the body of a pause, which may be absent.
func pauseBody(reason string) any {
	if reason == "" {
		return nil
	}
	return map[string]string{"reason": reason}
}

// ResumeWorker lets pushes go to a worker again. It closes its circuits, also
// where it was not paused.
func (c *Client) ResumeWorker(ctx context.Context, name string) (*Worker, error) {
	return c.worker(ctx, "resume", call{method: http.MethodPost, path: workerPath(name) + "/resume"}, name)
}

// Rotation is how a secret is replaced. The zero Rotation makes a new one and
// lets the one before sign for 24 hours.
type Rotation struct {
	// Grace is how long the secret before still signs; nil means 24 hours.
	Grace *job.Duration `json:"grace,omitempty"`
	// Secret is a "whsec_..." of yours; empty has one made.
	Secret string `json:"secret,omitempty"`
}

// RotateSecret gives a worker a new secret, which the answer holds, once.
func (c *Client) RotateSecret(ctx context.Context, name string, r Rotation) (*Worker, error) {
	return c.worker(ctx, "rotate the secret of", call{method: http.MethodPost, path: workerPath(name) + "/rotate-secret", body: r, once: true}, name)
}

// KeyRotation is how a key pair is replaced. The zero KeyRotation makes a new one
// and lets the one before sign for 24 hours.
type KeyRotation struct {
	// Grace is how long the key before still signs; nil means 24 hours.
	Grace *job.Duration `json:"grace,omitempty"`
	// SigningKey is a "whsk_..." of yours; empty has one made.
	SigningKey string `json:"signing_key,omitempty"`
}

// RotateKey gives a worker that has a key pair a new one.
func (c *Client) RotateKey(ctx context.Context, name string, r KeyRotation) (*Worker, error) {
	return c.worker(ctx, "rotate the key of", call{method: http.MethodPost, path: workerPath(name) + "/rotate-key", body: r, once: true}, name)
}

// DeleteWorker removes a worker; its queues keep their jobs.
func (c *Client) DeleteWorker(ctx context.Context, name string) error {
	if err := c.do(ctx, call{method: http.MethodDelete, path: workerPath(name)}, nil); err != nil {
		return fmt.Errorf("delete worker %s: %w", name, err)
	}
	return nil
}

// Workers walks all workers.
func (c *Client) Workers(ctx context.Context) iter.Seq2[Worker, error] {
	return walk[Worker](ctx, c, "/v1/workers", "list workers")
}

func (c *Client) worker(ctx context.Context, verb string, call call, name string) (*Worker, error) {
	return get[Worker](ctx, c, call, verb+" worker "+name)
}

func workerPath(name string) string { return "/v1/workers/" + url.PathEscape(name) }
