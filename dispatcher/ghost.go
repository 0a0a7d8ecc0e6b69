package dispatcher

import (
	"time"

	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/webhook/push"
)

// ghost is a push that is not this node's. It was handed over by a node that goes on
// with it and will report how it ends; or its node died and it may go on at its
// worker until its deadline, where its queue waits for that (after_lost: wait, and
// where jobs are ordered). It is treated as in flight: it holds its place in the
// limits of queue, worker and key, and stays in its claim record, so that the
// next owner finds it as this one did.
type ghost struct {
	until    time.Time // then it is lost
	item     *item
	worker   string
	node     string    // that will report; empty where it is dead
	deadline time.Time // of the push
	report   uint64    // the place in the inbox of what told its end; 0 where nothing did
}

// waitsOut reports whether a lost push is waited for.
func (m *machine) waitsOut(it *item, deadline, now time.Time) bool {
	return (it.entry.Job.Ordered || it.queue.cfg.LostWaits) && deadline.After(now)
}

// haunt begins to wait for a push that is not this node's.
func (m *machine) haunt(it *item, ce *store.ClaimEntry) {
	it.ghost, it.deadline = true, ce.Deadline
	m.occupy(it)
	m.ghosts = append(m.ghosts, ghost{until: ce.Deadline, item: it, worker: ce.Worker, deadline: ce.Deadline})
	m.countGhosts(it.queue)
}

// occupy counts an attempt that began under another owner as in flight.
func (m *machine) occupy(it *item) {
	q := it.queue
	it.state = itemRunning
	m.jobs[it.entry.Job.ID] = it
	q.inFlight++
	if key := it.entry.Job.Key; q.byKey != nil && key != "" {
		it.key = q.key(key)
		it.key.inFlight++
		m.park(it.key, m.now)
	}
	if it.entry.Job.Ordered {
		m.hold(it)
		q.order.ready-- // it is in flight already
	}
}

// countGhosts counts the ghosts of a queue at their workers, as soon as these serve
// it.
func (m *machine) countGhosts(q *queue) {
	for i := range m.ghosts {
		m.ghosts[i].count(q)
	}
	for _, w := range m.accepted {
		w.count(q)
	}
}

func (g *ghost) count(q *queue) {
	if g.item.queue == q && g.item.pool == nil && g.worker != "" {
		if g.item.pool = q.pool(g.worker); g.item.pool != nil {
			g.item.pool.inFlight++
		}
	}
}

// pool returns what is known of a worker that serves the queue; nil where it does
// not.
func (q *queue) pool(worker string) *pool {
	for _, p := range q.pools {
		if p.worker.Name == worker {
			return p
		}
	}
	return nil
}

// layGhosts books the lost pushes whose time has passed.
func (m *machine) layGhosts(now time.Time) {
	kept := m.ghosts[:0]
	for _, g := range m.ghosts {
		switch {
		case g.until.After(now):
			kept = append(kept, g)
		case g.node != "" && m.waitsOut(g.item, g.deadline, now):
			g.node, g.until = "", g.deadline
			kept = append(kept, g)
		default:
			m.lay(g, nil, now)
		}
	}
	clear(m.ghosts[len(kept):])
	m.ghosts = kept
}

// lay ends a ghost, by its answer or, without one, as lost.
func (m *machine) lay(g ghost, a *push.Answer, now time.Time) {
	it := g.item
	key := it.attemptKey()
	running := m.jobs[key.id] == it && it.state == itemRunning
	if a != nil && running {
		m.note(it, a, now)
	}
	it.queue.inFlight--
	if it.pool != nil {
		it.pool.inFlight--
		it.pool.circuit.drop(key)
	}
	if z := m.zombies[key]; z != nil { // cancelled meanwhile
		delete(m.zombies, key)
		it.key = z.key
		m.buried(z)
	} else if running && a != nil {
		m.reported(g, a, now)
	} else if running {
		m.lost(it, g.worker, now)
	}
	m.landKey(it.key, now)
	m.unblock(it.queue)
}

// nextGhost returns when the next push of another node is lost; zero where there is none.
func (m *machine) nextGhost() (next time.Time) {
	for _, g := range m.ghosts {
		if next.IsZero() || g.until.Before(next) {
			next = g.until
		}
	}
	return next
}
