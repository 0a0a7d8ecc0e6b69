package dispatcher

import (
	"cmp"
	"container/heap"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/webhook/push"
)

// A worker may take an attempt over: it answers 202 at once, goes on without a request,
// and reports the end. The attempt counts as in flight until then, against the limits of
// queue, worker and key, but not of the node, which has nothing to do for it. A record
// of it in the store takes the place of its claim, so that whoever owns the shard waits
// for it. That its worker is alive, any node notes in the record; the owner looks there
// only when the attempt would be over.

// How long an accepted attempt goes on, where nothing else is configured.
const (
	// DefaultHeartbeat is how long its worker may be silent.
	DefaultHeartbeat = time.Minute
	// DefaultAsyncTimeout bounds it as a whole.
	DefaultAsyncTimeout = 24 * time.Hour
)

// accepted is an attempt that its worker has taken over. Its ghost's until is when the
// store is to be asked for a sign of life, and its deadline when the attempt is over.
type accepted struct {
	ghost
	heartbeat time.Duration
	cancelled bool // the job is settled, and the worker was asked to stop
	index     int  // in machine.accepted
}

// accept notes that the worker has taken over an attempt that this node has pushed.
func (m *machine) accept(now time.Time, it *item, a *push.Answer) {
	m.inFlight--
	m.slots++
	if it.suspect {
		m.suspect, it.suspect = suspectHeld, false
	}
	worker := ""
	if it.pool != nil {
		worker = it.pool.worker.Name
		m.noteCircuit(it, a, false, now)
	}
	m.await(now, it, worker)
}

// await begins to wait for the end of an attempt that its worker has taken over.
func (m *machine) await(now time.Time, it *item, worker string) {
	var w *Worker
	if it.pool != nil {
		w = it.pool.worker
	}
	heartbeat, limit := w.patience()
	record := store.Accepted{
		Entry: it.entry, Attempt: it.attempt, Worker: worker, Started: it.started,
		Deadline: roundUp(now.Add(limit)), Heartbeat: heartbeat, Beat: now,
	}
	m.unclaim(it)
	m.next.Accept = append(m.next.Accept, record)
	m.keepAccepted(it, &record)
}

// patience returns how long an attempt that the worker has taken over may go without a
// sign of life, and how long it may take. A destination of a job's own is nil.
func (w *Worker) patience() (heartbeat, limit time.Duration) {
	if w == nil {
		return DefaultHeartbeat, DefaultAsyncTimeout
	}
	return cmp.Or(w.Heartbeat, DefaultHeartbeat), cmp.Or(w.AsyncTimeout, DefaultAsyncTimeout)
}

func (m *machine) keepAccepted(it *item, record *store.Accepted) {
	it.accepted, it.ghost, it.until = true, true, record.Deadline
	w := &accepted{
		ghost:     ghost{until: record.Until(), item: it, worker: record.Worker, deadline: record.Deadline},
		heartbeat: record.Heartbeat,
	}
	heap.Push(&m.accepted, w)
	if m.acceptedBy == nil {
		m.acceptedBy = make(map[attemptKey]*accepted)
	}
	m.acceptedBy[it.attemptKey()] = w
}

// recoverAccepted waits for an attempt that was accepted under another owner.
func (m *machine) recoverAccepted(a *store.Accepted) {
	it := &item{entry: a.Entry, queue: m.queue(a.Entry.Job.Queue), attempt: a.Attempt, started: a.Started}
	m.occupy(it)
	m.keepAccepted(it, a)
	m.countGhosts(it.queue)
}

// askBeats asks for signs of life of attempts that would be over.
func (m *machine) askBeats(now time.Time) {
	for _, w := range m.accepted.due(now, m.limits.Timers) {
		m.out.ReadBeats = append(m.out.ReadBeats, w.item.entry.Job.ID)
	}
}

