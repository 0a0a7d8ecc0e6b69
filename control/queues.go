package control

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/orchestrix/orchestrix/dispatcher"
	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
)

// QueueSpec is the flow control of a queue.
type QueueSpec struct {
	// Concurrency is the number of pushes at once, 1 to MaxQueueConcurrency; 0
	// means the server's default.
	Concurrency int `json:"concurrency,omitempty"`
	// Rate bounds how many pushes start; more wait, none is dropped. nil bounds
	// nothing.
	Rate *job.Rate `json:"rate,omitempty"`
	// PriorityMode is PriorityWeighted, also where it is empty, or PriorityStrict.
	PriorityMode string `json:"priority_mode,omitempty"`
	// Retry overrides the server's policy field by field.
	Retry job.Policy `json:"retry,omitzero"`
	// Ramp is job.On, also where it is empty, or job.Off: whether Concurrency is ramped
	// up when the queue was resumed.
	Ramp string `json:"ramp,omitempty"`
	Backlog
	KeyLimits
	// Retention is how long ended jobs are kept, status by status over the
	// server's.
	Retention   Retention `json:"retention,omitzero"`
	Description string    `json:"description,omitempty"`
}

// How a queue serves its priorities.
const (
	// PriorityWeighted shares by weight: 8 critical to 4 high to 2 normal to 1
	// low. Nothing starves.
	PriorityWeighted = "weighted"
	// PriorityStrict serves a priority only while no higher one is ready.
	PriorityStrict = "strict"
)

// MaxQueueConcurrency bounds a queue's pushes at once.
const MaxQueueConcurrency = 10_000

// Queue is a queue with what is known of it. One without configuration, which
// exists since a job or a worker mentioned it, has Version 0.
type Queue struct {
	Name string
	QueueSpec
	Version          uint64
	Created, Updated time.Time
	Paused           bool
	PauseReason      string
	PausedAt         time.Time
	// Workers are the names of those that serve it.
	Workers []string
	Live    dispatcher.QueueLive
	// Counts are the jobs by shown status.
	Counts map[string]int64
	// Bytes are the payloads of the jobs that have not ended, KeptBytes what those
	// that have ended take.
	Bytes, KeptBytes int64
	// Trimmed are the dead jobs that retention has removed, ever.
	Trimmed int64
	// OldestPending is for how long the oldest ready job has waited.
	OldestPending time.Duration
	// Blocked is why jobs wait although they are ready: paused, no_worker,
	// concurrency, ramp, rate, throttled, circuit_open or key; empty where they do not. Waiting says it to a
	// person.
	Blocked, Waiting string
}

// queueRecord is a queue as it is stored.
type queueRecord struct {
	QueueSpec
	pause
	// Pins are the keys with limits of their own.
	Pins map[string]PinSpec `json:"pins,omitempty"`
}

// PutQueue replaces the specification of a queue; its state stays. created
// reports whether it had none before.
func (c *Control) PutQueue(ctx context.Context, name string, m Match, spec QueueSpec) (q Queue, created bool, err error) {
	return c.changeQueue(ctx, name, m, func(r *queueRecord, _ time.Time) error {
		r.QueueSpec = spec
		return checkQueue(&spec)
	})
}

// PatchQueue changes the specification of a queue, as patch does with a copy.
func (c *Control) PatchQueue(ctx context.Context, name string, m Match, patch func(*QueueSpec) error) (Queue, error) {
	q, _, err := c.changeQueue(ctx, name, m, func(r *queueRecord, _ time.Time) error {
		if err := patch(&r.QueueSpec); err != nil {
			return err
		}
		return checkQueue(&r.QueueSpec)
	})
	return q, err
}

