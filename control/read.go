package control

import (
	"context"
	"errors"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
)

// MaxWait is how long a reader may wait for a job to settle.
const MaxWait = 60 * time.Second

// Job is a stored job with what is shown of it.
type Job struct {
	*job.Job
	// Shown is the status that is displayed; see job.ShownStatuses.
	Shown string
	// Payload is set where it was asked for.
	Payload []byte
	// Result is the whole answer of the last attempt, nil where there is none.
	Result     []byte
	ResultType string
	// Progress is how far a worker has said it to be; its At is zero where none has.
	Progress Progress
	// Accepted is the running attempt that a worker has taken over; nil where there is
	// none.
	Accepted *store.Accepted
}

// GetJob returns a job with its result and, withPayload, its payload. With a
// wait over zero it returns when the job is terminal or, at the latest, after
// that time, with the job as it is then; a wait is cut to MaxWait.
func (c *Control) GetJob(ctx context.Context, id job.ID, wait time.Duration, withPayload bool) (*Job, error) {
	j, err := c.readJob(ctx, id)
	if err != nil {
		return nil, err
	}
	if wait > 0 && !j.Settled() {
		if j, err = c.await(ctx, id, min(wait, MaxWait)); err != nil {
			return nil, err
		}
	}
	out := &Job{Job: j, Shown: c.shownNow(ctx, j)}
	if withPayload {
		if out.Payload, err = c.store.Payload(ctx, id); err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, storeError("read the payload", err)
		}
	}
	out.Result, out.ResultType, err = c.store.Result(ctx, id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, storeError("read the result", err)
	}
	return out, c.readTold(ctx, out)
}

// readTold completes a job by what its worker tells.
func (c *Control) readTold(ctx context.Context, j *Job) error {
	told, err := c.store.Journal(ctx, j.ID)
	if err != nil {
		return storeError("read the progress", err)
	}
	j.Progress = told.Progress
	if j.Settled() {
		return nil
	}
	if j.Accepted, err = c.store.GetAccepted(ctx, j.ID); err != nil && !errors.Is(err, store.ErrNotFound) {
		return storeError("read the attempt", err)
	}
	return nil
}

// readJob returns a job that the context's principal may read. One that it may
// not read is not there: its id tells nothing.
func (c *Control) readJob(ctx context.Context, id job.ID) (*job.Job, error) {
	return c.jobFor(ctx, ActionRead, id)
}

func (c *Control) jobFor(ctx context.Context, a Action, id job.ID) (*job.Job, error) {
	if id.Shard() >= c.store.Shards() {
		return nil, notFound("job", id.String())
	}
	j, err := c.store.Job(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, notFound("job", id.String())
	}
	if err != nil {
		return nil, storeError("read the job", err)
	}
	if allow(ctx, a, j.Queue) != nil {
		if allow(ctx, ActionRead, j.Queue) == nil {
			return nil, forbidden("the key has no %s scope for this job's queue", a)
		}
		return nil, notFound("job", id.String())
	}
	return j, nil
}

// await returns the job when it is terminal, or as it stands when the wait is
// over. The watch begins before the job is read, so that no end is missed.
func (c *Control) await(ctx context.Context, id job.ID, wait time.Duration) (*job.Job, error) {
	settled, stop := c.dispatch.Watch(id)
	defer stop()
	over := time.NewTimer(wait)
	defer over.Stop()
	const longest = 250 * time.Millisecond
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, longest) {
		j, err := c.readJob(ctx, id)
		if err != nil || j.Settled() {
			return j, err
		}
		var again <-chan time.Time // the end of a job of another node's shard is not told
		if c.o.Shared && !c.dispatch.Serves(id.Shard()) {
			again = time.After(pause)
		} else if c.o.Shared {
			again = time.After(followEvery) // a shard may move
		}
		select {
		case <-again:
			continue
		case <-settled:
		case <-over.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		return c.readJob(ctx, id)
	}
}

// shownNow is shown with the store's time, or that of the job's last change where
// the store does not tell: a status that is a little old is no reason to fail.
func (c *Control) shownNow(ctx context.Context, j *job.Job) string {
	now, err := c.store.Now(ctx)
	if err != nil {
		now = j.CreatedAt
	}
	return c.shown(ctx, j, now)
}

// shown returns what is displayed of a job's status.
func (c *Control) shown(ctx context.Context, j *job.Job, now time.Time) string {
	running := j.Status == job.Waiting && c.running(ctx, j)[0]
	return j.Display(now, running)
}
