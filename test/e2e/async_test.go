package e2e_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/webhook"
	workersdk "github.com/orchestrix/orchestrix/worker"
)

var (
	lasting = flag.Duration("async", 6*time.Second, "how long the job lasts whose coordinator is killed: longer than a worker may be silent")
	strict  = flag.Bool("strict", false, "fail where something takes longer than it must on a machine that does nothing else")
)

// heartbeat is how long workers of these tests may be silent, where it matters.
const heartbeat = job.Duration(5 * time.Second)

// within notes how long something took, and fails a strict test where that is too long.
func within(t *testing.T, what string, since time.Time, limit time.Duration) {
	t.Helper()
	took := time.Since(since)
	if took > limit && *strict {
		t.Errorf("%s after %s, want within %s", what, took, limit)
	}
	t.Logf("%s after %s; the limit is %s", what, took.Round(time.Millisecond), limit)
}

// front is where workers report, whichever process the server is.
type front struct {
	*httptest.Server
	mu      sync.Mutex
	to      *url.URL
	reports map[string]int // that were answered 200, by their verb
}

func startFront(t *testing.T) *front {
	f := &front{reports: map[string]int{}}
	transport := &http.Transport{}
	proxy := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			f.mu.Lock()
			defer f.mu.Unlock()
			r.SetURL(f.to)
		},
		ModifyResponse: func(r *http.Response) error {
			f.mu.Lock()
			defer f.mu.Unlock()
			if r.StatusCode == http.StatusOK {
				f.reports[r.Request.URL.Path[strings.LastIndex(r.Request.URL.Path, "/")+1:]]++
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	f.Server = httptest.NewServer(proxy)
	t.Cleanup(func() {
		f.Close()
		transport.CloseIdleConnections()
	})
	return f
}

// lead has reports go to a server.
func (f *front) lead(t *testing.T, s *server) {
	t.Helper()
	to, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.to = to
}

func (f *front) reported(verb string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reports[verb]
}

// hook is a worker in this process.
type hook struct {
	*workersdk.Mux
	server *httptest.Server
	secret webhook.Secret
	pushes atomic.Int32
}

func startHook(t *testing.T) *hook {
	h := &hook{secret: webhook.NewSecret()}
	h.Mux = workersdk.NewMux(workersdk.WithSecrets(h.secret))
	h.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(webhook.HeaderJobType) != webhook.TypeCancel {
			h.pushes.Add(1)
		}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		ctx, stop := context.WithTimeout(context.Background(), time.Second)
		defer stop()
		if err := h.Shutdown(ctx); err != nil && !t.Failed() {
			t.Error(err)
		}
		h.server.Close()
	})
	return h
}

// serve has a worker serve the queue q, under its own name.
func (h *hook) serve(t *testing.T, ctx context.Context, s *server, name string, patience job.Duration) {
	t.Helper()
	if _, err := s.PutWorker(ctx, name, client.WorkerConfig{
		URL: h.server.URL, Queues: []string{"q"}, SigningSecret: h.secret.Reveal(), HeartbeatTimeout: patience, Circuit: &job.Circuit{Mode: job.Off},
	}); err != nil {
		t.Fatal(err)
	}
}

func submit(t *testing.T, ctx context.Context, s *server, retry job.Policy) string {
	t.Helper()
	receipt, err := s.Enqueue(ctx, client.NewJob{Queue: "q", Type: "long", Retry: &retry})
	if err != nil {
		t.Fatal(err)
	}
	return receipt.ID
}

