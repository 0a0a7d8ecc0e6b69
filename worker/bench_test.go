package worker_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/webhook"
	"github.com/orchestrix/orchestrix/worker"
)

// load is a worker, and signed pushes of 1 KiB to it.
type load struct {
	s    *sender
	mux  *worker.Mux
	body []byte
	w    discard
}

type order struct {
	Note string `json:"note"`
}

func newLoad(t testing.TB) *load {
	l := &load{s: newSender(t), body: []byte(`{"note":"` + strings.Repeat("x", 1<<10-11) + `"}`), w: discard{}}
	l.forget()
	return l
}

// forget makes a new Mux, which has seen nothing.
func (l *load) forget() {
	l.mux = worker.NewMux(worker.WithSecrets(l.s.secret))
	worker.Handle(l.mux, "email.send", func(context.Context, worker.Job[order]) error { return nil })
}

// requests returns n requests that differ in their attempt.
func (l *load) requests(n int) []*http.Request {
	out := make([]*http.Request, n)
	for i := range out {
		out[i] = l.s.request(push{body: string(l.body), header: map[string]string{
			webhook.HeaderAttempt: fmt.Sprint(i + 1), "orchestrix-attempt-token": "oat_0123456789", "orchestrix-callback-url": "https://orchestrix.example.com/v1/attempts/1",
		}})
		out[i].Body = io.NopCloser(bytes.NewReader(l.body))
	}
	return out
}

type discard http.Header

func (d discard) Header() http.Header           { return http.Header(d) }
func (d discard) Write(p []byte) (int, error)   { return len(p), nil }
func (discard) SetReadDeadline(time.Time) error { return nil }

func (d discard) WriteHeader(status int) {
	if status >= 300 {
		panic(fmt.Sprint("answered ", status))
	}
}

// What receiving costs beside verifying: allocations do not depend on the machine.
func TestServeAllocatesLittle(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates too")
	}
	// What has an environment of its own runs alone: others' allocations would be counted.
	t.Setenv("ALONE", "true")
	const runs, most = 100, 22
	l := newLoad(t)
	requests := l.requests(runs + 1)
	serve := testing.AllocsPerRun(runs, func() {
		l.mux.ServeHTTP(l.w, requests[0])
		requests = requests[1:]
	})
	r := l.requests(1)[0]
	v := &webhook.Verifier{Secrets: []webhook.Secret{l.s.secret}}
	verify := testing.AllocsPerRun(runs, func() {
		if err := v.Verify(r.Header, l.body); err != nil {
			t.Fatal(err)
		}
	})
	t.Logf("serve %.0f, of which verify %.0f", serve, verify)
	if serve-verify > most {
		t.Errorf("a push costs %.0f allocations beside the %.0f of its signatures, want at most %d", serve-verify, verify, most)
	}
}

// Verify, decode and dispatch of a payload of 1 KiB.
func BenchmarkServe(b *testing.B) {
	l := newLoad(b)
	requests := l.requests(256)
	b.SetBytes(int64(len(l.body)))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i == len(requests) {
			b.StopTimer()
			l.forget()
			for _, r := range requests {
				r.Body = io.NopCloser(bytes.NewReader(l.body))
			}
			i = 0
			b.StartTimer()
		}
		l.mux.ServeHTTP(l.w, requests[i])
	}
}

func BenchmarkVerify(b *testing.B) {
	l := newLoad(b)
	r := l.requests(1)[0]
	v := &webhook.Verifier{Secrets: []webhook.Secret{l.s.secret}}
	b.ReportAllocs()
	for b.Loop() {
		if err := v.Verify(r.Header, l.body); err != nil {
			b.Fatal(err)
		}
	}
}
