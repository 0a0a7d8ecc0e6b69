package dispatcher

import (
	"time"

	"github.com/orchestrix/orchestrix/job"
)

// bucket is the state of a rate: the generic cell rate algorithm (ITU-T I.371,
// annex A). It is one time, that at which the last start would be due if all of
// them came evenly; so it needs no timer to be filled.
type bucket struct{ due time.Time }

// ready returns when the next start is allowed; a time that is not after now
// means at once.
func (b bucket) ready(r job.Rate) time.Time {
	if r.IsZero() || b.due.IsZero() {
		return time.Time{}
	}
	return b.due.Add(-r.Interval() * time.Duration(r.Starts()-1))
}

// start books one start.
func (b *bucket) start(r job.Rate, now time.Time) { b.due = later(b.due, now).Add(r.Interval()) }

// tokens returns how many starts are allowed at once.
func (b bucket) tokens(r job.Rate, now time.Time) int {
	used := max(b.due.Sub(now), 0)
	return max(r.Starts()-int((used+r.Interval()-1)/r.Interval()), 0)
}
