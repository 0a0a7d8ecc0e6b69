package dispatcher

import (
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
)

// order is what is known of a queue with ordered jobs: those of one key run one
// after the other. The store knows whose turn it is (store.Owner.ReadHeads). Here
// is only which keys have a job in memory, and which are to be looked at because
// something happened to them. A key whose first job waits for its time or its
// next attempt is forgotten until its timer fires.
type order struct {
	held    map[string]int // keys with a job in the window, in flight or in the next commit
	wanting []string       // keys to be looked at
	wanted  map[string]bool
	ready   int  // jobs in the window
	more    bool // other keys may have a job: the lane is walked
	asked   bool // in machine.reorder

	// The walk round the keys: it ends where it began.
	at, start       string
	walking         bool
	wrapped, missed bool
}

const (
	// walkKeys is how many keys one read looks at.
	walkKeys = 256
	// walkPause lets other things happen between two reads of a walk, which may
	// be over a million keys that all wait for their time.
	walkPause = time.Millisecond
)

// windowLane is the lane of the window that a job stands in when it may be
// pushed.
func windowLane(j *job.Job) store.Lane {
	return store.Lane{Queue: j.Queue, Priority: j.Priority, AdHoc: j.URL != ""}
}

// ordered returns the queue's order, new where it had none.
func (q *queue) ordered() *order {
	if q.order == nil {
		q.order = &order{held: make(map[string]int), wanted: make(map[string]bool)}
	}
	return q.order
}

func (o *order) idle() bool {
	return o == nil || len(o.held)+len(o.wanting) == 0 && !o.more
}

// lookAt has the first job of a key looked at.
func (m *machine) lookAt(q *queue, key string) {
	o := q.ordered()
	if o.held[key] > 0 || o.wanted[key] || q.barsKey(key, m.now) {
		return // looked at when that is over
	}
	if len(o.wanting) >= q.laneRoom() {
		m.walk(q)
		return
	}
	o.wanted[key] = true
	o.wanting = append(o.wanting, key)
	m.wantHeads(q)
}

// walk has all keys of a queue looked at.
func (m *machine) walk(q *queue) {
	o := q.ordered()
	o.more, o.missed = true, true
	m.wantHeads(q)
}

// wantHeads notes that a queue has keys to be looked at, if their jobs could be
// used.
func (m *machine) wantHeads(q *queue) {
	o := q.order
	if o == nil || o.asked || q.cfg.Paused || len(o.wanting) == 0 && !(o.more && o.ready < (q.laneRoom()+1)/2) {
		return
	}
	o.asked = true
	m.reorder = append(m.reorder, q)
}

// askHeads asks for the first jobs of keys, as many as the window has room for.
func (m *machine) askHeads() {
	for _, q := range m.reorder {
		o := q.order
		o.asked = false
		if m.drain {
			continue
		}
		room := min(q.laneRoom()-o.ready, m.limits.WindowJobs-m.ready)
		if o.ready == 0 {
			room = max(room, 1)
		}
		if n := min(room, len(o.wanting), walkKeys); n > 0 {
			r := headsRequest{Queue: q.name, Keys: o.wanting[:n:n]}
			o.wanting = o.wanting[n:]
			for _, key := range r.Keys {
				delete(o.wanted, key)
			}
			m.out.ReadHeads = append(m.out.ReadHeads, r)
			room -= n
		}
		if room > 0 && o.more {
			m.askWalk(q, min(room, walkKeys))
		}
	}
	m.reorder = m.reorder[:0]
}

func (m *machine) askWalk(q *queue, limit int) {
	o := q.order
	if m.now.Before(m.walkAt) {
		m.strolling = append(m.strolling, q)
		return
	}
	if !o.walking {
		o.walking, o.wrapped, o.missed, o.start = true, false, false, o.at
	}
	o.asked = true
	m.out.ReadHeads = append(m.out.ReadHeads, headsRequest{Queue: q.name, Walk: true, Behind: o.at, Limit: limit})
}

// goOn goes on with the walks that were paused.
func (m *machine) goOn(now time.Time) {
	if len(m.strolling) == 0 || now.Before(m.walkAt) {
		return
	}
	queues := m.strolling
	m.strolling = nil
	for _, q := range queues {
		m.wantHeads(q)
	}
}

// onHeadsRead takes the first jobs of keys into the window.
func (m *machine) onHeadsRead(ev headsRead) {
	q := m.queue(ev.Queue)
	o := q.ordered()
	for _, e := range ev.Entries {
		m.onHead(q, e)
	}
	if ev.Walk {
		o.asked = false
		m.walkAt = m.now.Add(walkPause)
		o.advance(ev.Last, ev.More)
	}
	m.wantHeads(q)
}

// advance notes how far a walk came; more says that there are keys behind that.
func (o *order) advance(last string, more bool) {
	if last != "" {
		o.at = last
	}
	if o.wrapped && (!more || o.at >= o.start) || !more && o.start == "" {
		o.walking, o.more = false, o.missed
		if !more {
			o.at = ""
		}
		return
	}
	if !more {
		o.wrapped, o.at = true, ""
	}
}

// onHead takes the first job of a key into the window, if it may run now.
func (m *machine) onHead(q *queue, e *store.Entry) {
	j := e.Job
	switch {
	case m.jobs[j.ID] != nil || q.order.held[j.Key] > 0:
	case j.Blocks && !q.cfg.DeadBlocks:
		m.unblocked(q, e)
	case j.Status != job.Waiting || e.Place == store.InTimers:
	default:
		m.hold(m.addReady(q, q.lane(windowLane(j)), e))
	}
}

// unblocked lets the jobs behind a dead one go on.
func (m *machine) unblocked(q *queue, e *store.Entry) {
	j := *e.Job
	j.Blocks, j.Turn = false, e.Seq
	it := &item{entry: e, queue: q, state: itemSettling, settle: len(m.next.Settle)}
	m.jobs[j.ID] = it
	m.next.Settle = append(m.next.Settle, store.Settle{Job: &j, Was: e.Standing()})
}

// hold notes that the item, which has come into the window, has its key's turn.
func (m *machine) hold(it *item) {
	o := it.queue.ordered()
	it.holds = true
	o.held[it.entry.Job.Key]++
	o.ready++
}

// leaves notes that an item that has its key's turn has left the window.
func (m *machine) leaves(it *item) {
	if it.holds {
		it.queue.order.ready--
		m.wantHeads(it.queue)
	}
}

// letGo ends what hold began. It reports whether nothing holds the key now.
func (m *machine) letGo(it *item) bool {
	if !it.holds {
		return false
	}
	it.holds = false
	o, key := it.queue.order, it.entry.Job.Key
	if o.held[key]--; o.held[key] > 0 {
		return false
	}
	delete(o.held, key)
	return true
}

// turnOver has the key looked at, where the durable state of one of its jobs
// lets the next one run.
func (m *machine) turnOver(it *item, j *job.Job) {
	m.letGo(it)
	if j.Status.Terminal() && !(j.Blocks && it.queue.cfg.DeadBlocks) {
		m.lookAt(it.queue, j.Key)
	}
}

// addDueOrdered takes an ordered job whose time has come. Whether its turn has
// come too is seen in its lane, once it is not among the timers any more.
func (m *machine) addDueOrdered(e *store.Entry) {
	it := &item{entry: e, queue: m.queue(e.Job.Queue), state: itemDue}
	m.jobs[e.Job.ID] = it
	m.due = append(m.due, it)
}
