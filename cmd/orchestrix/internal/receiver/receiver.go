// Package receiver is the receiving end of a push for the workers that are
// built into the command line tool: it reads, verifies and hands over.
//
// It promises that a handler only sees a push whose signatures are right, and
// that everything else is answered 401 and told to whoever wants to know. It is
// not the worker SDK: no routing, no middleware, no deduplication.
package receiver

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/orchestrix/orchestrix/webhook"
)

// Push is one verified push.
type Push struct {
	// ID is the webhook-id: the job's id, the same on each attempt.
	ID          string
	Type, Queue string
	Key         string
	Attempt     int
	MaxAttempts int
	Header      http.Header
	Body        []byte
	ReceivedAt  time.Time
}

// Receiver is an http.Handler that verifies pushes. Its fields must not be
// changed while it serves.
type Receiver struct {
	Verifier *webhook.Verifier
	// Handle answers a verified push.
	Handle func(http.ResponseWriter, *http.Request, *Push)
	// Refused is told of what did not verify; it may be nil.
	Refused func(header http.Header, err error)
}

// maxBody is above the largest payload a server can be configured to accept.
const maxBody = 64 << 20

// ServeHTTP implements http.Handler.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxBody))
	if err != nil {
		http.Error(w, "the body cannot be read", http.StatusBadRequest)
		return
	}
	if err := r.Verifier.Verify(req.Header, body); err != nil {
		if r.Refused != nil {
			r.Refused(req.Header, err)
		}
		http.Error(w, "the signature does not verify", http.StatusUnauthorized)
		return
	}
	r.Handle(w, req, newPush(req.Header, body))
}

func newPush(h http.Header, body []byte) *Push {
	p := &Push{ID: h.Get(webhook.HeaderID), Header: h, Body: body, ReceivedAt: time.Now()}
	p.Type, p.Queue, p.Key = decoded(h, webhook.HeaderJobType), decoded(h, webhook.HeaderQueue), decoded(h, webhook.HeaderKey)
	p.Attempt, _ = strconv.Atoi(h.Get(webhook.HeaderAttempt))
	p.MaxAttempts, _ = strconv.Atoi(h.Get(webhook.HeaderMaxAttempts))
	return p
}

// decoded returns a header that was signed; one that is not decodable was not
// written by a server of ours, and is shown as it is.
func decoded(h http.Header, name string) string {
	value, err := webhook.DecodeValue(h.Get(name))
	if err != nil {
		return h.Get(name)
	}
	return value
}

// Server serves a handler on an address of its own.
type Server struct {
	listener net.Listener
	http     *http.Server
	done     chan error
}

// Listen begins to serve h on address, such as "127.0.0.1:0". ctx bounds the
// beginning only.
func Listen(ctx context.Context, address string, h http.Handler) (*Server, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	s := &Server{listener: listener, done: make(chan error, 1), http: &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		// A client that goes away is nothing a person has to read about.
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}}
	go func() { s.done <- s.http.Serve(listener) }()
	return s, nil
}

// Addr returns the address that is listened on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// URL returns the address as a URL.
func (s *Server) URL() string { return "http://" + s.Addr() }

// Close lets requests under way end within grace, and then cuts them off. It is
// what comes after the end of ctx, and does not end with it.
func (s *Server) Close(ctx context.Context, grace time.Duration) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		if err := s.http.Close(); err != nil {
			return err
		}
	}
	if err := <-s.done; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
