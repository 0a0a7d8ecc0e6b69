package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/orchestrix/orchestrix/control"
	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/webhook"
)

const workersTag = "workers"

type workerSpec = control.WorkerSpec

var workerObject = object[workerSpec]{
	name: "WorkerConfig", description: "What a worker is registered with.", defaults: control.DefaultWorker,
	fields: []field[workerSpec]{
		text("url", func(w *workerSpec) *string { return &w.URL }, "must not be empty", doc("Where pushes go: http or https.")).mandatory(),
		list("queues", func(w *workerSpec) *[]string { return &w.Queues }, (*reader).text,
			&huma.Schema{Type: huma.TypeString, Pattern: namePattern}, doc("The 1 to 100 queues it serves.")).mandatory(),
		integer("concurrency", func(w *workerSpec) *int { return &w.Concurrency }, "",
			bounded("How many pushes at once on each of its queues; 0 leaves it to the queue.", 0, control.MaxWorkerConcurrency)),
		duration("timeout", func(w *workerSpec) *job.Duration { return &w.Timeout }, timeoutMessage,
			doc("How long one attempt may take, 1s to 1h, where the job does not say.")),
		boolean("async", func(w *workerSpec) *bool { return &w.Async },
			doc("Whether it takes over each attempt that it answers with 202, also without orchestrix-async: true.")),
		duration("heartbeat_timeout", func(w *workerSpec) *job.Duration { return &w.HeartbeatTimeout }, "must be from 5s to 1h",
			doc("How long it may be silent on an attempt that it has taken over, 5s to 1h; 1m where it is absent.")),
		duration("async_timeout", func(w *workerSpec) *job.Duration { return &w.AsyncTimeout }, "must be from 1s to 7d",
			doc("How long such an attempt may take as a whole, 1s to 7d; 1d where it is absent.")),
		headers("headers", func(w *workerSpec) *map[string]string { return &w.Headers },
			doc("Headers that are added to each push. [redacted] stands for the value that is stored.")),
		nested("auth", func(w *workerSpec) *control.Auth { return &w.Auth }, &authObject),
		integer("weight", func(w *workerSpec) *int { return &w.Weight }, "",
			bounded("Its share among the workers of a queue.", 1, control.MaxWeight)),
		text("on_gone", func(w *workerSpec) *string { return &w.OnGone }, "must be pause or ignore",
			choice("What a 410 does to the worker.", control.OnGonePause, control.OnGoneIgnore)),
		nested("circuit", func(w *workerSpec) *job.Circuit { return &w.Circuit }, &circuitObject),
		nested("auto_pause", func(w *workerSpec) *job.AutoPause { return &w.AutoPause }, &autoPauseObject),
		rampField(func(w *workerSpec) *string { return &w.Ramp }, "When it was resumed or its circuit has closed"),
		text("description", func(w *workerSpec) *string { return &w.Description }, "", doc("For people; at most 1000 bytes.")),
		texts("labels", func(w *workerSpec) *map[string]string { return &w.Labels }, doc("At most 32 labels.")),
		text("signing_secret", func(w *workerSpec) *string { return &w.SigningSecret }, "must not be empty",
			&huma.Schema{Description: `A "whsec_..." of yours; where it is absent one is made for a new worker, and kept for one that is there.`, WriteOnly: true}),
		text("signing_key", func(w *workerSpec) *string { return &w.SigningKey }, "must not be empty",
			&huma.Schema{Description: `An ed25519 key pair that signs too: generate makes one where there is none, "whsk_..." is one of yours, none takes it away; where it is absent what there is stays.`, WriteOnly: true}),
	},
}