// ended waits for the job's end.
func ended(t *testing.T, ctx context.Context, s *server, id string) *client.Job {
	t.Helper()
	j, err := s.Wait(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func receive[T any](t *testing.T, ctx context.Context, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-ctx.Done():
		t.Fatalf("never: %s", what)
	}
	return v
}

// A job that lasts longer than its worker may be silent goes on while its coordinator is
// killed and started again, is pushed once, and completes once.
func TestKillWhileAJobRunsAsynchronously(t *testing.T) {
	t.Parallel()
	ctx := deadline(t)
	dir, f, h := t.TempDir(), startFront(t), startHook(t)
	began := make(chan struct{}, 2)
	workersdk.HandleResult(h.Mux, "long", func(ctx context.Context, _ workersdk.Job[[]byte]) (string, error) {
		began <- struct{}{}
		select {
		case <-time.After(*lasting):
			return "done", nil
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}, workersdk.Async())

	public := publicURL + "=" + f.URL
	first := startServer(t, dir, public)
	f.lead(t, first)
	h.serve(t, ctx, first, "w", heartbeat)
	id := submit(t, ctx, first, job.Policy{})
	receive(t, ctx, began, "it runs")
	until(t, "a heartbeat is taken", func() bool { return f.reported("heartbeat") > 0 })
	first.kill()
	before := f.reported("heartbeat")

	second := startServer(t, dir, public)
	f.lead(t, second)
	j := ended(t, ctx, second, id)
	if j.Status != "succeeded" || string(j.Result) != `"done"` || len(j.Attempts) != 1 || j.Attempts[0].Outcome != "succeeded" {
		t.Errorf("it is %s with %s after %+v", j.Status, j.Result, j.Attempts)
	}
	if got := time.Duration(j.Attempts[0].Duration); got < *lasting {
		t.Errorf("its attempt lasted %s, want at least %s", got, *lasting)
	}
	until(t, "its completion is answered", func() bool { return f.reported("complete") > 0 })
	if n, done, beats := h.pushes.Load(), f.reported("complete"), f.reported("heartbeat"); n != 1 || done != 1 || beats <= before {
		t.Errorf("%d pushes, %d completions, %d heartbeats of which %d before it was killed", n, done, beats, before)
	}
	second.terminate(t)
}

// workSecret in the environment makes this binary a worker that begins jobs, names them,
// and never ends one.
const workSecret = "E2E_WORK_SECRET"

func work(secret string) error {
	s, err := webhook.ParseSecret(secret)
	if err != nil {
		return err
	}
	mux := workersdk.NewMux(workersdk.WithSecrets(s))
	workersdk.Handle(mux, "long", func(ctx context.Context, job workersdk.Job[[]byte]) error {
		fmt.Println(job.ID)
		<-ctx.Done()
		return context.Cause(ctx)
	}, workersdk.Async())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("http://%s\n", listener.Addr())
	server := http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	return server.Serve(listener) // until it is killed
}

// A worker is killed in the middle of a job: that is noticed by its silence, and the job
// runs elsewhere.
func TestKillAWorkerThatRunsAsynchronously(t *testing.T) {
	t.Parallel()
	ctx := deadline(t)
	s, h := startServer(t, t.TempDir()), startHook(t)
	again := make(chan struct{}, 1)
	workersdk.Handle(h.Mux, "long", func(context.Context, workersdk.Job[[]byte]) error {
		again <- struct{}{}
		return nil
	}, workersdk.Async())
	doomed, at, said := startSelf(t, workSecret+"="+h.secret.Reveal())
	if _, err := s.PutWorker(ctx, "w", client.WorkerConfig{URL: at, Queues: []string{"q"}, SigningSecret: h.secret.Reveal(), HeartbeatTimeout: heartbeat}); err != nil {
		t.Fatal(err)
	}
	id := submit(t, ctx, s, job.Policy{InitialDelay: job.Duration(time.Millisecond), MaxDelay: job.Duration(time.Millisecond)})
	if line, err := said.ReadString('\n'); err != nil || strings.TrimSpace(line) != id {
		t.Fatalf("it does not run: %q, %v", line, err)
	}
	kill(doomed)
	died := time.Now()
	h.serve(t, ctx, s, "w", heartbeat)
	receive(t, ctx, again, "it runs elsewhere")
	within(t, "it runs elsewhere", died, heartbeat.Std()+2*time.Second)
	j := ended(t, ctx, s, id)
	if j.Status != "succeeded" || len(j.Attempts) != 2 || j.Attempts[0].Outcome != "timed_out" || j.Attempts[0].Reason != "heartbeat" {
		t.Errorf("it is %s after %+v", j.Status, j.Attempts)
	}
	s.terminate(t)
}

// A cancel ends the context of a handler that runs: by the end of its request, or by a
// notice. A heartbeat would have told much later.
func TestCancelReachesAHandler(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]workersdk.HandleOption{"synchronous": nil, "asynchronous": {workersdk.Async()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := deadline(t)
			s, h := startServer(t, t.TempDir()), startHook(t)
			began, stopped := make(chan struct{}, 1), make(chan error, 1)
			workersdk.Handle(h.Mux, "long", func(ctx context.Context, _ workersdk.Job[[]byte]) error {
				began <- struct{}{}
				<-ctx.Done()
				stopped <- context.Cause(ctx)
				return ctx.Err()
			}, options...)
			h.serve(t, ctx, s, "w", job.Duration(time.Minute))
			id := submit(t, ctx, s, job.Policy{})
			receive(t, ctx, began, "it runs")
			from := time.Now()
			if _, err := s.CancelJob(ctx, id); err != nil {
				t.Fatal(err)
			}
			cause := receive(t, ctx, stopped, "its context ends")
			within(t, "its context has ended", from, 500*time.Millisecond)
			if name == "asynchronous" && !errors.Is(cause, workersdk.ErrCancelled) {
				t.Errorf("by %v", cause)
			}
			if j := ended(t, ctx, s, id); j.Status != "cancelled" {
				t.Errorf("it is %s", j.Status)
			}
			s.terminate(t)
		})
	}
}

// A worker that shuts down gives its attempt back, and another runs it at once, although
// the job has but one attempt.
func TestGivenBackAttemptRunsElsewhere(t *testing.T) {
	t.Parallel()
	ctx := deadline(t)
	s := startServer(t, t.TempDir())
	hooks := []*hook{startHook(t), startHook(t)}
	began := make(chan *hook, 2)
	var leaving atomic.Pointer[hook]
	for i, h := range hooks {
		workersdk.Handle(h.Mux, "long", func(ctx context.Context, _ workersdk.Job[[]byte]) error {
			began <- h
			if leaving.CompareAndSwap(nil, h) {
				<-ctx.Done()
				return context.Cause(ctx)
			}
			return nil
		}, workersdk.Async())
		h.serve(t, ctx, s, fmt.Sprintf("w%d", i), job.Duration(time.Minute))
	}
	id := submit(t, ctx, s, job.Policy{MaxAttempts: 1, InitialDelay: job.Duration(time.Hour)})
	first := receive(t, ctx, began, "it runs")
	until(t, "the server knows that it was taken over", func() bool {
		j, err := s.Job(ctx, id, 0)
		return err == nil && j.Status == "running"
	})
	now, stop := context.WithCancel(ctx)
	stop()
	from := time.Now()
	if err := first.Shutdown(now); err != nil {
		t.Error(err)
	}
	if second := receive(t, ctx, began, "it runs elsewhere"); second == first {
		t.Error("it runs again at the worker that has left")
	}
	within(t, "it runs elsewhere", from, 2*time.Second)
	j := ended(t, ctx, s, id)
	if j.Status != "succeeded" || j.Failures != 0 || j.Attempts[0].Outcome != "lost" || j.Attempts[0].Reason != "shutdown" {
		t.Errorf("it is %s with %d failures after %+v", j.Status, j.Failures, j.Attempts)
	}
	s.terminate(t)
}
