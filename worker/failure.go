package worker

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/orchestrix/orchestrix/job"
)

// NoRetry returns an error that makes the job dead at once: it has failed in a way
// that no repetition can mend. It wraps err; NoRetry(nil) is nil.
func NoRetry(err error) error {
	if err == nil {
		return nil
	}
	return &noRetryError{err}
}

// RetryAfter returns an error that fails the attempt and puts the next one off by
// at least d, in whole seconds rounded up; the server grants at most a day. It
// wraps err; RetryAfter(d, nil) is nil.
func RetryAfter(d time.Duration, err error) error {
	if err == nil {
		return nil
	}
	return &retryAfterError{err: err, after: d}
}

// Throttle returns an error that gives the job back: it waits at least d and no
// attempt is used up. So does everything else that the server would push to this
// worker from the same queue meanwhile: it is for a limit that concerns them all,
// such as that of a service behind the worker. Of an asynchronous job, whose push was
// answered long ago, it is RetryAfter. It wraps err; Throttle(d, nil) is nil.
func Throttle(d time.Duration, err error) error {
	if err == nil {
		return nil
	}
	return &retryAfterError{err: err, after: d, throttle: true}
}

type noRetryError struct{ err error }

func (e *noRetryError) Error() string { return e.err.Error() }
func (e *noRetryError) Unwrap() error { return e.err }

type retryAfterError struct {
	err      error
	after    time.Duration
	throttle bool
}

func (e *retryAfterError) Error() string { return e.err.Error() }
func (e *retryAfterError) Unwrap() error { return e.err }

// statusError is answered with a status of its own.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

// failure is what an error asks of the server.
type failure struct {
	status int
	text   string // bounded, one line
	// noRetry says that the job is dead; after is the least wait before the next
	// attempt, 0 where the policy decides.
	noRetry bool
	after   time.Duration
	// released says that no attempt is to be used up.
	released bool
}

// shutdownPause is how long the server leaves alone a worker that shuts down.
const shutdownPause = time.Second

// failureOf reads the decision that an error carries. cause is why the
// handler's context ended, nil where it did not.
func failureOf(cause, err error) failure {
	f := failure{status: http.StatusInternalServerError, text: plainText(err.Error())}
	var (
		status *statusError
		wait   *retryAfterError
		never  *noRetryError
	)
	if errors.As(err, &status) {
		f.status = status.status
	}
	if errors.As(err, &wait) {
		f.after, f.released = min(max(wait.after, 0), maxRetryAfter), wait.throttle
	}
	f.noRetry = errors.As(err, &never)
	switch {
	case f.noRetry:
		f.after, f.released = 0, false
	case errors.Is(cause, ErrShutdown):
		f.status, f.after, f.released = http.StatusServiceUnavailable, shutdownPause, true
	case f.released:
		f.status = http.StatusTooManyRequests
	}
	return f
}

// maxRetryAfter is what the server grants; a report that asks for more is refused.
const maxRetryAfter = 24 * time.Hour

// Outcome says what the error of a handler makes of its attempt, for a middleware
// that counts: succeeded, failed, dead (NoRetry) or throttled (Throttle).
func Outcome(err error) string {
	if err == nil {
		return "succeeded"
	}
	switch f := failureOf(nil, err); {
	case f.noRetry:
		return "dead"
	case f.released:
		return "throttled"
	}
	return "failed"
}

// plainText returns the beginning of a text on one line: at most
// job.MaxErrorKept bytes of UTF-8 without control characters.
func plainText(s string) string {
	const ellipsis = "…"
	// Cut before it is mapped: the text may be a whole page.
	cut := len(s) > job.MaxErrorKept
	if cut {
		s = s[:job.MaxErrorKept-len(ellipsis)]
	}
	s = strings.TrimSpace(strings.Map(printable, strings.ToValidUTF8(s, "")))
	if cut {
		s += ellipsis
	}
	return s
}

func printable(r rune) rune {
	if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' {
		return ' '
	}
	return r
}
