package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/orchestrix/orchestrix/client"
)

// The exit codes. They are part of the command line's contract.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitUnreachable = 3
	exitRefused     = 4
	exitInterrupted = 130 // 128 + SIGINT, as a shell reports it
)

// usageError is wrong usage or configuration: help is what to do next.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// failure is an answer of the program itself: a check that did not hold, a job
// that did not succeed. It has been shown already where it is silent.
type failure struct {
	text string
}

func (e failure) Error() string { return e.text }

var errSilent = failure{}

// exitCode returns the code for an error of a command.
func exitCode(ctx context.Context, err error) int {
	var usage usageError
	var problem *client.Problem
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &problem):
		return problemCode(problem)
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return exitInterrupted
	case unreachable(err):
		return exitUnreachable
	}
	return exitFailed
}

func problemCode(p *client.Problem) int {
	if p.Status >= 400 && p.Status < 500 {
		return exitRefused
	}
	return exitUnreachable
}

// unreachable reports whether a call got no answer.
func unreachable(err error) bool {
	var call *url.Error
	var op *net.OpError
	return errors.As(err, &call) || errors.As(err, &op)
}

// explain returns what a person is told of an error: what is wrong, field by
// field, and what to do next.
func explain(err error, server string) string {
	var problem *client.Problem
	switch {
	case errors.As(err, &problem):
		return explainProblem(problem)
	case unreachable(err):
		return fmt.Sprintf("cannot reach the server at %s: %v\nIs it running? Start one with: orchestrix serve\nOr name another with --server or ORCHESTRIX_URL.", server, cause(err))
	}
	return err.Error()
}

func cause(err error) error {
	var call *url.Error
	if errors.As(err, &call) {
		return call.Err
	}
	return err
}

func explainProblem(p *client.Problem) string {
	var b strings.Builder
	title := p.Title
	if title == "" {
		title = http.StatusText(p.Status)
	}
	fmt.Fprintf(&b, "the server refused (%d %s)", p.Status, title)
	if p.Detail != "" {
		b.WriteString(": " + p.Detail)
	}
	for _, e := range p.Errors {
		fmt.Fprintf(&b, "\n  %s: %s", e.Field, e.Message)
	}
	switch p.Status {
	case http.StatusUnauthorized:
		b.WriteString("\nGive a key with --key or ORCHESTRIX_KEY; make one with: orchestrix api-keys create")
	case http.StatusForbidden:
		b.WriteString("\nThe key lacks the scope for this; see: orchestrix api-keys list")
	}
	return b.String()
}
