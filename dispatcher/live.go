package dispatcher

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orchestrix/orchestrix/job"
)

// Totals count what a node has done since it started, and what it holds now.
type Totals struct {
	// Started counts pushes; Retries those of them that were not the first of their
	// job; Attempts those that ended, by outcome; Settled jobs that became terminal, by
	// status; Lost attempts of dead nodes that were booked here; Commits the durable
	// writes of the dispatcher.
	Started  int64
	Retries  int64
	Attempts map[job.Outcome]int64
	Settled  map[job.Status]int64
	Lost     int64
	Commits  int64
	// CircuitsOpened counts how often the circuit of a worker was opened.
	CircuitsOpened int64
	// Fenced counts commits and renewals of leases that were refused, since another
	// node has the shard.
	Fenced int64
	// TrimmedByAge and TrimmedByBytes count the jobs that retention has removed,
	// by status.
	TrimmedByAge, TrimmedByBytes map[job.Status]int64
	// Fired, Missed and Skipped count the slots of schedules, by what became of them.
	// Lateness counts those that fired by how late, in seconds, cumulated up to each
	// bound; LatenessSum is the sum.
	Fired, Missed, Skipped int64
	Lateness               map[float64]uint64
	LatenessSum            float64
	// Owned counts the shards that are served.
	Owned int
	// InFlight counts pushes, Accepted attempts that workers have taken over, WindowJobs
	// and WindowBytes what is ready in memory.
	InFlight    int
	Accepted    int
	WindowJobs  int
	WindowBytes int
}

type totals struct {
	started, lost, commits atomic.Int64
	retries                atomic.Int64
	circuitsOpened         atomic.Int64
	fenced                 atomic.Int64
	turns                  atomic.Int64 // of all loops, for tests
	attempts               [8]atomic.Int64
	settled                [8]atomic.Int64
	trimmedByAge           [8]atomic.Int64
	trimmedByBytes         [8]atomic.Int64
	missed, skipped        atomic.Int64
	lateness               lateness
}

func (t *totals) outcome(o job.Outcome) { t.attempts[o&7].Add(1) }

// Totals returns the node's totals. It waits for nobody; what is held now is as it was
// after the last turn of each shard's loop.
func (d *Dispatcher) Totals() Totals {
	t := Totals{
		Started: d.totals.started.Load(), Retries: d.totals.retries.Load(), Lost: d.totals.lost.Load(), Commits: d.totals.commits.Load(),
		CircuitsOpened: d.totals.circuitsOpened.Load(), Fenced: d.totals.fenced.Load(), Owned: len(d.Owned()),
		Attempts: make(map[job.Outcome]int64), Settled: make(map[job.Status]int64),
		TrimmedByAge: make(map[job.Status]int64), TrimmedByBytes: make(map[job.Status]int64),
	}
	for _, o := range job.Outcomes() {
		t.Attempts[o] = d.totals.attempts[o].Load()
	}
	for _, s := range job.Statuses()[1:] {
		t.Settled[s] = d.totals.settled[s].Load()
		t.TrimmedByAge[s], t.TrimmedByBytes[s] = d.totals.trimmedByAge[s].Load(), d.totals.trimmedByBytes[s].Load()
	}
	t.Missed, t.Skipped = d.totals.missed.Load(), d.totals.skipped.Load()
	t.Fired, t.LatenessSum, t.Lateness = d.totals.lateness.read()
	for _, l := range d.loops {
		t.InFlight += int(l.gauges.inFlight.Load())
		t.Accepted += int(l.gauges.accepted.Load())
		t.WindowJobs += int(l.gauges.ready.Load())
	}
	t.WindowBytes = int(d.window.used.Load())
	return t
}

// each calls f with every machine, concurrently, and waits.
func (d *Dispatcher) each(f func(*machine)) {
	var wait sync.WaitGroup
	for _, l := range d.loops {
		wait.Add(1)
		l.query(func(m *machine) {
			defer wait.Done()
			if m != nil {
				f(m)
			}
		})
	}
	wait.Wait()
}

