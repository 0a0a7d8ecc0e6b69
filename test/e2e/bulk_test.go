package e2e_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/job"
)

// The server is killed in the middle of a bulk retry of 5,000 jobs that die
// again at once, and started again: the operation goes on by itself, and each
// job was retried just once and is counted once.
func TestKillDuringABulkRetry(t *testing.T) {
	t.Parallel()
	ctx := deadline(t)
	dir := t.TempDir()
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
	}))
	defer target.Close()

	first := startServer(t, dir)
	if _, err := first.PutQueue(ctx, "q", client.QueueConfig{Concurrency: concurrency, Retry: &job.Policy{MaxAttempts: 1}}); err != nil {
		t.Fatal(err)
	}
	if _, err := first.PutWorker(ctx, "w", client.WorkerConfig{URL: target.URL, Queues: []string{"q"}, Circuit: &job.Circuit{Mode: job.Off}}); err != nil {
		t.Fatal(err)
	}
	enqueue(t, ctx, first)
	dead := func(s *server) (n int64) {
		q, err := s.Queue(ctx, "q")
		if err != nil {
			t.Fatal(err)
		}
		return q.Counts[job.Dead.String()]
	}
	until(t, "all jobs are dead", func() bool { return dead(first) == jobs })
	o, err := first.RetryJobs(ctx, client.Selection{JobFilter: client.JobFilter{Queue: "q"}})
	if err != nil {
		t.Fatal(err)
	}
	until(t, "a quarter is retried", func() bool {
		if o, err = first.Operation(ctx, o.ID, 0); err != nil {
			t.Fatal(err)
		}
		return o.Done >= jobs/4
	})
	first.kill()
	if o.Over() {
		t.Fatalf("the operation was over before the server was killed: %+v", o)
	}

	second := startServer(t, dir)
	if o, err = second.WaitOperation(ctx, o.ID); err != nil || o.Status != "succeeded" || o.Matched != jobs || o.Done != jobs || o.Skipped != 0 {
		t.Errorf("%+v, %v", o, err)
	}
	until(t, "all jobs are dead again", func() bool { return dead(second) == jobs })
	for j, err := range second.Jobs(ctx, client.JobFilter{Queue: "q"}) {
		if err != nil {
			t.Fatal(err)
		}
		if j.Incarnation != 1 {
			t.Errorf("%s is in incarnation %d", j.ID, j.Incarnation)
		}
	}
	second.terminate(t)
}

// until waits until it is so; the test's deadline bounds what is asked.
func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(3 * time.Minute); !so(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("after three minutes it is not so that %s", what)
		}
	}
}
