package dispatcher

import (
	"bytes"
	"slices"
	"time"

	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/webhook/push"
)

// A shard is handed over with its pushes in flight. Its owner claims nothing more,
// writes one claim record of all that it is pushing, under its node's name, and
// gives the shard up; its node goes on with the pushes (see leftover). The next
// owner finds the record and treats those pushes as its own but for one thing: how
// they end is told by reports in the inbox. It does not push them again, they count
// against every limit, and who owns the shard after it finds them as it did. A
// report is about one attempt of one job, which is settled once: one that is late or
// repeated finds nothing to settle.
//
// A push of which no report comes is lost when its time is over, or when its node is
// known to be dead.

// reportGrace is how long after a push's deadline its report may come.
const reportGrace = 10 * time.Second

// planHandOver commits what has come together and then the list of the pushes in
// flight. Pushes that were called off end first, which takes no time: they are of
// jobs that have ended, so that the next owner would not find them.
func (m *machine) planHandOver(now time.Time) {
	if !m.handed && m.inFlight > 0 && !m.callsOff() {
		m.listPushes()
	}
	m.moveSchedules(now)
	m.writeLimits(now)
	m.commit()
	m.looked, m.asked = false, false
	m.release()
}

// callsOff reports whether a push of this node goes on whose job has ended.
func (m *machine) callsOff() bool {
	for _, z := range m.zombies {
		if !z.ghost {
			return true
		}
	}
	return false
}

// listPushes has one claim record take the place of those of all pushes in flight.
func (m *machine) listPushes() {
	var running []*item
	for _, it := range m.jobs {
		if it.state == itemRunning && !it.ghost {
			running = append(running, it)
		}
	}
	slices.SortFunc(running, func(a, b *item) int { return bytes.Compare(a.entry.Job.ID[:], b.entry.Job.ID[:]) })
	h := &store.HandOver{Node: m.handOver}
	for _, it := range running {
		m.unclaim(it)
		it.claim = m.number
		m.claims[m.number]++
		ce := store.ClaimEntry{Entry: it.entry, Attempt: it.attempt, Started: it.started, Deadline: roundUp(it.deadline)}
		if it.pool != nil {
			ce.Worker = it.pool.worker.Name
			ce.Probe = it.pool.circuit.probe == it.attemptKey()
		}
		h.Entries = append(h.Entries, ce)
	}
	m.next.HandOver = h
}

// roundUp is a time as it is stored, not before t.
func roundUp(t time.Time) time.Time {
	return t.Add(time.Millisecond - 1).Truncate(time.Millisecond)
}

// expect begins to wait for the report of a push that was handed over.
func (m *machine) expect(it *item, ce *store.ClaimEntry, node string) {
	m.haunt(it, ce)
	if ce.Probe && it.pool != nil && it.pool.circuit.opens > 0 {
		it.pool.circuit.probe = it.attemptKey()
	}
	g := &m.ghosts[len(m.ghosts)-1]
	g.node, g.until = node, ce.Deadline.Add(reportGrace)
}

// onLiving gives up the pushes whose nodes are dead, though not before the lease
// would have run out under which they began: one that was frozen may begin a push
// until then.
func (m *machine) onLiving(now time.Time, nodes []string) {
	for i := range m.ghosts {
		g := &m.ghosts[i]
		switch end := g.deadline.Add(reportGrace); {
		case g.node == "":
		case slices.Contains(nodes, g.node):
			g.until = end
		case g.until.Equal(end):
			g.until = earlier(end, later(now, m.began.Add(m.limits.Lease)))
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// onReport settles a push that another node has told the end of.
func (m *machine) onReport(now time.Time, c *store.Command) {
	i := slices.IndexFunc(m.ghosts, func(g ghost) bool { return g.item.attemptKey() == attemptKey{c.ID, c.Attempt} })
	w := m.acceptedBy[attemptKey{c.ID, c.Attempt}]
	if i < 0 && w == nil {
		return // it was settled before
	}
	a, ok := parseAnswer(c.Report)
	if !ok {
		return // of a version that says it otherwise: it is lost in the end
	}
	if w != nil {
		if !a.Accepted {
			m.conclude(now, w, &a, c.Seq)
		}
		return
	}
	g := m.ghosts[i]
	m.ghosts = slices.Delete(m.ghosts, i, i+1)
	switch it := g.item; {
	case !a.Accepted:
		m.lay(g, &a, now)
	case m.zombies[it.attemptKey()] == nil:
		m.await(now, it, g.worker)
	default: // cancelled meanwhile
		m.notice(it)
		m.lay(g, nil, now)
	}
}

// reported books a push that another node has ended, as onPushed does one of this
// node.
func (m *machine) reported(g ghost, a *push.Answer, now time.Time) {
	it := g.item
	it.queue.ended.add(now, 1)
	j := m.decide(it, a, now)
	last := &j.Attempts[len(j.Attempts)-1]
	last.Worker = g.worker // which may not serve the queue any more
	last.Report = g.report
	m.settleWith(it, j, a)
}
