package dispatcher

import (
	"slices"
	"time"

	"github.com/orchestrix/orchestrix/job"
)

// Cause is why a job is not being pushed.
type Cause string

// The causes, in the order of the gates that a job passes on its way to a worker.
const (
	CauseScheduled Cause = "scheduled" // it waits for its time
	CauseRetrying  Cause = "retrying"  // it was pushed, and waits for its next attempt
	CauseLostPush  Cause = "lost_push" // its node died, and its push may go on until its deadline
	CauseUnserved  Cause = "unserved"  // nobody serves its shard just now
	CauseElsewhere Cause = "elsewhere" // this node does not serve its shard, and does not know whether another does

	CausePaused      Cause = "paused"      // its queue is
	CauseNoWorker    Cause = "no_worker"   // none is registered for its queue
	CauseKeyPaused   Cause = "key_paused"  // its key is
	CauseKeyTurn     Cause = "key_turn"    // the job before it, of its ordered key, has not ended
	CauseKeyDead     Cause = "key_dead"    // that one is dead, and blocks
	CauseKeyBusy     Cause = "key_busy"    // as many of its key are in flight as may be
	CauseKeyRate     Cause = "key_rate"    // its key's rate is used up
	CauseConcurrency Cause = "concurrency" // as many of its queue are in flight as may be
	CauseRate        Cause = "rate"        // its queue's rate is used up
	CauseRamp        Cause = "ramp"        // its queue was resumed, and its concurrency is ramped up

	CauseWorkerPaused    Cause = "worker_paused"
	CauseWorkerGone      Cause = "worker_gone"      // answered 410
	CauseWorkerThrottled Cause = "worker_throttled" // asked to be left alone
	CauseWorkerCircuit   Cause = "circuit_open"     // its circuit on the queue is
	CauseWorkerRamp      Cause = "worker_ramp"      // it has just come back, and its limit is ramped up
	CauseWorkerBusy      Cause = "worker_busy"      // as many are in flight to it as may be

	CauseNodeBusy Cause = "node_busy" // as many are in flight as the node allows
	CauseDraining Cause = "draining"  // the node shuts down
	CauseSuspect  Cause = "suspect"   // nodes died while it ran: it runs with no other such job
	CausePriority Cause = "priority"  // its queue is strict, and has jobs of a higher one
	CauseTurn     Cause = "turn"      // nothing but that others are before it
)

// Wait is one cause for which a job waits, with what is to be known of it.
type Wait struct {
	Cause Cause
	// Until is when time alone ends it; zero where that cannot be told.
	Until time.Time
	// Worker is the one that it is about.
	Worker string
	// InFlight and Limit are how many pushes there are and may be, of what the
	// cause is about.
	InFlight, Limit int
	// Rate is the one that is used up.
	Rate job.Rate
	// Jobs are those that hold the key, at most MaxHolders.
	Jobs []job.ID
}

// MaxHolders and maxWorkerWaits bound what is listed of one key, and of the
// workers of a queue.
const (
	MaxHolders     = 10
	maxWorkerWaits = 100
)

// Push is an attempt under way.
type Push struct {
	Attempt int
	Worker  string // empty for an ad-hoc destination
	// Started is zero until its claim is durable. Deadline is when it is aborted.
	Started, Deadline time.Time
}

// Explanation is why a job is not being pushed, or the push of it.
type Explanation struct {
	// Push is nil where the job is not being pushed.
	Push *Push
	// Waits are all that hold at once, in the order of the causes. Of a job that
	// waits for its time they are those that will still hold then.
	Waits []Wait
	// Throughput is how many attempts of the queue ended per second, over the last
	// minute; Share is the part of it that the job's lane has, and Keys how many
	// keys of that lane are known to have ready jobs, at least 1.
	Throughput, Share float64
	Keys              int
}

