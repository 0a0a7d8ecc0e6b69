package api

import (
	"context"
	"time"

	"github.com/orchestrix/orchestrix/control"
	"github.com/orchestrix/orchestrix/job"
)

// Explanation is why a job is not running.
type Explanation struct {
	ID      string   `json:"id"`
	Queue   string   `json:"queue"`
	Key     string   `json:"key,omitempty"`
	Status  string   `json:"status" enum:"scheduled,pending,retrying,running,succeeded,dead,cancelled,expired"`
	Reasons []Reason `json:"reasons" nullable:"false" doc:"All that hold at once; the first decides. Of a job that is due later they are those that will hold then too. Empty while it is running, unless its push is lost; of a job that has ended, how it did."`

	Running *RunningPush `json:"running,omitempty" doc:"The attempt under way."`

	Position        int       `json:"position,omitempty" doc:"Its place among the jobs of its key that wait in its queue with its priority, from 1; in a queue that keeps the order of its keys, whatever their priority. Other keys are served in turn with its own. Absent where it is running or is not due."`
	PositionAtLeast int       `json:"position_at_least,omitempty" doc:"Instead of position, where more jobs are before it than are counted."`
	EstimatedStart  time.Time `json:"estimated_start,omitzero" doc:"An estimate from the queue's pace of the last minute and its rates. Absent where anything but its turn and limits that pass bars the job, or the pace is not known."`
}

// RunningPush is the push of a job that is running.
type RunningPush struct {
	Attempt   int       `json:"attempt"`
	Worker    string    `json:"worker,omitempty"`
	StartedAt time.Time `json:"started_at,omitzero" doc:"Absent while it is just being started."`
	Deadline  time.Time `json:"deadline,omitzero" doc:"When the push is aborted."`
}

// Reason is one cause for which a job is not running.
type Reason struct {
	Code    string    `json:"code" doc:"scheduled, retrying, lost_push, unserved, paused, no_worker, key_paused, key_turn, key_dead, key_busy, key_rate, concurrency, ramp, rate, worker_paused, worker_gone, worker_throttled, circuit_open, worker_ramp, worker_busy, node_busy, draining, suspect, priority or turn; there may be others. Of a job that has ended, its reason, or its status."`
	Message string    `json:"message" doc:"For people: what it is, and what to do."`
	Until   time.Time `json:"until,omitzero" doc:"When time alone ends it."`
	Worker  string    `json:"worker,omitempty" doc:"The worker that it is about."`

	InFlight int         `json:"in_flight,omitempty" doc:"How many pushes are in flight of what is limited."`
	Limit    int         `json:"limit,omitempty" doc:"How many may be."`
	Rate     *job.Rate   `json:"rate,omitempty" doc:"The rate that is used up."`
	Tokens   *int        `json:"tokens,omitempty" doc:"How many pushes that rate allows now."`
	Jobs     []KeyHolder `json:"jobs,omitempty" doc:"The jobs that hold the key, at most 10."`
}

// KeyHolder is a job that holds a key.
type KeyHolder struct {
	ID            string    `json:"id"`
	Status        string    `json:"status"`
	NextAttemptAt time.Time `json:"next_attempt_at,omitzero" doc:"Before this time it is not pushed."`
}

type explanationOutput struct{ Body Explanation }

func (a *api) explainRoute() {
	register(a, operation{
		method: "GET", path: "/v1/jobs/{id}/explain", id: "explain-job", tag: jobsTag, errors: []int{404},
		summary: "Say why a job is not running, what holds it up until when, and its place",
	}, a.explainJob)
}

func (a *api) explainJob(ctx context.Context, in *JobPath) (*explanationOutput, error) {
	id, err := in.parse()
	if err != nil {
		return nil, err
	}
	e, err := a.control.Explain(ctx, id)
	if err != nil {
		return nil, err
	}
	return &explanationOutput{viewExplanation(e)}, nil
}

func viewExplanation(e *control.Explanation) Explanation {
	v := Explanation{
		ID: e.ID.String(), Queue: e.Queue, Key: e.Key, Status: e.Shown, Reasons: make([]Reason, len(e.Reasons)),
		Position: e.Position, PositionAtLeast: e.PositionAtLeast, EstimatedStart: e.EstimatedStart,
	}
	for i := range e.Reasons {
		v.Reasons[i] = viewReason(&e.Reasons[i])
	}
	if p := e.Push; p != nil {
		v.Running = &RunningPush{Attempt: p.Attempt, Worker: p.Worker, StartedAt: p.Started, Deadline: p.Deadline}
	}
	return v
}

func viewReason(r *control.Reason) Reason {
	v := Reason{
		Code: string(r.Cause), Message: r.Message, Until: r.Until, Worker: r.Worker, InFlight: r.InFlight, Limit: r.Limit,
	}
	if !r.Rate.IsZero() {
		v.Rate, v.Tokens = &r.Rate, new(int) // it is used up
	}
	for _, j := range r.Holders {
		h := KeyHolder{ID: j.ID.String(), Status: j.Shown}
		if j.Status == job.Waiting {
			h.NextAttemptAt = j.Due
		}
		v.Jobs = append(v.Jobs, h)
	}
	return v
}
