package control

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/store/engine"
)

// Kind is the decision that an error asks for.
type Kind uint8

// The kinds of errors. Any error of this package that is no *Error is a fault
// of the server.
const (
	Invalid         Kind = iota + 1 // the request is wrong: repeat it corrected
	Unauthenticated                 // no valid key came with the request
	Forbidden                       // the key does not allow it
	NotFound                        // there is no such thing
	Conflict                        // the state of the thing forbids it
	Stale                           // the thing changed since the caller read it
	TooLarge                        // the request is over a bound
	Unavailable                     // the store gave no clear answer: try again
	Full                            // there is no room for it now: try again
)

// Error is an error that carries the decision it asks for. It is never changed
// after it was returned.
type Error struct {
	Kind Kind
	// Code is a stable snake_case word, more precise than Kind.
	Code string
	// Detail is for a person. It holds no secret.
	Detail string
	// Fields name what is wrong with the request, where Kind is Invalid,
	// Conflict or TooLarge.
	Fields []job.FieldError
	// Job is the job that stands in the way, where it is one; else zero.
	Job job.ID
	// RetryAfter is when to try again, where Kind is Unavailable or Full.
	RetryAfter time.Duration

	cause error
}

// Error returns the detail, the fields and the cause.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Detail)
	for _, f := range e.Fields {
		b.WriteString("; " + f.Error())
	}
	if e.cause != nil {
		b.WriteString(": " + e.cause.Error())
	}
	return b.String()
}

// Unwrap returns what caused the error, or nil.
func (e *Error) Unwrap() error { return e.cause }

// KindOf returns the kind of an error of this package, 0 where it has none.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return 0
}

// retryAfter is what a client is told to wait while the store is away: long
// enough to spare it, short enough to notice when it is back.
const retryAfter = time.Second

// lostRetryAfter is the same where somebody has to come and see.
const lostRetryAfter = time.Minute

func invalid(fields ...job.FieldError) *Error {
	return &Error{Kind: Invalid, Code: "invalid", Detail: "the request is not valid", Fields: fields}
}

func badField(field, format string, args ...any) job.FieldError {
	return job.FieldError{Field: field, Message: fmt.Sprintf(format, args...)}
}

func invalidField(field, format string, args ...any) *Error {
	return invalid(badField(field, format, args...))
}

func notFound(what, name string) *Error {
	return &Error{Kind: NotFound, Code: "not_found", Detail: fmt.Sprintf("there is no %s %q", what, name)}
}

func conflict(code, format string, args ...any) *Error {
	return &Error{Kind: Conflict, Code: code, Detail: fmt.Sprintf(format, args...)}
}

func forbidden(format string, args ...any) *Error {
	return &Error{Kind: Forbidden, Code: "forbidden", Detail: fmt.Sprintf(format, args...)}
}

func stale() *Error {
	return &Error{Kind: Stale, Code: "version_changed", Detail: "it is not the version that the request names: read it again"}
}

// storeError gives an error of the store the kind that callers decide on. One
// that is none of the known is the server's fault and stays as it is, wrapped
// with the operation.
func storeError(operation string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return &Error{
			Kind: Unavailable, Code: "unavailable", RetryAfter: retryAfter, cause: err,
			Detail: "the store gave no clear answer; the outcome is unknown",
		}
	case errors.Is(err, engine.ErrMissing):
		return &Error{
			Kind: Unavailable, Code: "unavailable", RetryAfter: lostRetryAfter, cause: err,
			Detail: "this part of the store was lost, and is not served until its operator sees to it; nothing was stored",
		}
	}
	return fmt.Errorf("%s: %w", operation, err)
}
