package dispatcher

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/store/engine"
	"github.com/orchestrix/orchestrix/store/engine/pebble"
	"github.com/orchestrix/orchestrix/webhook"
	"github.com/orchestrix/orchestrix/webhook/push"
)

// world is a dispatcher with a real store and a real worker.
type world struct {
	t      testing.TB
	store  *store.Store
	d      *Dispatcher
	config Config
	worker *worker
}

// worker answers pushes and counts them.
type worker struct {
	*httptest.Server
	mu     sync.Mutex
	pushes map[string]int // by webhook-id
	answer func(w http.ResponseWriter, r *http.Request, push int)
}

func newWorker(answer func(w http.ResponseWriter, r *http.Request, push int)) *worker {
	w := &worker{pushes: make(map[string]int), answer: answer}
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then is the server told that the client has gone
		w.mu.Lock()
		id := r.Header.Get(webhook.HeaderID)
		w.pushes[id]++
		n := w.pushes[id]
		w.mu.Unlock()
		if w.answer != nil {
			w.answer(rw, r, n)
		}
	}))
	return w
}

// count returns how many jobs were pushed, and how many pushes there were.
func (w *worker) count() (jobs, pushes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.pushes {
		pushes += n
	}
	return len(w.pushes), pushes
}

func memory(t testing.TB, shards int) engine.Engine {
	e, err := pebble.OpenMemory(pebble.Options{Shards: shards})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// newWorld has a dispatcher that was not started; all of it ends with the test.
func newWorld(t testing.TB, e engine.Engine, answer func(w http.ResponseWriter, r *http.Request, push int), change ...func(*Options)) *world {
	w := &world{t: t, store: store.New(e), worker: newWorker(answer)}
	client := push.New(push.Options{Guard: push.NewGuard(nil, true)})
	secret := webhook.NewSecret()
	w.config = Config{
		DefaultQueue: Queue{Concurrency: 50}, SigningSecrets: []webhook.Secret{secret},
		Retry: job.Policy{Backoff: job.BackoffFixed, InitialDelay: job.Duration(time.Millisecond)},
		Workers: []*Worker{{
			Name: "w", URL: w.worker.URL, Queues: []string{"q0", "q1", "q2"}, Secrets: []webhook.Secret{secret}, Version: 1,
		}},
	}
	o := Options{Store: w.store, Push: client, Config: w.config}
	for _, c := range change {
		c(&o)
	}
	w.config = o.Config
	w.d = New(o)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := w.d.Stop(ctx); err != nil {
			t.Error(err)
		}
		client.Close()
		w.worker.Close()
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) start() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := w.d.Start(ctx); err != nil {
		w.t.Fatal(err)
	}
}

// jobs are n new jobs of a queue.
func (w *world) jobs(queue string, n int, change ...func(*job.Job)) []store.NewJob {
	jobs := make([]store.NewJob, n)
	now, err := w.store.Now(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range jobs {
		j := &job.Job{
			ID: job.NewID(now, w.store.ShardOf(queue)), Queue: queue, Type: "t", Status: job.Waiting, Priority: job.Normal,
			ContentType: "application/json", CreatedAt: now, PayloadSize: 2,
		}
		for _, c := range change {
			c(j)
		}
		jobs[i] = store.NewJob{Job: j, Payload: []byte("{}")}
	}
	return jobs
}

func (w *world) enqueue(queue string, n int, change ...func(*job.Job)) []job.ID {
	w.t.Helper()
	results, err := w.store.Enqueue(context.Background(), w.store.ShardOf(queue), w.jobs(queue, n, change...))
	if err != nil {
		w.t.Fatal(err)
	}
	ids := make([]job.ID, len(results))
	for i, r := range results {
		ids[i] = r.Job.ID
	}
	return ids
}

func (w *world) job(id job.ID) *job.Job {
	w.t.Helper()
	j, err := w.store.Job(context.Background(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return j
}

// counts are those of the three queues together.
func (w *world) counts() store.Counts {
	w.t.Helper()
	var sum store.Counts
	for i := range 3 {
		c, err := w.store.Counts(context.Background(), fmt.Sprintf("q%d", i))
		if err != nil {
			w.t.Fatal(err)
		}
		sum.Waiting += c.Waiting
		sum.Succeeded += c.Succeeded
		sum.Dead += c.Dead
		sum.Cancelled += c.Cancelled
	}
	return sum
}

// until waits until something is so.
func (w *world) until(what string, so func() bool) {
	w.t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-deadline:
			w.t.Fatalf("never: %s; counts %+v, totals %+v", what, w.counts(), w.d.Totals())
		}
	}
}

func (w *world) untilSucceeded(n int) {
	w.t.Helper()
	w.until(fmt.Sprintf("%d jobs succeeded", n), func() bool { return w.counts().Succeeded == int64(n) })
}

// hangs answers when release is closed, or the request is.
func hangs(release <-chan struct{}) func(http.ResponseWriter, *http.Request, int) {
	return func(_ http.ResponseWriter, r *http.Request, _ int) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}
}