// ask calls f with one shard's machine and waits.
func (d *Dispatcher) ask(shard int, f func(*machine)) {
	done := make(chan struct{})
	d.loops[shard].query(func(m *machine) {
		defer close(done)
		if m != nil {
			f(m)
		}
	})
	<-done
}

// Running reports for each job whether it is being pushed right now.
func (d *Dispatcher) Running(ids ...job.ID) []bool {
	running := make([]bool, len(ids))
	shards := make(map[int][]int)
	for i, id := range ids {
		if s := id.Shard(); s < len(d.loops) {
			shards[s] = append(shards[s], i)
		}
	}
	for shard, indexes := range shards {
		d.ask(shard, func(m *machine) {
			for _, i := range indexes {
				running[i] = m.running(ids[i])
			}
		})
	}
	return running
}

// running reports whether a claim record holds the job.
func (m *machine) running(id job.ID) bool {
	it := m.jobs[id]
	return it != nil && (it.state == itemRunning || it.state == itemClaimed)
}

// QueueLive is what a queue is doing right now.
type QueueLive struct {
	// InFlight counts its pushes.
	InFlight int `json:"in_flight,omitzero"`
	// Ready counts its jobs in memory that could be pushed.
	Ready int `json:"ready,omitzero"`
	// Throughput is how many attempts ended per second, over the last minute.
	Throughput float64 `json:"throughput,omitzero"`
	// Blocked says why ready jobs wait: "paused", "no_worker", "concurrency", "rate",
	// "throttled", "circuit_open", "ramp" or "key", where every key that has any is at its own limits; empty where they do not.
	Blocked string `json:"blocked,omitzero"`
}

// QueueLive returns what a queue is doing right now or, where another node serves
// it, what that has told within about a second.
func (d *Dispatcher) QueueLive(name string) QueueLive {
	shard := job.ShardOf(name, len(d.loops))
	if d.shared && !d.Serves(shard) {
		return d.told(shard).Queues[name]
	}
	var live QueueLive
	d.ask(shard, func(m *machine) {
		if q := m.queues[name]; q != nil {
			live = q.live(m.now)
		}
	})
	return live
}

func (q *queue) live(now time.Time) QueueLive {
	return QueueLive{q.inFlight, q.ready, q.ended.perSecond(now), q.why(now)}
}

// why says why the queue's ready jobs wait; "" where there is none, or no
// reason but its turn.
func (q *queue) why(now time.Time) string {
	var wait, adHoc, keys bool
	for _, l := range q.lanes {
		if l.n+l.held > 0 || l.more {
			wait = wait || !l.AdHoc
			adHoc = adHoc || l.AdHoc
		}
		keys = keys || len(l.keys) > 0
	}
	if !wait && !adHoc {
		if keys {
			return cmp.Or(q.barred(now), blockedKey)
		}
		return ""
	}
	if why := q.barred(now); why != "" || !wait {
		return why
	}
	return q.withoutWorker(now)
}

// WorkerLive is what a worker is doing right now, over all its queues.
type WorkerLive struct {
	InFlight int `json:"in_flight,omitzero"`
	// Succeeded and Failed count the attempts that ended since its shards have the
	// nodes that serve them now; Failed includes those that timed out.
	Succeeded   int64     `json:"succeeded,omitzero"`
	Failed      int64     `json:"failed,omitzero"`
	LastSuccess time.Time `json:"last_success,omitzero"`
	LastFailure time.Time `json:"last_failure,omitzero"`
	// ThrottledUntil is when it asked to be left alone until; zero where it did
	// not.
	ThrottledUntil time.Time `json:"throttled_until,omitzero"`
	// Circuits are those that are not closed, by their queues.
	Circuits []CircuitLive `json:"circuits,omitempty"`
}

