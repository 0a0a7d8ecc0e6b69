package worker

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/orchestrix/orchestrix/webhook"
)

// Option changes how a Mux receives.
type Option func(*Mux)

// WithSecrets accepts pushes that are signed under one of the secrets: two while
// one rotates.
func WithSecrets(secrets ...webhook.Secret) Option {
	return func(m *Mux) { m.keys.Secrets = append(m.keys.Secrets, secrets...) }
}

// WithPublicKeys accepts pushes that are signed by the private key of one of the
// keys. A worker that has only them cannot make pushes itself.
func WithPublicKeys(keys ...webhook.PublicKey) Option {
	return func(m *Mux) { m.keys.PublicKeys = append(m.keys.PublicKeys, keys...) }
}

// WithTolerance sets how far the time of a push may lie from this machine's
// clock; the default is webhook.DefaultTolerance. So long pushes are remembered.
func WithTolerance(d time.Duration) Option {
	return func(m *Mux) { m.keys.Tolerance = d }
}

// DefaultMaxBody is far above the payloads that a server accepts unless it was
// told otherwise, 1 MiB.
const DefaultMaxBody = 16 << 20

// WithMaxBody bounds a payload in bytes; a larger one is answered 413. The
// default is DefaultMaxBody.
func WithMaxBody(bytes int64) Option {
	return func(m *Mux) { m.maxBody = bytes }
}

// DefaultBodyTimeout lets a payload of DefaultMaxBody come over a slow line.
const DefaultBodyTimeout = 30 * time.Second

// WithBodyTimeout bounds how long a body may take to arrive; after it the answer
// is 408. The default is DefaultBodyTimeout. The time for the headers is the
// http.Server's, see ReadHeaderTimeout there.
func WithBodyTimeout(d time.Duration) Option {
	return func(m *Mux) { m.bodyTimeout = d }
}

// DefaultReplayMemory holds 437 pushes a second over the time in which they could
// come again, in some 10 MB once they are there.
const DefaultReplayMemory = 1 << 18

// WithReplayMemory sets how many pushes are remembered. Where more come, older
// pushes than are remembered are answered 503 with retry-after: the server sends
// their jobs again, newly signed.
func WithReplayMemory(pushes int) Option {
	return func(m *Mux) { m.replayMemory = pushes }
}

// WithConcurrency bounds how many jobs run at once; what comes beyond is answered
// 503 with retry-after, and uses up no attempt. 0, the default, is no bound:
// better say it to the server, with the worker's concurrency there, which then
// does not push what cannot be run.
func WithConcurrency(jobs int) Option {
	return func(m *Mux) { m.slots = newSlots(jobs) }
}

// WithMiddleware wraps every handler; the first is the outermost.
func WithMiddleware(middlewares ...Middleware) Option {
	return func(m *Mux) { m.middlewares = append(m.middlewares, middlewares...) }
}

// WithLogger is told of panics and of what jobs log. The default is
// slog.Default().
func WithLogger(logger *slog.Logger) Option {
	return func(m *Mux) { m.logger = logger }
}

// WithHTTPClient sends the reports of asynchronous jobs through a client of yours.
// Redirects are not followed, whatever it says.
func WithHTTPClient(client *http.Client) Option {
	return func(m *Mux) { m.client = client }
}

// HandleOption changes how the jobs of one type are run.
type HandleOption func(*route)

// Limit bounds how many jobs of this type run at once, beside WithConcurrency;
// what comes beyond is answered 503 with retry-after.
func Limit(jobs int) HandleOption {
	return func(r *route) { r.slots = newSlots(jobs) }
}

// Wrap wraps the handler of this type alone; the first is the outermost, and all
// are within those of WithMiddleware.
func Wrap(middlewares ...Middleware) HandleOption {
	return func(r *route) { r.middlewares = append(r.middlewares, middlewares...) }
}
