package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/orchestrix/orchestrix/control"
	"github.com/orchestrix/orchestrix/job"
)

const queuesTag = "queues"

type queueSpec = control.QueueSpec

var queueObject = object[queueSpec]{
	name: "QueueConfig", description: "The flow control of a queue.", defaults: func() queueSpec { return queueSpec{} },
	fields: []field[queueSpec]{
		integer("concurrency", func(q *queueSpec) *int { return &q.Concurrency }, "must be from 1 to 10000",
			bounded("How many pushes at once; the server's default where it is absent.", 1, control.MaxQueueConcurrency)),
		optionalNested("rate", func(q *queueSpec) **job.Rate { return &q.Rate }, &rateObject),
		text("priority_mode", func(q *queueSpec) *string { return &q.PriorityMode }, "must be weighted or strict",
			choice("How priorities are served: weighted (8 critical to 4 high to 2 normal to 1 low, nothing starves; the default) or strict.",
				control.PriorityWeighted, control.PriorityStrict)),
		nested("retry", func(q *queueSpec) *job.Policy { return &q.Retry }, &retryObject),
		integer("max_pending", func(q *queueSpec) *int { return &q.MaxPending }, fmt.Sprintf("must be from 1 to %d", control.MaxMaxPending),
			bounded("How many jobs may wait, those that are delayed or being pushed included; more are refused with 429.", 1, control.MaxMaxPending)),
		integer("max_bytes", func(q *queueSpec) *int { return &q.MaxBytes }, fmt.Sprintf("must be from 1 to %d", control.MaxMaxBytes),
			bounded("How many bytes the payloads of waiting jobs may take together; more are refused with 429.", 1, control.MaxMaxBytes)),
		integer("key_concurrency", func(q *queueSpec) *int { return &q.KeyConcurrency }, "must be from 1 to 10000",
			bounded("How many pushes of one key at once. 1 keeps the order: the jobs of a key run one after the other, as they were enqueued, whatever their priority, each only when the one before has ended. It changes from or to 1 only while no job waits.", 1, control.MaxQueueConcurrency)),
		optionalNested("key_rate", func(q *queueSpec) **job.Rate { return &q.KeyRate }, &rateObject),
		text("on_dead", func(q *queueSpec) *string { return &q.OnDead }, "must be skip or block",
			choice("What a dead job does to those of its key behind it, with a key_concurrency of 1: skip lets them run (the default), block holds them up until it is run again or deleted.",
				control.OnDeadSkip, control.OnDeadBlock)),
		text("after_lost", func(q *queueSpec) *string { return &q.AfterLost }, "must be repush or wait",
			choice("When a push is repeated whose node died: at once (repush, the default), although it may still go on, or after its deadline (wait, implied by a key_concurrency of 1).",
				control.AfterLostRepush, control.AfterLostWait)),
		rampField(func(q *queueSpec) *string { return &q.Ramp }, "When it was resumed"),
		nested("retention", func(q *queueSpec) *control.Retention { return &q.Retention }, &retentionObject),
		text("description", func(q *queueSpec) *string { return &q.Description }, "", doc("For people; at most 1000 bytes.")),
	},
}

var rateObject = object[job.Rate]{
	name:        "Rate",
	description: "How many pushes may start: limit in each period on average, and burst at once after a rest. More wait; none is dropped.",
	defaults:    func() job.Rate { return job.Rate{} },
	fields: []field[job.Rate]{
		integer("limit", func(r *job.Rate) *int { return &r.Limit }, fmt.Sprintf("must be from 1 to %d", job.MaxRateLimit),
			bounded("How many may start in each period.", 1, job.MaxRateLimit)),
		duration("period", func(r *job.Rate) *job.Duration { return &r.Period }, "must be from 1s to 7d", doc("1s to 7d.")),
		integer("burst", func(r *job.Rate) *int { return &r.Burst }, "must be from 1 to limit",
			bounded("How many may start at once after a rest, at most limit; as many as come in 100ms, and at least one, where it is absent.", 1, job.MaxRateLimit)),
	},
}

