package dispatcher

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/orchestrix/orchestrix/job"
)

// TestSurvey: each queue of the node's shards is counted once, by what is shown of its
// jobs, and what the loops know is there too.
func TestSurvey(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	w := newWorld(t, memory(t, 4), hangs(release))
	w.start()
	w.enqueue("q0", 3)
	w.enqueue("q1", 2, func(j *job.Job) {
		j.RunAt = j.CreatedAt.Add(time.Hour)
		j.Due = j.RunAt
	})
	w.enqueue("nobody", 4)
	w.until("all are pushed", func() bool { n, _ := w.worker.count(); return n == 3 })
	s := NewSurveyor(w.d)
	look := func() map[string]QueueStanding {
		t.Helper()
		v, err := s.Look(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		queues := make(map[string]QueueStanding)
		for _, q := range v.Queues {
			if _, twice := queues[q.Queue]; twice {
				t.Errorf("%s is there twice", q.Queue)
			}
			queues[q.Queue] = q
		}
		if len(v.Workers) != 1 || v.Workers[0].Worker != "w" || v.Blocked[blockedNoWorker] != 1 || len(v.Blocked) != len(blockedReasons) {
			t.Errorf("workers %+v, blocked %v", v.Workers, v.Blocked)
		}
		return queues
	}
	want := map[string]QueueStanding{
		"q0": {Queue: "q0", Running: 3}, "q1": {Queue: "q1", Scheduled: 2}, "nobody": {Queue: "nobody", Pending: 4},
	}
	got := look()
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(QueueStanding{}, "Oldest")); diff != "" {
		t.Errorf("survey (-want +got):\n%s", diff)
	}
	w.until("the oldest job ages", func() bool { return look()["nobody"].Oldest > 0 })
	if got["q0"].Oldest != 0 || len(s.since) != 1 {
		t.Errorf("the oldest pending job of a queue with none is %s old; since %v", got["q0"].Oldest, s.since)
	}
	close(release)
	w.untilSucceeded(3)
	w.until("they have ended", func() bool { q := look()["q0"]; return q.Succeeded == 3 && q.Running == 0 })
}

// meterLog keeps what it is told.
type meterLog struct {
	mu       sync.Mutex
	attempts []attemptSeen
	settled  map[job.Status]int
	changes  int
	pushes   int
}

type attemptSeen struct {
	queue, worker string
	outcome       job.Outcome
	status        int
}

func (m *meterLog) Pushed(_, _ string, waited, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if waited >= 0 && took > 0 {
		m.pushes++
	}
}

func (m *meterLog) Attempt(queue, worker string, o job.Outcome, status int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.attempts = append(m.attempts, attemptSeen{queue, worker, o, status})
}

func (m *meterLog) Settled(j *job.Job) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.settled[j.Status]++
}

func (m *meterLog) Commit(changes int, _ time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.changes += changes
}

func TestMeterIsToldOfEachAttemptAndEnd(t *testing.T) {
	t.Parallel()
	m := &meterLog{settled: make(map[job.Status]int)}
	w := newWorld(t, memory(t, 1), func(rw http.ResponseWriter, _ *http.Request, push int) {
		if push == 1 {
			rw.WriteHeader(http.StatusTeapot)
		}
	}, func(o *Options) { o.Meter = m })
	w.start()
	w.enqueue("q0", 1)
	w.enqueue("q1", 1, func(j *job.Job) { j.URL = w.worker.URL })
	w.untilSucceeded(2)
	w.until("the ends are told", func() bool { m.mu.Lock(); defer m.mu.Unlock(); return m.settled[job.Succeeded] == 2 })
	m.mu.Lock()
	defer m.mu.Unlock()
	want := []attemptSeen{
		{"q0", "w", job.OutcomeFailed, http.StatusTeapot},
		{"q0", "w", job.OutcomeSucceeded, 200},
		{"q1", "", job.OutcomeFailed, http.StatusTeapot},
		{"q1", "", job.OutcomeSucceeded, 200},
	}
	less := cmpopts.SortSlices(func(a, b attemptSeen) bool {
		return a.queue < b.queue || a.queue == b.queue && a.status > b.status
	})
	if diff := cmp.Diff(want, m.attempts, less, cmp.AllowUnexported(attemptSeen{})); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
	if got := w.d.Totals().Retries; got != 2 || m.pushes != 4 || m.changes < 8 {
		t.Errorf("%d retries, %d pushes, %d changes; want 2, 4, and a claim and an end of four attempts", got, m.pushes, m.changes)
	}
}

// BenchmarkSurvey is one look at a node that serves 10,000 queues, in each of which a job
// waits that no worker takes.
func BenchmarkSurvey(b *testing.B) {
	w := newWorld(b, memory(b, 64), nil)
	w.start()
	for i := range 10_000 {
		w.enqueue(fmt.Sprintf("queue-%d", i), 1)
	}
	s := NewSurveyor(w.d)
	b.ReportAllocs()
	for b.Loop() {
		v, err := s.Look(b.Context())
		if err != nil || len(v.Queues) != 10_000 || v.Blocked[blockedNoWorker] == 0 {
			b.Fatalf("%d queues, blocked %v, %v", len(v.Queues), v.Blocked, err)
		}
	}
}
