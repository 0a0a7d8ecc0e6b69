package api

import (
	"bytes"
	"context"
	"net/http"
	"strings"

	"github.com/orchestrix/orchestrix/control"
	"github.com/orchestrix/orchestrix/job"
)

const attemptsTag = "attempts"

// attemptPath is where a worker reports on an attempt; it is what a push tells it.
const attemptPath = "/v1/jobs/{id}/attempts/{attempt}"

// isAttemptReport reports whether a call is a worker's, who has no API key but the token
// of an attempt.
func isAttemptReport(r *http.Request) bool {
	rest, ok := strings.CutPrefix(r.URL.Path, "/v1/jobs/")
	if !ok || r.Method != http.MethodPost {
		return false
	}
	parts := strings.Split(rest, "/")
	return len(parts) == 4 && parts[1] == "attempts"
}

// AttemptParams name an attempt.
type AttemptParams struct {
	ID            string `path:"id" doc:"The job's id."`
	Attempt       int    `path:"attempt" minimum:"1" doc:"The attempt's number."`
	Authorization string `header:"Authorization" doc:"Bearer and the orchestrix-attempt-token of the push. No API key is needed."`
}

func (p *AttemptParams) attempt() (control.Attempt, error) {
	id, err := job.ParseID(p.ID)
	if err != nil {
		return control.Attempt{}, newProblem(http.StatusNotFound, "not_found", "there is no such attempt")
	}
	scheme, token, _ := strings.Cut(p.Authorization, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		token = ""
	}
	return control.Attempt{Job: id, Number: p.Attempt, Token: strings.TrimSpace(token)}, nil
}

// attemptInput is a report.
type attemptInput struct {
	AttemptParams
	RawBody []byte `contentType:"application/json"`
}

// attemptAnswer tells a worker that its report was taken.
type attemptAnswer struct {
	Body struct {
		Status string `json:"status" enum:"ok" doc:"The report was taken."`
	}
}

func taken() *attemptAnswer {
	out := &attemptAnswer{}
	out.Body.Status = "ok"
	return out
}

// heartbeatObject has nothing in it: that it comes is what it says.
var heartbeatObject = object[none]{name: "Heartbeat", description: "A sign of life; there is nothing to say in it.", defaults: func() none { return none{} }}

type completion struct{ result []byte }

var completionObject = object[completion]{
	name: "Completion", description: "The end of an attempt that has succeeded.", defaults: func() completion { return completion{} },
	fields: []field[completion]{
		{
			name: "result", schema: doc("Any JSON value: it becomes the job's result, byte by byte; at most 64 KiB."),
			read: func(r *reader, into *completion) { into.result = bytes.Clone(r.scan.Skip()) },
		},
	},
}

type failure struct {
	control.Failure
	retry bool
}

var failureObject = object[failure]{
	name: "Failure", description: "The end of an attempt that has not succeeded.", defaults: func() failure { return failure{retry: true} },
	fields: []field[failure]{
		text("error", func(f *failure) *string { return &f.Error }, "", doc("Why, for people; what is longer than 1,000 bytes is cut.")),
		boolean("retry", func(f *failure) *bool { return &f.retry }, doc("Whether the job is tried again by its policy, which is so where this is absent.")),
		duration("retry_after", func(f *failure) *job.Duration { return &f.RetryAfter }, "", doc("How long the next attempt waits at least, up to a day.")),
		boolean("released", func(f *failure) *bool { return &f.Released },
			doc("The worker gives the attempt back, since it shuts down: the job runs again at once, and no attempt is used up.")),
	},
}

var reportErrors = []int{http.StatusNotFound, http.StatusConflict}

func (a *api) attemptRoutes() {
	register(a, operation{
		method: "POST", path: attemptPath + "/heartbeat", id: "heartbeat", tag: attemptsTag, errors: reportErrors,
		summary: "Tell that the worker goes on with an attempt that it has taken over", body: optional(&heartbeatObject),
	}, a.heartbeat)
	register(a, operation{
		method: "POST", path: attemptPath + "/complete", id: "complete-attempt", tag: attemptsTag, errors: reportErrors,
		summary: "End an attempt that the worker has taken over, with success", body: optional(&completionObject),
	}, a.completeAttempt)
	register(a, operation{
		method: "POST", path: attemptPath + "/fail", id: "fail-attempt", tag: attemptsTag, errors: reportErrors,
		summary: "End an attempt that the worker has taken over, without success", body: optional(&failureObject),
	}, a.failAttempt)
	for _, path := range []string{"/heartbeat", "/complete", "/fail"} {
		op := a.huma.OpenAPI().Paths[attemptPath+path].Post
		op.Security = []map[string][]string{{"attempt": {}}}
	}
}

func (a *api) heartbeat(ctx context.Context, in *attemptInput) (*attemptAnswer, error) {
	at, err := in.attempt()
	if err != nil {
		return nil, err
	}
	if err := decodeOptional(&heartbeatObject, in.RawBody, &none{}); err != nil {
		return nil, err
	}
	if err := a.control.Heartbeat(ctx, at); err != nil {
		return nil, err
	}
	return taken(), nil
}

func (a *api) completeAttempt(ctx context.Context, in *attemptInput) (*attemptAnswer, error) {
	at, err := in.attempt()
	if err != nil {
		return nil, err
	}
	var c completion
	if err := decodeOptional(&completionObject, in.RawBody, &c); err != nil {
		return nil, err
	}
	done := control.Completion{Result: c.result}
	if len(c.result) > 0 {
		done.ContentType = "application/json"
	}
	if err := a.control.CompleteAttempt(ctx, at, done); err != nil {
		return nil, err
	}
	return taken(), nil
}

func (a *api) failAttempt(ctx context.Context, in *attemptInput) (*attemptAnswer, error) {
	at, err := in.attempt()
	if err != nil {
		return nil, err
	}
	f := failure{retry: true}
	if err := decodeOptional(&failureObject, in.RawBody, &f); err != nil {
		return nil, err
	}
	f.NoRetry = !f.retry
	if err := a.control.FailAttempt(ctx, at, f.Failure); err != nil {
		return nil, err
	}
	return taken(), nil
}
