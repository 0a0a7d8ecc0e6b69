package dispatcher

import (
	"maps"
	"slices"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
)

// minLaneRoom and maxLaneRoom bound how many ready jobs of one lane are kept
// in memory, and roomFactor how many for each push of its queue: enough that a
// queue never waits for the store between two commits, and that most jobs of a
// burst are pushed from memory and never read back, which costs as much as
// writing them.
const (
	minLaneRoom = 32
	maxLaneRoom = 8192
	roomFactor  = 32
)

// queue returns what is known of a queue, new where it was not known.
func (m *machine) queue(name string) *queue {
	q := m.queues[name]
	if q == nil {
		q = &queue{name: name, most: m.limits.QueueInFlight}
		m.queues[name] = q
		m.configure(q)
	}
	return q
}

// configure gives a queue its configuration and the workers that serve it,
// keeping what is known of workers that it had before.
func (m *machine) configure(q *queue) {
	was := q.cfg
	q.cfg = m.cfg.queue(q.name)
	for _, p := range q.retired {
		// Whoever takes a worker from a queue and gives it back begins anew with it, also
		// where pushes of before have not ended: but for what it has asked for itself.
		*p = pool{worker: p.worker, inFlight: p.inFlight, throttledUntil: p.throttledUntil, throttles: p.throttles}
	}
	old := slices.Concat(q.pools, q.retired)
	q.pools, q.retired = nil, nil
	for _, w := range m.serving[q.name] {
		p := &pool{}
		if i := slices.IndexFunc(old, func(p *pool) bool { return p.worker.Name == w.Name }); i >= 0 {
			p = old[i]
		}
		if p.worker == nil || p.worker.Version != w.Version {
			p.gone = false
		}
		m.resume(q, p, w)
		p.worker = w
		q.pools = append(q.pools, p)
	}
	for _, p := range old {
		if p.inFlight > 0 && !slices.Contains(q.pools, p) {
			q.retired = append(q.retired, p)
		}
	}
	m.countGhosts(q)
	m.configureKeys(q)
	if q.order != nil && !was.sameOrder(&q.cfg) {
		m.walk(q)
	}
}

// resume begins anew with a worker that somebody has resumed, or that is another
// one by now.
func (m *machine) resume(q *queue, p *pool, w *Worker) {
	if p.worker == nil || (p.worker.URL == w.URL && !w.Resumed.After(p.worker.Resumed)) {
		return
	}
	if p.circuit.opens > 0 || p.failing.kept {
		m.changeLimits(q)
	}
	p.circuit, p.failing = circuit{}, failing{}
}

// sameOrder reports whether another configuration lets just the same ordered
// jobs run.
func (q *Queue) sameOrder(other *Queue) bool {
	return q.Paused == other.Paused && q.DeadBlocks == other.DeadBlocks && q.KeyRate == other.KeyRate && maps.Equal(q.Pins, other.Pins)
}

func (m *machine) onConfigured(now time.Time, cfg *Config) {
	same := cfg.unchanged(m.cfg)
	m.cfg, m.serving = cfg, cfg.serving()
	for _, q := range m.known() {
		if same(q.name) {
			continue
		}
		m.configure(q)
		m.unblock(q)
		for _, l := range q.lanes {
			m.wantKeys(l)
			m.wantRefill(q, l)
		}
	}
	if rules := cfg.retention(); rules != m.rules {
		m.retainBy(rules, now)
	}
	m.sweepAt = now
}

// sweep forgets the queues of which nothing needs to be remembered.
func (m *machine) sweep(now time.Time) {
	for _, q := range m.known() {
		m.restLimits(q, now)
		if q.idle() && !q.stored && !q.runnable && !q.throttled(now) && q.ended.quiet(now) {
			delete(m.queues, q.name)
		}
	}
}

// throttled reports whether a worker of the queue has asked to be left alone, or
// has failed, and was not heard of since.
func (q *queue) throttled(now time.Time) bool {
	return slices.ContainsFunc(q.pools, func(p *pool) bool {
		return p.throttles > 0 || p.throttledUntil.After(now) || p.circuit.opens > 0 || p.failing.attempts > 0
	})
}

// unblock lets a queue try again to have something claimed.
func (m *machine) unblock(q *queue) {
	q.blocked = ""
	if q.ready > 0 && !q.runnable {
		q.runnable = true
		m.runnable.push(q)
	}
}

// laneRoom is how many ready jobs of one lane of the queue may be in memory.
func (q *queue) laneRoom() int {
	return min(maxLaneRoom, max(minLaneRoom, roomFactor*q.cfg.Concurrency))
}

// room returns how many entries may be read into a lane that may have that
// much of the window. A lane may always hold one job, or a window full of
// blocked queues would stop all others; and there is always some room for a key
// that has none in the window.
func (m *machine) room(l *lane, jobs, bytes int) int {
	// A read is bounded by payloads, the window also by what an entry costs
	// beside its payload: half of the bytes are for that.
	limit := min(m.space(l), jobs, bytes/(2*entryCost))
	if limit > 0 {
		return limit
	}
	return max(0, 1-l.n-l.held)
}

