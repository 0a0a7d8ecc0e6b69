package dispatcher

import (
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
)

// demand is what could be claimed if the node allowed it.
func (m *machine) demand(now time.Time) (w want) {
	if m.drain {
		return want{}
	}
	for i := 0; i < m.runnable.n && w.Slots < m.limits.Claims; i++ {
		q := m.runnable.items[(m.runnable.head+i)%len(m.runnable.items)]
		limit, _ := q.ramped(now)
		w.Slots = min(m.limits.Claims, w.Slots+max(0, min(q.ready, limit-q.inFlight)))
	}
	if m.suspect != suspectUsed && m.nextSuspect(now) != nil {
		w.Slots++
		w.Suspect = m.suspect == suspectNone
	}
	return w
}

// claimReady claims ready jobs, one of each queue in turn, as far as the
// queues, the workers, the node and the size of a commit allow.
func (m *machine) claimReady(now time.Time) {
	if m.drain {
		return
	}
	m.claimSuspect(now)
	for m.slots > 0 && !m.runnable.empty() && len(m.next.Claim) < m.limits.Claims {
		q := m.runnable.pop()
		q.runnable = false
		it := m.pick(q, now)
		if it == nil {
			continue
		}
		m.claim(it, now)
		if q.ready > 0 {
			q.runnable = true
			m.runnable.push(q)
		}
	}
}

// pick takes the queue's next job out of the window and chooses its worker. It
// returns nil, and notes why, where nothing can be pushed now.
func (m *machine) pick(q *queue, now time.Time) *item {
	if q.ready == 0 {
		return nil
	}
	if q.blocked = m.barred(q, now); q.blocked != "" {
		return nil
	}
	blocked := m.withoutWorker(q, now)
	for {
		l := q.nextLane(blocked != "")
		if l == nil {
			if q.ready > 0 {
				q.blocked = blocked
			}
			return nil
		}
		it, in := l.take()
		q.ready--
		m.ready--
		m.bytes -= it.entry.Size()
		m.wantKey(in)
		m.wantRefill(q, l)
		m.leaves(it)
		if it.entry.Job.Expired(now) {
			m.settleWith(it, finish(it.entry.Job, job.EventExpire, job.ReasonExpired, now), nil)
			continue
		}
		if !l.AdHoc {
			it.pool = q.choose(now)
		}
		return it
	}
}

// barred says why the queue as a whole may not have another push; "" if it may.
// Where only time bars it, the machine will look again.
func (m *machine) barred(q *queue, now time.Time) string {
	why := q.barred(now)
	switch why {
	case blockedRate:
		m.throttleUntil(q.bucket.ready(q.cfg.Rate))
	case blockedRamp:
		_, next := q.ramped(now)
		m.throttleUntil(next)
	}
	return why
}

func (q *queue) barred(now time.Time) string {
	limit, next := q.ramped(now)
	switch {
	case q.cfg.Paused:
		return blockedPaused
	case q.inFlight >= limit && !next.IsZero():
		return blockedRamp
	case q.inFlight >= limit:
		return blockedConcurrency
	case q.bucket.ready(q.cfg.Rate).After(now):
		return blockedRate
	}
	return ""
}

// limit is how many pushes of the queue may be in flight: its concurrency, and
// at most half of what the node allows, so that a queue whose workers hang
// leaves room for the others. Just after it was resumed it is less: see ramped.
func (q *queue) limit() int {
	if q.most == 0 {
		return q.cfg.Concurrency
	}
	return min(q.cfg.Concurrency, q.most)
}

// blocked says why a worker may not have another push of its queue; "" if it
// may.
func (p *pool) blocked(q *queue, now time.Time) string {
	switch {
	case p.worker.Paused || p.gone:
		return blockedNoWorker
	case p.circuit.blocks(p.worker.Circuit, now):
		return blockedCircuit
	case p.throttledUntil.After(now):
		return blockedThrottled
	}
	switch limit, next := p.ramped(q, now); {
	case limit == 0 || p.inFlight < limit:
		return ""
	case !next.IsZero():
		return blockedRamp
	}
	return blockedConcurrency
}

// until returns when time alone may let a blocked worker have another push; zero
// where it does not.
func (p *pool) until(q *queue, now time.Time) (until time.Time) {
	switch p.blocked(q, now) {
	case blockedCircuit:
		if !p.circuit.probing() {
			return p.circuit.until(p.worker.Circuit)
		}
	case blockedThrottled:
		return p.throttledUntil
	case blockedRamp:
		_, until = p.ramped(q, now)
	}
	return until
}

// withoutWorker says why no worker may have another push; "" if one may. Where
// only time bars them, the machine will look again.
func (m *machine) withoutWorker(q *queue, now time.Time) string {
	why := q.withoutWorker(now)
	if why == "" {
		return why
	}
	for _, p := range q.pools {
		if until := p.until(q, now); !until.IsZero() {
			m.throttleUntil(until)
		}
	}
	return why
}

