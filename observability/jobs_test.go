package observability_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/observability"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func ended(queue string, s job.Status, change ...func(*job.Job)) *job.Job {
	j := &job.Job{Queue: queue, Status: s, CreatedAt: start, FinishedAt: start.Add(40 * time.Second)}
	for _, c := range change {
		c(j)
	}
	return j
}

func attempt(m *observability.Metrics, queue, worker string, o job.Outcome, status int, waited, took time.Duration) {
	m.Pushed(queue, worker, waited, took)
	m.Attempt(queue, worker, o, status)
}

func TestJobsAreCountedByQueueAndWorker(t *testing.T) {
	t.Parallel()
	m := observability.NewMetrics("x")
	m.Enqueued("mails")
	attempt(m, "mails", "w", job.OutcomeSucceeded, 204, time.Second, 20*time.Millisecond)
	attempt(m, "mails", "w", job.OutcomeFailed, 503, 0, time.Second)
	attempt(m, "mails", "w", job.OutcomeFailed, 0, 0, time.Second)
	attempt(m, "mails", "", job.OutcomeThrottled, 429, 0, time.Second)
	attempt(m, "mails", "w", job.OutcomeFailed, 999, 0, time.Second)
	m.Settled(ended("mails", job.Succeeded))
	m.Settled(ended("mails", job.Succeeded, func(j *job.Job) { j.RunAt = start.Add(39 * time.Second) }))
	m.Settled(ended("mails", job.Succeeded, func(j *job.Job) { j.Incarnation = 1 }))
	m.Settled(ended("mails", job.Dead))
	m.Commit(5, 3*time.Millisecond)
	wantLines(
		t, scrape(t, m),
		`orchestrix_queue_jobs_enqueued_total{queue="mails"} 1`,
		`orchestrix_queue_attempts_total{outcome="failed",queue="mails"} 3`, `orchestrix_queue_attempts_total{outcome="lost",queue="mails"} 0`,
		`orchestrix_worker_attempts_total{outcome="succeeded",status_class="2xx",worker="w"} 1`,
		`orchestrix_worker_attempts_total{outcome="failed",status_class="5xx",worker="w"} 1`,
		`orchestrix_worker_attempts_total{outcome="failed",status_class="none",worker="w"} 1`,
		`orchestrix_worker_attempts_total{outcome="failed",status_class="other",worker="w"} 1`,
		`orchestrix_worker_attempts_total{outcome="throttled",status_class="4xx",worker="ad_hoc"} 1`,
		`orchestrix_queue_jobs_settled_total{queue="mails",status="succeeded"} 3`, `orchestrix_queue_jobs_settled_total{queue="mails",status="dead"} 1`,
		`orchestrix_start_latency_seconds_sum{queue="mails"} 1`, `orchestrix_start_latency_seconds_count{queue="mails"} 5`,
		`orchestrix_job_duration_seconds_bucket{queue="mails",le="1"} 1`, `orchestrix_job_duration_seconds_count{queue="mails"} 2`,
		`orchestrix_push_duration_seconds_bucket{worker="w",le="0.025"} 1`, `orchestrix_push_duration_seconds_count{worker="w"} 4`,
		`orchestrix_commit_changes_bucket{le="16"} 1`, `orchestrix_commit_duration_seconds_bucket{le="0.005"} 1`,
	)
}

// TestNamesAreBounded: whatever names clients choose, and however many at once, there
// are a hundred of each and what is counted is counted all the same.
func TestNamesAreBounded(t *testing.T) {
	t.Parallel()
	m := observability.NewMetrics("x")
	var wait sync.WaitGroup
	for i := range 4 {
		wait.Go(func() {
			for k := range 150 {
				name := fmt.Sprintf("n%d", (k+37*i)%150)
				attempt(m, name, name, job.OutcomeSucceeded, 200, 0, 0)
			}
		})
	}
	wait.Wait()
	for _, label := range []string{"queue", "worker"} {
		names, sum := map[string]bool{}, 0.0
		for _, f := range gather(t, m) {
			if f.GetName() != "orchestrix_"+label+"_attempts_total" {
				continue
			}
			for _, s := range f.GetMetric() {
				names[labelOf(s, label)] = true
				sum += s.GetCounter().GetValue()
			}
		}
		if len(names) != 101 || !names["other"] || sum != 600 {
			t.Errorf("%d names of a %s, other %t, %v attempts; want 101 with other, and 600", len(names), label, names["other"], sum)
		}
	}
}

