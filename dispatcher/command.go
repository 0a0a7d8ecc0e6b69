package dispatcher

import (
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/webhook/push"
)

// onInboxRead carries out what clients asked. Every command is consumed: where
// the job's state forbids it, nothing happens, and who asked sees that from the
// job.
func (m *machine) onInboxRead(now time.Time, ev inboxRead) {
	m.inbox = ev.More
	for i := range ev.Commands {
		c := &ev.Commands[i]
		if c.Name != "" {
			m.onTriggered(now, c)
			continue
		}
		m.next.Consumed = append(m.next.Consumed, c.Seq)
		switch it := m.jobs[c.ID]; {
		case c.Kind == store.CommandReport:
			m.onReport(now, c)
		case c.Kind == store.CommandReplace:
			m.replace(now, c, it)
		case it != nil:
			m.commandKnown(now, c, it)
		case c.Entry != nil:
			m.commandStored(now, c)
		}
	}
}

// commandKnown carries out a command for a job in the window or in flight.
func (m *machine) commandKnown(now time.Time, c *store.Command, it *item) {
	why, cancels := cancelReason(c.Kind)
	switch {
	case it.state == itemSettling:
		m.commandSettling(now, c, it)
	case !cancels || !c.Means(it.entry.Job):
	case it.state == itemReady:
		m.unready(it)
		m.settleWith(it, finish(it.entry.Job, job.EventCancel, why, now), nil)
	case it.state == itemDue:
		m.settleWith(it, finish(it.entry.Job, job.EventCancel, why, now), nil)
	case it.state == itemRunning && c.Kind == store.CommandCancel:
		m.cancelRunning(now, it)
	}
}

// cancelReason returns why a waiting job is cancelled by a command of that kind,
// if it is.
func cancelReason(kind store.CommandKind) (why job.Reason, cancels bool) {
	switch kind {
	case store.CommandCancel:
		return job.ReasonCancelled, true
	case store.CommandPurge:
		return job.ReasonPurged, true
	}
	return job.ReasonNone, false
}

// cancelRunning settles a job whose push is in flight. The push is aborted, and
// what it held is held until it has ended.
func (m *machine) cancelRunning(now time.Time, it *item) {
	accepted := it.accepted
	zombie := *it
	m.zombies[attemptKey{it.entry.Job.ID, it.attempt}] = &zombie
	if zombie.holds {
		it.queue.order.held[it.entry.Job.Key]++
	}
	j := m.ended(it, &push.Answer{
		Outcome: job.OutcomeCancelled, Reason: job.ReasonCancelled, Error: "cancelled while it was being pushed",
		Duration: now.Sub(it.started),
	}, now)
	m.settleWith(it, settled(j, job.EventCancel, job.ReasonCancelled, now), nil)
	if accepted {
		m.cancelAccepted(now, it)
		return
	}
	m.out.Abort = append(m.out.Abort, attemptKey{j.ID, it.attempt})
}

// commandSettling changes what the next commit says of a job.
func (m *machine) commandSettling(now time.Time, c *store.Command, it *item) {
	j := m.nextOf(it)
	why, cancels := cancelReason(c.Kind)
	switch {
	case j == nil || j.Status != job.Waiting || !c.Means(j):
	case cancels:
		m.settled = append(m.settled, settled(j, job.EventCancel, why, now))
	case c.Kind == store.CommandRunNow:
		j.Due = now
	}
}

// nextOf returns what the next commit says of a settling job; nil where it is
// deleted, or in the commit under way.
func (m *machine) nextOf(it *item) *job.Job {
	if it.settle < 0 || it.settle >= len(m.next.Settle) || m.next.Settle[it.settle].Job.ID != it.entry.Job.ID {
		return nil
	}
	return m.next.Settle[it.settle].Job
}

// commandStored carries out a command for a job that only the store knows.
func (m *machine) commandStored(now time.Time, c *store.Command) {
	e := c.Entry
	it := &item{entry: e, queue: m.queue(e.Job.Queue)}
	terminal := e.Job.Status.Terminal()
	why, cancels := cancelReason(c.Kind)
	switch {
	case !c.Means(e.Job):
	case cancels && !terminal:
		m.settleWith(it, finish(e.Job, job.EventCancel, why, now), nil)
	case c.Kind == store.CommandRunNow && e.Place == store.InTimers:
		j := *e.Job
		j.Due = now
		m.settleWith(it, &j, nil)
	case c.Kind == store.CommandRetry && terminal:
		m.settleWith(it, redriven(e.Job, now), nil)
	case c.Kind == store.CommandDelete && terminal:
		m.remove(it)
	}
}

// redriven returns a terminal job as it begins its next incarnation: with its
// id and its history, and all of its policy's attempts before it.
func redriven(old *job.Job, now time.Time) *job.Job {
	j := *old
	t, ok := job.Next(j.Status, job.EventRedrive)
	if !ok {
		panic("dispatcher: redrive is not allowed for a job that is " + j.Status.String())
	}
	j.Status, j.Reason, j.Due = t.To, job.ReasonNone, now
	j.Incarnation++
	j.Failures, j.Losses = 0, 0
	j.StartedAt, j.FinishedAt = time.Time{}, time.Time{}
	j.Blocks = false
	if j.Unique != nil {
		j.Unique = j.Unique.Replaced(job.ID{})
	}
	if j.Expired(now) {
		j.ExpiresAt = time.Time{} // who redrives it wants it to run
	}
	return &j
}

// remove puts the deletion of a terminal job into the next commit.
func (m *machine) remove(it *item) {
	m.deleting(it)
	m.next.Delete = append(m.next.Delete, it.entry.Job)
}

// deleting notes that the next commit removes a terminal job.
func (m *machine) deleting(it *item) {
	it.state = itemSettling
	it.settle = -1
	m.jobs[it.entry.Job.ID] = it
}
