package observability

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/orchestrix/orchestrix/job"
)

// Enqueues count what clients asked for since the start; a control.Totals
// converts to it.
type Enqueues struct{ Enqueued, Repeated, Refused, Full, Commands uint64 }

// Pushes count what the dispatcher did since the start, and what it holds now; a
// dispatcher.Totals converts to it.
type Pushes struct {
	Started                      int64
	Retries                      int64
	Attempts                     map[job.Outcome]int64
	Settled                      map[job.Status]int64
	Lost                         int64
	Commits                      int64
	CircuitsOpened               int64
	Fenced                       int64
	TrimmedByAge, TrimmedByBytes map[job.Status]int64
	Fired, Missed, Skipped       int64
	Lateness                     map[float64]uint64
	LatenessSum                  float64
	Owned                        int
	InFlight                     int
	Accepted                     int
	WindowJobs                   int
	WindowBytes                  int
}

// Sources are what is read at each scrape, and must answer from memory; one that is nil
// is left out.
type Sources struct {
	Enqueues func() Enqueues
	Pushes   func() Pushes
	// Leader returns the term in which this node leads; false where it does not.
	Leader func() (term uint64, leads bool)
}

// Watch adds what the sources count. It may be called once.
func (m *Metrics) Watch(s Sources) { m.registry.MustRegister(&totalsCollector{s}) }

// totalsCollector turns totals into metrics.
type totalsCollector struct{ from Sources }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("orchestrix_"+name, help, labels, nil)
}

var (
	descEnqueued = describe("jobs_enqueued_total", "Jobs that were stored.")
	descRepeated = describe("enqueues_repeated_total", "Enqueues that an idempotency key or unique content led to an earlier job.")
	descRefused  = describe("enqueues_refused_total", "Jobs that were refused, since they were wrong or not allowed.")
	descFull     = describe("enqueues_full_total", "Jobs that were refused, since their queue had no room for them.")
	descCommands = describe("commands_total", "Commands to jobs: cancel, retry, run now, delete.")

	descStarted     = describe("pushes_started_total", "Pushes that began.")
	descRetries     = describe("retries_total", "Pushes that were not the first of their job.")
	descAttempts    = describe("attempts_total", "Attempts that ended, by outcome.", "outcome")
	descSettled     = describe("jobs_settled_total", "Jobs that became terminal, by status.", "status")
	descTrimmed     = describe("jobs_trimmed_total", "Ended jobs that retention has removed, by status and by what was over: age or bytes.", "status", "reason")
	descSlots       = describe("schedule_slots_total", "Slots of schedules, by what became of them: fired, missed (too late) or skipped (the last run had not ended).", "result")
	descLateness    = describe("schedule_lateness_seconds", "How long after its time a schedule fired.")
	descLost        = describe("attempts_recovered_total", "Attempts of dead nodes that were booked as lost here.")
	descCircuits    = describe("circuits_opened_total", "Circuits of workers that were opened, since too many pushes failed.")
	descFenced      = describe("fenced_commits_total", "Commits and renewals of leases that were refused, since another node has the shard.")
	descOwned       = describe("shards_owned", "Shards that this node serves.")
	descCommits     = describe("commits_total", "Durable writes of the dispatcher.")
	descInFlight    = describe("pushes_in_flight", "Pushes right now.")
	descAccepted    = describe("async_attempts", "Attempts that workers have taken over and not yet ended.")
	descWindowJobs  = describe("window_jobs", "Ready jobs in memory.")
	descWindowBytes = describe("window_bytes", "Memory that ready jobs are counted with.")

	descLeader     = describe("leader", "1 where this node leads, else 0.")
	descLeaderTerm = describe("leader_term", "The term in which this node leads, 0 where it does not.")
)

// Describe implements prometheus.Collector.
func (c *totalsCollector) Describe(out chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, out) }

// Collect implements prometheus.Collector.
func (c *totalsCollector) Collect(out chan<- prometheus.Metric) {
	if c.from.Enqueues != nil {
		collectEnqueues(out, c.from.Enqueues())
	}
	if c.from.Pushes != nil {
		collectPushes(out, c.from.Pushes())
	}
	if c.from.Leader != nil {
		term, leads := c.from.Leader()
		gauge(out, descLeader, oneIf(leads))
		gauge(out, descLeaderTerm, float64(term))
	}
}

func collectEnqueues(out chan<- prometheus.Metric, t Enqueues) {
	counter(out, descEnqueued, float64(t.Enqueued))
	counter(out, descRepeated, float64(t.Repeated))
	counter(out, descRefused, float64(t.Refused))
	counter(out, descFull, float64(t.Full))
	counter(out, descCommands, float64(t.Commands))
}

func collectPushes(out chan<- prometheus.Metric, t Pushes) {
	counter(out, descStarted, float64(t.Started))
	counter(out, descRetries, float64(t.Retries))
	for _, o := range job.Outcomes() {
		counter(out, descAttempts, float64(t.Attempts[o]), o.String())
	}
	for _, s := range job.Statuses() {
		if s.Terminal() {
			counter(out, descSettled, float64(t.Settled[s]), s.String())
			counter(out, descTrimmed, float64(t.TrimmedByAge[s]), s.String(), "age")
			counter(out, descTrimmed, float64(t.TrimmedByBytes[s]), s.String(), "bytes")
		}
	}
	counter(out, descSlots, float64(t.Fired), "fired")
	counter(out, descSlots, float64(t.Missed), "missed")
	counter(out, descSlots, float64(t.Skipped), "skipped")
	out <- prometheus.MustNewConstHistogram(descLateness, uint64(t.Fired), t.LatenessSum, t.Lateness)
	counter(out, descLost, float64(t.Lost))
	counter(out, descCommits, float64(t.Commits))
	counter(out, descCircuits, float64(t.CircuitsOpened))
	counter(out, descFenced, float64(t.Fenced))
	gauge(out, descOwned, float64(t.Owned))
	gauge(out, descInFlight, float64(t.InFlight))
	gauge(out, descAccepted, float64(t.Accepted))
	gauge(out, descWindowJobs, float64(t.WindowJobs))
	gauge(out, descWindowBytes, float64(t.WindowBytes))
}

func counter(out chan<- prometheus.Metric, d *prometheus.Desc, v float64, labels ...string) {
	out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
}

func gauge(out chan<- prometheus.Metric, d *prometheus.Desc, v float64) {
	out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
}
