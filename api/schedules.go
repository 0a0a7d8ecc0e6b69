package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/orchestrix/orchestrix/control"
	"github.com/orchestrix/orchestrix/job"
)

const schedulesTag = "schedules"

// scheduleBody is a schedule while it is read.
type scheduleBody struct {
	control.ScheduleSpec
	job jobTemplate
}

// spec returns what was read.
func (b *scheduleBody) spec() control.ScheduleSpec {
	spec := b.ScheduleSpec
	spec.Job = b.job.NewJob
	return spec
}

var scheduleObject = object[scheduleBody]{
	name: "ScheduleConfig", description: "A schedule: when it fires, by cron or every, one of them, and the job that it enqueues then.",
	defaults: func() scheduleBody { return scheduleBody{} },
	fields: slices.Concat(timesFields(func(b *scheduleBody) *control.ScheduleTimes { return &b.Spec }), []field[scheduleBody]{
		text("overlap", func(b *scheduleBody) *string { return &b.Overlap }, overlapMessage, overlapSchema()),
		text("catch_up", func(b *scheduleBody) *string { return &b.CatchUp }, "must be skip, latest or all",
			choice("What becomes of slots that were not fired in time, after downtime: all are missed (skip), the newest fires (latest, the default), or all do, at most 1000.", "skip", "latest", "all")),
		duration("catch_up_window", func(b *scheduleBody) *job.Duration { return &b.CatchUpWindow }, "must be from 1s to 366d",
			doc("How late a slot may still fire then, 1s to 366d; 1d where it is absent. Not with catch_up: skip.")),
		integer("pause_on_failure", func(b *scheduleBody) *int { return &b.PauseOnFailure }, "must be from 1 to 1000",
			bounded("After how many runs in a row that end dead it is paused; never where it is absent.", 1, 1000)),
		nested("job", func(b *scheduleBody) *jobTemplate { return &b.job }, &templateObject).mandatory(),
	}),
}

const overlapMessage = "must be allow, skip, queue_one or cancel_running"

func overlapSchema() *huma.Schema {
	return choice("What happens at a slot while the last run has not ended: it fires all the same (allow, the default), is left out (skip), waits for that run, "+
		"one slot at most (queue_one), or fires and has that run cancelled (cancel_running).", "allow", "skip", "queue_one", "cancel_running")
}