// CircuitLive is the circuit of a worker on a queue, while it is not closed.
type CircuitLive struct {
	Queue string `json:"queue"`
	// Until is when it is half-open: then one push at a time probes the worker.
	Until time.Time `json:"until"`
	// HalfOpen says that this time has come.
	HalfOpen bool `json:"half_open,omitzero"`
	// Opens counts how often it was opened since it was last closed.
	Opens int `json:"opens"`
}

// none reports whether there is nothing to tell.
func (w WorkerLive) none() bool {
	return w.InFlight == 0 && w.Succeeded+w.Failed == 0 && w.ThrottledUntil.IsZero() && len(w.Circuits) == 0
}

// plus adds what the worker does in another shard.
func (w WorkerLive) plus(o WorkerLive) WorkerLive {
	return WorkerLive{
		InFlight: w.InFlight + o.InFlight, Succeeded: w.Succeeded + o.Succeeded, Failed: w.Failed + o.Failed,
		LastSuccess: later(w.LastSuccess, o.LastSuccess), LastFailure: later(w.LastFailure, o.LastFailure),
		ThrottledUntil: later(w.ThrottledUntil, o.ThrottledUntil), Circuits: slices.Concat(w.Circuits, o.Circuits),
	}
}

// WorkerLive returns what a worker is doing right now, of the shards that other nodes
// serve what these have told within about a second.
func (d *Dispatcher) WorkerLive(name string) WorkerLive {
	live := d.toldOfWorker(name)
	var mu sync.Mutex
	d.each(func(m *machine) {
		mu.Lock()
		defer mu.Unlock()
		m.eachWorker(func(worker string, w WorkerLive) {
			if worker == name {
				live = live.plus(w)
			}
		})
	})
	slices.SortFunc(live.Circuits, func(a, b CircuitLive) int { return strings.Compare(a.Queue, b.Queue) })
	return live
}

// eachWorker calls f with what each worker does on each queue, and with its health.
func (m *machine) eachWorker(f func(name string, live WorkerLive)) {
	for _, q := range m.queues {
		for _, p := range q.pools {
			f(p.worker.Name, WorkerLive{InFlight: p.inFlight, ThrottledUntil: p.throttledUntil, Circuits: p.live(q, m.now)})
		}
	}
	for name, h := range m.health {
		f(name, WorkerLive{Succeeded: h.succeeded, Failed: h.failed, LastSuccess: h.lastSuccess, LastFailure: h.lastFailure})
	}
}

// live returns the worker's circuit on a queue, where it is not closed.
func (p *pool) live(q *queue, now time.Time) []CircuitLive {
	cfg := p.worker.Circuit
	if !p.circuit.open(cfg) {
		return nil
	}
	until := p.circuit.until(cfg)
	return []CircuitLive{{q.name, until, !until.After(now), p.circuit.opens}}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// watchers wait for jobs to become terminal.
type watchers struct {
	mu  sync.Mutex
	ids map[job.ID]map[chan struct{}]struct{}
	n   atomic.Int64
}

// Watch returns a channel that is closed when the job becomes terminal and
// that is durable, and a function that ends the watch. A job that is terminal
// already is not noticed: read it after Watch.
func (d *Dispatcher) Watch(id job.ID) (settled <-chan struct{}, stop func()) {
	w := &d.watchers
	ch := make(chan struct{})
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ids == nil {
		w.ids = make(map[job.ID]map[chan struct{}]struct{})
	}
	if w.ids[id] == nil {
		w.ids[id] = make(map[chan struct{}]struct{})
	}
	w.ids[id][ch] = struct{}{}
	w.n.Add(1)
	return ch, func() { w.forget(id, ch) }
}

func (w *watchers) forget(id job.ID, ch chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.ids[id][ch]; !ok {
		return
	}
	w.n.Add(-1)
	delete(w.ids[id], ch)
	if len(w.ids[id]) == 0 {
		delete(w.ids, id)
	}
}

func (w *watchers) settled(id job.ID) {
	if w.n.Load() == 0 {
		return // nobody watches: the usual case costs no lock
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for ch := range w.ids[id] {
		w.n.Add(-1)
		close(ch)
	}
	delete(w.ids, id)
}
