package control

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
)

// unique sets what makes the job unique, where it is asked to be.
func (n *NewJob) unique(j *job.Job) {
	if n.Unique == nil {
		return
	}
	j.Unique = n.Unique.WithDefaults()
	j.Unique.SetDigest(j, n.payload())
}

// enqueueUnique stores jobs of one shard, and has those that are to replace the
// job that holds their lock take its place.
func (c *Control) enqueueUnique(ctx context.Context, shard int, jobs []store.NewJob) ([]store.Enqueued, error) {
	done, err := c.store.Enqueue(ctx, shard, jobs)
	if err != nil || !slices.ContainsFunc(done, unsettled) {
		return done, err
	}
	r := replacing{Control: c, shard: shard, jobs: jobs, done: done, over: time.Now().Add(commandWait)}
	return done, r.run(ctx)
}

// unsettled reports whether what became of a job may have to be looked at again.
func unsettled(e store.Enqueued) bool { return e.Held || e.Pending }

// replacing is the work on jobs of one shard of which some are to take the place
// of others. It ends when there are none left, or it has taken too long.
type replacing struct {
	*Control
	shard int
	jobs  []store.NewJob
	done  []store.Enqueued
	over  time.Time
}

func (r *replacing) run(ctx context.Context) error {
	const shortest, longest = time.Millisecond, 50 * time.Millisecond
	pause := shortest
	for again := r.again(ctx); len(again) > 0 && time.Now().Before(r.over); {
		answered, err := r.ask(ctx, again)
		if err != nil {
			return err
		}
		if !answered {
			r.giveUp(again)
			return nil
		}
		if err := r.look(ctx, again); err != nil {
			return err
		}
		before := len(again)
		if again = r.again(ctx); len(again) < before {
			pause = shortest
			continue
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, longest)
		case <-ctx.Done():
			return fmt.Errorf("replace a job: %w", ctx.Err())
		}
	}
	return nil
}

// again returns the places of the jobs that may yet be stored: those that are to
// replace a job that can be, and those whose idempotency key is another's that may.
func (r *replacing) again(ctx context.Context) (places []int) {
	var jobs []*job.Job
	for i := range r.done {
		if r.wants(i) {
			jobs = append(jobs, r.done[i].Job)
		}
	}
	running := r.running(ctx, jobs...)
	for i := range r.done {
		switch e := &r.done[i]; {
		case e.Pending:
			places = append(places, i)
		case r.wants(i):
			if !running[0] && replaceable(e.Job) {
				places = append(places, i)
			}
			running = running[1:]
		}
	}
	return places
}

// wants reports whether a job is to replace the one that holds its lock.
func (r *replacing) wants(i int) bool {
	return r.done[i].Held && r.jobs[i].Job.Unique.OnConflict == job.ConflictReplace
}

// replaceable reports whether a job, as it is stored, may be replaced.
func replaceable(j *job.Job) bool { return j.Status == job.Waiting && j.StartedAt.IsZero() }

// ask asks the owner to replace jobs, and waits for its answer. It reports false
// where there was none in time.
func (r *replacing) ask(ctx context.Context, places []int) (answered bool, err error) {
	var asked []store.NewJob
	var holders []job.ID
	for _, i := range places {
		if r.done[i].Held {
			asked, holders = append(asked, r.jobs[i]), append(holders, r.done[i].Job.ID)
		}
	}
	if len(asked) == 0 {
		return true, nil
	}
	last, err := r.store.Replace(ctx, r.shard, asked, holders)
	if err != nil || last == 0 {
		return true, err
	}
	r.dispatch.Wake(r.shard)
	return r.consumed(ctx, r.shard, last)
}

// look looks again at what becomes of jobs: one that the owner has stored is there,
// and any other is enqueued anew.
func (r *replacing) look(ctx context.Context, places []int) error {
	jobs := make([]store.NewJob, len(places))
	for k, i := range places {
		jobs[k] = r.jobs[i]
	}
	done, err := r.store.Enqueue(ctx, r.shard, jobs)
	if err != nil {
		return err
	}
	for k, i := range places {
		r.done[i] = done[k]
	}
	return nil
}

// giveUp notes that it is not known what becomes of jobs.
func (r *replacing) giveUp(places []int) {
	for _, i := range places {
		r.done[i] = store.Enqueued{Pending: true}
	}
}

// held returns what a job is answered whose lock another one holds.
func (c *Control) held(ctx context.Context, nj *store.NewJob, holder *job.Job, now time.Time) (Receipt, error) {
	detail := "%s holds the unique lock on the same content"
	switch nj.Job.Unique.OnConflict {
	case job.ConflictReturn:
		return c.existing(ctx, holder, now), nil
	case job.ConflictReplace:
		detail = "%s holds the unique lock on the same content, and could not be replaced: it has been started, has ended, or others replace it"
	case job.ConflictReject:
	}
	c.totals.refused.Add(1)
	e := conflict("unique_conflict", detail, holder.ID)
	e.Job = holder.ID
	return Receipt{}, e
}

// existing is the receipt of a job that was there already.
func (c *Control) existing(ctx context.Context, j *job.Job, now time.Time) Receipt {
	c.totals.repeated.Add(1)
	return Receipt{Job: j, Status: c.shown(ctx, j, now), Existing: true}
}

// unanswered is the error of a job of which the owner of its shard has yet to say
// whether it is stored.
func unanswered() *Error {
	return &Error{
		Kind: Unavailable, Code: "unavailable", RetryAfter: retryAfter,
		Detail: "the owner of the queue has not answered yet; the outcome is unknown",
	}
}
