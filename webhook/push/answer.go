package push

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/orchestrix/orchestrix/job"
)

// Answer is how a push ended. Outcome is always set.
type Answer struct {
	Outcome job.Outcome
	// Reason is the machine-readable cause; empty on success.
	Reason job.Reason
	// Error tells a person what went wrong, at most job.MaxErrorKept bytes of
	// UTF-8; empty on success. It never holds secrets, queries or user names.
	Error string
	// Sent says that at least one byte of the request was written: the worker
	// may have seen it.
	Sent bool

	// StatusCode is the HTTP status; 0 where no answer began.
	StatusCode int
	// Body is the answer's body, at most MaxAnswerBody bytes; it belongs to the
	// caller. Truncated says that there was more.
	Body      []byte
	Truncated bool
	// ContentType is the body's, at most 256 bytes.
	ContentType string

	// RetryAfter is how long the worker asked to wait, at most MaxRetryAfter; 0
	// where it did not ask.
	RetryAfter time.Duration
	// NoRetry says that the worker asked never to retry.
	NoRetry bool
	// Gone says that the worker answered 410: it wants no more pushes.
	Gone bool
	// Accepted says that the worker has taken the attempt over and will report its end;
	// the Outcome is then that of the request alone.
	Accepted bool

	Started time.Time
	// Duration is from the call of Push to the answer's last byte.
	Duration time.Duration
}

// judge sets the outcome of a complete answer.
func (a *Answer) judge(h *head, r *Request, now time.Time) {
	wait, asked := parseRetryAfter(h.retryAfter, now)
	switch {
	case h.status == http.StatusAccepted && (h.async || r.Async) && r.CallbackURL == "":
		a.fail(job.ReasonAsyncUnsupported, "answered 202 to take the attempt over, but this server has no --public-url to which its end could be reported")
	case h.status == http.StatusAccepted && (h.async || r.Async):
		a.Outcome, a.Accepted = job.OutcomeSucceeded, true
		return
	case h.status/100 == 2:
		a.Outcome = job.OutcomeSucceeded
		return
	case h.status == http.StatusGone:
		a.fail(job.ReasonGone, statusText(h.status))
		a.Gone = true
	case h.noRetry:
		a.fail(job.ReasonNoRetry, statusText(h.status)+" and orchestrix-no-retry")
	case h.status == http.StatusTooManyRequests, h.status == http.StatusServiceUnavailable && asked:
		a.fail(job.ReasonThrottled, statusText(h.status))
		a.Outcome = job.OutcomeThrottled
	case h.status/100 == 3:
		a.fail(job.ReasonRedirect, statusText(h.status)+locationText(h.location)+"; redirects are not followed")
	default:
		a.fail(job.ReasonHTTPStatus, statusText(h.status))
	}
	a.RetryAfter = wait
	a.NoRetry = h.noRetry
}

func (a *Answer) fail(reason job.Reason, text string) {
	a.Outcome, a.Reason, a.Error = job.OutcomeFailed, reason, cutText(text, job.MaxErrorKept)
}

func statusText(status int) string {
	return strings.TrimSpace(fmt.Sprintf("answered %d %s", status, http.StatusText(status)))
}

// locationText shows where a redirect leads, without its query.
func locationText(location string) string {
	location, _, _ = strings.Cut(location, "?")
	if location == "" {
		return ""
	}
	const limit = 200
	if scheme, rest, ok := strings.Cut(location, "://"); ok {
		if authority, path, _ := strings.Cut(rest, "/"); strings.Contains(authority, "@") {
			location = scheme + "://" + authority[strings.LastIndexByte(authority, '@')+1:] + "/" + path
		}
	}
	return " to " + cutText(location, limit)
}

// cutText returns at most limit bytes of valid, printable-on-one-line UTF-8.
func cutText(text string, limit int) string {
	text = strings.ToValidUTF8(text, "?")
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, text)
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit-len("…")], "") + "…"
}
