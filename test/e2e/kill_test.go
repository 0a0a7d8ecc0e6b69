package e2e_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/webhook"
)

const (
	jobs        = 5000
	concurrency = 50
)

// worker counts pushes by job, and verifies each of them.
type worker struct {
	verifier webhook.Verifier
	// reached is closed once at pushes were received.
	reached chan struct{}
	at      int

	mu       sync.Mutex
	pushes   map[string]int
	total    int
	unsigned []error
}

func (w *worker) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // its sender was killed before it had sent all: no push
	}
	err = w.verifier.Verify(r.Header, body)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.unsigned = append(w.unsigned, err)
	}
	w.pushes[r.Header.Get(webhook.HeaderID)]++
	if w.total++; w.total == w.at {
		close(w.reached)
	}
}

// The server is killed in the middle of 5,000 jobs and started again: every job
// is pushed at least once, at most the pushes in flight are repeated, all are
// recorded as succeeded, and none was unsigned.
func TestKillAndRestart(t *testing.T) {
	t.Parallel()
	ctx := deadline(t)
	dir := t.TempDir()
	secret := webhook.NewSecret()
	w := &worker{
		verifier: webhook.Verifier{Secrets: []webhook.Secret{secret}},
		reached:  make(chan struct{}), at: jobs / 4, pushes: map[string]int{},
	}
	target := httptest.NewServer(w)
	defer target.Close()

	first := startServer(t, dir)
	if _, err := first.PutQueue(ctx, "q", client.QueueConfig{Concurrency: concurrency}); err != nil {
		t.Fatal(err)
	}
	config := client.WorkerConfig{URL: target.URL, Queues: []string{"q"}, SigningSecret: secret.Reveal()}
	if _, err := first.PutWorker(ctx, "w", config); err != nil {
		t.Fatal(err)
	}
	ids := enqueue(t, ctx, first)
	select {
	case <-w.reached:
	case <-ctx.Done():
		t.Fatalf("only %d pushes in a minute", w.total)
	}
	first.kill()

	second := startServer(t, dir)
	untilSucceeded(t, ctx, second)
	checkJobs(t, ctx, second, w, ids)
	second.terminate(t)
}

func enqueue(t *testing.T, ctx context.Context, s *server) []string {
	t.Helper()
	batch := make([]client.NewJob, jobs)
	for i := range batch {
		batch[i] = client.NewJob{Queue: "q", Type: "t", Payload: i}
	}
	results, err := s.EnqueueBatch(ctx, batch)
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]string, len(results))
	for i, r := range results {
		if r.Error != nil {
			t.Fatal(r.Error)
		}
		ids[i] = r.ID
	}
	return ids
}

func untilSucceeded(t *testing.T, ctx context.Context, s *server) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		q, err := s.Queue(ctx, "q")
		if err != nil {
			t.Fatal(err)
		}
		if q.Counts[job.Succeeded.String()] == jobs {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("after a minute: %+v", q)
		}
	}
}

func checkJobs(t *testing.T, ctx context.Context, s *server, w *worker, ids []string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, err := range w.unsigned {
		t.Errorf("a push did not verify: %v", err)
	}
	attempts := map[string]int{}
	for j, err := range s.Jobs(ctx, client.JobFilter{Queue: "q"}) {
		if err != nil {
			t.Fatal(err)
		}
		if j.Status != job.Succeeded.String() {
			t.Errorf("%s is %s", j.ID, j.Status)
		}
		attempts[j.ID] = j.Attempt
	}
	if len(attempts) != jobs {
		t.Errorf("%d jobs are recorded, want %d", len(attempts), jobs)
	}
	repeated, lost := 0, 0
	for _, id := range ids {
		if w.pushes[id] == 0 {
			t.Errorf("%s was never pushed", id)
		}
		if w.pushes[id] > attempts[id] {
			t.Errorf("%s was pushed %d times, and %d attempts are recorded", id, w.pushes[id], attempts[id])
		}
		repeated += w.pushes[id] - 1
		lost += attempts[id] - 1
	}
	if len(w.pushes) != jobs {
		t.Errorf("%d jobs were pushed, want %d: one was invented", len(w.pushes), jobs)
	}
	if lost > concurrency {
		t.Errorf("%d attempts were lost with the process, want at most the %d in flight", lost, concurrency)
	}
	t.Logf("%d pushes of %d jobs: %d attempts lost with the process, %d of them repeated at the worker", w.total, jobs, lost, repeated)
}
