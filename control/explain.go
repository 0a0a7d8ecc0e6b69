package control

import (
	"context"
	"errors"
	"time"

	"github.com/orchestrix/orchestrix/dispatcher"
	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
)

// MaxPosition is how many jobs of a key are looked at for the position of one.
const MaxPosition = 10_000

// Explanation is why a job is not running, or its push where it is.
type Explanation struct {
	Job
	// Push is the attempt under way; nil where there is none.
	Push *dispatcher.Push
	// Reasons are all that hold at once, in the order of the gates that a job
	// passes: the first decides. Of a job that has ended there is one, which says
	// how; of one that is running there is none, unless its push is lost.
	Reasons []Reason
	// Position is the job's place among those of its key in its lane, from 1; 0
	// where it stands in none, or was not found among MaxPosition: then
	// PositionAtLeast is set. A lane is the jobs of one priority of the queue; in a
	// queue that keeps the order of its keys, all of them.
	Position, PositionAtLeast int
	// EstimatedStart is about when it starts, by the queue's pace of the last minute;
	// zero where that cannot be told.
	EstimatedStart time.Time
}

// Reason is one cause for which a job is not running.
type Reason struct {
	dispatcher.Wait
	// Message says it to a person, with what to do.
	Message string
	// Holders are the Jobs of the Wait with what is shown of them.
	Holders []*Job
}

// Explain returns why a job is not running. It may have to look at MaxPosition
// jobs.
func (c *Control) Explain(ctx context.Context, id job.ID) (*Explanation, error) {
	j, err := c.readJob(ctx, id)
	if err != nil {
		return nil, err
	}
	now, err := c.store.Now(ctx)
	if err != nil {
		return nil, storeError("explain the job", err)
	}
	e := &Explanation{Job: Job{Job: j, Shown: c.shown(ctx, j, now)}}
	if j.Settled() {
		e.Reasons = []Reason{endedReason(j)}
		return e, nil
	}
	if err := c.explain(ctx, e, now); err != nil {
		return nil, storeError("explain the job", err)
	}
	return e, nil
}

func (c *Control) explain(ctx context.Context, e *Explanation, now time.Time) (err error) {
	j := e.Job.Job
	var at store.Position
	if j.Ordered { // it stands in its lane until it has ended
		if at, err = c.store.Position(ctx, j, MaxPosition); err != nil {
			return err
		}
	}
	live := c.dispatch.Explain(j, at.First, now)
	if !j.Ordered && live.Push == nil && !j.Due.After(now) {
		if at, err = c.store.Position(ctx, j, MaxPosition); err != nil {
			return err
		}
	}
	running := live.Push != nil || c.elsewhere(ctx)(j)
	e.Push, e.Shown = live.Push, j.Display(now, running)
	if running && live.Push == nil {
		return nil // another node pushes it, and knows the rest
	}
	e.place(at)
	if at.Found {
		counts, err := c.store.Counts(ctx, j.Queue)
		if err != nil {
			return err
		}
		e.EstimatedStart = live.Start(at.Before, counts.Waiting-counts.Scheduled-counts.Retrying, now)
	}
	e.Reasons, err = c.reasons(ctx, j, live.Waits, now)
	return err
}

func (e *Explanation) place(at store.Position) {
	switch {
	case e.Push != nil: // its entry stays until it has ended where it is ordered
	case at.Found:
		e.Position = at.Before + 1
	case at.Cut:
		e.PositionAtLeast = at.Before + 1
	}
}

// reasons says the waits to a person.
func (c *Control) reasons(ctx context.Context, j *job.Job, waits []dispatcher.Wait, now time.Time) ([]Reason, error) {
	reasons := make([]Reason, len(waits))
	for i, w := range waits {
		holders, err := c.holders(ctx, w.Jobs, now)
		if err != nil {
			return nil, err
		}
		reasons[i] = Reason{Wait: w, Message: c.sentence(j, &w), Holders: holders}
	}
	return reasons, nil
}

// holders returns the jobs that hold a key, as far as they are still there.
func (c *Control) holders(ctx context.Context, ids []job.ID, now time.Time) (holders []*Job, err error) {
	for _, id := range ids {
		j, err := c.store.Job(ctx, id)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		holders = append(holders, &Job{Job: j, Shown: c.shown(ctx, j, now)})
	}
	return holders, nil
}
