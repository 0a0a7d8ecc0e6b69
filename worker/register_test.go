package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orchestrix/orchestrix/webhook"
	"github.com/orchestrix/orchestrix/worker"
	"github.com/orchestrix/orchestrix/worker/workertest"
)

// registry is a server that workers register at. answer says how; nil is success.
type registry struct {
	mu     sync.Mutex
	calls  []string
	bodies []map[string]any
	answer func(n int) (status int, body string)
}

func (r *registry) client() worker.Option {
	return worker.WithHTTPClient(&http.Client{Transport: roundTrip(r.serve)})
}

func (r *registry) serve(req *http.Request) (*http.Response, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	body, _ := io.ReadAll(req.Body)
	var decoded map[string]any
	_ = json.Unmarshal(body, &decoded)
	r.calls, r.bodies = append(r.calls, req.Method+" "+req.URL.String()+" "+req.Header.Get("Authorization")), append(r.bodies, decoded)
	status, answer := http.StatusCreated, "{}"
	if r.answer != nil {
		status, answer = r.answer(len(r.calls))
	}
	if status == 0 {
		return nil, errors.New("connection refused")
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(answer))}, nil
}

var registration = worker.Registration{
	Server: "https://orchestrix.example.com/", Key: "orx_1", Name: "mailer-1", Deregister: true,
	URL: "https://mailer-1.example.com/hook", Queues: []string{"emails"}, Concurrency: 5, Timeout: 90 * time.Second, HeartbeatTimeout: 30 * time.Second, AsyncTimeout: 48 * time.Hour,
	Labels: map[string]string{"zone": "a"},
}

func TestRegister(t *testing.T) {
	t.Parallel()
	s, r := newSender(t), &registry{}
	mux, _ := counting(s, r.client(), worker.WithSecrets(webhook.NewSecret()))
	if err := mux.Register(t.Context(), registration); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"url": "https://mailer-1.example.com/hook", "queues": []any{"emails"}, "concurrency": 5.0, "timeout": "1m30s", "heartbeat_timeout": "30s", "async_timeout": "2d", "labels": map[string]any{"zone": "a"},
		"signing_secret": s.secret.Reveal(),
	}
	ended, stop := context.WithCancel(t.Context())
	stop()
	for range 2 { // a second Shutdown has nothing to take back
		if err := mux.Shutdown(ended); err != nil {
			t.Fatal(err)
		}
	}
	const at = " https://orchestrix.example.com/v1/workers/mailer-1 Bearer orx_1"
	if diff := cmp.Diff([]string{"PUT" + at, "DELETE" + at}, r.calls); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want, r.bodies[0]); diff != "" {
		t.Error(diff)
	}
}

func TestARegistrationStays(t *testing.T) {
	t.Parallel()
	r := &registry{}
	mux := worker.NewMux(worker.WithPublicKeys(webhook.NewPrivateKey().Public()), r.client())
	stays := registration
	stays.Deregister, stays.Key = false, ""
	if err := errors.Join(mux.Register(t.Context(), stays), mux.Shutdown(t.Context())); err != nil {
		t.Fatal(err)
	}
	if len(r.calls) != 1 || strings.Contains(r.calls[0], "Bearer") || r.bodies[0]["signing_secret"] != nil {
		t.Errorf("calls %v with %v", r.calls, r.bodies)
	}
}

func TestRegisterWaitsForTheServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &registry{answer: func(n int) (int, string) { return []int{0, 503, 429, 500, 201}[min(n-1, 4)], "" }}
		mux, _ := counting(newSender(t), r.client())
		if err := mux.Register(t.Context(), registration); err != nil || len(r.calls) != 5 {
			t.Errorf("%v after %d calls", err, len(r.calls))
		}
		r.answer = func(int) (int, string) { return 0, "" }
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		start := time.Now()
		if err := mux.Register(ctx, registration); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "connection refused") || time.Since(start) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if err := mux.Shutdown(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "worker mailer-1 is still registered: ") {
			t.Errorf("Shutdown: %v", err)
		}
	})
}

func TestRegisterIsRefused(t *testing.T) {
	t.Parallel()
	problem := `{"status":422,"code":"invalid","detail":"the request is not valid","errors":[{"field":"queues","message":"must not be empty"}]}`
	for name, c := range map[string]struct {
		change func(r *worker.Registration)
		answer string
		want   string
	}{
		"by the server": {func(*worker.Registration) {}, problem, "register worker mailer-1: answered 422 Unprocessable Entity: the request is not valid; queues must not be empty"},
		"by a proxy":    {func(*worker.Registration) {}, "<html>", "register worker mailer-1: answered 422 Unprocessable Entity"},
		"no name":       {func(r *worker.Registration) { r.Name = "a/b" }, "", "register worker a/b: the name must be 1 to 128 characters of a-z, 0-9 and . _ -, the first a letter or digit"},
		"no URL":        {func(r *worker.Registration) { r.Server = "localhost:8080" }, "", "register worker mailer-1: the server's URL must begin with http:// or https://, name a host, and hold no credentials"},
		"credentials":   {func(r *worker.Registration) { r.Server = "http://a:b@c" }, "", "register worker mailer-1: the server's URL must begin with http:// or https://, name a host, and hold no credentials"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, reg := &registry{answer: func(int) (int, string) { return http.StatusUnprocessableEntity, c.answer }}, registration
			mux, _ := counting(newSender(t), r.client())
			c.change(&reg)
			if err := mux.Register(t.Context(), reg); err == nil || err.Error() != c.want || len(r.calls) > 1 {
				t.Errorf("%v after %d calls", err, len(r.calls))
			}
			if err := mux.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// The server is told first, so that nothing new comes while the last jobs end; that
// somebody else has deleted the worker is no fault.
func TestShutdownDeregistersFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := workertest.New(t)
		deleted := make(chan time.Time, 1)
		mux := worker.NewMux(append(c.Options(), worker.WithHTTPClient(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			status := http.StatusOK
			if r.Method == http.MethodDelete {
				deleted <- time.Now()
				status = http.StatusNotFound
			}
			return &http.Response{StatusCode: status, Body: http.NoBody}, nil
		})}))...)
		worker.Handle(mux, "video.encode", func(context.Context, worker.Job[email]) error { time.Sleep(time.Minute); return nil }, worker.Async())
		if err := mux.Register(t.Context(), registration); err != nil {
			t.Fatal(err)
		}
		c.Push(mux, video)
		start := time.Now()
		if err := mux.Shutdown(t.Context()); err != nil || time.Since(start) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if at := <-deleted; !at.Equal(start) {
			t.Errorf("deregistered after %v", at.Sub(start))
		}
	})
}
