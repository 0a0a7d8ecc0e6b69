package app_test

import (
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/job"
)

// A worker that hangs on every push costs the jobs of another queue nothing:
// all of them are done while each push that the hanging worker can get is still
// open. Both queues are in one shard, so that even its loop must not wait.
func TestHangingWorkerHurtsNobodyElse(t *testing.T) {
	t.Parallel()
	const hung, others, concurrency = 200, 500, 50
	c := config(t.TempDir())
	c.Shards = 1
	s := start(t, c)
	release := make(chan struct{})
	var open atomic.Int32
	full := make(chan struct{})
	s.register(t, "hanging", []string{"slow"}, func(_ http.ResponseWriter, r *http.Request, _ push) {
		if open.Add(1) == concurrency {
			close(full)
		}
		select {
		case <-release:
		case <-r.Context().Done():
		}
		open.Add(-1)
	})
	w := s.register(t, "quick", []string{"quick"}, nil)
	ctx := deadline(t)
	if _, err := s.PutQueue(ctx, "slow", client.QueueConfig{Concurrency: concurrency}); err != nil {
		t.Fatal(err)
	}
	slow := s.batch(t, "slow", hung)
	select {
	case <-full:
	case <-ctx.Done():
		t.Fatalf("only %d pushes hang", open.Load())
	}
	for _, id := range s.batch(t, "quick", others) {
		status(t, s.await(t, id), job.Succeeded)
	}
	if n := len(w.received()); n != others {
		t.Errorf("%d pushes to the quick worker, want %d", n, others)
	}
	if n := open.Load(); n != concurrency {
		t.Errorf("%d pushes hang, want %d: the quick jobs did not pass them by", n, concurrency)
	}
	close(release)
	for _, id := range slow {
		status(t, s.await(t, id), job.Succeeded)
	}
}

func (s *server) batch(t *testing.T, queue string, n int) []string {
	t.Helper()
	jobs := make([]client.NewJob, n)
	for i := range jobs {
		jobs[i] = client.NewJob{Queue: queue, Type: "t"}
	}
	results, err := s.EnqueueBatch(deadline(t), jobs)
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]string, n)
	for i, r := range results {
		if r.Error != nil {
			t.Fatal(r.Error)
		}
		ids[i] = r.ID
	}
	return ids
}