// Worker is a worker as it is shown.
type Worker struct {
	Name        string       `json:"name"`
	URL         string       `json:"url"`
	Queues      []string     `json:"queues" nullable:"false"`
	Concurrency int          `json:"concurrency"`
	Timeout     job.Duration `json:"timeout,omitempty"`

	Async            bool         `json:"async,omitempty" doc:"Whether a 202 alone takes the attempt over."`
	HeartbeatTimeout job.Duration `json:"heartbeat_timeout,omitempty"`
	AsyncTimeout     job.Duration `json:"async_timeout,omitempty"`

	Headers     map[string]string `json:"headers,omitempty" doc:"Values that may be credentials are shown as [redacted]."`
	Auth        *WorkerAuth       `json:"auth,omitempty"`
	Weight      int               `json:"weight"`
	OnGone      string            `json:"on_gone" enum:"pause,ignore"`
	Description string            `json:"description,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`

	Circuit   job.Circuit   `json:"circuit" doc:"When it is left alone; the defaults where it sets nothing."`
	AutoPause job.AutoPause `json:"auto_pause" doc:"When it is paused since it only fails; the defaults where it sets nothing."`
	Ramp      string        `json:"ramp" enum:"on,off"`

	Paused      bool      `json:"paused"`
	PauseReason string    `json:"pause_reason,omitempty"`
	PausedAt    time.Time `json:"paused_at,omitzero"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
	Secrets     int       `json:"secrets" doc:"How many secrets sign; more than one while one rotates."`
	PublicKeys  []string  `json:"public_keys,omitempty" doc:"What verifies the ed25519 signatures, the newest first; more than one while one rotates."`

	CertificateExpiresAt time.Time `json:"certificate_expires_at,omitzero" doc:"Of an mtls auth: when the client certificate ends."`

	Secret string `json:"secret,omitempty" doc:"The signing secret, only in the answer that brought it into use."`

	InFlight       int            `json:"in_flight" doc:"Pushes right now."`
	Succeeded      int64          `json:"succeeded" doc:"Attempts since the server started."`
	Failed         int64          `json:"failed" doc:"Attempts since the server started."`
	LastSuccessAt  time.Time      `json:"last_success_at,omitzero"`
	LastFailureAt  time.Time      `json:"last_failure_at,omitzero"`
	ThrottledUntil time.Time      `json:"throttled_until,omitzero"`
	Circuits       []QueueCircuit `json:"circuits,omitempty" doc:"Those that are not closed, by queue."`
}

func viewWorker(w *control.Worker) Worker {
	v := Worker{
		Name: w.Name, URL: w.URL, Queues: w.Queues, Concurrency: w.Concurrency, Timeout: w.Timeout, Headers: w.Headers,
		Auth: viewAuth(&w.Auth), CertificateExpiresAt: w.CertificateExpires, Weight: w.Weight, OnGone: w.OnGone, Description: w.Description, Labels: w.Labels,
		Paused: w.Paused, PauseReason: w.PauseReason, PausedAt: w.PausedAt, CreatedAt: w.Created, UpdatedAt: w.Updated,
		Secrets: w.Secrets, PublicKeys: viewPublicKeys(w.PublicKeys), Secret: w.Secret,
		InFlight: w.Live.InFlight, Succeeded: w.Live.Succeeded, Failed: w.Live.Failed,
		LastSuccessAt: w.Live.LastSuccess, LastFailureAt: w.Live.LastFailure, ThrottledUntil: w.Live.ThrottledUntil,
		Circuits: viewCircuits(w),
	}
	v.protect(&w.Protection)
	return v
}

// NamePath is the path of a call on one named thing.
type NamePath struct {
	Name string `path:"name"`
}

type putInput struct {
	NamePath
	Conditions
	BodyInput
}

type deleteInput struct {
	NamePath
	Conditions
}

type pauseInput struct {
	NamePath
	BodyInput
}

type workerOutput struct {
	Status int
	ETag   string `header:"ETag"`
	Body   Worker
}

func newWorkerOutput(w *control.Worker, status int) *workerOutput {
	return &workerOutput{status, etag(w.Version), viewWorker(w)}
}

var pauseObject = object[pauseBody]{
	name: "Pause", description: "Why something is paused.",
	fields: []field[pauseBody]{
		text("reason", func(p *pauseBody) *string { return &p.reason }, "", doc("For people; at most 200 bytes.")),
	},
}

type pauseBody struct{ reason string }

var rotationObject = object[control.Rotation]{
	name: "Rotation", description: "A new secret.",
	fields: []field[control.Rotation]{
		pointer("grace", func(r *control.Rotation) **job.Duration { return &r.Grace }, (*reader).duration,
			&huma.Schema{Type: huma.TypeString, Description: "How long the secret before still signs, 0s to 30d; 24h where it is absent."}),
		text("secret", func(r *control.Rotation) *string { return &r.Secret }, "must not be empty",
			&huma.Schema{Description: `A "whsec_..." of yours; one is made where it is absent.`, WriteOnly: true}),
	},
}

var keyRotationObject = object[control.Rotation]{
	name: "KeyRotation", description: "A new key pair.",
	fields: []field[control.Rotation]{
		pointer("grace", func(r *control.Rotation) **job.Duration { return &r.Grace }, (*reader).duration,
			&huma.Schema{Type: huma.TypeString, Description: "How long the key before still signs, 0s to 30d; 24h where it is absent."}),
		text("signing_key", func(r *control.Rotation) *string { return &r.Secret }, "must not be empty",
			&huma.Schema{Description: `A "whsk_..." of yours; one is made where it is absent, or generate.`, WriteOnly: true}),
	},
}

func viewPublicKeys(keys []webhook.PublicKey) []string {
	var out []string
	for _, k := range keys {
		out = append(out, k.String())
	}
	return out
}

func (a *api) workerRoutes() {
	const path = "/v1/workers/{name}"
	register(a, operation{method: "GET", path: "/v1/workers", id: "list-workers", tag: workersTag, summary: "List workers by name"}, a.listWorkers)
	register(a, operation{method: "GET", path: path, id: "get-worker", tag: workersTag, errors: []int{404}, summary: "Read a worker with its health"}, a.getWorker)
	register(a, operation{
		method: "PUT", path: path, id: "put-worker", tag: workersTag, errors: []int{412}, body: bodyOf(&workerObject),
		summary: "Register a worker or replace its configuration; 201 holds its signing secret, once",
	}, a.putWorker)
	a.alsoCreated(path, schemaOf[Worker](a))
	register(a, operation{
		method: "PATCH", path: path, id: "patch-worker", tag: workersTag, errors: []int{404, 412}, body: patchOf(&workerObject),
		summary: "Change a worker's configuration (RFC 7396)",
	}, a.patchWorker)
	register(a, operation{method: "DELETE", path: path, id: "delete-worker", tag: workersTag, status: 204, errors: []int{404, 412}, summary: "Remove a worker"}, a.deleteWorker)
	register(a, operation{
		method: "POST", path: path + "/pause", id: "pause-worker", tag: workersTag, errors: []int{404}, body: optional(&pauseObject),
		summary: "Stop new pushes to a worker",
	}, a.pauseWorker)
	register(a, operation{method: "POST", path: path + "/resume", id: "resume-worker", tag: workersTag, errors: []int{404}, summary: "Let pushes to a worker begin again, and forget its failures: its circuits are closed"}, a.resumeWorker)
	register(a, operation{
		method: "POST", path: path + "/rotate-secret", id: "rotate-worker-secret", tag: workersTag, errors: []int{404, 409}, body: optional(&rotationObject),
		summary: "Give a worker a new secret, which the answer holds, once",
	}, a.rotateSecret)
	register(a, operation{
		method: "POST", path: path + "/rotate-key", id: "rotate-worker-key", tag: workersTag, errors: []int{404, 409}, body: optional(&keyRotationObject),
		summary: "Give a worker a new ed25519 key pair, whose public key the answer holds",
	}, a.rotateKey)
	register(a, operation{
		method: "POST", path: path + "/test", id: "test-worker", tag: workersTag, errors: []int{404},
		summary: "Push a signed test to a worker and see the exchange",
	}, a.testWorker)
}

func (a *api) listWorkers(ctx context.Context, in *PageParams) (*listOutput[Worker], error) {
	list, err := a.control.ListWorkers(ctx, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	return newList(list.Workers, list.Cursor, viewWorker), nil
}

func (a *api) getWorker(ctx context.Context, in *NamePath) (*workerOutput, error) {
	w, err := a.control.GetWorker(ctx, in.Name)
	return newWorkerOutput(&w, http.StatusOK), err
}

func (a *api) putWorker(ctx context.Context, in *putInput) (*workerOutput, error) {
	m, err := in.match()
	if err != nil {
		return nil, err
	}
	spec := control.DefaultWorker()
	if err := decode(&workerObject, in.RawBody, false, &spec); err != nil {
		return nil, err
	}
	w, created, err := a.control.PutWorker(ctx, in.Name, m, spec)
	return newWorkerOutput(&w, createdStatus(created)), err
}

func createdStatus(created bool) int {
	if created {
		return http.StatusCreated
	}
	return http.StatusOK
}

func (a *api) patchWorker(ctx context.Context, in *putInput) (*workerOutput, error) {
	m, err := in.match()
	if err != nil {
		return nil, err
	}
	w, err := a.control.PatchWorker(ctx, in.Name, m, func(spec *workerSpec) error {
		return decode(&workerObject, in.RawBody, true, spec)
	})
	return newWorkerOutput(&w, http.StatusOK), err
}

func (a *api) deleteWorker(ctx context.Context, in *deleteInput) (*struct{}, error) {
	m, err := in.match()
	if err != nil {
		return nil, err
	}
	return nil, a.control.DeleteWorker(ctx, in.Name, m)
}

func (a *api) pauseWorker(ctx context.Context, in *pauseInput) (*workerOutput, error) {
	var body pauseBody
	if err := decodeOptional(&pauseObject, in.RawBody, &body); err != nil {
		return nil, err
	}
	w, err := a.control.PauseWorker(ctx, in.Name, body.reason)
	return newWorkerOutput(&w, http.StatusOK), err
}

func (a *api) resumeWorker(ctx context.Context, in *NamePath) (*workerOutput, error) {
	w, err := a.control.ResumeWorker(ctx, in.Name)
	return newWorkerOutput(&w, http.StatusOK), err
}

func (a *api) rotateSecret(ctx context.Context, in *pauseInput) (*workerOutput, error) {
	var rotation control.Rotation
	if err := decodeOptional(&rotationObject, in.RawBody, &rotation); err != nil {
		return nil, err
	}
	w, err := a.control.RotateSecret(ctx, in.Name, rotation)
	return newWorkerOutput(&w, http.StatusOK), err
}

func (a *api) rotateKey(ctx context.Context, in *pauseInput) (*workerOutput, error) {
	var rotation control.Rotation
	if err := decodeOptional(&keyRotationObject, in.RawBody, &rotation); err != nil {
		return nil, err
	}
	w, err := a.control.RotateKey(ctx, in.Name, rotation)
	return newWorkerOutput(&w, http.StatusOK), err
}

// alsoCreated says that a PUT may answer 201 too.
func (a *api) alsoCreated(path string, schema *huma.Schema) {
	a.huma.OpenAPI().Paths[path].Put.Responses["201"] = &huma.Response{
		Description: "Created", Content: map[string]*huma.MediaType{"application/json": {Schema: schema}},
		Headers: map[string]*huma.Param{"ETag": {Schema: &huma.Schema{Type: huma.TypeString}}},
	}
}