// PauseQueue stops new pushes of a queue, for a reason that is shown. Jobs are
// still accepted.
func (c *Control) PauseQueue(ctx context.Context, name, reason string) (Queue, error) {
	if message := checkText(reason, MaxReason); message != "" {
		return Queue{}, invalidField("reason", "%s", message)
	}
	q, _, err := c.changeQueue(ctx, name, Match{}, func(r *queueRecord, now time.Time) error {
		r.pause = pause{Paused: true, Reason: reason, PausedAt: now, ResumedAt: r.ResumedAt}
		return nil
	})
	return q, err
}

// ResumeQueue lets pushes of a queue begin again.
func (c *Control) ResumeQueue(ctx context.Context, name string) (Queue, error) {
	q, _, err := c.changeQueue(ctx, name, Match{}, func(r *queueRecord, now time.Time) error {
		if r.Paused { // else nothing has gathered that could flood a worker
			r.pause = pause{ResumedAt: now}
		}
		return nil
	})
	return q, err
}

func (c *Control) changeQueue(ctx context.Context, name string, m Match, edit func(*queueRecord, time.Time) error) (Queue, bool, error) {
	if message := job.CheckName(name); message != "" {
		return Queue{}, false, invalidField("name", "%s", message)
	}
	if err := allow(ctx, ActionWriteWorkers, name); err != nil {
		return Queue{}, false, err
	}
	now, err := c.store.Now(ctx)
	if err != nil {
		return Queue{}, false, storeError("change the queue", err)
	}
	d, created, err := change(ctx, c, kindQueue, name, m, func(d *document[queueRecord]) error {
		was := d.Value.ordered()
		if err := edit(&d.Value, now); err != nil || d.Value.ordered() == was {
			return err
		}
		return c.checkUnused(ctx, name)
	})
	if err != nil {
		return Queue{}, false, err
	}
	q, err := c.queue(ctx, name, &d, now)
	return q, created, err
}

func checkQueue(q *QueueSpec) error {
	var f faults
	if q.Concurrency < 0 || q.Concurrency > MaxQueueConcurrency {
		f.add("concurrency", fmt.Sprintf("must be from 1 to %d", MaxQueueConcurrency))
	}
	if q.PriorityMode != "" && q.PriorityMode != PriorityWeighted && q.PriorityMode != PriorityStrict {
		f.add("priority_mode", "must be weighted or strict")
	}
	if q.Rate != nil {
		f = append(f, q.Rate.Validate("rate.")...)
	}
	f = append(f, q.Retry.Validate("retry.")...)
	f.add("ramp", checkSwitch(q.Ramp))
	f = append(f, q.KeyLimits.faults()...)
	f = append(f, q.Backlog.faults()...)
	f = append(f, q.Retention.faults()...)
	f.add("description", checkText(q.Description, MaxDescription))
	if len(f) > 0 {
		return invalid(f...)
	}
	return nil
}

// GetQueue returns a queue that was configured, or mentioned by a job that is
// kept or by a worker.
func (c *Control) GetQueue(ctx context.Context, name string) (Queue, error) {
	if err := allow(ctx, ActionRead, name); err != nil {
		return Queue{}, err
	}
	now, err := c.store.Now(ctx)
	if err != nil {
		return Queue{}, storeError("read the queue", err)
	}
	d, err := get[queueRecord](ctx, c, kindQueue, name)
	if err != nil {
		return Queue{}, err
	}
	q, err := c.queue(ctx, name, &d, now)
	if err == nil && d.Version == 0 && !q.mentioned() {
		return Queue{}, notFound("queue", name)
	}
	return q, err
}

// mentioned reports whether a job or a worker names the queue.
func (q *Queue) mentioned() bool {
	if len(q.Workers) > 0 || q.Trimmed > 0 {
		return true
	}
	for _, n := range q.Counts {
		if n > 0 {
			return true
		}
	}
	return false
}

// DeleteQueue removes a queue's configuration. It is a Conflict while jobs wait
// in it.
func (c *Control) DeleteQueue(ctx context.Context, name string, m Match) error {
	if err := allow(ctx, ActionWriteWorkers, name); err != nil {
		return err
	}
	return remove(ctx, c, kindQueue, name, m, func(*document[queueRecord]) error {
		n, err := c.store.Counts(ctx, name)
		if err != nil {
			return storeError("count the queue's jobs", err)
		}
		if n.Waiting > 0 {
			return conflict("queue_not_empty", "%d jobs wait in the queue", n.Waiting)
		}
		return nil
	})
}

