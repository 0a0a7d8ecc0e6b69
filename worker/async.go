package worker

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/webhook"
)

// DefaultLease is how long an asynchronous attempt outlives its last heartbeat
// where neither the push nor Lease says otherwise. Heartbeats are sent three times
// as often.
const DefaultLease = time.Minute

// minLease keeps a wrong setting from becoming a flood.
const minLease = time.Second

// AsyncOption changes how a handler is run asynchronously.
type AsyncOption func(*route)

// Lease sets how long the server waits for a heartbeat before it takes the attempt
// for lost, where the push does not say so itself (orchestrix-heartbeat-timeout).
// It must not be longer than the server's. It is at least a second.
func Lease(d time.Duration) AsyncOption {
	return func(r *route) { r.lease = max(d, minLease) }
}

// Async has the handler run on after the push was answered, for as long as it
// takes: what the server then sees of the job is in reports. The Mux sends
// heartbeats by itself, and in the end the result or the error; both are repeated
// while the server is away, as long as the lease holds.
//
// The handler's context has no deadline. It ends, with a cause that context.Cause
// tells, when the job was cancelled (ErrCancelled), is somebody else's by now
// (ErrSuperseded, ErrAlreadyApplied, ErrLeaseLost) or the worker shuts down
// (ErrShutdown). A push that lacks what is needed to report is answered 501.
func Async(options ...AsyncOption) HandleOption {
	return func(r *route) {
		r.async, r.lease = true, DefaultLease
		for _, option := range options {
			option(r)
		}
	}
}

// accept answers an asynchronous push and begins to run it.
func (m *Mux) accept(w http.ResponseWriter, r *http.Request, route *route, p *Push) {
	a, refused := m.newAttempt(r, route, p)
	if refused == nil {
		refused = m.take(route)
	}
	if refused != nil {
		refused.write(w)
		return
	}
	if !m.running.add(p, task{a.cancel, a}) {
		m.give(route)
		drained().write(w)
		return
	}
	w.Header().Set(webhook.HeaderAsync, "true")
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusAccepted)
	// A writer that something has wrapped may not flush: then the answer goes out when
	// this returns.
	err := http.NewResponseController(w).Flush()
	if err != nil && !errors.Is(err, http.ErrNotSupported) || r.Context().Err() != nil {
		// Nobody knows that it was accepted: the server counts it as failed.
		m.running.remove(p)
		m.give(route)
		a.cancel(context.Canceled)
		return
	}
	a.start(context.WithoutCancel(r.Context()))
}

func (m *Mux) newAttempt(r *http.Request, route *route, p *Push) (*attempt, *refusal) {
	h := headerReader{header: r.Header}
	where, token, lease := h.text(keyCallbackURL), h.text(keyAttemptToken), route.lease
	if where == "" || token == "" {
		return nil, refuse(http.StatusNotImplemented, "jobs of type %q run asynchronously here, and the push has no address to report to: "+
			"the server does not support it, or has no public URL", p.Type)
	}
	if u, err := url.Parse(where); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, refuse(http.StatusBadRequest, "header %s is not the URL of a server", webhook.HeaderCallbackURL)
	}
	if text := h.text(keyHeartbeatTimeout); text != "" {
		d, err := job.ParseDuration(text)
		if err != nil {
			return nil, refuse(http.StatusBadRequest, "header %s is not a duration", webhook.HeaderHeartbeatTimeout)
		}
		lease = max(d.Std(), minLease)
	}
	return newAttempt(context.WithoutCancel(r.Context()), m, route, p, reporter{m.client, strings.TrimSuffix(where, "/"), token}, lease), nil
}