// withoutWorker says why no worker may have another push; "" if one may.
func (q *queue) withoutWorker(now time.Time) string {
	why := blockedNoWorker
	for _, p := range q.pools {
		switch blocked := p.blocked(q, now); blocked {
		case "":
			return ""
		case blockedNoWorker:
		default:
			why = blocked
		}
	}
	return why
}

// choose returns the worker with the least load for its weight among those
// that may have another push; nil where there is none. Those with equal loads
// take turns by smooth weighted round-robin, so that the weights count also
// where pushes come one at a time.
func (q *queue) choose(now time.Time) *pool {
	var least *pool
	for _, p := range q.pools {
		if p.blocked(q, now) == "" && (least == nil || p.load(least) < 0) {
			least = p
		}
	}
	var best *pool
	total := 0
	for _, p := range q.pools {
		if p.blocked(q, now) != "" || p.load(least) != 0 {
			continue
		}
		p.credit += p.worker.Weight
		total += p.worker.Weight
		if best == nil || p.credit > best.credit {
			best = p
		}
	}
	if best != nil {
		best.credit -= total
	}
	return best
}

// load compares the loads of two workers for their weights.
func (p *pool) load(other *pool) int {
	return p.inFlight*other.worker.Weight - other.inFlight*p.worker.Weight
}

// claim puts a picked job into the next commit's claim.
func (m *machine) claim(it *item, now time.Time) {
	j := it.entry.Job
	it.state = itemClaimed
	it.attempt = j.Attempt + 1
	it.claim = m.number
	it.queue.inFlight++
	m.bookStart(it.queue, now)
	m.bookKey(it, now)
	m.claims[m.number]++
	m.inFlight++
	m.slots--
	ce := store.ClaimEntry{Entry: it.entry, Attempt: it.attempt, Started: now, Deadline: now.Add(m.timeout(it))}
	if j.Ordered || it.queue.cfg.LostWaits {
		ce.Deadline = ce.Deadline.Add(claimSlack).Truncate(time.Millisecond) // as it is stored
		it.until = ce.Deadline
	}
	if it.pool != nil {
		it.pool.inFlight++
		it.pool.circuit.start(it.pool.worker.Circuit, it.attemptKey())
		ce.Worker = it.pool.worker.Name
	}
	m.next.Claim = append(m.next.Claim, ce)
	m.pushes = append(m.pushes, it)
}

// claimSlack is how long a claim may take to become durable before it costs the
// push some of its time, where somebody relies on its deadline.
const claimSlack = time.Second

// nextSuspect returns the first suspect that could be pushed now, were it given
// the node's token; nil where there is none.
func (m *machine) nextSuspect(now time.Time) *item {
	for _, it := range m.suspects {
		q := it.queue
		if m.barred(q, now) != "" || q.barsKey(it.entry.Job.Key, now) {
			continue
		}
		if it.entry.Job.URL != "" || m.withoutWorker(q, now) == "" {
			return it
		}
	}
	return nil
}

// claimSuspect claims one job that may be what killed a node, if the node has
// no other such job in flight.
func (m *machine) claimSuspect(now time.Time) {
	if m.suspect != suspectHeld || m.slots == 0 {
		return
	}
	for it := m.nextSuspect(now); it != nil; it = m.nextSuspect(now) {
		m.unready(it)
		if it.entry.Job.Expired(now) {
			m.settleWith(it, finish(it.entry.Job, job.EventExpire, job.ReasonExpired, now), nil)
			continue
		}
		if it.entry.Job.URL == "" {
			it.pool = it.queue.choose(now)
		}
		m.suspect = suspectUsed
		m.claim(it, now)
		return
	}
}

// timeout returns how long an attempt may take: the job's word, else the
// worker's, else the server's.
func (m *machine) timeout(it *item) time.Duration {
	if t := it.entry.Job.Timeout.Std(); t > 0 {
		return t
	}
	if it.pool != nil && it.pool.worker.Timeout > 0 {
		return it.pool.worker.Timeout
	}
	return m.cfg.Timeout
}

// policy returns the job's retry policy, resolved.
func (m *machine) policy(j *job.Job) job.Policy {
	return j.Retry.Over(m.cfg.queue(j.Queue).Retry).Over(m.cfg.Retry)
}

// unthrottle lets queues use workers again that had asked to be left alone.
func (m *machine) unthrottle(now time.Time) {
	if m.throttled.IsZero() || now.Before(m.throttled) {
		return
	}
	m.throttled = time.Time{}
	for _, q := range m.known() {
		m.unblock(q)
	}
}

func (m *machine) throttleUntil(until time.Time) {
	if m.throttled.IsZero() || until.Before(m.throttled) {
		m.throttled = until
	}
}
