package dispatcher

import (
	"slices"
	"strings"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/webhook/push"
)

// onPushed takes the answer of an attempt.
func (m *machine) onPushed(now time.Time, r *result) {
	it := m.jobs[r.ID]
	if it == nil || it.state != itemRunning || it.attempt != r.Attempt {
		key := attemptKey{r.ID, r.Attempt}
		if z := m.zombies[key]; z != nil {
			delete(m.zombies, key)
			if r.Answer.Accepted {
				m.notice(z)
			}
			m.land(z)
			m.buried(z)
		}
		return
	}
	if r.Answer.Accepted {
		m.accept(now, it, &r.Answer)
		return
	}
	m.note(it, &r.Answer, now)
	m.land(it)
	it.queue.ended.add(now, 1)
	m.settleWith(it, m.decide(it, &r.Answer, now), &r.Answer)
}

// buried lets the next job of a key run, where the push of one that was settled
// meanwhile has ended.
func (m *machine) buried(z *item) {
	if m.letGo(z) {
		m.lookAt(z.queue, z.entry.Job.Key)
	}
}

// land gives back what a push in flight held.
func (m *machine) land(it *item) {
	it.queue.inFlight--
	m.inFlight--
	m.slots++
	if it.pool != nil {
		it.pool.inFlight--
		it.pool.circuit.drop(it.attemptKey())
	}
	if it.suspect {
		m.suspect = suspectHeld
	}
	m.landKey(it.key, m.now)
	m.unblock(it.queue)
}

// decide returns the job as the answer to its running attempt leaves it.
func (m *machine) decide(it *item, a *push.Answer, now time.Time) *job.Job {
	j := m.ended(it, a, now)
	policy := m.policy(j)
	switch a.Outcome {
	case job.OutcomeSucceeded:
		return settled(j, job.EventSucceed, job.ReasonNone, now)
	case job.OutcomeCancelled, job.OutcomeLost: // aborted by a node that leaves: nobody asked for the job's end
		last := &j.Attempts[len(j.Attempts)-1]
		last.Outcome, last.Reason = job.OutcomeLost, job.ReasonShutdown
		return again(j, &policy, now, now)
	case job.OutcomeThrottled:
		if a.Reason == job.ReasonProxy { // the worker was not even asked
			return again(j, &policy, now.Add(policy.Delay(throttledInRow(j), m.rng)), now)
		}
		due := m.throttle(it, j, a, &policy, now)
		if !policy.Fatal(a.StatusCode) {
			return again(j, &policy, due, now)
		}
	}
	if a.Gone {
		m.gone(it)
	}
	j.Failures++
	switch {
	case a.NoRetry:
		return settled(j, job.EventKill, job.ReasonNoRetry, now)
	case a.Gone:
		return settled(j, job.EventKill, job.ReasonGone, now)
	case policy.Fatal(a.StatusCode):
		return settled(j, job.EventKill, job.ReasonFatalStatus, now)
	case j.Failures >= policy.MaxAttempts:
		return settled(j, job.EventKill, job.ReasonMaxAttempts, now)
	}
	delay := max(policy.Delay(j.Failures, m.rng), a.RetryAfter)
	return again(j, &policy, now.Add(delay), now)
}

// ended returns a copy of the job with its running attempt booked.
func (m *machine) ended(it *item, a *push.Answer, now time.Time) *job.Job {
	j := *it.entry.Job
	j.Attempt = it.attempt
	j.Losses = 0
	if j.StartedAt.IsZero() {
		j.StartedAt = it.started
	}
	attempt := job.Attempt{
		Number: it.attempt, Incarnation: j.Incarnation, StartedAt: it.started, Duration: a.Duration,
		Outcome: a.Outcome, StatusCode: a.StatusCode, Reason: a.Reason, Error: a.Error,
		Answer: a.Body, AnswerSize: len(a.Body), AnswerType: a.ContentType, URL: shownURL(j.URL),
	}
	if it.pool != nil {
		attempt.Worker, attempt.URL = it.pool.worker.Name, shownURL(it.pool.worker.URL)
	}
	j.AddAttempt(attempt)
	return &j
}