// Schedule is a schedule as it is shown.
type Schedule struct {
	Name    string `json:"name"`
	Version uint64 `json:"version" doc:"Rises with each change of its configuration; the ETag is the same number."`

	Cron           string       `json:"cron,omitempty"`
	Every          job.Duration `json:"every,omitempty"`
	Timezone       string       `json:"timezone"`
	DSTGap         string       `json:"dst_gap,omitempty" enum:"fire,skip"`
	Jitter         job.Duration `json:"jitter,omitempty"`
	StartsAt       time.Time    `json:"starts_at,omitzero"`
	EndsAt         time.Time    `json:"ends_at,omitzero"`
	MaxRuns        int          `json:"max_runs,omitempty"`
	Overlap        string       `json:"overlap" enum:"allow,skip,queue_one,cancel_running"`
	CatchUp        string       `json:"catch_up" enum:"skip,latest,all"`
	CatchUpWindow  job.Duration `json:"catch_up_window,omitempty"`
	PauseOnFailure int          `json:"pause_on_failure,omitempty"`
	Job            ScheduleJob  `json:"job"`

	Paused   string    `json:"paused" enum:",requested,failures" doc:"Why it does not fire: requested, or failures (pause_on_failure); empty where it does."`
	PausedAt time.Time `json:"paused_at,omitzero"`
	NextAt   time.Time `json:"next_at,omitzero" doc:"When it fires next, jitter included; absent where it does not."`
	Last     *LastRun  `json:"last,omitempty" doc:"Its newest run."`
	Fired    int       `json:"fired" doc:"Slots that fired, towards max_runs."`
	Missed   int64     `json:"missed" doc:"Slots that did not, since it was too late."`
	Skipped  int64     `json:"skipped" doc:"Slots that were left out because of a run that had not ended."`
	Waiting  time.Time `json:"waiting,omitzero" doc:"The slot that waits for the last run to end."`
	Failures int       `json:"failures" doc:"How many of the last runs ended dead, in a row; counted with pause_on_failure or an overlap other than allow."`

	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// LastRun is the newest run of a schedule.
type LastRun struct {
	Slot time.Time `json:"slot" doc:"What it was for: the nominal time."`
	Job  string    `json:"job"`
	At   time.Time `json:"at" doc:"When its job was made."`
}

// viewListedSchedule shows a schedule as it stands in a list.
func viewListedSchedule(s *control.Schedule) Schedule {
	v := Schedule{
		Name: s.Name, Version: s.Version, Cron: s.Cron, Every: s.Every, Timezone: s.Timezone, DSTGap: s.DSTGap, Jitter: s.Jitter,
		StartsAt: s.StartsAt, EndsAt: s.EndsAt, MaxRuns: s.MaxRuns,
		Overlap: s.Overlap, CatchUp: s.CatchUp, CatchUpWindow: s.CatchUpWindow, PauseOnFailure: s.PauseOnFailure, Job: viewTemplate(s.Job),
		Paused: s.State.Paused, PausedAt: s.State.PausedAt, NextAt: s.NextAt,
		Fired: s.State.Fired, Missed: s.State.Missed, Skipped: s.State.Skipped, Waiting: s.State.Waiting, Failures: s.State.Failures,
		CreatedAt: s.Created, UpdatedAt: s.Updated,
	}
	if !s.Last.IsZero() {
		v.Last = &LastRun{s.State.LastSlot, s.Last.String(), s.State.LastAt}
	}
	return v
}

// viewSchedule shows all of a schedule.
func viewSchedule(s *control.Schedule) Schedule {
	v := viewListedSchedule(s)
	v.Job.Payload, v.Job.Body, v.Job.BodyBase64 = viewPayload(s.Payload, s.Job.ContentType)
	return v
}

type scheduleOutput struct {
	Status int
	ETag   string `header:"ETag"`
	Body   Schedule
}

// newScheduleOutput returns an answer with a schedule; an error has none.
func newScheduleOutput(s *control.Schedule, status int, err error) (*scheduleOutput, error) {
	if err != nil {
		return nil, err
	}
	return &scheduleOutput{status, etag(s.Version), viewSchedule(s)}, nil
}

type putScheduleInput struct {
	NamePath
	Conditions
	BodyInput
	DryRun bool `query:"dry_run" doc:"Store nothing: check it, and answer with the schedule as it would be."`
}

func (a *api) scheduleRoutes() {
	const path = "/v1/schedules/{name}"
	register(a, operation{method: "GET", path: "/v1/schedules", id: "list-schedules", tag: schedulesTag, summary: "List schedules by name, without payloads"}, a.listSchedules)
	register(a, operation{method: "GET", path: path, id: "get-schedule", tag: schedulesTag, errors: []int{404}, summary: "Read a schedule with how far it has come"}, a.getSchedule)
	register(a, operation{
		method: "PUT", path: path, id: "put-schedule", tag: schedulesTag, errors: []int{409, 412}, body: bodyOf(&scheduleObject),
		summary: "Create a schedule or replace its configuration; no slot that is over fires again",
	}, a.putSchedule)
	a.alsoCreated(path, schemaOf[Schedule](a))
	register(a, operation{
		method: "PATCH", path: path, id: "patch-schedule", tag: schedulesTag, errors: []int{404, 412}, body: patchOf(&scheduleObject),
		summary: "Change a schedule's configuration (RFC 7396)",
	}, a.patchSchedule)
	register(a, operation{
		method: "DELETE", path: path, id: "delete-schedule", tag: schedulesTag, status: 204, errors: []int{404, 412},
		summary: "Remove a schedule with its history; jobs that it has made stay",
	}, a.deleteSchedule)
	register(a, operation{
		method: "POST", path: path + "/pause", id: "pause-schedule", tag: schedulesTag, errors: []int{404},
		summary: "Stop a schedule from firing; its slots until it is resumed are left out",
	}, a.pauseSchedule)
	register(a, operation{
		method: "POST", path: path + "/resume", id: "resume-schedule", tag: schedulesTag, errors: []int{404},
		summary: "Let a paused schedule fire again, from its next slot on",
	}, a.resumeSchedule)
	a.scheduleRunRoutes(path)
	register(a, operation{
		method: "POST", path: "/v1/schedules/preview", id: "preview-schedule", tag: schedulesTag,
		summary: "See when a schedule would fire; nothing is stored", body: bodyOf(&previewObject),
	}, a.previewSchedule)
}

func (a *api) listSchedules(ctx context.Context, in *PageParams) (*listOutput[Schedule], error) {
	list, err := a.control.ListSchedules(ctx, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	return newList(list.Schedules, list.Cursor, viewListedSchedule), nil
}

func (a *api) getSchedule(ctx context.Context, in *NamePath) (*scheduleOutput, error) {
	s, err := a.control.GetSchedule(ctx, in.Name)
	return newScheduleOutput(&s, http.StatusOK, err)
}

func (a *api) putSchedule(ctx context.Context, in *putScheduleInput) (*scheduleOutput, error) {
	m, err := in.match()
	if err != nil {
		return nil, err
	}
	var body scheduleBody
	if err := decode(&scheduleObject, in.RawBody, false, &body); err != nil {
		return nil, err
	}
	s, created, err := a.control.PutSchedule(ctx, in.Name, m, body.spec(), in.DryRun)
	return newScheduleOutput(&s, createdStatus(created), err)
}

func (a *api) patchSchedule(ctx context.Context, in *putInput) (*scheduleOutput, error) {
	m, err := in.match()
	if err != nil {
		return nil, err
	}
	s, err := a.control.PatchSchedule(ctx, in.Name, m, func(spec *control.ScheduleSpec) error {
		body := scheduleBody{ScheduleSpec: *spec, job: jobTemplate{NewJob: spec.Job}}
		err := decode(&scheduleObject, in.RawBody, true, &body)
		*spec = body.spec()
		return err
	})
	return newScheduleOutput(&s, http.StatusOK, err)
}

func (a *api) deleteSchedule(ctx context.Context, in *deleteInput) (*struct{}, error) {
	m, err := in.match()
	if err != nil {
		return nil, err
	}
	return nil, a.control.DeleteSchedule(ctx, in.Name, m)
}

func (a *api) pauseSchedule(ctx context.Context, in *NamePath) (*scheduleOutput, error) {
	s, err := a.control.PauseSchedule(ctx, in.Name)
	return newScheduleOutput(&s, http.StatusOK, err)
}

func (a *api) resumeSchedule(ctx context.Context, in *NamePath) (*scheduleOutput, error) {
	s, err := a.control.ResumeSchedule(ctx, in.Name)
	return newScheduleOutput(&s, http.StatusOK, err)
}
