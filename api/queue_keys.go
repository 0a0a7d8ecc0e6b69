package api

import (
	"context"
	"net/http"
	"time"

	"github.com/orchestrix/orchestrix/control"
	"github.com/orchestrix/orchestrix/job"
)

var pinObject = object[control.PinSpec]{
	name: "Pin", description: "Limits of one key of a queue, which win over those that the queue sets for all its keys. At least one has to be set.",
	defaults: func() control.PinSpec { return control.PinSpec{} },
	fields: []field[control.PinSpec]{
		integer("concurrency", func(p *control.PinSpec) *int { return &p.Concurrency }, "must be from 1 to 10000",
			bounded("How many pushes of the key at once; the queue's key_concurrency where it is absent.", 1, control.MaxQueueConcurrency)),
		optionalNested("rate", func(p *control.PinSpec) **job.Rate { return &p.Rate }, &rateObject),
		boolean("paused", func(p *control.PinSpec) *bool { return &p.Paused }, doc("Whether new pushes of the key are stopped. Jobs are still accepted.")),
		text("reason", func(p *control.PinSpec) *string { return &p.Reason }, "", doc("Why, for people; at most 200 bytes.")),
	},
}

// QueueKey is one key of a queue as it is shown.
type QueueKey struct {
	Queue       string    `json:"queue"`
	Key         string    `json:"key"`
	Pinned      bool      `json:"pinned" doc:"Whether it has limits of its own."`
	Concurrency int       `json:"concurrency,omitempty" doc:"How many pushes at once, by the pin or the queue; absent where neither bounds them."`
	Rate        *job.Rate `json:"rate,omitempty" doc:"By the pin or the queue."`
	Paused      bool      `json:"paused"`
	Reason      string    `json:"reason,omitempty"`

	Depth     int       `json:"depth" doc:"Jobs that are ready, and behind the first of the key where the order is kept; at most 10000 are counted."`
	InFlight  int       `json:"in_flight" doc:"Pushes right now."`
	Tokens    *int      `json:"tokens,omitempty" doc:"How many pushes its rate allows at once; absent where it has none."`
	NextStart time.Time `json:"next_start,omitzero" doc:"When its rate allows the next push, where that is not now."`
	BlockedBy string    `json:"blocked_by,omitempty" enum:"paused,concurrency,rate" doc:"Which of its limits bars the next push."`
	Jobs      []string  `json:"jobs" nullable:"false" doc:"The jobs that are being pushed, which hold its concurrency; the first 100."`
}

// maxKeyJobs bounds the jobs that are named with a key.
const maxKeyJobs = 100

func viewQueueKey(k *control.Key) QueueKey {
	v := QueueKey{
		Queue: k.Queue, Key: k.Key, Pinned: k.Pin != nil, Concurrency: k.Limits.Concurrency, Rate: k.Limits.Rate,
		Paused: k.Limits.Paused, Reason: k.Limits.Reason, Depth: k.Depth, InFlight: len(k.Live.InFlight),
		NextStart: k.Live.NextStart, BlockedBy: k.Live.Blocked, Jobs: []string{},
	}
	if k.Live.Tokens >= 0 {
		v.Tokens = &k.Live.Tokens
	}
	for _, id := range k.Live.InFlight[:min(len(k.Live.InFlight), maxKeyJobs)] {
		v.Jobs = append(v.Jobs, id.String())
	}
	return v
}

// QueueKeyPath is the path of a call on one key of a queue.
type QueueKeyPath struct {
	NamePath
	Key string `path:"key" doc:"The job's key, escaped as in any URL."`
}

type putKeyInput struct {
	QueueKeyPath
	Conditions
	BodyInput
}

type deleteKeyInput struct {
	QueueKeyPath
	Conditions
}

type queueKeyOutput struct {
	Status int
	ETag   string `header:"ETag"`
	Body   QueueKey
}

func newQueueKeyOutput(k *control.Key, status int) *queueKeyOutput {
	return &queueKeyOutput{status, etag(k.Version), viewQueueKey(k)}
}

func (a *api) queueKeyRoutes() {
	const list = "/v1/queues/{name}/keys"
	const path = list + "/{key}"
	register(a, operation{method: "GET", path: list, id: "list-queue-keys", tag: queuesTag, summary: "List the keys of a queue that have limits of their own"}, a.listQueueKeys)
	register(a, operation{method: "GET", path: path, id: "get-queue-key", tag: queuesTag, summary: "Read a key of a queue: its limits, depth, and what bars it"}, a.getQueueKey)
	register(a, operation{
		method: "PUT", path: path, id: "put-queue-key", tag: queuesTag, errors: []int{409, 412}, body: bodyOf(&pinObject),
		summary: "Pin limits for one key of a queue, or pause it; the ETag is the queue's",
	}, a.putQueueKey)
	a.alsoCreated(path, schemaOf[QueueKey](a))
	register(a, operation{
		method: "DELETE", path: path, id: "delete-queue-key", tag: queuesTag, status: 204, errors: []int{404, 412},
		summary: "Remove the limits of one key: those of the queue are in force again",
	}, a.deleteQueueKey)
}

func (a *api) listQueueKeys(ctx context.Context, in *NamePath) (*listOutput[QueueKey], error) {
	keys, err := a.control.ListKeys(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	return newList(keys, "", viewQueueKey), nil
}

func (a *api) getQueueKey(ctx context.Context, in *QueueKeyPath) (*queueKeyOutput, error) {
	k, err := a.control.GetKey(ctx, in.Name, in.Key)
	return newQueueKeyOutput(&k, http.StatusOK), err
}

func (a *api) putQueueKey(ctx context.Context, in *putKeyInput) (*queueKeyOutput, error) {
	m, err := in.match()
	if err != nil {
		return nil, err
	}
	var spec control.PinSpec
	if err := decode(&pinObject, in.RawBody, false, &spec); err != nil {
		return nil, err
	}
	k, created, err := a.control.PutKey(ctx, in.Name, in.Key, m, spec)
	return newQueueKeyOutput(&k, createdStatus(created)), err
}

func (a *api) deleteQueueKey(ctx context.Context, in *deleteKeyInput) (*struct{}, error) {
	m, err := in.match()
	if err != nil {
		return nil, err
	}
	return nil, a.control.DeleteKey(ctx, in.Name, in.Key, m)
}