// shownURL is a URL without what may be secret in it.
func shownURL(u string) string {
	u, _, _ = strings.Cut(u, "?")
	return u
}

// settled moves a job by a terminal event.
func settled(j *job.Job, on job.Event, why job.Reason, now time.Time) *job.Job {
	t, ok := job.Next(j.Status, on)
	if !ok || !t.To.Terminal() {
		panic("dispatcher: " + on.String() + " is not allowed for a job that is " + j.Status.String())
	}
	j.Status, j.Reason, j.FinishedAt, j.Due = t.To, why, now, time.Time{}
	return j
}

// finish is settled on a copy of the job.
func finish(j *job.Job, on job.Event, why job.Reason, now time.Time) *job.Job {
	c := *j
	return settled(&c, on, why, now)
}

// again lets a job wait for its next attempt at due, unless its policy or its
// expires_at leave it none.
func again(j *job.Job, policy *job.Policy, due, now time.Time) *job.Job {
	if limit := policy.MaxDuration.Std(); limit > 0 && due.Sub(j.StartedAt) > limit {
		return settled(j, job.EventKill, job.ReasonMaxDuration, now)
	}
	if j.Expired(due) {
		return settled(j, job.EventExpire, job.ReasonExpired, now)
	}
	// Due is never zero for a job that was pushed: it stands among the timers.
	j.Due = due.Truncate(time.Millisecond)
	j.Reason = j.Attempts[len(j.Attempts)-1].Reason
	return j
}

// health is what is known of a worker, over all queues of the shard.
type health struct {
	succeeded, failed        int64
	lastSuccess, lastFailure time.Time
}

// note books how the worker did.
func (m *machine) note(it *item, a *push.Answer, now time.Time) {
	if it.pool == nil {
		return
	}
	h := m.health[it.pool.worker.Name]
	if h == nil {
		h = &health{}
		m.health[it.pool.worker.Name] = h
	}
	switch a.Outcome {
	case job.OutcomeSucceeded:
		it.pool.throttles = 0
		h.succeeded++
		h.lastSuccess = now
		m.noteCircuit(it, a, false, now)
		m.noteFailing(it, false, now)
	case job.OutcomeFailed, job.OutcomeTimedOut:
		if a.Reason == job.ReasonAuth {
			return // it was not even asked
		}
		h.failed++
		h.lastFailure = now
		m.noteCircuit(it, a, true, now)
		m.noteFailing(it, true, now)
	}
}

// throttle leaves the worker alone for as long as it asked, on this queue, and
// returns when the job may be pushed again: at once where another worker
// serves the queue, be it busy now.
func (m *machine) throttle(it *item, j *job.Job, a *push.Answer, policy *job.Policy, now time.Time) time.Time {
	p := it.pool
	if p == nil {
		return now.Add(max(a.RetryAfter, policy.Delay(throttledInRow(j), m.rng)))
	}
	until := now.Add(a.RetryAfter)
	if !p.throttledUntil.After(now) {
		// What was in flight when the worker began to throttle says the same thing
		// many times: it counts once.
		p.throttles++
		if a.RetryAfter == 0 {
			until = now.Add(policy.Delay(p.throttles, m.rng))
		}
	}
	p.throttledUntil = later(p.throttledUntil, until)
	m.changeLimits(it.queue)
	m.throttleUntil(p.throttledUntil)
	for _, other := range it.queue.pools {
		if !other.worker.Paused && !other.throttledUntil.After(now) && !other.circuit.blocks(other.worker.Circuit, now) {
			return now
		}
	}
	return p.throttledUntil
}

// throttledInRow counts the job's newest attempts that were all throttled.
func throttledInRow(j *job.Job) (n int) {
	for _, a := range slices.Backward(j.Attempts) {
		if a.Outcome != job.OutcomeThrottled {
			break
		}
		n++
	}
	return n
}