// setMore notes whether the store may have more of a lane.
func (m *machine) setMore(l *lane, more bool) {
	switch {
	case more && !l.more:
		l.backlog = len(m.backlogs)
		m.backlogs = append(m.backlogs, l)
	case !more && l.more:
		end := len(m.backlogs) - 1
		last := m.backlogs[end]
		m.backlogs[l.backlog], last.backlog = last, l.backlog
		m.backlogs[end] = nil
		m.backlogs = m.backlogs[:end]
	}
	l.more = more
}

// joinRefill has the lanes that will run low soon read together with those that
// do, where lanes are many and the part of each is small: what stands at their
// heads came at about the same time, and lies together in the store.
func (m *machine) joinRefill() {
	share := m.share()
	if len(m.backlogs) < minTogether || share > maxTogether {
		return
	}
	for _, l := range m.backlogs {
		if !l.asked && l.queue.serves(l) && l.n+l.held < (3*min(l.queue.laneRoom(), share)+3)/4 {
			l.asked = true
			m.refill = append(m.refill, l)
		}
	}
}

// With at least minTogether lanes that have a backlog, of which each may have at
// most maxTogether ready jobs, lanes are read together.
const (
	minTogether = 8
	maxTogether = 128
)

// minRead is how many jobs a read for the sake of keys that have none in the window
// must have room for.
const minRead = 8

// minShare is how many ready jobs a lane may have, however many lanes there are.
const minShare = 4

// share is how many ready jobs a lane may have where the window has to do for
// those of many: an equal part of it. A lane is read when it has less than half of
// that, and not whenever one of its jobs is pushed: to read one job costs as much
// as to read ten.
func (m *machine) share() int {
	size, bytes := entryCost, m.limits.WindowBytes
	if m.ready > 0 {
		size = m.bytes / m.ready
	}
	if len(m.backlogs) >= minTogether {
		bytes = m.limits.EvenBytes
	}
	return max(minShare, min(m.limits.WindowJobs, bytes/size)/max(len(m.backlogs), 1))
}

// space is how many more entries the lane may have in the window, whatever the
// others have.
func (m *machine) space(l *lane) int {
	room := min(l.queue.laneRoom(), m.share())
	if l.newcomer {
		room += room / 4
	}
	return room - l.n - l.held - l.parked
}

// entryCost is what an entry is counted with beside its payload.
var entryCost = new(store.Entry).Size()

// wantRefill notes that a lane runs low, if the store may have more of it and
// its queue could use it.
func (m *machine) wantRefill(q *queue, l *lane) {
	room := min(q.laneRoom(), m.share())
	low := l.n+l.held < (room+1)/2 || l.urgent || l.newcomer && m.space(l) >= max(minRead, room/8)
	if l.asked || !q.serves(l) || len(l.wanting) == 0 && !(l.more && low) {
		return
	}
	l.asked = true
	m.refill = append(m.refill, l)
}

// serves reports whether what the lane has could be pushed at all.
func (q *queue) serves(l *lane) bool {
	return !q.cfg.Paused && (len(q.pools) > 0 || l.AdHoc)
}

// grow notes that a lane has entries in the store.
func (m *machine) grow(id store.Lane) {
	q := m.queue(id.Queue)
	if id.Ordered {
		m.walk(q)
		return
	}
	l := q.lane(id)
	m.setMore(l, true)
	m.wantRefill(q, l)
}

// onArrived puts new entries into the window, as far as there is room and the
// reader agrees that they are what it would read next.
func (m *machine) onArrived(entries []*store.Entry) {
	for _, e := range entries {
		id := store.LaneOf(e.Job)
		q := m.queue(id.Queue)
		if id.Ordered {
			m.feed.Pass(id, e)
			m.lookAt(q, e.Job.Key)
			continue
		}
		l := q.lane(id)
		in := l.keys[e.Job.Key]
		switch it := m.jobs[e.Job.ID]; {
		case it != nil && it.state == itemSettling:
			m.feed.Pass(id, e) // a command has found it first: what it was is found stale
		case (in != nil && in.behind) || q.barsKey(e.Job.Key, m.now):
			m.feed.PassKey(id, e)
			m.fallBehind(l, e.Job.Key)
			continue
		case !m.hasRoom(q, l, e):
			m.feed.Pass(id, e)
		case m.feed.Take(id, e):
			m.addReady(q, l, e)
			continue
		}
		m.setMore(l, true)
		l.newcomer, l.urgent = l.newcomer || in == nil, l.urgent || in == nil
		m.wantRefill(q, l)
	}
}

// hasRoom reports whether a new entry may be kept in memory.
func (m *machine) hasRoom(q *queue, l *lane, e *store.Entry) bool {
	if l.more || m.drain {
		return false
	}
	return l.n+l.held == 0 || l.n+l.held+l.parked < q.laneRoom() && m.ready < m.limits.WindowJobs && m.bytes+e.Size() <= m.limits.WindowBytes
}