// Queue is a queue as it is shown.
type Queue struct {
	Name           string      `json:"name"`
	Concurrency    int         `json:"concurrency"`
	Rate           *job.Rate   `json:"rate,omitempty"`
	PriorityMode   string      `json:"priority_mode"`
	Retry          *job.Policy `json:"retry,omitempty" doc:"What the queue itself sets; the rest falls through to the server."`
	KeyConcurrency int         `json:"key_concurrency,omitempty"`
	KeyRate        *job.Rate   `json:"key_rate,omitempty"`
	OnDead         string      `json:"on_dead,omitempty"`
	AfterLost      string      `json:"after_lost"`
	Ramp           string      `json:"ramp" enum:"on,off"`
	MaxPending     int         `json:"max_pending,omitempty"`
	MaxBytes       int         `json:"max_bytes,omitempty"`
	Description    string      `json:"description,omitempty"`
	Retention      Retention   `json:"retention" doc:"What it follows, the server's where it has none of its own."`
	Configured     bool        `json:"configured" doc:"Whether it has a configuration of its own."`

	Paused      bool      `json:"paused"`
	PauseReason string    `json:"pause_reason,omitempty"`
	PausedAt    time.Time `json:"paused_at,omitzero"`
	CreatedAt   time.Time `json:"created_at,omitzero"`
	UpdatedAt   time.Time `json:"updated_at,omitzero"`

	Workers          []string         `json:"workers" nullable:"false" doc:"The workers that serve it."`
	Counts           map[string]int64 `json:"counts" doc:"Jobs by shown status."`
	Bytes            int64            `json:"bytes" doc:"What the payloads of the jobs that have not ended take."`
	KeptBytes        int64            `json:"kept_bytes" doc:"What the jobs that have ended take: payloads, answers, records."`
	Trimmed          Trimmed          `json:"trimmed" doc:"What retention has removed."`
	OldestPendingAge job.Duration     `json:"oldest_pending_age,omitempty" doc:"How long the oldest ready job has waited."`
	Throughput       float64          `json:"throughput" doc:"Attempts that ended per second, over the last minute."`
	InFlight         int              `json:"in_flight" doc:"Pushes right now."`
	Blocked          string           `json:"blocked,omitempty" doc:"Why ready jobs wait: paused, no_worker, concurrency, ramp, rate, throttled, circuit_open or key."`
	WaitingReason    string           `json:"waiting_reason,omitempty" doc:"The same, in a sentence."`
}

func viewQueue(q *control.Queue) Queue {
	v := Queue{
		Name: q.Name, Concurrency: q.Concurrency, PriorityMode: q.PriorityMode, Description: q.Description, Configured: q.Version != 0,
		Paused: q.Paused, PauseReason: q.PauseReason, PausedAt: q.PausedAt, CreatedAt: q.Created, UpdatedAt: q.Updated,
		Workers: append([]string{}, q.Workers...), Counts: q.Counts, OldestPendingAge: job.Duration(q.OldestPending),
		Throughput: q.Live.Throughput, InFlight: q.Live.InFlight, Blocked: q.Blocked, WaitingReason: q.Waiting,
	}
	v.KeyConcurrency, v.KeyRate, v.OnDead, v.AfterLost, v.Ramp = q.KeyConcurrency, q.KeyRate, q.OnDead, q.AfterLost, q.Ramp
	v.Retention, v.KeptBytes, v.Trimmed = Retention(q.Retention), q.KeptBytes, Trimmed{q.Trimmed}
	v.Rate, v.MaxPending, v.MaxBytes, v.Bytes = q.Rate, q.MaxPending, q.MaxBytes, q.Bytes
	if !q.Retry.IsZero() {
		v.Retry = &q.Retry
	}
	return v
}

type queueOutput struct {
	Status int
	ETag   string `header:"ETag"`
	Body   Queue
}

