package api

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/orchestrix/orchestrix/control"
	"github.com/orchestrix/orchestrix/job"
)

// Problem is an answer that says no: RFC 9457, application/problem+json.
type Problem struct {
	Type   string `json:"type,omitempty" doc:"A URI for the kind of problem; absent means about:blank."`
	Title  string `json:"title" doc:"The HTTP status in words."`
	Status int    `json:"status" doc:"The HTTP status."`
	Code   string `json:"code" doc:"A stable word for the kind of problem, more precise than the status."`
	Detail string `json:"detail,omitempty" doc:"What is wrong, and what to do about it."`
	// Errors name each bad field. They never hold the field's value, which may be
	// a secret.
	Errors     []FieldProblem `json:"errors,omitempty" doc:"Each thing wrong with the request."`
	Job        string         `json:"job,omitempty" doc:"The job that stands in the way, where it is one."`
	RetryAfter job.Duration   `json:"retry_after,omitempty" doc:"When to try again; the same as the header Retry-After, which a job of a batch cannot have."`
	// Outcome is "unknown" where the server cannot say whether it acted.
	Outcome   string `json:"outcome,omitempty" enum:"unknown" doc:"unknown: the server cannot say whether it acted; an enqueue with an idempotency key may be repeated."`
	RequestID string `json:"request_id,omitempty" doc:"What the server's log calls this request."`

	header http.Header
}

// FieldProblem is one thing wrong with one field.
type FieldProblem struct {
	Field   string `json:"field" doc:"The path of the field, such as jobs[17].retry.max_attempts."`
	Message string `json:"message" doc:"What would be right."`
}

// Error returns the status and the detail.
func (p *Problem) Error() string { return strconv.Itoa(p.Status) + " " + p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return problemType }

// GetHeaders implements huma.HeadersError.
func (p *Problem) GetHeaders() http.Header { return p.header }

const problemType = "application/problem+json"

// statuses is the one place where kinds of errors meet HTTP.
var statuses = map[control.Kind]int{
	control.Invalid:         http.StatusUnprocessableEntity,
	control.Unauthenticated: http.StatusUnauthorized,
	control.Forbidden:       http.StatusForbidden,
	control.NotFound:        http.StatusNotFound,
	control.Conflict:        http.StatusConflict,
	control.Stale:           http.StatusPreconditionFailed,
	control.TooLarge:        http.StatusRequestEntityTooLarge,
	control.Unavailable:     http.StatusServiceUnavailable,
	control.Full:            http.StatusTooManyRequests,
}

// problemOf returns the problem that an error is answered with. An error of no
// known kind is a fault of the server: its text stays in the log.
func problemOf(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		p.fill()
		return p
	}
	e, ok := errors.AsType[*control.Error](err)
	switch {
	case ok:
		return controlProblem(e)
	case errors.Is(err, context.Canceled):
		// Nobody reads it: the client is gone, or the server is.
		return newProblem(http.StatusServiceUnavailable, "cancelled", "the request was cancelled")
	}
	return newProblem(http.StatusInternalServerError, "internal", "the server failed; its log says why under this request_id")
}

func controlProblem(e *control.Error) *Problem {
	p := newProblem(statuses[e.Kind], e.Code, e.Detail)
	p.Errors = fieldProblems(e.Fields)
	if !e.Job.IsZero() {
		p.Job = e.Job.String()
	}
	switch e.Kind {
	case control.Unavailable:
		p.Outcome = "unknown"
		p.setRetryAfter(e.RetryAfter)
	case control.Full:
		p.setRetryAfter(e.RetryAfter)
	case control.Unauthenticated:
		p.setHeader("WWW-Authenticate", `Bearer realm="orchestrix"`)
	}
	return p
}

func newProblem(status int, code, detail string, fields ...FieldProblem) *Problem {
	p := &Problem{Status: status, Code: code, Detail: detail, Errors: fields}
	p.fill()
	return p
}

func (p *Problem) fill() {
	p.Title = http.StatusText(p.Status)
	if p.Code == "" {
		p.Code = strings.ReplaceAll(strings.ToLower(p.Title), " ", "_")
	}
}

func (p *Problem) setHeader(name, value string) {
	if p.header == nil {
		p.header = http.Header{}
	}
	p.header.Set(name, value)
}

// setRetryAfter says when to try again, in whole seconds.
func (p *Problem) setRetryAfter(d time.Duration) {
	d = (d + time.Second - 1).Truncate(time.Second)
	p.RetryAfter = job.Duration(d)
	p.setHeader("Retry-After", strconv.Itoa(int(d/time.Second)))
}

func fieldProblems(fields []job.FieldError) []FieldProblem {
	var out []FieldProblem
	for _, f := range fields {
		out = append(out, FieldProblem{f.Field, f.Message})
	}
	return out
}

// faultsProblem is for a body whose fields are wrong in themselves.
func faultsProblem(fields []job.FieldError) *Problem {
	return newProblem(http.StatusUnprocessableEntity, "invalid", "the request is not valid", fieldProblems(fields)...)
}

// refuse returns the problem of an error with the request's id, and logs what the
// client is not told.
func (a *api) refuse(ctx context.Context, id string, err error) *Problem {
	p := problemOf(err)
	p.RequestID = id
	switch {
	case p.Status == http.StatusInternalServerError:
		a.log.ErrorContext(ctx, "request failed", slog.String("request_id", id), slog.Any("error", err))
	case p.Status == http.StatusServiceUnavailable:
		a.log.WarnContext(ctx, "request not served", slog.String("request_id", id), slog.Any("error", err))
	}
	return p
}

// write writes the problem as an answer.
func (p *Problem) write(w http.ResponseWriter) {
	body, err := json.Marshal(p)
	if err != nil { // it holds strings and numbers only
		panic(err)
	}
	for name, values := range p.header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", problemType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(p.Status)
	w.Write(body)
}

// humaError is huma's hook: it makes a problem of what is wrong with a request's
// parameters. Values are left out, since they may be secrets.
func humaError(ctx huma.Context, status int, message string, errs ...error) huma.StatusError {
	if status == http.StatusUnprocessableEntity {
		message = "the request is not valid"
	}
	p := newProblem(status, "", message)
	for _, err := range errs {
		d, ok := err.(huma.ErrorDetailer)
		if !ok {
			continue
		}
		detail := d.ErrorDetail()
		field := detail.Location
		if _, after, ok := strings.Cut(field, "."); ok {
			field = after // without query, path or header in front
		}
		p.Errors = append(p.Errors, FieldProblem{field, detail.Message})
	}
	if status == http.StatusUnprocessableEntity {
		p.Code = "invalid"
	}
	if status == http.StatusRequestEntityTooLarge {
		p.Code, p.Errors = "body_too_large", []FieldProblem{{"body", "is too large"}}
	}
	if ctx != nil {
		p.RequestID = requestID(ctx.Context())
	}
	return p
}