// onBeatsRead ends the attempts whose workers have been silent for too long, and those
// that have lasted too long.
func (m *machine) onBeatsRead(now time.Time, ev beatsRead) {
	for _, w := range m.accepted.due(now, len(m.accepted)) {
		until, there := ev.Until[w.item.entry.Job.ID]
		switch {
		case !ev.asked(w.item.entry.Job.ID):
			continue
		case there && until.After(now) && !w.cancelled:
			w.until = until
			heap.Fix(&m.accepted, w.index)
			continue
		}
		a := push.Answer{Outcome: job.OutcomeTimedOut, Reason: job.ReasonTimeout, Error: "the worker has not reported its end within " + w.deadline.Sub(w.item.started).Round(time.Second).String()}
		if now.Before(w.deadline) {
			a.Reason, a.Error = job.ReasonHeartbeat, "the worker has given no sign of life for "+w.heartbeat.String()
		}
		m.conclude(now, w, &a, 0)
	}
}

// conclude ends an accepted attempt by its answer. report is the place of the report in
// the inbox, 0 where there is none.
func (m *machine) conclude(now time.Time, w *accepted, a *push.Answer, report uint64) {
	heap.Remove(&m.accepted, w.index)
	delete(m.acceptedBy, w.item.attemptKey())
	a.Duration = now.Sub(w.item.started)
	w.report = report
	if !w.cancelled {
		m.out.Concluded = append(m.out.Concluded, concluded{w.item.entry.Job.Queue, w.worker, a.Outcome})
	}
	m.lay(w.ghost, a, now)
}

// cancelAccepted has the worker told that its attempt is cancelled. What it holds is held
// until the worker has confirmed that, or is silent for too long.
func (m *machine) cancelAccepted(now time.Time, it *item) {
	w := m.acceptedBy[it.attemptKey()]
	w.cancelled, w.until = true, earlier(w.deadline, now.Add(w.heartbeat))
	heap.Fix(&m.accepted, w.index)
	m.notice(it)
}

// notice has the worker told that an attempt is cancelled.
func (m *machine) notice(it *item) {
	n := cancelNotice{Job: it.entry.Job, Attempt: it.attempt}
	if it.pool != nil {
		n.Worker = it.pool.worker
	}
	m.out.Cancel = append(m.out.Cancel, n)
}

// onCancelTold frees what a cancelled attempt held, since its worker has confirmed.
func (m *machine) onCancelTold(now time.Time, key attemptKey) {
	if w := m.acceptedBy[key]; w != nil && w.cancelled {
		m.conclude(now, w, &push.Answer{Outcome: job.OutcomeCancelled}, 0)
	}
}

// unaccept returns where an accepted job stands that is settled now: it is nowhere, where
// the commit to come would have accepted it.
func (m *machine) unaccept(it *item) store.Place {
	it.accepted = false
	for i := range m.next.Accept {
		if m.next.Accept[i].Entry.Job.ID == it.entry.Job.ID {
			m.next.Accept = append(m.next.Accept[:i], m.next.Accept[i+1:]...)
			return store.InClaim
		}
	}
	return store.InAccepted
}

// acceptedHeap is ordered by until.
type acceptedHeap []*accepted

// due returns up to n of those whose time has come, the earliest first of the heap's
// order.
func (h acceptedHeap) due(now time.Time, n int) (due []*accepted) {
	var walk func(i int)
	walk = func(i int) {
		if i >= len(h) || len(due) >= n || h[i].until.After(now) {
			return
		}
		due = append(due, h[i])
		walk(2*i + 1)
		walk(2*i + 2)
	}
	walk(0)
	return due
}

// next returns when the first is due; zero where there is none.
func (h acceptedHeap) next() time.Time {
	if len(h) == 0 {
		return time.Time{}
	}
	return h[0].until
}

func (h acceptedHeap) Len() int           { return len(h) }
func (h acceptedHeap) Less(i, j int) bool { return h[i].until.Before(h[j].until) }

func (h acceptedHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *acceptedHeap) Push(x any) {
	w := x.(*accepted)
	w.index = len(*h)
	*h = append(*h, w)
}

// Pop implements heap.Interface.
func (h *acceptedHeap) Pop() any {
	last := (*h)[len(*h)-1]
	(*h)[len(*h)-1] = nil
	*h = (*h)[:len(*h)-1]
	return last
}
