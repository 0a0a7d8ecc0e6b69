package api

import (
	"context"
	"net/http"
	"time"

	"github.com/orchestrix/orchestrix/control"
	"github.com/orchestrix/orchestrix/job"
)

// ScheduleRun is an entry of a schedule's history.
type ScheduleRun struct {
	Kind     string       `json:"kind" enum:"fired,missed" doc:"missed: slots that did not fire, since it was too late."`
	Slot     time.Time    `json:"slot" doc:"What it is for: the nominal time. Of several slots that were missed, the first."`
	LastSlot time.Time    `json:"last_slot,omitzero" doc:"Of several slots that were missed, the last."`
	Count    int          `json:"count" doc:"How many slots."`
	At       time.Time    `json:"at" doc:"When it happened; of a firing, when its job was made."`
	By       string       `json:"by" enum:"slot,trigger,backfill" doc:"What asked for it."`
	Job      string       `json:"job,omitempty"`
	Lateness job.Duration `json:"lateness,omitempty" doc:"How long after its time a slot fired; of what was asked for beside the slots there is none."`
	Outcome  string       `json:"outcome,omitempty" enum:"scheduled,pending,retrying,running,succeeded,dead,cancelled,expired,removed" doc:"The status of the job; removed where it is not kept any more."`
}

func viewRun(r *control.ScheduleRun) ScheduleRun {
	v := ScheduleRun{
		Kind: string(r.Kind), Slot: r.Slot, LastSlot: r.Last, Count: max(r.Count, 1), At: r.At, By: r.By, Job: r.Job,
		Lateness: job.Duration(r.Lateness), Outcome: r.Outcome,
	}
	if v.By == "" {
		v.By = "slot"
	}
	return v
}

// Trigger is what became of a trigger.
type Trigger struct {
	Job string `json:"job" doc:"The id of the run's job."`
}

type triggerOutput struct {
	Status int
	Body   Trigger
}

type backfillBody struct {
	control.Backfill
	dryRun bool
}

var backfillObject = object[backfillBody]{
	name: "BackfillRequest", description: "The slots of which range to make runs of: from must be there.",
	fields: []field[backfillBody]{
		instant("from", func(b *backfillBody) *time.Time { return &b.From }, doc("The first slot may be at it.")).mandatory(),
		instant("to", func(b *backfillBody) *time.Time { return &b.To }, doc("All slots are before it; not later than now, and now where it is absent.")),
		text("overlap", func(b *backfillBody) *string { return &b.Overlap }, overlapMessage, overlapSchema()),
		boolean("dry_run", func(b *backfillBody) *bool { return &b.dryRun }, doc("Change nothing: answer 200 with how many slots there are.")),
	},
}

type runsInput struct {
	NamePath
	PageParams
}

func (a *api) scheduleRunRoutes(path string) {
	register(a, operation{
		method: "POST", path: path + "/trigger", id: "trigger-schedule", tag: schedulesTag, errors: []int{404, 409},
		summary: "Make a run now, beside the slots, also of a schedule that is paused",
	}, a.triggerSchedule)
	a.alsoAccepted(path+"/trigger", "POST", schemaOf[Trigger](a))
	a.backfillRoute(operation{
		method: "POST", path: path + "/backfill", id: "backfill-schedule", tag: schedulesTag, status: 202, errors: []int{404, 409}, body: bodyOf(&backfillObject),
		summary: "Begin to make runs of the slots in a range that is over, each once, at most 10,000",
	})
	register(a, operation{
		method: "GET", path: path + "/next", id: "next-slots", tag: schedulesTag, errors: []int{404},
		summary: "See when a schedule fires next; never while it is paused",
	}, a.nextSlots)
	register(a, operation{
		method: "GET", path: path + "/runs", id: "list-schedule-runs", tag: schedulesTag, errors: []int{404},
		summary: "List what a schedule has done, newest first: the last 100 entries are kept",
	}, a.scheduleRuns)
}

func (a *api) backfillRoute(op operation) {
	register(a, op, a.backfillSchedule)
	a.alsoDryRun(op.path)
}

func (a *api) triggerSchedule(ctx context.Context, in *NamePath) (*triggerOutput, error) {
	t, err := a.control.TriggerSchedule(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	status := http.StatusOK
	if t.Requested {
		status = http.StatusAccepted
	}
	return &triggerOutput{status, Trigger{t.Job.String()}}, nil
}

func (a *api) backfillSchedule(ctx context.Context, in *pauseInput) (*bulkOutput, error) {
	var body backfillBody
	if err := decode(&backfillObject, in.RawBody, false, &body); err != nil {
		return nil, err
	}
	body.Schedule = in.Name
	if body.dryRun {
		o, err := a.control.CountBackfill(ctx, body.Backfill)
		out := &bulkOutput{Status: http.StatusOK, Body: viewOperation(&o)}
		out.Body.Status = "dry_run"
		return out, err
	}
	o, err := a.control.StartBackfill(ctx, body.Backfill)
	return begun(&o), err
}

func (a *api) scheduleRuns(ctx context.Context, in *runsInput) (*listOutput[ScheduleRun], error) {
	list, err := a.control.ScheduleRuns(ctx, in.Name, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	return newList(list.Runs, list.Cursor, viewRun), nil
}
