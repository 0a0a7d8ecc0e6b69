package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/webhook"
)

// Mux receives pushes and runs the handler of a job's type. It is an
// http.Handler, at whatever path the worker's URL has. It is safe for concurrent
// use.
type Mux struct {
	keys         webhook.Verifier // as the options have it
	verifier     atomic.Pointer[webhook.Verifier]
	maxBody      int64
	bodyTimeout  time.Duration
	replayMemory int
	replays      *replays
	slots        slots
	middlewares  []Middleware
	logger       *slog.Logger
	client       *http.Client
	running      *running

	mu         sync.RWMutex
	routes     map[string]*route
	registered []Registration // those that Shutdown takes back
}

// route is how the jobs of one type are run.
type route struct {
	handler     Handler
	middlewares []Middleware
	slots       slots
	async       bool
	lease       time.Duration // of an asynchronous one
}

// Any is the type that stands for every other: its handler gets the jobs whose
// type has none.
const Any = "*"

// The types that the server itself pushes.
const (
	// typeTest is a trial of the worker; it is answered 2xx, and nothing is done.
	typeTest = "orchestrix.test"
	// typeCancel ends asynchronous attempts of a job.
	typeCancel = webhook.TypeCancel
)

// NewMux returns a Mux without handlers. It panics where neither a secret nor a
// public key is among the options, or one of them is zero: it could not tell a
// push from anything else.
func NewMux(options ...Option) *Mux {
	m := &Mux{
		maxBody: DefaultMaxBody, bodyTimeout: DefaultBodyTimeout, replayMemory: DefaultReplayMemory,
		logger: slog.Default(), routes: map[string]*route{}, running: newRunning(),
	}
	for _, option := range options {
		option(m)
	}
	if m.keys.Tolerance <= 0 {
		m.keys.Tolerance = webhook.DefaultTolerance
	}
	m.SetKeys(m.keys.Secrets, m.keys.PublicKeys)
	m.client = newReportClient(m.client)
	m.replays = newReplays(m.replayMemory, m.keys.Tolerance)
	return m
}

// SetKeys replaces what pushes may be signed with, while the worker runs: for a
// rotation without a restart. It panics as NewMux does.
func (m *Mux) SetKeys(secrets []webhook.Secret, keys []webhook.PublicKey) {
	if len(secrets)+len(keys) == 0 || slices.ContainsFunc(secrets, webhook.Secret.IsZero) || slices.ContainsFunc(keys, webhook.PublicKey.IsZero) {
		panic("worker: a Mux needs a secret or a public key, and none that is zero")
	}
	m.verifier.Store(&webhook.Verifier{Secrets: slices.Clone(secrets), PublicKeys: slices.Clone(keys), Tolerance: m.keys.Tolerance})
}

// Handle registers a handler for the jobs of a type, or for Any. It panics where
// the type is none (see job.CheckType), is one of the server's own, or has a
// handler already.
func (m *Mux) Handle(jobType string, h Handler, options ...HandleOption) {
	if message := job.CheckType(jobType); message != "" && jobType != Any {
		panic(fmt.Sprintf("worker: type %q %s", jobType, message))
	}
	if jobType == typeTest || jobType == typeCancel {
		panic("worker: type " + jobType + " is answered by the Mux itself")
	}
	r := &route{}
	for _, option := range options {
		option(r)
	}
	// Recovered twice: so that a middleware sees an error, and for its own sake.
	r.handler = recovered(chain(chain(recovered(h), r.middlewares...), m.middlewares...))
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.routes[jobType] != nil {
		panic("worker: type " + jobType + " has a handler already")
	}
	m.routes[jobType] = r
}

// ServeHTTP implements http.Handler.
func (m *Mux) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	received := time.Now()
	p, refused := m.receive(w, r)
	if refused != nil {
		refused.write(w)
		return
	}
	p.logger = m.logger
	switch p.Type {
	case typeTest:
		w.WriteHeader(http.StatusNoContent)
	case typeCancel:
		m.cancelRunning(w, r, p)
	default:
		m.dispatch(w, r, p, received)
	}
}

func (m *Mux) dispatch(w http.ResponseWriter, r *http.Request, p *Push, received time.Time) {
	route, refused := m.route(p.Type)
	switch {
	case refused != nil:
		refused.write(w)
	case route.async:
		m.accept(w, r, route, p)
	default:
		m.serve(w, r, route, p, received)
	}
}

// serve runs a push within its request.
func (m *Mux) serve(w http.ResponseWriter, r *http.Request, route *route, p *Push, received time.Time) {
	if refused := m.take(route); refused != nil {
		refused.write(w)
		return
	}
	defer m.give(route)
	ctx, cancel := context.WithCancelCause(context.WithValue(r.Context(), pushKey{}, p))
	defer cancel(nil)
	if !m.running.add(p, task{cancel: cancel}) {
		drained().write(w)
		return
	}
	defer m.running.remove(p)
	if deadline := p.localDeadline(received); !deadline.IsZero() {
		var stop context.CancelFunc
		ctx, stop = context.WithDeadline(ctx, deadline)
		defer stop()
	}
	result, err := m.run(ctx, route, p)
	answer(ctx, w, result, err)
}

// run calls the handler, and tells of a panic.
func (m *Mux) run(ctx context.Context, route *route, p *Push) (Result, error) {
	result, err := route.handler.ServePush(ctx, p)
	var panicked *PanicError
	if errors.As(err, &panicked) {
		m.logger.ErrorContext(ctx, "a handler panicked", "job", p.ID, "type", p.Type, "attempt", p.Attempt,
			"panic", fmt.Sprint(panicked.Value), "stack", string(panicked.Stack))
	}
	return result, err
}

// route finds the handler of a type.
func (m *Mux) route(jobType string) (*route, *refusal) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if r := m.routes[jobType]; r != nil {
		return r, nil
	}
	if r := m.routes[Any]; r != nil {
		return r, nil
	}
	known := slices.Sorted(maps.Keys(m.routes))
	// Not never: a newer version of the worker, which is being rolled out, may know it.
	return nil, refuse(http.StatusNotFound, "this worker has no handler for jobs of type %q; it has: %s", jobType, strings.Join(known, ", "))
}

// fullPause is how long the server is asked to wait where all slots are taken: it
// is a guess, and as short as retry-after can say.
const fullPause = time.Second

func (m *Mux) take(r *route) *refusal {
	if !m.slots.take() {
		return full("this worker runs %d jobs at once, and is full", cap(m.slots))
	}
	if !r.slots.take() {
		m.slots.give()
		return full("this worker runs %d jobs of this type at once, and is full", cap(r.slots))
	}
	return nil
}

func (m *Mux) give(r *route) {
	r.slots.give()
	m.slots.give()
}

func full(format string, args ...any) *refusal {
	r := refuse(http.StatusServiceUnavailable, format, args...)
	r.after = fullPause
	return r
}
