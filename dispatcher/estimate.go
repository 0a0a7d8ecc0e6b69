package dispatcher

import (
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
)

// share is the part of the queue's pushes that a lane has while all that have
// ready jobs now go on to have some.
func (q *queue) share(lane store.Lane) float64 {
	own, total := 0, 0
	for _, l := range q.lanes {
		w := priorityWeight[l.Priority]
		if l.Lane == lane {
			own = w
		}
		if l.n > 0 || l.Lane == lane {
			total += w
		}
	}
	if own == 0 || q.cfg.Strict {
		return 1
	}
	return float64(own) / float64(total)
}

// Start returns about when the job starts, where before jobs of its key stand
// before it and ready jobs of its queue wait, itself among them. It assumes that
// the keys that are known now go on to have jobs and that pushes end as fast as
// they did in the last minute. It is zero where anything bars the job but its
// turn and limits that pass, or nothing is known of the pace.
func (e *Explanation) Start(before int, ready int64, now time.Time) time.Time {
	if len(e.Waits) == 0 {
		return time.Time{}
	}
	ahead := float64(min(int64(before)*int64(e.Keys), max(ready-1, 0)))
	if e.Share > 0 {
		ahead /= e.Share
	}
	start := now
	for i := range e.Waits {
		switch w := &e.Waits[i]; w.Cause {
		case CauseRate:
			start = later(start, inSteps(w.Until, ahead, w.Rate))
		case CauseKeyRate:
			start = later(start, inSteps(w.Until, float64(before), w.Rate))
		case CauseTurn, CauseConcurrency, CauseRamp, CauseWorkerBusy, CauseWorkerRamp, CauseNodeBusy:
			if e.Throughput == 0 {
				return time.Time{}
			}
			start = later(start, inSeconds(now, (ahead+1)/e.Throughput))
		default:
			return time.Time{}
		}
	}
	return start
}

// inSteps is n starts of a rate later.
func inSteps(at time.Time, n float64, r job.Rate) time.Time {
	return inSeconds(at, n*r.Interval().Seconds())
}

// inSeconds is that much later, at most as late as can be told: ten years.
func inSeconds(at time.Time, s float64) time.Time {
	const most = 10 * 365 * 24 * 60 * 60
	return at.Add(time.Duration(min(s, most) * float64(time.Second)))
}
