package dispatcher

import (
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/webhook/push"
)

// A report is an answer in the wire format of protocol buffers, so that versions of
// the program that know more or fewer fields read each other. Zero values are left
// out; durations are in nanoseconds.
const (
	fieldOutcome    = 1
	fieldReason     = 2
	fieldError      = 3
	fieldStatusCode = 4
	fieldBody       = 5
	fieldType       = 6
	fieldRetryAfter = 7
	fieldNoRetry    = 8
	fieldGone       = 9
	fieldDuration   = 10
	fieldAccepted   = 11
)

// Report returns the command that tells the owner of a job's shard how an attempt has
// ended that its worker has taken over.
func Report(id job.ID, attempt int, a *push.Answer) store.Command {
	return reportOf(&result{id, attempt, *a})
}

// reportOf returns the command that tells the shard's owner how an attempt ended.
func reportOf(r *result) store.Command {
	return store.Command{Kind: store.CommandReport, ID: r.ID, Attempt: r.Attempt, Report: appendAnswer(nil, &r.Answer)}
}

func appendAnswer(b []byte, a *push.Answer) []byte {
	number := func(field protowire.Number, v int64) {
		if v != 0 {
			b = appendNumber(b, field, v)
		}
	}
	text := func(field protowire.Number, v string) {
		if v != "" {
			b = protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), v)
		}
	}
	number(fieldOutcome, int64(a.Outcome))
	text(fieldReason, string(a.Reason))
	text(fieldError, a.Error)
	number(fieldStatusCode, int64(a.StatusCode))
	text(fieldBody, string(a.Body))
	text(fieldType, a.ContentType)
	number(fieldRetryAfter, int64(a.RetryAfter))
	number(fieldNoRetry, truth(a.NoRetry))
	number(fieldGone, truth(a.Gone))
	number(fieldDuration, int64(a.Duration))
	number(fieldAccepted, truth(a.Accepted))
	return b
}

func truth(set bool) int64 {
	if set {
		return 1
	}
	return 0
}

// parseAnswer reads a report. It reports false where the outcome is not one that
// this version knows.
func parseAnswer(report []byte) (a push.Answer, ok bool) {
	fields(report, func(field protowire.Number, number int64, bytes []byte) {
		switch field {
		case fieldOutcome:
			if number > 0 && number <= int64(job.OutcomeLost) {
				a.Outcome, ok = job.Outcome(number), true
			}
		case fieldReason:
			a.Reason = job.Reason(bytes)
		case fieldError:
			a.Error = string(bytes)
		case fieldStatusCode:
			a.StatusCode = int(number)
		case fieldBody:
			a.Body = bytes
		case fieldType:
			a.ContentType = string(bytes)
		case fieldRetryAfter:
			a.RetryAfter = time.Duration(number)
		case fieldNoRetry:
			a.NoRetry = number != 0
		case fieldGone:
			a.Gone = number != 0
		case fieldDuration:
			a.Duration = time.Duration(number)
		case fieldAccepted:
			a.Accepted = number != 0
		}
	})
	return a, ok
}