func (m *machine) onLaneRead(ev laneRead) {
	q := m.queue(ev.Lane.Queue)
	l := q.lane(ev.Lane)
	found := false // a key that had none in the window
	for _, e := range ev.Entries {
		found = found || l.keys[e.Job.Key] == nil
		if it := m.jobs[e.Job.ID]; it == nil {
			m.addReady(q, l, e)
		} else if it.state == itemSettling {
			m.feed.Drop(e) // settled from its timer or by a command, while it stood in the lane
		}
	}
	if ev.Key != nil {
		m.onKeyRead(ev.Key, ev.More)
		return
	}
	// A read ends where an earlier one began or the room does, which may be short of
	// keys that came since: then the next one finds them.
	l.asked = false
	m.setMore(l, ev.More)
	l.newcomer = l.newcomer && ev.More
	l.urgent = l.newcomer && l.urgent && !found
	for _, name := range ev.Skipped {
		m.fallBehind(l, name)
	}
	m.wantRefill(q, l)
}

// addReady puts an entry into the window.
func (m *machine) addReady(q *queue, l *lane, e *store.Entry) *item {
	it := &item{entry: e, queue: q, state: itemReady}
	m.jobs[e.Job.ID] = it
	m.ready++
	m.bytes += e.Size()
	if e.Job.Losses > 1 {
		it.suspect = true
		l.held++
		m.suspects = append(m.suspects, it)
		return it
	}
	if !l.add(it) {
		return it
	}
	q.ready++
	if q.blocked == "" || l.AdHoc {
		m.unblock(q)
	}
	return it
}

// unready takes an item out of the window that was not taken from its lane.
func (m *machine) unready(it *item) {
	m.ready--
	m.bytes -= it.entry.Size()
	l := it.queue.lane(windowLane(it.entry.Job))
	m.leaves(it)
	if it.suspect {
		l.held--
		m.suspects = slices.DeleteFunc(m.suspects, func(s *item) bool { return s == it })
	} else if l.remove(it) {
		it.queue.ready--
	}
	if in := l.keys[it.entry.Job.Key]; in != nil {
		m.wantKey(in)
	}
	m.wantRefill(it.queue, l)
}

// onTimersRead takes due jobs into the window for the claims of this step;
// those that cannot be claimed in it are promoted to their lanes (see
// promoteRest), so that the head of the timers is clean after every commit.
func (m *machine) onTimersRead(now time.Time, ev timersRead) {
	m.nextDue = ev.Next
	if len(ev.Timers) >= m.limits.Timers {
		m.nextDue = now // there may be more that are due
	}
	for i := range ev.Timers {
		t := &ev.Timers[i]
		switch {
		case t.Kind == store.TimerExpire:
			m.expireFired(now, t)
		case t.Kind == store.TimerFire:
			m.fireDue(now, t)
		case t.Kind == store.TimerRelease || t.Kind == store.TimerUnlock || t.Entry == nil:
			m.next.TimersDone = append(m.next.TimersDone, *t)
		case m.jobs[t.ID] == nil && t.Entry.Job.Ordered:
			m.addDueOrdered(t.Entry)
		case m.jobs[t.ID] == nil:
			m.addDue(t.Entry)
		}
	}
}

func (m *machine) addDue(e *store.Entry) {
	q := m.queue(e.Job.Queue)
	it := m.addReady(q, q.lane(store.LaneOf(e.Job)), e)
	m.due = append(m.due, it)
}

// promoteRest moves the due jobs that were not claimed to their lanes.
func (m *machine) promoteRest() {
	for i, it := range m.due {
		m.due[i] = nil
		switch it.state {
		case itemReady:
			m.unready(it)
		case itemDue:
		default:
			continue
		}
		it.state = itemSettling
		delete(m.jobs, it.entry.Job.ID)
		m.next.Promote = append(m.next.Promote, it.entry)
	}
	m.due = m.due[:0]
}

// expireFired handles a job whose expires_at has come.
func (m *machine) expireFired(now time.Time, t *store.Timer) {
	m.next.TimersDone = append(m.next.TimersDone, *t)
	if t.Entry == nil || t.Entry.Job.Status.Terminal() || !t.Entry.Job.Expired(now) {
		return
	}
	it := m.jobs[t.ID]
	switch {
	case it == nil:
		it = &item{entry: t.Entry, queue: m.queue(t.Entry.Job.Queue)}
	case it.state == itemReady:
		m.unready(it)
	case it.state == itemDue:
	case it.state == itemSettling:
		m.expireSettling(now, it)
		return
	default:
		return // its attempt decides: see decide
	}
	m.settleWith(it, finish(it.entry.Job, job.EventExpire, job.ReasonExpired, now), nil)
}

// expireSettling ends a job that the next commit would have let wait.
func (m *machine) expireSettling(now time.Time, it *item) {
	if j := m.nextOf(it); j != nil && j.Status == job.Waiting {
		m.settled = append(m.settled, settled(j, job.EventExpire, job.ReasonExpired, now))
	}
}