// Explain returns why a waiting job is not being pushed at now, or how it is. Of
// an ordered job, first is the first of its key (store.Position).
func (d *Dispatcher) Explain(j, first *job.Job, now time.Time) Explanation {
	e := Explanation{Waits: []Wait{{Cause: CauseUnserved}}}
	if d.shared && !d.loops[j.ID.Shard()].isWanted() {
		e.Waits[0].Cause = CauseElsewhere
	}
	d.ask(j.ID.Shard(), func(m *machine) { e = m.explain(j, first, later(m.now, now)) })
	for i := range e.Waits {
		if w := &e.Waits[i]; w.Cause == CauseNodeBusy {
			w.InFlight, w.Limit = d.slots.level()
		}
	}
	return e
}

// explain changes nothing: to ask why a job waits must not be why it runs.
func (m *machine) explain(j, first *job.Job, now time.Time) Explanation {
	q := m.seen(j.Queue)
	e := Explanation{Throughput: q.ended.perSecond(now), Keys: 1}
	e.Share = q.share(windowLane(j))
	for _, l := range q.lanes {
		if l.Lane == windowLane(j) {
			e.Keys = max(1, len(l.keys))
		}
	}
	if it := m.jobs[j.ID]; it != nil && m.running(j.ID) {
		e.Push = m.pushOf(it)
		e.Waits = m.lostPush(it)
		return e
	}
	e.Waits = m.waits(q, j, first, now)
	return e
}

// seen returns a queue as it is, or as it would be where it is not known.
func (m *machine) seen(name string) *queue {
	if q := m.queues[name]; q != nil {
		return q
	}
	q := &queue{name: name, cfg: m.cfg.queue(name), most: m.limits.QueueInFlight}
	for _, w := range m.cfg.Workers {
		if slices.Contains(w.Queues, name) {
			q.pools = append(q.pools, &pool{worker: w})
		}
	}
	return q
}

func (m *machine) pushOf(it *item) *Push {
	p := &Push{Attempt: it.attempt, Started: it.started}
	if it.pool != nil {
		p.Worker = it.pool.worker.Name
	}
	if p.Deadline = it.until; p.Deadline.IsZero() && !p.Started.IsZero() {
		p.Deadline = p.Started.Add(m.timeout(it))
	}
	return p
}

// lostPush says for how long a push is waited for whose node died.
func (m *machine) lostPush(it *item) []Wait {
	for _, g := range m.ghosts {
		if g.item == it && g.node == "" {
			return []Wait{{Cause: CauseLostPush, Until: g.until, Worker: g.worker}}
		}
	}
	return nil
}

// waits returns what holds up a job that is not being pushed.
func (m *machine) waits(q *queue, j, first *job.Job, now time.Time) (w []Wait) {
	if j.Due.After(now) {
		w = append(w, Wait{Cause: causeOfDue(j), Until: j.Due})
	}
	if q.cfg.Paused {
		w = append(w, Wait{Cause: CausePaused})
	}
	workers := q.workerWaits(j, now)
	idle := q.withoutWorker(now) == blockedNoWorker
	if idle {
		w = append(w, workers...)
	}
	w = append(w, m.keyWaits(q, j, first, now)...)
	w = append(w, q.limitWaits(now)...)
	if !idle {
		w = append(w, workers...)
	}
	w = append(w, m.nodeWaits(q, j, now)...)
	if j.Due.After(now) {
		return slices.DeleteFunc(w, func(w Wait) bool { return !w.holdsAt(j.Due) })
	}
	if len(w) == 0 {
		w = append(w, Wait{Cause: CauseTurn})
	}
	return w
}

// causeOfDue says why a job has to wait for its time.
func causeOfDue(j *job.Job) Cause {
	if j.StartedAt.IsZero() {
		return CauseScheduled
	}
	return CauseRetrying
}

// holdsAt reports whether the cause is known to hold still at a later time.
func (w *Wait) holdsAt(at time.Time) bool {
	switch w.Cause {
	case CauseScheduled, CauseRetrying, CausePaused, CauseNoWorker, CauseWorkerPaused, CauseWorkerGone, CauseKeyPaused, CauseKeyTurn, CauseKeyDead:
		return true
	}
	return !w.Until.Before(at)
}

