package app_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/orchestrix/orchestrix/app"
	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what has to happen within milliseconds:
// long enough for a busy machine, and only used up where the test fails.
const patience = 30 * time.Second

// deadline bounds a test.
func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// server is a running App.
type server struct {
	*client.Client
	app  *app.App
	stop func() error
}

// config is that of a server on a directory, with pushes to loopback allowed.
func config(dir string) app.Config {
	c := app.Defaults()
	c.Store, c.Listen, c.Shards = "embedded:"+dir, "127.0.0.1:0", 4
	c.AllowCIDR = []string{"127.0.0.0/8", "::1/128"}
	c.Logger = slog.New(slog.DiscardHandler)
	return c
}

// start runs a server for as long as the test.
func start(t *testing.T, c app.Config, options ...client.Option) *server {
	t.Helper()
	a, err := app.New(deadline(t), c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	h := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	api, err := client.New(a.URL(), append(options, client.WithHTTPClient(h))...)
	if err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceValue(func() error {
		h.CloseIdleConnections()
		cancel()
		return <-ended
	})
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return &server{api, a, stop}
}

// push is what a worker received.
type push struct {
	id       string
	jobType  string
	attempt  int
	body     string
	header   http.Header
	received time.Time
}

// worker is a real HTTP server that verifies each push. What does not verify
// fails the test.
type worker struct {
	url    string
	answer func(http.ResponseWriter, *http.Request, push)

	mu     sync.Mutex
	pushes []push
}

func startWorker(t *testing.T, verifier *webhook.Verifier, answer func(http.ResponseWriter, *http.Request, push)) *worker {
	t.Helper()
	w := &worker{answer: answer}
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the server aborted the push
		}
		if err := verifier.Verify(r.Header, body); err != nil {
			t.Errorf("push of %s: %v", r.Header.Get(webhook.HeaderID), err)
		}
		attempt, _ := strconv.Atoi(r.Header.Get(webhook.HeaderAttempt))
		p := push{r.Header.Get(webhook.HeaderID), r.Header.Get(webhook.HeaderJobType), attempt, string(body), r.Header, time.Now()}
		w.mu.Lock()
		w.pushes = append(w.pushes, p)
		w.mu.Unlock()
		if w.answer != nil {
			w.answer(rw, r, p)
		}
	}))
	t.Cleanup(s.Close)
	w.url = s.URL
	return w
}

// received returns the pushes so far, in order.
func (w *worker) received() []push {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.pushes)
}

// register starts a worker and registers it for the queues.
func (s *server) register(t *testing.T, name string, queues []string, answer func(http.ResponseWriter, *http.Request, push)) *worker {
	t.Helper()
	secret := webhook.NewSecret()
	w := startWorker(t, &webhook.Verifier{Secrets: []webhook.Secret{secret}}, answer)
	_, err := s.PutWorker(deadline(t), name, client.WorkerConfig{URL: w.url, Queues: queues, SigningSecret: secret.Reveal()})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// quick is a retry policy of milliseconds.
func quick(attempts int) *job.Policy {
	return &job.Policy{MaxAttempts: attempts, Backoff: job.BackoffFixed, InitialDelay: job.Duration(time.Millisecond), Jitter: job.JitterNone}
}

func (s *server) enqueue(t *testing.T, j client.NewJob) string {
	t.Helper()
	if j.Type == "" {
		j.Type = "test"
	}
	r, err := s.Enqueue(deadline(t), j)
	if err != nil {
		t.Fatal(err)
	}
	return r.ID
}

// await returns the job at its end.
func (s *server) await(t *testing.T, id string) *client.Job {
	t.Helper()
	j, err := s.Wait(deadline(t), id)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// status fails the test where the job did not end so.
func status(t *testing.T, j *client.Job, want job.Status) {
	t.Helper()
	if j.Status != want.String() {
		t.Errorf("%s is %s (%s) after %d attempts, want %s: %+v", j.ID, j.Status, j.Reason, j.Attempt, want, j.Attempts)
	}
}

// outcomes returns how the attempts ended.
func outcomes(j *client.Job) []string {
	var out []string
	for _, a := range j.Attempts {
		out = append(out, a.Outcome)
	}
	return out
}