func labelOf(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

func TestShow(t *testing.T) {
	t.Parallel()
	m := observability.NewMetrics("x")
	if text := scrape(t, m); strings.Contains(text, "orchestrix_queue_jobs{") || strings.Contains(text, "survey_age") {
		t.Error("a scrape before the first look shows one")
	}
	m.Enqueued("known")
	m.Show(&observability.Survey{
		Queues: []observability.QueueStanding{
			{Queue: "idle", Succeeded: 3, Dead: 1},
			{Queue: "idle2", Succeeded: 4},
			{Queue: "busy", Pending: 1, Running: 2, Scheduled: 3, Retrying: 4, Oldest: 90 * time.Second},
			{Queue: "known", Expired: 6},
			{Queue: "unseen", Pending: 1, Oldest: -1},
		},
		Workers:    []observability.WorkerStanding{{Worker: "w", InFlight: 2, Open: 1, HalfOpen: 3, Throttled: true}, {Worker: "v"}},
		Blocked:    map[string]int{"paused": 1, "rate": 0},
		StoreBytes: 13, StoreFree: -1,
	})
	text := scrape(t, m)
	wantLines(
		t, text,
		`orchestrix_queue_jobs{queue="other",status="succeeded"} 7`, `orchestrix_queue_jobs{queue="other",status="dead"} 1`,
		`orchestrix_queue_jobs{queue="busy",status="running"} 2`, `orchestrix_queue_jobs{queue="known",status="expired"} 6`,
		`orchestrix_queue_oldest_pending_seconds{queue="busy"} 90`, `orchestrix_queue_oldest_pending_seconds{queue="known"} 0`,
		"orchestrix_queues 5", `orchestrix_queues_blocked{reason="paused"} 1`, `orchestrix_queues_blocked{reason="rate"} 0`,
		`orchestrix_worker_pushes_in_flight{worker="w"} 2`, `orchestrix_worker_circuits{state="open",worker="w"} 1`,
		`orchestrix_worker_circuits{state="half_open",worker="w"} 3`, `orchestrix_worker_throttled{worker="w"} 1`, `orchestrix_worker_throttled{worker="v"} 0`,
		"orchestrix_store_bytes 13",
	)
	for _, absent := range []string{`"idle"`, "store_free_bytes", `oldest_pending_seconds{queue="unseen"}`} {
		if strings.Contains(text, absent) {
			t.Errorf("the scrape has %s", absent)
		}
	}
	m.Show(&observability.Survey{StoreBytes: -1, StoreFree: 7})
	if text := scrape(t, m); strings.Contains(text, `queue="busy",status="running"`) || !strings.Contains(text, "orchestrix_store_free_bytes 7") {
		t.Error("what was shown before is still there, or what is new is not")
	}
}

// full is a registry in which everything has something to show.
func full(tb testing.TB) *observability.Metrics {
	tb.Helper()
	m := observability.NewMetrics("x")
	m.Request("POST", "/v1/jobs", 202, time.Millisecond)
	m.Enqueued("q")
	attempt(m, "q", "w", job.OutcomeSucceeded, 200, time.Second, time.Second)
	m.Settled(ended("q", job.Succeeded))
	m.Commit(3, time.Millisecond)
	e := m.MeterEngine(&fakeEngine{})
	_, err := e.Apply(tb.Context(), 0, nil)
	if err != nil {
		tb.Fatal(err)
	}
	m.Watch(observability.Sources{
		Enqueues: func() observability.Enqueues { return observability.Enqueues{} },
		Pushes:   func() observability.Pushes { return observability.Pushes{} },
		Leader:   func() (uint64, bool) { return 1, true },
	})
	m.Show(&observability.Survey{
		Queues:  []observability.QueueStanding{{Queue: "q", Pending: 1}},
		Workers: []observability.WorkerStanding{{Worker: "w"}}, Blocked: map[string]int{"paused": 1},
	})
	return m
}

func gather(tb testing.TB, m *observability.Metrics) []*dto.MetricFamily {
	tb.Helper()
	families, err := m.Gather()
	if err != nil {
		tb.Fatal(err)
	}
	return families
}

var _ prometheus.Gatherer = (*observability.Metrics)(nil)

// TestNamesFollowTheRules of Prometheus: units, suffixes, help.
func TestNamesFollowTheRules(t *testing.T) {
	t.Parallel()
	problems, err := promlint.NewWithMetricFamilies(gather(t, full(t))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestHistogramsAreNativeToo(t *testing.T) {
	t.Parallel()
	for _, f := range gather(t, full(t)) {
		name := f.GetName()
		if f.GetType() != dto.MetricType_HISTOGRAM || !strings.HasPrefix(name, "orchestrix_") || name == "orchestrix_schedule_lateness_seconds" {
			continue
		}
		h := f.GetMetric()[0].GetHistogram()
		if h.Schema == nil || len(h.GetPositiveSpan()) == 0 && h.GetZeroCount() == 0 && h.GetSampleCount() > 0 || len(h.GetBucket()) == 0 {
			t.Errorf("%s has no native or no classic buckets", name)
		}
	}
}

// BenchmarkAttempt is what an attempt and its job's end cost where they are counted.
func BenchmarkAttempt(b *testing.B) {
	m := observability.NewMetrics("x")
	j := ended("mails", job.Succeeded)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			attempt(m, "mails", "w", job.OutcomeSucceeded, 200, 3*time.Millisecond, 2*time.Millisecond)
			m.Settled(j)
		}
	})
}

// BenchmarkScrape is a scrape of a server with 10,000 queues and 1,000 workers, all of
// which have had jobs. It has to take less than 20 ms.
func BenchmarkScrape(b *testing.B) {
	m := full(b)
	v := &observability.Survey{Blocked: map[string]int{"paused": 1}}
	for i := range 10_000 {
		queue, worker := fmt.Sprintf("queue-%d", i), fmt.Sprintf("worker-%d", i%1000)
		for k := range 20 {
			attempt(m, queue, worker, job.OutcomeSucceeded, 200, time.Duration(k*k)*time.Millisecond, time.Duration(k)*time.Millisecond)
			attempt(m, queue, worker, job.OutcomeFailed, 500, time.Duration(k*k)*time.Millisecond, time.Duration(k)*time.Millisecond)
			m.Settled(ended(queue, job.Succeeded, func(j *job.Job) { j.FinishedAt = start.Add(time.Duration(k) * time.Second) }))
		}
		v.Queues = append(v.Queues, observability.QueueStanding{Queue: queue, Pending: 1, Oldest: time.Second})
		if i < 1000 {
			v.Workers = append(v.Workers, observability.WorkerStanding{Worker: worker, InFlight: 1})
		}
	}
	m.Show(v)
	b.ReportAllocs()
	for b.Loop() {
		if text := scrapeFor(b, m); len(text) < 100_000 {
			b.Fatal("the scrape is short")
		}
	}
}
