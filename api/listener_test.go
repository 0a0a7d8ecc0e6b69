package api_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/orchestrix/orchestrix/api"
)

// listener serves the API as the binary does, and returns its URL.
func (s *server) listener() string {
	s.t.Helper()
	l, err := new(net.ListenConfig).Listen(s.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	h := api.NewServer(s.handler, log)
	front := api.NewListener(l, h, log)
	served := make(chan error, 1)
	go func() { served <- h.Serve(front) }()
	s.t.Cleanup(func() {
		h.Close()
		if err := front.Drain(context.Background()); err != nil {
			s.t.Error(err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			s.t.Error(err)
		}
	})
	return "http://" + l.Addr().String()
}

// The calls that are served apart from the others are answered as they are in
// all other tests, and so are those that follow them on the same connection.
func TestListener(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	base := s.listener()
	transport := &http.Transport{MaxConnsPerHost: 1}
	defer transport.CloseIdleConnections()
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"POST", "/v1/jobs", `{"type":"a","payload":{"n":1}}`, 202, `"status":"pending"`},
		{"POST", "/v1/jobs", `{"type":"a","idempotency_key":"k"}`, 202, `"status":"pending"`},
		{"POST", "/v1/jobs", `{"type":"a","idempotency_key":"k"}`, 200, `"existing":true`},
		{"POST", "/v1/jobs/batch", `{"jobs":[{"type":"a"},{"type":""}]}`, 202, `jobs[1].type`},
		{"POST", "/v1/jobs", `{"type":"a","colour":"red"}`, 422, `colour`},
		{"POST", "/v1/jobs", `{"type":"a"`, 400, `"errors"`},
		{"POST", "/v1/jobs", `{"type":"a","payload":"` + strings.Repeat("x", 2<<20) + `"}`, 413, `payload_too_large`},
		{"POST", "/v1/jobs", `{"type":"a"}`, 202, `"status":"pending"`},
		{"GET", "/v1/queues", "", 200, `"items"`},
		{"POST", "/v1/jobs", `{"type":"a"}`, 202, `"status":"pending"`},
	} {
		r, err := http.NewRequestWithContext(t.Context(), c.method, base+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		if c.body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		resp, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != c.status || !strings.Contains(string(body), c.want) || resp.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s %s %.60s: %d %v %.300s, %v, want %d with %s", c.method, c.path, c.body, resp.StatusCode, resp.Header, body, err, c.status, c.want)
		}
	}
}
