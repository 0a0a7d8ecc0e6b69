package dispatcher

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/webhook"
	"github.com/orchestrix/orchestrix/webhook/push"
)

const (
	// cancelTries is how often a worker is told that an attempt is cancelled that it
	// has taken over. One that does not hear it learns it from the answer to its next
	// report.
	cancelTries = 3
	// cancelTimeout bounds each of them.
	cancelTimeout = 10 * time.Second
)

// maxNotices bounds the notices that wait to be told.
const maxNotices = 256

// tellCancels tells workers what is cancelled, until ctx ends.
func (l *loop) tellCancels(ctx context.Context) {
	var wait sync.WaitGroup
	defer wait.Wait()
	for {
		select {
		case n := <-l.notices:
			wait.Go(func() { l.tellCancel(ctx, &n) })
		case <-ctx.Done():
			return
		}
	}
}

// tellCancel tells a worker that an attempt is cancelled, and the machine when the worker
// has confirmed it.
func (l *loop) tellCancel(ctx context.Context, n *cancelNotice) {
	body, err := json.Marshal(map[string]any{"job_id": n.Job.ID, "attempt": n.Attempt})
	if err != nil {
		panic("dispatcher: " + err.Error()) // a text and a number can be encoded
	}
	r := push.Request{
		Destination: l.destination(n.Job, n.Worker), JobID: n.Job.ID, Incarnation: n.Job.Incarnation, Attempt: n.Attempt,
		Type: webhook.TypeCancel, Queue: n.Job.Queue, Key: n.Job.Key, Epoch: l.owner.Epoch(), EnqueuedAt: n.Job.CreatedAt, Body: body,
	}
	if r.Destination == nil {
		return
	}
	p := pauses{time.Second, 5 * time.Second}
	for range cancelTries {
		r.Deadline = time.Now().Add(cancelTimeout)
		if a := l.d.client.Push(ctx, &r); a.Outcome == job.OutcomeSucceeded {
			l.post(cancelTold{n.Job.ID, n.Attempt})
			return
		}
		select {
		case <-time.After(p.pause()):
		case <-ctx.Done():
			return
		}
	}
}
