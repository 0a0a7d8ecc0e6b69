package observability

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/orchestrix/orchestrix/job"
)

// jobMetrics are counted on the way of every job. What belongs to a queue or a worker is
// looked up once for each of them; then a job costs some atomic additions.
type jobMetrics struct {
	queues  *bounded[*queueMetrics]
	workers *bounded[*workerMetrics]

	enqueued, queueAttempts, settled, workerAttempts *prometheus.CounterVec
	waited, lived, took                              *prometheus.HistogramVec
	commitTook, commitChanges                        prometheus.Histogram
}

// waits are the buckets for what a backlog may make last for hours.
var waits = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 5, 30, 60, 300, 3600}

// pushTimes are the buckets for pushes, which take at most an hour.
var pushTimes = []float64{.0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 300}

func newJobMetrics() *jobMetrics {
	m := &jobMetrics{
		enqueued:       counters("queue_jobs_enqueued_total", "Jobs that were stored, by queue.", "queue"),
		queueAttempts:  counters("queue_attempts_total", "Attempts that ended, by queue and outcome.", "queue", "outcome"),
		settled:        counters("queue_jobs_settled_total", "Jobs that became terminal, by queue and status.", "queue", "status"),
		workerAttempts: counters("worker_attempts_total", "Attempts that ended, by worker, outcome and class of the HTTP status: 2xx to 5xx, other, or none where no answer began and where a worker has reported the end later. Destinations that jobs bring themselves are the worker ad_hoc.", "worker", "outcome", "status_class"),
		waited:         histograms("start_latency_seconds", "From the time a job was due to its push, by queue. What the queue's limits, or a lack of workers, make it wait is in it.", waits, "queue"),
		lived:          histograms("job_duration_seconds", "From the time a job was enqueued, or was to run where that is later, to its success, by queue. Jobs that were run again after their end are left out.", waits, "queue"),
		took:           histograms("push_duration_seconds", "What pushes took, from the dial to the answer's last byte, by worker.", pushTimes, "worker"),
		commitTook:     prometheus.NewHistogram(histogram("commit_duration_seconds", "What the dispatcher's durable writes took, repetitions included.", latencies)),
		commitChanges:  prometheus.NewHistogram(histogram("commit_changes", "Changes in one durable write of the dispatcher.", prometheus.ExponentialBuckets(1, 4, 7))),
	}
	m.queues, m.workers = newBounded(m.queue), newBounded(m.worker)
	return m
}

func (m *jobMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.enqueued, m.queueAttempts, m.settled, m.workerAttempts, m.waited, m.lived, m.took, m.commitTook, m.commitChanges}
}

// queueMetrics are those of one queue.
type queueMetrics struct {
	name          string
	enqueued      prometheus.Counter
	attempts      [8]prometheus.Counter // by outcome
	settled       [8]prometheus.Counter // by status
	waited, lived prometheus.Observer
}

func (m *jobMetrics) queue(name string) *queueMetrics {
	q := &queueMetrics{
		name: name, enqueued: m.enqueued.WithLabelValues(name),
		waited: m.waited.WithLabelValues(name), lived: m.lived.WithLabelValues(name),
	}
	for _, o := range job.Outcomes() {
		q.attempts[o&7] = m.queueAttempts.WithLabelValues(name, o.String())
	}
	for _, s := range job.Statuses() {
		if s.Terminal() {
			q.settled[s&7] = m.settled.WithLabelValues(name, s.String())
		}
	}
	return q
}

// workerMetrics are those of one worker. Of the pairs of an outcome and a class few ever
// come up, so that they are made when they do.
type workerMetrics struct {
	name     string
	all      *prometheus.CounterVec
	attempts [8][classes]atomic.Pointer[prometheus.Counter]
	took     prometheus.Observer
}

func (m *jobMetrics) worker(name string) *workerMetrics {
	return &workerMetrics{name: name, all: m.workerAttempts, took: m.took.WithLabelValues(name)}
}

func (w *workerMetrics) attempt(o job.Outcome, status int) prometheus.Counter {
	class := classOf(status)
	at := &w.attempts[o&7][class]
	if c := at.Load(); c != nil {
		return *c
	}
	c := w.all.WithLabelValues(w.name, o.String(), classNames[class])
	at.Store(&c) // whoever else makes it meanwhile makes the same
	return c
}

const classes = 6

var classNames = [classes]string{"none", "other", "2xx", "3xx", "4xx", "5xx"}

// classOf returns the place of a status in classNames.
func classOf(status int) int {
	switch class := status / 100; {
	case status == 0:
		return 0
	case class >= 2 && class <= 5:
		return class
	}
	return 1
}

// Enqueued counts a stored job.
func (m *Metrics) Enqueued(queue string) { m.jobs.queues.of(queue).enqueued.Inc() }

// Pushed measures a push that has ended. worker is empty for a destination of the job's
// own; waited is from the time the job was due to the push, took what the push took.
func (m *Metrics) Pushed(queue, worker string, waited, took time.Duration) {
	m.jobs.queues.of(queue).waited.Observe(waited.Seconds())
	m.jobs.workerOf(worker).took.Observe(took.Seconds())
}

// Attempt counts an attempt that has ended. worker is empty for a destination of the
// job's own, status 0 where there was no answer.
func (m *Metrics) Attempt(queue, worker string, o job.Outcome, status int) {
	if c := m.jobs.queues.of(queue).attempts[o&7]; c != nil {
		c.Inc()
	}
	m.jobs.workerOf(worker).attempt(o, status).Inc()
}

func (m *jobMetrics) workerOf(name string) *workerMetrics {
	if name == "" {
		name = adHocName
	}
	return m.workers.of(name)
}

// Settled counts a job that has ended.
func (m *Metrics) Settled(j *job.Job) {
	q := m.jobs.queues.of(j.Queue)
	if c := q.settled[j.Status&7]; c != nil {
		c.Inc()
	}
	if j.Status != job.Succeeded || j.Incarnation > 0 {
		return
	}
	from := j.CreatedAt
	if j.RunAt.After(from) {
		from = j.RunAt
	}
	q.lived.Observe(max(j.FinishedAt.Sub(from), 0).Seconds())
}

// Commit counts a durable write of the dispatcher.
func (m *Metrics) Commit(changes int, took time.Duration) {
	m.jobs.commitChanges.Observe(float64(changes))
	m.jobs.commitTook.Observe(took.Seconds())
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "orchestrix_" + name, Help: help}, labels)
}

func histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(histogram(name, help, buckets), labels)
}

// histogram has buckets for those who read text, and native ones, 10 % wide, for those
// who read them: at most a hundred of these, which are made wider where they would be
// more.
func histogram(name, help string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Name: "orchestrix_" + name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour,
	}
}
