package dispatcher

import (
	"slices"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
)

// itemState is what is happening to a job that the machine knows.
type itemState uint8

const (
	itemReady    itemState = iota // in the window
	itemClaimed                   // in the commit that is being made durable
	itemRunning                   // being pushed
	itemSettling                  // its change is in the next or the current commit
)

// item is a job that the machine knows: in the window, or in flight.
type item struct {
	entry   *store.Entry
	queue   *queue
	state   itemState
	attempt int
	started time.Time
	pool    *pool // nil for an ad-hoc destination
	claim   uint64
	suspect bool
	settle  int // index in the next commit while state is itemSettling
}

// queue is what the machine knows of a queue with ready jobs or pushes in
// flight.
type queue struct {
	name     string
	cfg      Queue
	most     int // pushes in flight, whatever its configuration says
	inFlight int
	ready    int // in all lanes
	lanes    []*lane
	pools    []*pool
	retired  []*pool // do not serve the queue any more, but have pushes in flight
	runnable bool    // in machine.runnable
	blocked  string
	bucket   bucket
	limited  bool // the bucket changed since the last commit
	stored   bool // the store has a state of it
	ended    rate // of attempts
}

// Why a queue with ready jobs has nothing claimed.
const (
	blockedPaused      = "paused"
	blockedNoWorker    = "no_worker"
	blockedConcurrency = "concurrency"
	blockedThrottled   = "throttled"
	blockedRate        = "rate"
)

// pool is a worker as one queue sees it.
type pool struct {
	worker         *Worker
	inFlight       int
	throttledUntil time.Time
	throttles      int  // in a row
	gone           bool // answered 410 since it was configured
	credit         int  // of the smooth weighted round-robin over equal loads
}

// lane is the part of a store lane that is in the window. Its keys are served
// as a ring, so that no key starves another.
type lane struct {
	store.Lane
	keys   map[string]*keyed
	cur    *keyed // the key to be served next
	n      int    // ready items, without suspects
	held   int    // suspects
	more   bool   // the store may have entries that are not in the window
	asked  bool   // in machine.refill, or being read
	credit int    // of the smooth weighted round-robin over priorities
}

// keyed are the ready items of one key of a lane, in order.
type keyed struct {
	key        string
	items      []*item
	head       int
	prev, next *keyed
}

// add puts an item behind the others of its key.
func (l *lane) add(it *item) {
	key := it.entry.Job.Key
	k := l.keys[key]
	if k == nil {
		k = &keyed{key: key}
		if l.keys == nil {
			l.keys = make(map[string]*keyed)
		}
		l.keys[key] = k
		l.link(k)
	}
	k.add(it)
	l.n++
}

// add puts an item at the end. What was taken makes room before the slice grows,
// or a key that always has ready jobs would grow for ever.
func (k *keyed) add(it *item) {
	if len(k.items) == cap(k.items) && k.head > len(k.items)/2 {
		n := copy(k.items, k.items[k.head:])
		clear(k.items[n:])
		k.items, k.head = k.items[:n], 0
	}
	k.items = append(k.items, it)
}

// remove takes out an item that leaves the window in another way than by take.
// It is looked for from the end, where due jobs stand that are promoted.
func (l *lane) remove(it *item) {
	k := l.keys[it.entry.Job.Key]
	i := len(k.items) - 1
	for k.items[i] != it {
		i--
	}
	k.items = slices.Delete(k.items, i, i+1)
	if k.head == len(k.items) {
		l.unlink(k)
	}
	l.n--
}

// link puts a key at the end of the ring: just behind the one to be served
// next, going backwards.
func (l *lane) link(k *keyed) {
	if l.cur == nil {
		k.prev, k.next = k, k
		l.cur = k
		return
	}
	k.prev, k.next = l.cur.prev, l.cur
	k.prev.next, k.next.prev = k, k
}

func (l *lane) unlink(k *keyed) {
	delete(l.keys, k.key)
	if k.next == k {
		l.cur = nil
		return
	}
	k.prev.next, k.next.prev = k.next, k.prev
	if l.cur == k {
		l.cur = k.next
	}
}

// take removes and returns the next ready item; nil where there is none.
func (l *lane) take() *item {
	k := l.cur
	if k == nil {
		return nil
	}
	it := k.items[k.head]
	k.items[k.head] = nil
	k.head++
	if k.head == len(k.items) {
		l.unlink(k)
	} else {
		l.cur = k.next
	}
	l.n--
	return it
}

// priorityWeight is the share of each priority while several have ready jobs.
var priorityWeight = [...]int{job.Critical: 8, job.High: 4, job.Normal: 2, job.Low: 1}

// nextLane chooses the lane to serve by smooth weighted round-robin over those
// with ready jobs, or those of the highest priority among them where the queue
// is strict; adHocOnly leaves out those that need a worker.
func (q *queue) nextLane(adHocOnly bool) *lane {
	var best *lane
	total := 0
	top := q.topPriority(adHocOnly)
	for _, l := range q.lanes {
		if l.n == 0 || (adHocOnly && !l.AdHoc) || (q.cfg.Strict && l.Priority != top) {
			continue
		}
		w := priorityWeight[l.Priority]
		l.credit += w
		total += w
		if best == nil || l.credit > best.credit {
			best = l
		}
	}
	if best != nil {
		best.credit -= total
	}
	return best
}

// topPriority returns the highest priority with ready jobs.
func (q *queue) topPriority(adHocOnly bool) job.Priority {
	top := job.Low
	for _, l := range q.lanes {
		if l.n > 0 && (!adHocOnly || l.AdHoc) {
			top = min(top, l.Priority)
		}
	}
	return top
}

// lane returns the queue's lane, new where it does not have it yet.
func (q *queue) lane(id store.Lane) *lane {
	for _, l := range q.lanes {
		if l.Lane == id {
			return l
		}
	}
	l := &lane{Lane: id}
	q.lanes = append(q.lanes, l)
	return l
}

// idle reports whether nothing of the queue needs to be remembered.
func (q *queue) idle() bool {
	if q.ready > 0 || q.inFlight > 0 {
		return false
	}
	for _, l := range q.lanes {
		if l.more || l.asked {
			return false
		}
	}
	return true
}
