package dispatcher

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/webhook/push"
)

// push starts a push on a goroutine of its own.
func (l *loop) push(o *pushOrder, now time.Time) {
	j := o.Entry.Job
	ctx, cancel := context.WithCancel(context.Background())
	l.mu.Lock()
	l.pushes[attemptKey{j.ID, o.Attempt}] = cancel
	if l.aborting {
		cancel() // its claim was made durable too late
	}
	l.mu.Unlock()
	l.d.totals.started.Add(1)
	if o.Attempt > 1 {
		l.d.totals.retries.Add(1)
	}
	worker := ""
	if o.Worker != nil {
		worker = o.Worker.Name
	}
	r := push.Request{
		Destination: l.destination(j, o.Worker), JobID: j.ID, Incarnation: j.Incarnation,
		Attempt: o.Attempt, MaxAttempts: o.Max, Type: j.Type, Queue: j.Queue, Key: j.Key,
		Schedule: j.Schedule, ScheduledFor: j.ScheduledFor,
		Epoch: l.owner.Epoch(), EnqueuedAt: j.CreatedAt, Deadline: time.Now().Add(o.Timeout),
		ContentType: j.ContentType, Headers: j.Headers, Body: o.Entry.Payload,
		Async: o.Worker != nil && o.Worker.Async,
	}
	if l.d.callback != nil {
		r.CallbackURL, r.AttemptToken = l.d.callback(j.ID, o.Attempt)
		r.HeartbeatTimeout, _ = o.Worker.patience()
	}
	l.d.runners.do(task{l, l.lease, ctx, cancel, worker, waited(j, now), r})
}

// destination returns where a job goes; nil where that cannot be.
func (l *loop) destination(j *job.Job, worker *Worker) *push.Destination {
	if worker != nil {
		return worker.destination
	}
	w := Worker{Secrets: l.d.config.Load().SigningSecrets}
	return l.d.destination(push.DestinationConfig{URL: j.URL, Method: j.Method}, &w)
}

// abort closes the request of a push.
func (l *loop) abort(key attemptKey) {
	l.mu.Lock()
	cancel := l.pushes[key]
	l.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}

// abortAll closes the requests of all pushes of the shard, and of those that
// are claimed already.
func (l *loop) abortAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.aborting = true
	for _, cancel := range l.pushes {
		cancel()
	}
}

// abortLeft closes the requests of the pushes that go on after the shard was handed
// over. That is reported.
func (l *loop) abortLeft() {
	l.mu.Lock()
	left := slices.Collect(maps.Values(l.left))
	l.mu.Unlock()
	for _, o := range left {
		o.abort()
	}
}

// task is one push to be made.
type task struct {
	l      *loop
	lease  *lease
	ctx    context.Context
	cancel context.CancelFunc
	worker string // empty for a destination of the job's own
	waited time.Duration
	req    push.Request
}

func (t *task) run() {
	var a push.Answer
	switch {
	case t.req.Destination == nil:
		a = push.Answer{
			Outcome: job.OutcomeFailed, Reason: job.ReasonInvalidRequest,
			Error: "the destination's configuration is not valid; the server's log says why",
		}
	case t.l.d.shared && !t.lease.await(t.ctx, t.req.Deadline):
		a = push.Answer{Outcome: job.OutcomeLost, Reason: job.ReasonShutdown, Error: errUntrusted.Error()}
	default:
		if t.l.d.shared {
			t.req.Before = t.lease.check
		}
		a = t.l.d.client.Push(t.ctx, &t.req)
	}
	t.cancel()
	t.l.d.meter.Pushed(t.req.Queue, t.worker, t.waited, a.Duration)
	if !a.Accepted {
		t.l.d.totals.outcome(a.Outcome)
		t.l.d.meter.Attempt(t.req.Queue, t.worker, a.Outcome, a.StatusCode)
	}
	t.l.landed(result{t.req.JobID, t.req.Attempt, a})
}

// runners are goroutines that make pushes. They are kept for a while, since a
// new goroutine has to grow its stack anew for every push.
type runners struct {
	tasks chan task
	stop  chan struct{}
	wait  sync.WaitGroup
}

// runnerIdle is how long a goroutine waits for its next push.
const runnerIdle = 5 * time.Second

func newRunners() *runners {
	return &runners{tasks: make(chan task), stop: make(chan struct{})}
}

// do has the task run without waiting for it.
func (r *runners) do(t task) {
	select {
	case r.tasks <- t:
	default:
		r.wait.Go(func() { r.run(t) })
	}
}

func (r *runners) run(t task) {
	idle := time.NewTimer(runnerIdle)
	defer idle.Stop()
	for {
		t.run()
		t = task{}
		idle.Reset(runnerIdle)
		select {
		case t = <-r.tasks:
		case <-idle.C:
			return
		case <-r.stop:
			return
		}
	}
}

// close ends the idle goroutines and waits for the others. It is called once,
// when nobody has a task any more.
func (r *runners) close() {
	close(r.stop)
	r.wait.Wait()
}
