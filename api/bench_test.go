package api_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/api"
	"github.com/orchestrix/orchestrix/control"
	"github.com/orchestrix/orchestrix/dispatcher"
	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/observability"
	"github.com/orchestrix/orchestrix/store"
)

// nullStore acknowledges everything at once, so that a benchmark measures api and
// control and nothing else.
type nullStore struct{ control.Store }

func (nullStore) Shards() int { return 64 }
func (nullStore) Now(context.Context) (time.Time, error) {
	return time.UnixMilli(1_800_000_000_000).UTC(), nil
}

func (nullStore) Enqueue(_ context.Context, _ int, jobs []store.NewJob) ([]store.Enqueued, error) {
	out := make([]store.Enqueued, len(jobs))
	for i := range jobs {
		out[i].Job = jobs[i].Job
	}
	return out, nil
}

type nullDispatcher struct{}

func (nullDispatcher) Configure(dispatcher.Config)            {}
func (nullDispatcher) Wake(int)                               {}
func (nullDispatcher) Serves(int) bool                        { return true }
func (nullDispatcher) Running(ids ...job.ID) []bool           { return make([]bool, len(ids)) }
func (nullDispatcher) KeyLive(_, _ string) dispatcher.KeyLive { return dispatcher.KeyLive{} }
func (nullDispatcher) Explain(_, _ *job.Job, _ time.Time) dispatcher.Explanation {
	return dispatcher.Explanation{}
}
func (nullDispatcher) QueueLive(string) dispatcher.QueueLive   { return dispatcher.QueueLive{} }
func (nullDispatcher) WorkerLive(string) dispatcher.WorkerLive { return dispatcher.WorkerLive{} }
func (nullDispatcher) Watch(job.ID) (<-chan struct{}, func())  { return make(chan struct{}), func() {} }

type openGuard struct{}

func (openGuard) CheckURL(context.Context, string) error { return nil }
func (openGuard) CheckAddr(netip.Addr) error             { return nil }

// discard is a ResponseWriter that keeps the status only.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }

func benchHandler() http.Handler {
	c := control.New(control.Options{Store: nullStore{}, Dispatcher: nullDispatcher{}, Guard: openGuard{}, Open: true, Durability: "fsync"})
	return api.New(api.Options{Control: c, Logger: slog.New(slog.DiscardHandler), Metrics: observability.NewMetrics("bench")})
}

func benchJob(i int, key string) string {
	payload := strings.Repeat("lorem ipsum dolor ", 54) // with its envelope, 1 KiB
	if key != "" {
		key = `"idempotency_key":"` + key + `",`
	}
	return fmt.Sprintf(`{"queue":"billing","type":"invoice.send",%s"payload":{"n":%d,"text":%q}}`, key, i, payload)
}

func benchEnqueue(b *testing.B, path, body string, jobs int) {
	h := benchHandler()
	r, err := http.NewRequest(http.MethodPost, "http://localhost"+path, nil)
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.ContentLength = int64(len(body))
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		r.Body = io.NopCloser(bytes.NewReader([]byte(body)))
		w := &discard{header: http.Header{}}
		if h.ServeHTTP(w, r); w.status != http.StatusAccepted {
			b.Fatalf("status %d", w.status)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*jobs), "ns/job")
}

func BenchmarkEnqueue(b *testing.B) { benchEnqueue(b, "/v1/jobs", benchJob(1, ""), 1) }

func BenchmarkEnqueueKeyed(b *testing.B) { benchEnqueue(b, "/v1/jobs", benchJob(1, "k"), 1) }

func benchBatch(b *testing.B, keyed bool) {
	const jobs = 500
	bodies := make([]string, jobs)
	for i := range bodies {
		key := ""
		if keyed {
			key = fmt.Sprintf("auto-%026d", i)
		}
		bodies[i] = benchJob(i, key)
	}
	benchEnqueue(b, "/v1/jobs/batch", `{"jobs":[`+strings.Join(bodies, ",")+`]}`, jobs)
}

func BenchmarkEnqueueBatch(b *testing.B)      { benchBatch(b, false) }
func BenchmarkEnqueueBatchKeyed(b *testing.B) { benchBatch(b, true) }