// queue returns what is shown of a queue.
func (c *Control) queue(ctx context.Context, name string, d *document[queueRecord], now time.Time) (Queue, error) {
	counts, err := c.store.Counts(ctx, name)
	if err != nil {
		return Queue{}, storeError("count the queue's jobs", err)
	}
	return c.queueWith(ctx, name, d, counts, now)
}

func (c *Control) queueWith(ctx context.Context, name string, d *document[queueRecord], counts store.Counts, now time.Time) (Queue, error) {
	q := Queue{
		Name: name, QueueSpec: d.Value.QueueSpec, Version: d.Version, Created: d.Created, Updated: d.Updated,
		Paused: d.Value.Paused, PauseReason: d.Value.Reason, PausedAt: d.Value.PausedAt,
		Workers: c.servedBy(name), Live: c.dispatch.QueueLive(name),
	}
	q.PriorityMode = cmp.Or(q.PriorityMode, PriorityWeighted)
	q.Ramp = cmp.Or(q.Ramp, job.On)
	q.KeyLimits = q.KeyLimits.shown()
	if q.Concurrency == 0 {
		q.Concurrency = c.o.QueueConcurrency
	}
	q.Counts = shownCounts(counts, int64(q.Live.InFlight))
	q.Bytes, q.KeptBytes, q.Trimmed = counts.Bytes, counts.Kept, counts.Trimmed
	q.Retention = q.Retention.over(c.o.Retention)
	q.Blocked = q.why()
	q.Waiting = blockedReasons[q.Blocked]
	if counts.Waiting == 0 {
		return q, nil
	}
	oldest, err := c.store.OldestWaiting(ctx, name)
	if err != nil {
		return Queue{}, storeError("look for the queue's oldest job", err)
	}
	if !oldest.IsZero() {
		q.OldestPending = max(now.Sub(oldest), 0)
	}
	return q, nil
}

// shownCounts splits what is stored by what is shown. The store knows what is
// scheduled or retrying of the waiting jobs; the rest is pending or running. The
// two are read one after the other, so that for a moment they may disagree.
func shownCounts(n store.Counts, running int64) map[string]int64 {
	ready := max(n.Waiting-n.Scheduled-n.Retrying, 0)
	running = min(running, ready)
	return map[string]int64{
		job.ShownPending: ready - running, job.ShownRunning: running,
		job.ShownScheduled: n.Scheduled, job.ShownRetrying: n.Retrying,
		job.Succeeded.String(): n.Succeeded, job.Dead.String(): n.Dead,
		job.Cancelled.String(): n.Cancelled, job.Expired.String(): n.Expired,
	}
}

// blockedReasons says the dispatcher's words to a person.
var blockedReasons = map[string]string{
	"paused":      "the queue is paused",
	"no_worker":   "no worker serves this queue, or all that do are paused",
	"rate":        "the queue's rate is used up for now",
	"concurrency": "as many pushes are in flight as the queue and its workers allow",
	"key":         "every key that has jobs is at its own limits, or paused",
	"throttled":   "its workers asked to be left alone",

	"circuit_open": "too many pushes to its workers have failed: they are left alone, and then tried again",
	"ramp":         "it or its worker has just been resumed, and gets more with each second",
}

// why says why jobs wait. What the configuration says holds also where the
// dispatcher has not seen the queue yet.
func (q *Queue) why() string {
	switch {
	case q.Counts[job.ShownPending] == 0:
		return ""
	case q.Paused:
		return "paused"
	case len(q.Workers) == 0 && q.Live.InFlight == 0: // jobs with a destination of their own need none
		return "no_worker"
	}
	return q.Live.Blocked
}
