package observability

import (
	"cmp"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/orchestrix/orchestrix/job"
)

// Survey is what was found when somebody looked at the store and the dispatcher. It is
// what a scrape shows until the next one: a scrape itself looks at nothing.
type Survey struct {
	Queues  []QueueStanding
	Workers []WorkerStanding
	Blocked map[string]int
	// StoreBytes is the space taken on the storage, StoreFree what is left on it; both
	// are negative where they cannot be told.
	StoreBytes, StoreFree int64
}

// QueueStanding is a queue as it stood; a dispatcher.QueueStanding converts to it.
type QueueStanding struct {
	Queue                                 string
	Pending, Running, Scheduled, Retrying int64
	Succeeded, Dead, Cancelled, Expired   int64
	Oldest                                time.Duration
}

// WorkerStanding is what a worker did; a dispatcher.WorkerStanding converts to it.
type WorkerStanding struct {
	Worker         string
	InFlight       int
	Open, HalfOpen int
	Throttled      bool
}

var (
	descQueueJobs = describe("queue_jobs", "Jobs by queue and by what is shown of them; of those that have ended, the ones that are kept.", "queue", "status")
	descOldest    = describe("queue_oldest_pending_seconds", "For how long the oldest job has waited that is due, by queue: 0 where none waits. Where more than 250 queues have such jobs, those are looked at that have had them for longest.", "queue")
	descQueues    = describe("queues", "Queues that have jobs, ended ones included.")
	descBlocked   = describe("queues_blocked", "Queues whose ready jobs wait for something else than their turn, by the reason.", "reason")

	descWorkerInFlight  = describe("worker_pushes_in_flight", "Pushes right now, by worker.", "worker")
	descWorkerCircuits  = describe("worker_circuits", "Circuits of a worker that are not closed, one for each of its queues, by state: open or half_open.", "worker", "state")
	descWorkerThrottled = describe("worker_throttled", "1 while a worker has asked for its pushes to be held back, else 0.", "worker")

	descStoreBytes = describe("store_bytes", "Space taken on the storage.")
	descStoreFree  = describe("store_free_bytes", "Space left on the disk of an embedded store.")
	descSurveyAge  = describe("survey_age_seconds", "How old the numbers are that are read in the background: those of queue_jobs, queue_oldest_pending, queues, worker_* gauges and store_*bytes.")
)

// surveyCollector shows the last survey.
type surveyCollector struct{ last atomic.Pointer[surveyed] }

// surveyed is a survey as it is shown.
type surveyed struct {
	at      time.Time
	metrics []prometheus.Metric
}

// Describe implements prometheus.Collector.
func (c *surveyCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descQueueJobs, descOldest, descQueues, descBlocked, descWorkerInFlight, descWorkerCircuits, descWorkerThrottled, descStoreBytes, descStoreFree, descSurveyAge,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *surveyCollector) Collect(out chan<- prometheus.Metric) {
	last := c.last.Load()
	if last == nil {
		return
	}
	gauge(out, descSurveyAge, time.Since(last.at).Seconds())
	for _, m := range last.metrics {
		out <- m
	}
}

// Show replaces the survey that scrapes show. The names of queues without live jobs, and
// of workers that do nothing, are left to those that have some.
func (m *Metrics) Show(s *Survey) {
	shown := &surveyed{at: time.Now()}
	show := func(d *prometheus.Desc, v float64, labels ...string) {
		shown.metrics = append(shown.metrics, prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...))
	}
	m.showQueues(s.Queues, show)
	m.showWorkers(s.Workers, show)
	show(descQueues, float64(len(s.Queues)))
	for _, reason := range slices.Sorted(maps.Keys(s.Blocked)) {
		show(descBlocked, float64(s.Blocked[reason]), reason)
	}
	if s.StoreBytes >= 0 {
		show(descStoreBytes, float64(s.StoreBytes))
	}
	if s.StoreFree >= 0 {
		show(descStoreFree, float64(s.StoreFree))
	}
	m.survey.last.Store(shown)
}

type showFunc func(d *prometheus.Desc, v float64, labels ...string)

func (m *Metrics) showQueues(queues []QueueStanding, show showFunc) {
	sums := map[string]*QueueStanding{otherName: {Queue: otherName, Oldest: -1}}
	for i := range queues {
		q := &queues[i]
		name := otherName
		if q.live() {
			name = m.jobs.queues.of(q.Queue).name
		} else if of, ok := m.jobs.queues.find(q.Queue); ok {
			name = of.name
		}
		if sum := sums[name]; sum != nil {
			sum.add(q)
		} else {
			one := *q
			sums[name] = &one
		}
	}
	for _, q := range sortedBy(sums, func(q *QueueStanding) string { return q.Queue }) {
		for _, s := range q.byStatus() {
			show(descQueueJobs, float64(s.n), q.Queue, s.status)
		}
		if q.Oldest >= 0 {
			show(descOldest, q.Oldest.Seconds(), q.Queue)
		}
	}
}

func (q *QueueStanding) live() bool { return q.Pending+q.Running+q.Scheduled+q.Retrying > 0 }

// add adds up queues that have no name of their own.
func (q *QueueStanding) add(o *QueueStanding) {
	q.Pending += o.Pending
	q.Running += o.Running
	q.Scheduled += o.Scheduled
	q.Retrying += o.Retrying
	q.Succeeded += o.Succeeded
	q.Dead += o.Dead
	q.Cancelled += o.Cancelled
	q.Expired += o.Expired
	q.Oldest = max(q.Oldest, o.Oldest)
}

type statusCount struct {
	status string
	n      int64
}

func (q *QueueStanding) byStatus() []statusCount {
	return []statusCount{
		{job.ShownPending, q.Pending},
		{job.ShownRunning, q.Running},
		{job.ShownScheduled, q.Scheduled},
		{job.ShownRetrying, q.Retrying},
		{job.Succeeded.String(), q.Succeeded},
		{job.Dead.String(), q.Dead},
		{job.Cancelled.String(), q.Cancelled},
		{job.Expired.String(), q.Expired},
	}
}

func (m *Metrics) showWorkers(workers []WorkerStanding, show showFunc) {
	sums := map[string]*WorkerStanding{otherName: {Worker: otherName}}
	for i := range workers {
		w := workers[i]
		w.Worker = m.jobs.workers.of(w.Worker).name
		if sum := sums[w.Worker]; sum != nil {
			sum.InFlight += w.InFlight
			sum.Open += w.Open
			sum.HalfOpen += w.HalfOpen
			sum.Throttled = sum.Throttled || w.Throttled
		} else {
			sums[w.Worker] = &w
		}
	}
	for _, w := range sortedBy(sums, func(w *WorkerStanding) string { return w.Worker }) {
		show(descWorkerInFlight, float64(w.InFlight), w.Worker)
		show(descWorkerCircuits, float64(w.Open), w.Worker, "open")
		show(descWorkerCircuits, float64(w.HalfOpen), w.Worker, "half_open")
		show(descWorkerThrottled, oneIf(w.Throttled), w.Worker)
	}
}

func sortedBy[T any](all map[string]T, name func(T) string) []T {
	return slices.SortedFunc(maps.Values(all), func(a, b T) int { return cmp.Compare(name(a), name(b)) })
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
