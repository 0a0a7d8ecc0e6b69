package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/orchestrix/orchestrix/control"
	"github.com/orchestrix/orchestrix/job"
)

const operationsTag = "operations"

// JobSelection is which jobs an operation is about.
type JobSelection struct {
	All           bool              `json:"all,omitempty" doc:"Every job."`
	Status        string            `json:"status,omitempty"`
	Queue         string            `json:"queue,omitempty"`
	Type          string            `json:"type,omitempty"`
	Key           string            `json:"key,omitempty"`
	Label         map[string]string `json:"label,omitempty"`
	CreatedAfter  time.Time         `json:"created_after,omitzero"`
	CreatedBefore time.Time         `json:"created_before,omitzero"`
}

// Operation is work on many jobs.
type Operation struct {
	ID       string             `json:"id,omitempty" doc:"Absent of a dry run, of which nothing is stored."`
	Kind     string             `json:"kind" enum:"cancel,retry,run-now,delete,purge,backfill"`
	Filter   JobSelection       `json:"filter"`
	Backfill *OperationBackfill `json:"backfill,omitempty" doc:"What a backfill is about. It is about slots of a schedule instead of jobs: matched are all of its range, done those that got a run, skipped those that did not because of its overlap."`
	Status   string             `json:"status" enum:"running,succeeded,failed,cancelled,dry_run"`
	Matched  int64              `json:"matched" doc:"Jobs found so far."`
	More     bool               `json:"more,omitempty" doc:"Of a dry run: there may be more than were counted."`
	Done     int64              `json:"done" doc:"Jobs changed. Each is counted once, also over a restart."`
	Skipped  int64              `json:"skipped" doc:"Jobs left alone: they ended, began anew or were gone before their turn, or, of a purge, were being pushed."`

	CreatedAt  time.Time `json:"created_at,omitzero" doc:"It is about jobs that were there by then."`
	UpdatedAt  time.Time `json:"updated_at,omitzero"`
	FinishedAt time.Time `json:"finished_at,omitzero"`
	Error      string    `json:"error,omitempty" doc:"Why it failed."`
	By         string    `json:"by,omitempty" doc:"The API key that began it, by its id; root or local without one."`
}

// OperationBackfill is the slots of which schedule get runs.
type OperationBackfill struct {
	Schedule string    `json:"schedule"`
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	Overlap  string    `json:"overlap,omitempty"`
}

func viewOperation(o *control.Operation) Operation {
	v := Operation{
		ID: o.ID, Kind: o.Kind, Filter: viewSelection(&o.Filter), Status: o.Status, Matched: o.Matched, Done: o.Done, Skipped: o.Skipped,
		CreatedAt: o.CreatedAt, UpdatedAt: o.UpdatedAt, FinishedAt: o.FinishedAt, Error: o.Error, By: o.By,
	}
	if b := o.Backfill; b != nil {
		v.Backfill = &OperationBackfill{b.Schedule, b.From, b.To, b.Overlap}
	}
	return v
}

func viewSelection(s *control.JobSelection) JobSelection {
	return JobSelection{s.All, s.Status, s.Queue, s.Type, s.Key, s.Labels, s.CreatedAfter, s.CreatedBefore}
}

type bulkBody struct {
	filter control.JobSelection
	dryRun bool
}

var bulkObject = object[bulkBody]{
	name: "BulkRequest", description: "Which jobs to change: filter must be there.",
	fields: []field[bulkBody]{
		nested("filter", func(b *bulkBody) *control.JobSelection { return &b.filter }, &selectionObject), // control says what is wrong where it is absent
		dryRunField(func(b *bulkBody) *bool { return &b.dryRun }),
	},
}

var purgeObject = object[bulkBody]{
	name: "PurgeRequest", description: "May be left out.",
	fields: []field[bulkBody]{dryRunField(func(b *bulkBody) *bool { return &b.dryRun })},
}

func dryRunField(at func(*bulkBody) *bool) field[bulkBody] {
	return boolean("dry_run", at, doc("Change nothing: answer 200 with how many jobs match, of at most half a million that are looked at."))
}

var selectionObject = object[control.JobSelection]{
	name: "JobSelection",
	description: "The jobs that all members allow, as in the list of jobs. At least one must be there, or all alone. " +
		"Only jobs that are there when the operation begins are meant.",
	fields: []field[control.JobSelection]{
		boolean("all", func(s *control.JobSelection) *bool { return &s.All }, doc("true, alone: every job that can be changed so.")),
		text("status", func(s *control.JobSelection) *string { return &s.Status }, "must be a status",
			choice("As shown. To cancel: scheduled, pending, retrying or running, all of them where it is absent. To retry or delete: succeeded, dead, cancelled or expired; "+
				"where it is absent, dead to retry, and all of them to delete.", "scheduled", "pending", "retrying", "running", "succeeded", "dead", "cancelled", "expired")),
		text("queue", func(s *control.JobSelection) *string { return &s.Queue }, "must be a queue's name",
			doc("A key whose scope is narrowed to some queues must name one of them.")),
		text("type", func(s *control.JobSelection) *string { return &s.Type }, "must be a type", doc("")),
		text("key", func(s *control.JobSelection) *string { return &s.Key }, "must be a key", doc("")),
		texts("label", func(s *control.JobSelection) *map[string]string { return &s.Labels }, doc("A job must have all of them, with these values.")),
		instant("created_after", func(s *control.JobSelection) *time.Time { return &s.CreatedAfter }, doc("Jobs made at or after this time.")),
		instant("created_before", func(s *control.JobSelection) *time.Time { return &s.CreatedBefore }, doc("Jobs made before this time.")),
	},
}

