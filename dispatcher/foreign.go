package dispatcher

import "time"

// What other nodes write to the shard: they enqueue jobs and send commands. The
// loop is told by a hint, and looks by itself once a second, since hints may be
// lost. A look reads the inbox and the timers, where a job that is due later may
// have come to stand first, and asks the store whether the lanes have grown.

const (
	// lookPause is between two looks that hints ask for: a busy store sends
	// thousands a second, this node's own enqueues among them.
	lookPause = 20 * time.Millisecond
	// lookAgain is how long an entry that is this node's own may take from the store
	// to the machine. One that takes longer is read as another's, which does no harm.
	lookAgain = 5 * time.Millisecond
)

// onForeign plans a look, now or when one may be had again.
func (m *machine) onForeign(now time.Time) {
	if m.lookDue.IsZero() {
		m.lookDue = later(now, m.looksFrom)
	}
}

// askLook asks for a look that is due.
func (m *machine) askLook(now time.Time) {
	if m.lookDue.IsZero() || now.Before(m.lookDue) {
		return
	}
	m.lookDue, m.looksFrom = time.Time{}, now.Add(lookPause)
	m.out.Look, m.inbox = true, true
	m.setTimer(now)
}

// onLooked has the lanes read that may have grown.
func (m *machine) onLooked(now time.Time, ev looked) {
	for _, l := range ev.Lanes {
		if !l.Ordered {
			m.feed.Grew(l)
		}
		m.grow(l)
	}
	if ev.Again && m.lookDue.IsZero() {
		m.lookDue = now.Add(lookAgain)
	}
}

// resumeServing ends a drain: what was not read meanwhile is read now. A list of
// pushes that was written to hand the shard over serves as their claim.
func (m *machine) resumeServing() {
	m.drain, m.handOver, m.handed = false, "", false
	for _, q := range m.known() {
		m.unblock(q)
		for _, l := range q.lanes {
			m.wantKeys(l)
			m.wantRefill(q, l)
		}
		m.wantHeads(q)
	}
}
