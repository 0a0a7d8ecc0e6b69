package control

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/scheduler"
	"github.com/orchestrix/orchestrix/store"
)

// ScheduleRun is an entry of a schedule's history.
type ScheduleRun struct {
	scheduler.Run
	// Number counts the entries from 1.
	Number uint64
	// Lateness is how long after its time the job of a slot was made; zero of what was
	// asked for beside the slots.
	Lateness time.Duration
	// Outcome is the shown status of the job that was made, or OutcomeRemoved; empty where
	// none was made.
	Outcome string
}

// OutcomeRemoved is the outcome of a run whose job is not kept any more.
const OutcomeRemoved = "removed"

// arrival is how long the job of a run may take from its shard to that of its queue.
const arrival = 10 * time.Second

// ScheduleRunList is one page of a history, the newest run first.
type ScheduleRunList struct {
	Runs   []ScheduleRun
	Cursor string
}

// ScheduleRuns returns a page of a schedule's history: its firings, and the slots that
// were missed. The newest store.KeptRuns entries are kept.
func (c *Control) ScheduleRuns(ctx context.Context, name, cursor string, limit int) (ScheduleRunList, error) {
	query := "runs of " + name
	place, err := checkPage(query, cursor, &limit)
	if err != nil {
		return ScheduleRunList{}, err
	}
	before := uint64(0)
	if place != "" {
		if before, err = strconv.ParseUint(place, 10, 64); err != nil {
			return ScheduleRunList{}, invalidField("cursor", "%s", errCursor)
		}
	}
	r, err := c.scheduleFor(ctx, ActionRead, name)
	if err != nil {
		return ScheduleRunList{}, err
	}
	_, _, table, err := timetableOf(r)
	if err != nil {
		return ScheduleRunList{}, err
	}
	runs, err := c.runs(ctx, name, before, min(limit, store.KeptRuns))
	if err != nil {
		return ScheduleRunList{}, err
	}
	for i := range runs {
		if run := &runs[i]; run.Kind == scheduler.Fired && run.By == "" {
			run.Lateness = max(run.At.Sub(table.Fires(run.Slot)), 0)
		}
	}
	list := ScheduleRunList{Runs: runs}
	if len(runs) == limit && runs[limit-1].Number > max(r.Runs, store.KeptRuns)-store.KeptRuns+1 {
		list.Cursor = encodeCursor(strconv.FormatUint(runs[limit-1].Number, 10), query)
	}
	return list, c.outcomes(ctx, runs)
}

// runs reads a part of a history.
func (c *Control) runs(ctx context.Context, name string, before uint64, limit int) ([]ScheduleRun, error) {
	entries, numbers, err := c.store.ListRuns(ctx, name, before, limit)
	if err != nil {
		return nil, storeError("read the history of the schedule", err)
	}
	runs := make([]ScheduleRun, len(entries))
	for i, entry := range entries {
		runs[i].Number = numbers[i]
		if err := json.Unmarshal(entry, &runs[i].Run); err != nil {
			return nil, fmt.Errorf("run %d of schedule %s cannot be read: %w", numbers[i], name, err)
		}
	}
	return runs, nil
}

// outcomes fills in what has become of the jobs of runs.
func (c *Control) outcomes(ctx context.Context, runs []ScheduleRun) error {
	ids := make([]job.ID, 0, len(runs))
	for i := range runs {
		if id, err := job.ParseID(runs[i].Job); err == nil {
			ids = append(ids, id)
		}
	}
	jobs, err := c.store.Jobs(ctx, ids...)
	if err != nil {
		return storeError("read the jobs of the schedule", err)
	}
	now, err := c.store.Now(ctx)
	if err != nil {
		return storeError("read the jobs of the schedule", err)
	}
	var found []*job.Job
	for _, j := range jobs {
		found = append(found, j)
	}
	shown := make(map[string]string, len(found))
	for i, running := range c.running(ctx, found...) {
		shown[found[i].ID.String()] = found[i].Display(now, running)
	}
	for i := range runs {
		run := &runs[i]
		switch status := shown[run.Job]; {
		case run.Job == "":
		case status != "":
			run.Outcome = status
		case now.Sub(run.At) < arrival:
			run.Outcome = job.ShownPending
		default:
			run.Outcome = OutcomeRemoved
		}
	}
	return nil
}