// gone asks for the worker to be paused, unless it is configured otherwise.
func (m *machine) gone(it *item) {
	if it.pool != nil && !it.pool.worker.IgnoreGone && !it.pool.gone {
		it.pool.gone = true // at once: until it is paused, no other job is to die of it
		m.out.Gone = append(m.out.Gone, it.pool.worker.Name)
	}
}

// settleWith puts a job's new state into the next commit.
func (m *machine) settleWith(it *item, j *job.Job, a *push.Answer) {
	s := store.Settle{Job: j, Was: it.entry.Standing()}
	switch {
	case it.claim != 0:
		s.Was.Place = store.InClaim
		m.unclaim(it)
	case it.accepted:
		s.Was.Place = m.unaccept(it)
	}
	if a != nil && len(a.Body) > 0 {
		s.Answer, s.AnswerType = a.Body, a.ContentType
	}
	if j.Ordered {
		if it.entry.Seq != 0 {
			j.Turn = it.entry.Seq
		}
		j.Blocks = j.Status == job.Dead && it.queue.cfg.DeadBlocks
	}
	it.state = itemSettling
	it.settle = len(m.next.Settle)
	m.jobs[j.ID] = it
	m.next.Settle = append(m.next.Settle, s)
	if j.Status.Terminal() {
		m.settled = append(m.settled, j)
	}
}

// unclaim takes an item out of its claim record; the last one takes the record
// with it.
func (m *machine) unclaim(it *item) {
	if it.claim == 0 {
		return
	}
	m.claims[it.claim]--
	if m.claims[it.claim] == 0 {
		delete(m.claims, it.claim)
		m.next.ClaimsDone = append(m.next.ClaimsDone, it.claim)
	}
	it.claim = 0
}

// onRecovered books the attempts that died with the shard's last owner, waits for
// those that were handed over, and finds the lanes that have jobs and what is still
// to be delivered.
func (m *machine) onRecovered(now time.Time, ev recovered) {
	m.started = true
	m.nextDue, m.inbox, m.began = now, true, now
	m.out.Deliver = true // what the last owner did not
	m.recoverLimits(ev.Limits, now)
	for i := range ev.Claims {
		c := &ev.Claims[i]
		if len(c.Entries) == 0 {
			m.next.ClaimsDone = append(m.next.ClaimsDone, c.Number)
			continue
		}
		m.claims[c.Number] = len(c.Entries)
		for k := range c.Entries {
			ce := &c.Entries[k]
			it := &item{entry: ce.Entry, queue: m.queue(ce.Entry.Job.Queue), claim: c.Number, attempt: ce.Attempt, started: ce.Started}
			switch {
			case c.Node != "" && ce.Deadline.Add(reportGrace).After(now):
				m.expect(it, ce, c.Node)
			case m.waitsOut(it, ce.Deadline, now):
				m.haunt(it, ce)
			default:
				m.lost(it, ce.Worker, now)
			}
		}
	}
	for i := range ev.Accepted {
		m.recoverAccepted(&ev.Accepted[i])
	}
	for _, l := range ev.Lanes {
		m.grow(l)
	}
}

// lost books an attempt whose node died. The first loss is pushed again at
// once; from the second on the job is a suspect and backs off; MaxLosses of
// them in a row make it dead.
func (m *machine) lost(it *item, worker string, now time.Time) {
	m.out.Lost++
	j := m.ended(it, &push.Answer{
		Outcome: job.OutcomeLost, Reason: job.ReasonLost, Error: "the node that pushed it died",
	}, now)
	j.Attempts[len(j.Attempts)-1].Worker = worker
	j.Losses = it.entry.Job.Losses + 1
	policy := m.policy(j)
	due := now
	if j.Losses > 1 {
		due = now.Add(policy.Delay(j.Losses-1, m.rng))
	}
	if j.Losses >= job.MaxLosses {
		m.settleWith(it, settled(j, job.EventKill, job.ReasonPoison, now), nil)
		return
	}
	m.settleWith(it, again(j, &policy, due, now), nil)
}
