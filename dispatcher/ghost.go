package dispatcher

import (
	"slices"
	"time"

	"github.com/orchestrix/orchestrix/store"
)

// ghost is a push whose node died and that may go on at its worker until its
// deadline. Where its queue waits for that (after_lost: wait, and where jobs are
// ordered), it is treated as in flight until then: it holds its place in the
// limits of queue, worker and key, and stays in its claim record, so that the
// next owner finds it as this one did.
type ghost struct {
	until  time.Time
	item   *item
	worker string
}

// haunts reports whether a lost push is waited for.
func (m *machine) haunts(ce *store.ClaimEntry, now time.Time) bool {
	j := ce.Entry.Job
	return (j.Ordered || m.queue(j.Queue).cfg.LostWaits) && ce.Deadline.After(now)
}

// haunt begins to wait for a lost push.
func (m *machine) haunt(it *item, ce *store.ClaimEntry) {
	q := it.queue
	it.state = itemRunning
	m.jobs[it.entry.Job.ID] = it
	q.inFlight++
	for _, p := range q.pools {
		if p.worker.Name == ce.Worker {
			it.pool = p
			p.inFlight++
		}
	}
	if key := it.entry.Job.Key; q.byKey != nil && key != "" {
		it.key = q.key(key)
		it.key.inFlight++
		m.park(it.key, m.now)
	}
	if it.entry.Job.Ordered {
		m.hold(it)
		q.order.ready-- // it is in flight already
	}
	m.ghosts = append(m.ghosts, ghost{ce.Deadline, it, ce.Worker})
}

// layGhosts books the lost pushes whose deadline has passed.
func (m *machine) layGhosts(now time.Time) {
	m.ghosts = slices.DeleteFunc(m.ghosts, func(g ghost) bool {
		if g.until.After(now) {
			return false
		}
		m.lay(g, now)
		return true
	})
}

func (m *machine) lay(g ghost, now time.Time) {
	it := g.item
	it.queue.inFlight--
	if it.pool != nil {
		it.pool.inFlight--
	}
	key := attemptKey{it.entry.Job.ID, it.attempt}
	if z := m.zombies[key]; z != nil { // cancelled meanwhile
		delete(m.zombies, key)
		it.key = z.key
		m.buried(z)
	} else if m.jobs[key.id] == it && it.state == itemRunning {
		m.lost(it, g.worker, now)
	}
	m.landKey(it.key, now)
	m.unblock(it.queue)
}

// nextGhost returns when the next lost push is booked; zero where there is none.
func (m *machine) nextGhost() (next time.Time) {
	for _, g := range m.ghosts {
		if next.IsZero() || g.until.Before(next) {
			next = g.until
		}
	}
	return next
}
