package control

import (
	"cmp"
	"context"
	"crypto/rand"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/scheduler"
	"github.com/orchestrix/orchestrix/store"
)

// PauseSchedule stops a schedule from firing until it is resumed. Its slots meanwhile
// are left out; a slot that waits is given up. One that is paused stays as it is.
func (c *Control) PauseSchedule(ctx context.Context, name string) (Schedule, error) {
	return c.moveSchedule(ctx, name, func(s *scheduler.State, now time.Time) {
		if s.Paused == "" {
			s.Pause(scheduler.PausedByRequest, now)
		}
	})
}

// ResumeSchedule lets a paused schedule fire again, from its next slot on. One that is
// not paused stays as it is.
func (c *Control) ResumeSchedule(ctx context.Context, name string) (Schedule, error) {
	return c.moveSchedule(ctx, name, func(s *scheduler.State, now time.Time) {
		if s.Paused != "" {
			s.Resume(now)
		}
	})
}

// moveSchedule changes the state of a schedule.
func (c *Control) moveSchedule(ctx context.Context, name string, move func(*scheduler.State, time.Time)) (Schedule, error) {
	if !job.ValidName(name) {
		return Schedule{}, notFound("schedule", name)
	}
	r, err := c.store.ChangeSchedule(ctx, name, func(old *store.Schedule, now time.Time) (*store.Schedule, error) {
		if old == nil {
			return nil, notFound("schedule", name)
		}
		if err := allowSchedule(ctx, ActionWriteJobs, old); err != nil {
			return nil, err
		}
		d, state, table, err := timetableOf(old)
		if err != nil {
			return nil, err
		}
		move(&state, now)
		settle(old, table, &d.Policy, &state, now)
		return old, nil
	})
	if err != nil {
		return Schedule{}, scheduleError("change the schedule", name, err)
	}
	return showSchedule(r)
}

// Triggered is what became of a trigger.
type Triggered struct {
	// Job is the id of the run's job.
	Job job.ID
	// Requested says that the trigger was taken, but the job is not there yet.
	Requested bool
}

// TriggerSchedule has a schedule make a run now, beside its slots, also where it is
// paused and whatever its overlap. It is a Conflict where the schedule is changed or
// deleted at the same moment.
func (c *Control) TriggerSchedule(ctx context.Context, name string) (Triggered, error) {
	r, err := c.scheduleFor(ctx, ActionWriteJobs, name)
	if err != nil {
		return Triggered{}, err
	}
	now, err := c.store.Now(ctx)
	if err != nil {
		return Triggered{}, storeError("trigger the schedule", err)
	}
	id := job.NewID(now, job.ShardOf(r.Job.Queue, c.store.Shards()))
	command := c.triggerOf(name, &scheduler.Trigger{})
	command.Run = id
	consumed, err := c.sendOne(ctx, command)
	if err != nil || !consumed {
		return Triggered{Job: id, Requested: true}, err
	}
	c.totals.commands.Add(1)
	made, err := c.historyHas(ctx, name, id.String())
	if err != nil {
		return Triggered{}, err
	}
	if !made {
		return Triggered{}, conflict("state_forbids", "the schedule was changed at the same moment: trigger it again")
	}
	arrived, err := within(ctx, func() (bool, error) { // on its way to the shard of its queue
		jobs, err := c.store.Jobs(ctx, id)
		return jobs[id] != nil, err
	})
	if err != nil {
		return Triggered{}, storeError("read the job of the schedule", err)
	}
	return Triggered{Job: id, Requested: !arrived}, nil
}

// triggerOf returns a command that asks for a run. The id of its job is the owner's to
// choose.
func (c *Control) triggerOf(name string, t *scheduler.Trigger) store.Command {
	var random [9]byte
	rand.Read(random[:])
	command := c.store.ScheduleCommand(store.CommandTrigger, name, random)
	command.Report = encodeJSON(t)
	return command
}

// historyHas reports whether the newest runs of a schedule have one with that job.
func (c *Control) historyHas(ctx context.Context, name, id string) (bool, error) {
	runs, err := c.runs(ctx, name, 0, store.KeptRuns)
	for i := range runs {
		if runs[i].Job == id {
			return true, err
		}
	}
	return false, err
}

// NextSlots returns when a schedule fires next, from what it has done on: at most count
// slots, 1 to MaxPreview; 0 is DefaultPreview. A schedule that is paused has none.
func (c *Control) NextSlots(ctx context.Context, name string, count int) ([]scheduler.Slot, error) {
	if count < 0 || count > MaxPreview {
		return nil, invalidField("count", "must be from 1 to %d", MaxPreview)
	}
	r, err := c.scheduleFor(ctx, ActionRead, name)
	if err != nil {
		return nil, err
	}
	_, state, table, err := timetableOf(r)
	if err != nil || state.Paused != "" {
		return nil, err
	}
	fired := state.Fired
	if !state.Waiting.IsZero() { // it will fire
		fired++
	}
	return table.Upcoming(state.Cursor, fired, cmp.Or(count, DefaultPreview)), nil
}