type bulkOutput struct {
	Status   int
	Location string `header:"Location"`
	Body     Operation
}

type getOperationInput struct {
	ID   string `path:"id" doc:"The operation's id." example:"op_01kwersrg009d020g30g2gc1r8"`
	Wait string `query:"wait" doc:"Wait for the operation to end, at most this long and at most 60s, such as 30s."`
}

type cancelOperationInput struct {
	ID string `path:"id" doc:"The operation's id."`
}

type operationOutput struct {
	Status int
	Body   Operation
}

func (a *api) operationRoutes() {
	for _, kind := range []string{control.OperationCancel, control.OperationRetry, control.OperationRunNow, control.OperationDelete} {
		a.bulkRoute(operation{
			method: "POST", path: "/v1/jobs/" + kind, id: kind + "-jobs", tag: jobsTag, status: 202, errors: []int{409}, body: bodyOf(&bulkObject),
			summary: "Begin to " + kind + " all jobs that a filter allows",
		}, func(ctx context.Context, in *BodyInput) (*bulkOutput, error) { return a.bulk(ctx, kind, in.RawBody) })
	}
	register(a, operation{
		method: "POST", path: "/v1/queues/{name}/purge", id: "purge-queue", tag: queuesTag, status: 202, errors: []int{404, 409}, body: optional(&purgeObject),
		summary: "Begin to cancel all jobs that wait in a queue; those being pushed go on",
	}, a.purgeQueue)
	a.alsoDryRun("/v1/queues/{name}/purge")
	register(a, operation{method: "GET", path: "/v1/operations", id: "list-operations", tag: operationsTag, summary: "List operations, newest first"}, a.listOperations)
	register(a, operation{
		method: "GET", path: "/v1/operations/{id}", id: "get-operation", tag: operationsTag, errors: []int{404},
		summary: "Read how far an operation is; with wait, when it has ended",
	}, a.getOperation)
	register(a, operation{
		method: "POST", path: "/v1/operations/{id}/cancel", id: "cancel-operation", tag: operationsTag, errors: []int{404, 409},
		summary: "End an operation; what it has done stays done",
	}, a.cancelOperation)
	a.alsoAccepted("/v1/operations/{id}/cancel", "POST", schemaOf[Operation](a))
}

func (a *api) bulkRoute(op operation, handle func(context.Context, *BodyInput) (*bulkOutput, error)) {
	register(a, op, handle)
	a.alsoDryRun(op.path)
}

// alsoDryRun says that a call may answer 200 too.
func (a *api) alsoDryRun(path string) {
	a.huma.OpenAPI().Paths[path].Post.Responses["200"] = &huma.Response{
		Description: "A dry run: how many jobs match.",
		Content:     map[string]*huma.MediaType{"application/json": {Schema: schemaOf[Operation](a)}},
	}
}

func (a *api) bulk(ctx context.Context, kind string, raw []byte) (*bulkOutput, error) {
	var body bulkBody
	if err := decode(&bulkObject, raw, false, &body); err != nil {
		return nil, err
	}
	if body.dryRun {
		m, err := a.control.CountBulk(ctx, kind, body.filter)
		return dryRun(kind, m), err
	}
	o, err := a.control.StartBulk(ctx, kind, body.filter)
	return begun(&o), err
}

func (a *api) purgeQueue(ctx context.Context, in *pauseInput) (*bulkOutput, error) {
	var body bulkBody
	if err := decodeOptional(&purgeObject, in.RawBody, &body); err != nil {
		return nil, err
	}
	if body.dryRun {
		m, err := a.control.CountPurge(ctx, in.Name)
		return dryRun(control.OperationPurge, m), err
	}
	o, err := a.control.PurgeQueue(ctx, in.Name)
	return begun(&o), err
}

func begun(o *control.Operation) *bulkOutput {
	return &bulkOutput{http.StatusAccepted, "/v1/operations/" + o.ID, viewOperation(o)}
}

func dryRun(kind string, m control.Matches) *bulkOutput {
	body := Operation{Kind: kind, Filter: viewSelection(&m.Filter), Status: "dry_run", Matched: m.Jobs, More: m.More}
	return &bulkOutput{Status: http.StatusOK, Body: body}
}

func (a *api) listOperations(ctx context.Context, in *PageParams) (*listOutput[Operation], error) {
	list, err := a.control.ListOperations(ctx, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	return newList(list.Operations, list.Cursor, viewOperation), nil
}

func (a *api) getOperation(ctx context.Context, in *getOperationInput) (*operationOutput, error) {
	wait, err := parseWait(in.Wait)
	if err != nil {
		return nil, err
	}
	o, err := a.control.GetOperation(ctx, in.ID, wait)
	return &operationOutput{http.StatusOK, viewOperation(&o)}, err
}

func (a *api) cancelOperation(ctx context.Context, in *cancelOperationInput) (*operationOutput, error) {
	o, requested, err := a.control.CancelOperation(ctx, in.ID)
	status := http.StatusOK
	if requested {
		status = http.StatusAccepted
	}
	return &operationOutput{status, viewOperation(&o)}, err
}

// parseWait reads how long a call may wait.
func parseWait(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	wait, err := job.ParseDuration(text)
	if err != nil {
		return 0, faultsProblem([]job.FieldError{{Field: "wait", Message: err.Error()}})
	}
	return wait.Std(), nil
}
