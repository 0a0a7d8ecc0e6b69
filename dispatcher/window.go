package dispatcher

import (
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
	itemDue                       // ordered: its time has come, but perhaps not its turn
)

// item is a job that the machine knows: in the window, or in flight.
type item struct {
	entry   *store.Entry
	queue   *queue
	state   itemState
	attempt int
	started time.Time
	pool    *pool // nil for an ad-hoc destination
	key     *key  // that it is in flight of; nil where the queue has no limits by key
	claim   uint64
	suspect bool
	holds   bool      // it has the turn of its key (see order)
	until   time.Time // when its push has ended at the latest; zero where nobody relies on it
	settle  int       // index in the next commit while state is itemSettling

	deadline time.Time // of the push in flight
	ghost    bool      // the push is not this node's (see ghost)
	accepted bool      // its worker has taken the attempt over (see accepted)
}

// attemptKey names the item's attempt.
func (it *item) attemptKey() attemptKey { return attemptKey{it.entry.Job.ID, it.attempt} }

// queue is what the machine knows of a queue with ready jobs or pushes in
// flight.
type queue struct {
	name     string
	cfg      Queue
	most     int // pushes in flight, whatever its configuration says
	inFlight int
	ready    int // in all lanes, of keys that may have another push
	lanes    []*lane
	pools    []*pool
	retired  []*pool // do not serve the queue any more, but have pushes in flight
	runnable bool    // in machine.runnable
	blocked  string
	bucket   bucket
	byKey    map[string]*key // nil where it never had limits by key
	order    *order          // nil where it never had ordered jobs
	limited  bool            // the bucket changed since the last commit
	stored   bool            // the store has a state of it
	ended    rate            // of attempts
}

// Why a queue with ready jobs has nothing claimed.
const (
	blockedPaused      = "paused"
	blockedNoWorker    = "no_worker"
	blockedConcurrency = "concurrency"
	blockedThrottled   = "throttled"
	blockedRate        = "rate"
	blockedKey         = "key"
	blockedCircuit     = "circuit_open"
	blockedRamp        = "ramp"
)

// pool is a worker as one queue sees it.
type pool struct {
	worker         *Worker
	inFlight       int
	throttledUntil time.Time
	throttles      int // in a row
	circuit        circuit
	failing        failing
	gone           bool // answered 410 since it was configured
	credit         int  // of the smooth weighted round-robin over equal loads
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
	l := &lane{Lane: id, queue: q, keys: make(map[string]*keyed)}
	q.lanes = append(q.lanes, l)
	return l
}

// idle reports whether nothing of the queue needs to be remembered.
func (q *queue) idle() bool {
	if q.ready > 0 || q.inFlight > 0 || len(q.byKey) > 0 || !q.order.idle() {
		return false
	}
	for _, l := range q.lanes {
		if l.more || l.asked || len(l.keys) > 0 {
			return false
		}
	}
	return true
}
