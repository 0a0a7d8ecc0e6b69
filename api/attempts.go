package api

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/orchestrix/orchestrix/api/jsonscan"
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
		text("error", func(f *failure) *string { return &f.Error }, "", doc("Why, for people; what is longer than 512 bytes is cut.")),
		boolean("retry", func(f *failure) *bool { return &f.retry }, doc("Whether the job is tried again by its policy, which is so where this is absent.")),
		duration("retry_after", func(f *failure) *job.Duration { return &f.RetryAfter }, "", doc("How long the next attempt waits at least, up to a day.")),
		boolean("released", func(f *failure) *bool { return &f.Released },
			doc("The worker gives the attempt back, since it shuts down: the job runs again at once, and no attempt is used up.")),
	},
}

type progress struct {
	percent float64
	message string
}

var progressObject = object[progress]{
	name: "ProgressReport", description: "How far an attempt is.", defaults: func() progress { return progress{} },
	fields: []field[progress]{
		number("percent", func(p *progress) *float64 { return &p.percent }, "", doc("From 0 to 100.")).mandatory(),
		text("message", func(p *progress) *string { return &p.message }, "", doc("A few words, at most 1,000 bytes.")),
	},
}

var logLineObject = object[control.LogLine]{
	name: "LogEntry", description: "A line of log.", defaults: func() control.LogLine { return control.LogLine{} },
	fields: []field[control.LogLine]{
		{name: "level", schema: levelSchema(), read: func(r *reader, l *control.LogLine) {
			if v, ok := r.word(); ok {
				l.Level = v
			}
		}},
		text("message", func(l *control.LogLine) *string { return &l.Message }, "", doc("At most 8 KiB.")).mandatory(),
		instant("time", func(l *control.LogLine) *time.Time { return &l.Time }, doc("The server's where it is absent.")),
		{name: "fields", schema: &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true, Description: "What else there is to say, at most 16 KiB."}, read: func(r *reader, l *control.LogLine) {
			if r.scan.Peek() != jsonscan.Object {
				r.wrong("an object")
				return
			}
			l.Fields = bytes.Clone(r.scan.Skip())
		}},
	},
}

func levelSchema() *huma.Schema {
	s := doc("info where it is absent.")
	s.Type = huma.TypeString
	for _, level := range control.LogLevels {
		s.Enum = append(s.Enum, level)
	}
	return s
}

// logsObject has its lines under either of two names.
var logsObject = object[[]control.LogLine]{
	name: "LogReport", description: "Lines of log, at most 1,000 in entries and logs together.", defaults: func() []control.LogLine { return nil },
	fields: []field[[]control.LogLine]{linesField("entries", "The lines, in order."), linesField("logs", "Another name of entries.")},
}

func linesField(name, about string) field[[]control.LogLine] {
	s := doc(about)
	s.Type, s.Items = huma.TypeArray, logLineObject.describe(false)
	return field[[]control.LogLine]{name: name, schema: s, read: func(r *reader, into *[]control.LogLine) {
		r.list(func(int) {
			var l control.LogLine
			logLineObject.read(r, &l)
			*into = append(*into, l)
		})
	}}
}

// logsAnswer tells a worker that its lines were taken, or that there is no more room.
type logsAnswer struct {
	Body struct {
		Status    string `json:"status" enum:"ok" doc:"The report was taken."`
		Truncated bool   `json:"truncated,omitempty" doc:"The log is full: lines are left out from now on."`
	}
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
	told := append([]int{http.StatusTooManyRequests}, reportErrors...)
	register(a, operation{
		method: "POST", path: attemptPath + "/progress", id: "report-progress", tag: attemptsTag, errors: told,
		summary: "Tell how far an attempt is", body: bodyOf(&progressObject),
	}, a.reportProgress)
	register(a, operation{
		method: "POST", path: attemptPath + "/logs", id: "report-logs", tag: attemptsTag, errors: told,
		summary: "Append lines to the job's log", body: bodyOf(&logsObject),
	}, a.reportLogs)
	for _, path := range []string{"/heartbeat", "/complete", "/fail", "/progress", "/logs"} {
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

func (a *api) reportProgress(ctx context.Context, in *attemptInput) (*attemptAnswer, error) {
	at, err := in.attempt()
	if err != nil {
		return nil, err
	}
	var p progress
	if err := decode(&progressObject, in.RawBody, false, &p); err != nil {
		return nil, err
	}
	if err := a.control.SetProgress(ctx, at, p.percent, p.message); err != nil {
		return nil, err
	}
	return taken(), nil
}

func (a *api) reportLogs(ctx context.Context, in *attemptInput) (*logsAnswer, error) {
	at, err := in.attempt()
	if err != nil {
		return nil, err
	}
	var lines []control.LogLine
	if err := decode(&logsObject, in.RawBody, false, &lines); err != nil {
		return nil, err
	}
	truncated, err := a.control.AppendLog(ctx, at, lines)
	if err != nil {
		return nil, err
	}
	out := &logsAnswer{}
	out.Body.Status, out.Body.Truncated = "ok", truncated
	return out, nil
}
