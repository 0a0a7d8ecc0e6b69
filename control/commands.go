package control

import (
	"context"
	"fmt"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
)

// Commanded is what became of a command.
type Commanded struct {
	// Job is the job after the command, or as it stands where it is Requested;
	// nil where it was deleted.
	Job *Job
	// Requested says that the job's owner has taken the command but not yet
	// carried it out.
	Requested bool
}

// commandWait is how long a command is waited for. The owner commits within
// milliseconds; where it takes this long the shard has no owner just now, and
// the command stays in its inbox.
const commandWait = 2 * time.Second

// Cancel ends a waiting job, also while it is being pushed. It is a Conflict
// where the job is terminal.
func (c *Control) Cancel(ctx context.Context, id job.ID) (Commanded, error) {
	return c.command(ctx, id, command{
		kind: store.CommandCancel, name: "cancelled",
		forbids: func(j *job.Job, _ bool) string { return unless(!j.Settled(), "it is already "+j.Status.String()) },
		done:    func(_, j *job.Job) bool { return j.Status == job.Cancelled },
	})
}

// Retry runs a terminal job again, under a new incarnation. It is a Conflict
// where the job is not terminal.
func (c *Control) Retry(ctx context.Context, id job.ID) (Commanded, error) {
	return c.command(ctx, id, command{
		kind: store.CommandRetry, name: "retried",
		forbids: func(j *job.Job, _ bool) string { return unless(j.Settled(), "it has not ended yet") },
		done:    func(was, j *job.Job) bool { return j.Incarnation > was.Incarnation },
	})
}

// RunNow lets a waiting job run at once that is due later. It is a Conflict
// where the job is terminal or being pushed.
func (c *Control) RunNow(ctx context.Context, id job.ID) (Commanded, error) {
	return c.command(ctx, id, command{
		kind: store.CommandRunNow, name: "run",
		forbids: func(j *job.Job, running bool) string {
			if running {
				return "it is being pushed"
			}
			return unless(!j.Settled(), "it is already "+j.Status.String())
		},
		done: func(_, j *job.Job) bool { return j.Status != job.Cancelled && j.Status != job.Expired },
	})
}

// Delete removes a terminal job with all that is stored of it. It is a Conflict
// where the job is not terminal.
func (c *Control) Delete(ctx context.Context, id job.ID) (Commanded, error) {
	return c.command(ctx, id, command{
		kind: store.CommandDelete, name: "deleted",
		forbids: func(j *job.Job, _ bool) string { return unless(j.Settled(), "it has not ended yet: cancel it first") },
		done:    func(_, _ *job.Job) bool { return false }, // then it would not be there
	})
}

func unless(ok bool, message string) string {
	if ok {
		return ""
	}
	return message
}

// command is one kind of command.
type command struct {
	kind store.CommandKind
	name string // "it cannot be ..."
	// forbids returns why the state forbids the command, "" where it does not.
	forbids func(j *job.Job, running bool) string
	// done reports whether the job shows that the command was carried out.
	done func(was, is *job.Job) bool
}

func (c *Control) command(ctx context.Context, id job.ID, cmd command) (Commanded, error) {
	was, err := c.jobFor(ctx, ActionWriteJobs, id)
	if err != nil {
		return Commanded{}, err
	}
	if why := cmd.forbids(was, c.running(ctx, was)[0]); why != "" {
		return Commanded{}, conflict("state_forbids", "the job cannot be %s: %s", cmd.name, why)
	}
	consumed, err := c.send(ctx, cmd.kind, id)
	if err != nil {
		return Commanded{}, err
	}
	c.totals.commands.Add(1)
	return c.commanded(ctx, was, cmd, consumed)
}

// commanded reads the job after the command, since the owner decides alone: an
// attempt may have ended, or another client been faster.
func (c *Control) commanded(ctx context.Context, was *job.Job, cmd command, consumed bool) (Commanded, error) {
	j, err := c.jobFor(ctx, ActionWriteJobs, was.ID)
	if KindOf(err) == NotFound && cmd.kind == store.CommandDelete {
		return Commanded{}, nil
	}
	if err != nil {
		return Commanded{}, err
	}
	shown := &Job{Job: j, Shown: c.shownNow(ctx, j)}
	switch {
	case !consumed:
		return Commanded{Job: shown, Requested: true}, nil
	case !cmd.done(was, j):
		return Commanded{}, conflict("state_forbids", "the job cannot be %s any more: it is %s", cmd.name, shown.Shown)
	}
	return Commanded{Job: shown}, nil
}

// send puts a command into the inbox of the job's shard and waits for the owner
// to consume it.
func (c *Control) send(ctx context.Context, kind store.CommandKind, id job.ID) (consumed bool, err error) {
	now, err := c.store.Now(ctx)
	if err != nil {
		return false, storeError("send a command", err)
	}
	return c.sendOne(ctx, store.Command{Kind: kind, ID: id, At: now})
}

// sendOne is send for any command.
func (c *Control) sendOne(ctx context.Context, command store.Command) (consumed bool, err error) {
	seq, err := c.store.Send(ctx, command)
	if err != nil {
		return false, storeError("send a command", err)
	}
	shard := command.ID.Shard()
	c.dispatch.Wake(shard)
	consumed, err = c.consumed(ctx, shard, seq)
	if err != nil {
		return false, storeError("wait for a command", err)
	}
	return consumed, nil
}

// consumed looks at the inbox until the entry is gone.
func (c *Control) consumed(ctx context.Context, shard int, seq uint64) (bool, error) {
	return within(ctx, func() (bool, error) {
		pending, err := c.store.InboxPending(ctx, shard, seq)
		return !pending, err
	})
}

// within looks whether something is done, ever more rarely, for as long as a command
// is waited for.
func within(ctx context.Context, done func() (bool, error)) (bool, error) {
	const longest = 50 * time.Millisecond
	over := time.NewTimer(commandWait)
	defer over.Stop()
	for pause := time.Millisecond; ; pause = min(2*pause, longest) {
		if ok, err := done(); ok || err != nil {
			return ok, err
		}
		select {
		case <-time.After(pause):
		case <-over.C:
			return false, nil
		case <-ctx.Done():
			return false, fmt.Errorf("wait for a command: %w", ctx.Err())
		}
	}
}
