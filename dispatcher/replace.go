package dispatcher

import (
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
)

// replace stores a new job in the place of the one that holds the unique lock on
// its content, in one commit, or refuses it. Only a job that waits for its first
// attempt is replaced. Where something else is about to become of it, the client
// asks again.
func (m *machine) replace(now time.Time, c *store.Command, it *item) {
	if it == nil && c.Entry != nil {
		it = &item{entry: c.Entry, queue: m.queue(c.Entry.Job.Queue), state: itemDue} // in the store alone
	}
	if !c.Holds || it == nil || !it.replaceable() || now.Sub(c.At) >= store.MaxReplaceAge {
		m.next.Refuse = append(m.next.Refuse, c.New)
		return
	}
	if it.state == itemReady {
		m.unready(it)
	}
	j := finish(it.entry.Job, job.EventCancel, job.ReasonReplaced, now)
	j.Unique = j.Unique.Replaced(c.New.ID)
	m.settleWith(it, j, nil)
	m.next.Replace = append(m.next.Replace, c.New)
}

// replaceable reports whether the item is of a job that waits for its first
// attempt, and that nothing becomes of just now.
func (it *item) replaceable() bool {
	j := it.entry.Job
	return (it.state == itemReady || it.state == itemDue) && j.Status == job.Waiting && j.StartedAt.IsZero()
}

// onReplaced takes note of a new job that a commit has stored.
func (m *machine) onReplaced(j *job.Job) {
	m.setTimer(store.FirstTimer(j))
	switch {
	case j.Ordered:
		m.lookAt(m.queue(j.Queue), j.Key)
	case !j.Due.After(j.CreatedAt): // else it is among the timers
		m.grow(store.LaneOf(j))
	}
}