func newQueueOutput(q *control.Queue, status int) *queueOutput {
	return &queueOutput{status, etag(q.Version), viewQueue(q)}
}

func (a *api) queueRoutes() {
	const path = "/v1/queues/{name}"
	register(a, operation{method: "GET", path: "/v1/queues", id: "list-queues", tag: queuesTag, summary: "List queues by name"}, a.listQueues)
	register(a, operation{method: "GET", path: path, id: "get-queue", tag: queuesTag, errors: []int{404}, summary: "Read a queue with its counts"}, a.getQueue)
	register(a, operation{
		method: "PUT", path: path, id: "put-queue", tag: queuesTag, errors: []int{409, 412}, body: bodyOf(&queueObject),
		summary: "Replace a queue's configuration",
	}, a.putQueue)
	a.alsoCreated(path, schemaOf[Queue](a))
	register(a, operation{
		method: "PATCH", path: path, id: "patch-queue", tag: queuesTag, errors: []int{409, 412}, body: patchOf(&queueObject),
		summary: "Change a queue's configuration (RFC 7396)",
	}, a.patchQueue)
	register(a, operation{
		method: "DELETE", path: path, id: "delete-queue", tag: queuesTag, status: 204, errors: []int{404, 409, 412},
		summary: "Remove the configuration of a queue in which no job waits",
	}, a.deleteQueue)
	register(a, operation{
		method: "POST", path: path + "/pause", id: "pause-queue", tag: queuesTag, body: optional(&pauseObject),
		summary: "Stop new pushes of a queue; jobs are still accepted",
	}, a.pauseQueue)
	register(a, operation{method: "POST", path: path + "/resume", id: "resume-queue", tag: queuesTag, summary: "Let pushes of a queue begin again"}, a.resumeQueue)
}

func (a *api) listQueues(ctx context.Context, in *PageParams) (*listOutput[Queue], error) {
	list, err := a.control.ListQueues(ctx, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	return newList(list.Queues, list.Cursor, viewQueue), nil
}

func (a *api) getQueue(ctx context.Context, in *NamePath) (*queueOutput, error) {
	q, err := a.control.GetQueue(ctx, in.Name)
	return newQueueOutput(&q, http.StatusOK), err
}

func (a *api) putQueue(ctx context.Context, in *putInput) (*queueOutput, error) {
	m, err := in.match()
	if err != nil {
		return nil, err
	}
	var spec queueSpec
	if err := decode(&queueObject, in.RawBody, false, &spec); err != nil {
		return nil, err
	}
	q, created, err := a.control.PutQueue(ctx, in.Name, m, spec)
	return newQueueOutput(&q, createdStatus(created)), err
}

func (a *api) patchQueue(ctx context.Context, in *putInput) (*queueOutput, error) {
	m, err := in.match()
	if err != nil {
		return nil, err
	}
	q, err := a.control.PatchQueue(ctx, in.Name, m, func(spec *queueSpec) error {
		return decode(&queueObject, in.RawBody, true, spec)
	})
	return newQueueOutput(&q, http.StatusOK), err
}

func (a *api) deleteQueue(ctx context.Context, in *deleteInput) (*struct{}, error) {
	m, err := in.match()
	if err != nil {
		return nil, err
	}
	return nil, a.control.DeleteQueue(ctx, in.Name, m)
}

func (a *api) pauseQueue(ctx context.Context, in *pauseInput) (*queueOutput, error) {
	var body pauseBody
	if err := decodeOptional(&pauseObject, in.RawBody, &body); err != nil {
		return nil, err
	}
	q, err := a.control.PauseQueue(ctx, in.Name, body.reason)
	return newQueueOutput(&q, http.StatusOK), err
}

func (a *api) resumeQueue(ctx context.Context, in *NamePath) (*queueOutput, error) {
	q, err := a.control.ResumeQueue(ctx, in.Name)
	return newQueueOutput(&q, http.StatusOK), err
}
