package dispatcher

import "time"

// A queue or worker that was resumed, and a worker whose circuit has closed, gets
// a tenth of its limit at first, and twice as much with each second, so that what
// has gathered does not flood a worker that has just come back.
const (
	rampStart = 10 // percent
	rampStep  = time.Second
)

// ramped returns how much of a limit is allowed at now, where it began anew at
// since, and when that changes: zero where it is all of it. The zero since is
// long ago.
func ramped(limit int, since, now time.Time) (allowed int, next time.Time) {
	if since.IsZero() {
		return limit, time.Time{}
	}
	percent, steps := rampStart, 1
	for since.Add(time.Duration(steps)*rampStep).Compare(now) <= 0 && percent < 100 {
		percent *= 2
		steps++
	}
	if allowed = max(1, (limit*percent+99)/100); allowed >= limit {
		return limit, time.Time{}
	}
	return allowed, since.Add(time.Duration(steps) * rampStep)
}

// ramped returns the queue's limit now, and when it grows; zero where it does not.
func (q *queue) ramped(now time.Time) (limit int, next time.Time) {
	if !q.cfg.Ramp {
		return q.limit(), time.Time{}
	}
	return ramped(q.limit(), q.cfg.Resumed, now)
}

// ramped returns how many pushes the worker may have on its queue now, and when
// that grows. Where it has no limit of its own, the queue's is ramped up; 0 means
// that only the queue bounds it.
func (p *pool) ramped(q *queue, now time.Time) (limit int, next time.Time) {
	limit = p.worker.Concurrency
	since := later(p.worker.Resumed, p.circuit.closed)
	if !p.worker.Ramp || since.IsZero() {
		return limit, time.Time{}
	}
	full := limit
	if full == 0 {
		full = q.limit()
	}
	if allowed, next := ramped(full, since, now); !next.IsZero() {
		return allowed, next
	}
	return limit, time.Time{}
}