// workerWaits says what is with each worker of the queue, where none of them may
// have another push.
func (q *queue) workerWaits(j *job.Job, now time.Time) (w []Wait) {
	if j.URL != "" || q.withoutWorker(now) == "" {
		return nil
	}
	if len(q.pools) == 0 {
		return []Wait{{Cause: CauseNoWorker}}
	}
	for _, p := range q.pools[:min(len(q.pools), maxWorkerWaits)] {
		w = append(w, p.wait(q, now))
	}
	return w
}

// wait says why the worker may not have another push of its queue.
func (p *pool) wait(q *queue, now time.Time) Wait {
	w := Wait{Worker: p.worker.Name, Until: p.until(q, now)}
	switch why := p.blocked(q, now); why {
	case blockedNoWorker:
		w.Cause = CauseWorkerPaused
		if p.gone && !p.worker.Paused {
			w.Cause = CauseWorkerGone
		}
	case blockedThrottled:
		w.Cause = CauseWorkerThrottled
	case blockedCircuit:
		w.Cause = CauseWorkerCircuit
	case blockedRamp:
		w.Cause, w.InFlight = CauseWorkerRamp, p.inFlight
		w.Limit, _ = p.ramped(q, now)
	case blockedConcurrency:
		w.Cause, w.InFlight, w.Limit = CauseWorkerBusy, p.inFlight, p.worker.Concurrency
	default:
		w.Cause = Cause(why)
	}
	return w
}

// keyWaits says what the limits of the job's key, and its order, hold it up for.
func (m *machine) keyWaits(q *queue, j, first *job.Job, now time.Time) (w []Wait) {
	if j.Key == "" {
		return nil
	}
	limits := q.cfg.key(j.Key)
	if limits.Paused {
		w = append(w, Wait{Cause: CauseKeyPaused})
	}
	var holders []job.ID
	if limits.Concurrency > 0 {
		holders = m.inFlightOf(j.Queue, j.Key)
	}
	switch {
	case j.Ordered && first != nil && first.ID != j.ID:
		behind := Wait{Cause: CauseKeyTurn, Jobs: []job.ID{first.ID}}
		if first.Blocks && q.cfg.DeadBlocks {
			behind.Cause = CauseKeyDead
		}
		w = append(w, behind)
	case limits.Concurrency > 0 && len(holders) >= limits.Concurrency:
		w = append(w, Wait{
			Cause: CauseKeyBusy, InFlight: len(holders), Limit: limits.Concurrency, Jobs: holders[:min(len(holders), MaxHolders)],
		})
	}
	if k := q.byKey[j.Key]; k != nil {
		if next := k.bucket.ready(limits.Rate); next.After(now) {
			w = append(w, Wait{Cause: CauseKeyRate, Until: next, Rate: limits.Rate})
		}
	}
	return w
}

// limitWaits says which of the queue's own limits are reached.
func (q *queue) limitWaits(now time.Time) (w []Wait) {
	if limit, next := q.ramped(now); q.inFlight >= limit {
		cause := CauseConcurrency
		if !next.IsZero() {
			cause = CauseRamp
		}
		w = append(w, Wait{Cause: cause, InFlight: q.inFlight, Limit: limit, Until: next})
	}
	if next := q.bucket.ready(q.cfg.Rate); next.After(now) {
		w = append(w, Wait{Cause: CauseRate, Until: next, Rate: q.cfg.Rate})
	}
	return w
}

// nodeWaits says what the node, and jobs that go first, hold it up for.
func (m *machine) nodeWaits(q *queue, j *job.Job, now time.Time) (w []Wait) {
	if m.drain {
		w = append(w, Wait{Cause: CauseDraining})
	}
	if m.hungry && q.ready > 0 {
		w = append(w, Wait{Cause: CauseNodeBusy})
	}
	if j.Losses > 1 {
		w = append(w, Wait{Cause: CauseSuspect})
	}
	if q.cfg.Strict && q.topPriority(q.withoutWorker(now) != "") < j.Priority {
		w = append(w, Wait{Cause: CausePriority})
	}
	return w
}
