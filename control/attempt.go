package control

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"time"

	"github.com/orchestrix/orchestrix/dispatcher"
	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/webhook/push"
)

// A worker that has taken an attempt over reports on it, to any node, with a token that
// came with the push and opens nothing else. The token is a MAC of the attempt under a
// key of the store, so that nothing has to be kept of it.

// Attempt is an attempt with the token of who reports on it.
type Attempt struct {
	Job    job.ID
	Number int
	Token  string
}

// Completion is the end of an attempt that has succeeded.
type Completion struct {
	// Result is kept as the job's result, at most push.MaxAnswerBody bytes, with its
	// ContentType.
	Result      []byte
	ContentType string
}

// Failure is the end of an attempt that has not succeeded.
type Failure struct {
	// Error tells a person why; it is cut to job.MaxErrorKept bytes.
	Error string
	// NoRetry makes the job dead at once.
	NoRetry bool
	// RetryAfter is how long the next attempt waits at least, up to push.MaxRetryAfter.
	RetryAfter job.Duration
	// Released gives the attempt back, since the worker shuts down: the job runs again at
	// once, and no attempt is used up.
	Released bool
}

// attemptToken returns the token of an attempt under a key.
func attemptToken(key []byte, id job.ID, number int) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("orchestrix attempt "))
	mac.Write(id[:])
	mac.Write(strconv.AppendInt(nil, int64(number), 10))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// AttemptToken returns the token by which an attempt may be reported on; empty before
// Load. It may be called concurrently.
func (c *Control) AttemptToken(id job.ID, number int) string {
	key := c.attemptKey.Load()
	if key == nil {
		return ""
	}
	return attemptToken(*key, id, number)
}

// errAttemptToken tells nothing of the attempt.
var errAttemptToken = &Error{
	Kind: Unauthenticated, Code: "attempt_token",
	Detail: "the token is not this attempt's: send the orchestrix-attempt-token of the push as Authorization: Bearer <token>",
}

// Heartbeat notes that the attempt's worker is alive and goes on. It is a Conflict where
// the attempt is over, with the codes of CompleteAttempt.
func (c *Control) Heartbeat(ctx context.Context, a Attempt) error {
	accepted, err := c.attempt(ctx, a)
	if err != nil || !accepted {
		return err
	}
	err = c.store.Beat(ctx, a.Job, a.Number)
	if errors.Is(err, store.ErrNotFound) { // it has ended since
		_, err = c.attempt(ctx, a)
		return err
	}
	return storeError("note a heartbeat", err)
}

// CompleteAttempt ends an attempt that its worker has taken over, with success. It is a
// Conflict where the attempt is over: already_applied where it was reported before,
// cancelled where the job was, superseded where it has ended otherwise. An Unavailable
// one may be repeated.
func (c *Control) CompleteAttempt(ctx context.Context, a Attempt, done Completion) error {
	if len(done.Result) > push.MaxAnswerBody {
		return invalid(badField("result", "must be at most %d bytes long", push.MaxAnswerBody))
	}
	return c.endAttempt(ctx, a, push.Answer{Outcome: job.OutcomeSucceeded, Body: done.Result, ContentType: done.ContentType})
}

// FailAttempt ends an attempt that its worker has taken over, without success. Its errors
// are those of CompleteAttempt.
func (c *Control) FailAttempt(ctx context.Context, a Attempt, f Failure) error {
	if f.RetryAfter < 0 || f.RetryAfter.Std() > push.MaxRetryAfter {
		return invalid(badField("retry_after", "must be from 0s to %s", job.Duration(push.MaxRetryAfter)))
	}
	answer := push.Answer{
		Outcome: job.OutcomeFailed, Reason: job.ReasonReported, Error: cutError(f.Error),
		NoRetry: f.NoRetry, RetryAfter: f.RetryAfter.Std(),
	}
	if f.Released {
		answer = push.Answer{Outcome: job.OutcomeLost, Reason: job.ReasonShutdown, Error: answer.Error}
	}
	return c.endAttempt(ctx, a, answer)
}

// cutError returns what is kept of an error's text.
func cutError(text string) string {
	if len(text) <= job.MaxErrorKept {
		return text
	}
	return job.CutText(text, job.MaxErrorKept-len("…")) + "…"
}

func (c *Control) endAttempt(ctx context.Context, a Attempt, answer push.Answer) error {
	accepted, err := c.attempt(ctx, a)
	if err != nil {
		return err
	}
	if !accepted {
		return notTaken("the server does not know yet that the worker has taken the attempt over")
	}
	seq, err := c.store.Send(ctx, dispatcher.Report(a.Job, a.Number, &answer))
	if err != nil {
		return storeError("report an attempt", err)
	}
	c.dispatch.Wake(a.Job.Shard())
	consumed, err := c.consumed(ctx, a.Job.Shard(), seq)
	switch {
	case err != nil:
		return storeError("wait for a report", err)
	case !consumed:
		return notTaken("nobody serves the job's shard just now, and the report waits for who will")
	}
	return c.reported(ctx, a, seq)
}

// notTaken is the error of a report that may be repeated.
func notTaken(detail string) error {
	return &Error{Kind: Unavailable, Code: "not_taken", Detail: detail + "; repeat it", RetryAfter: time.Second}
}

// reported returns whether it was this report that ended the attempt.
func (c *Control) reported(ctx context.Context, a Attempt, seq uint64) error {
	j, err := c.store.Job(ctx, a.Job)
	if errors.Is(err, store.ErrNotFound) {
		return nil // it has ended, and is not kept
	}
	if err != nil {
		return storeError("read the job", err)
	}
	if last := attemptOf(j, a.Number); last != nil && last.Report == seq {
		return nil
	}
	return attemptOver(j, a.Number)
}

// attempt checks who reports, and reports whether the worker has taken the attempt over,
// as far as the store knows. It is a Conflict where the attempt is over.
func (c *Control) attempt(ctx context.Context, a Attempt) (accepted bool, err error) {
	if token := c.AttemptToken(a.Job, a.Number); token == "" || !hmac.Equal([]byte(token), []byte(a.Token)) {
		return false, errAttemptToken
	}
	record, err := c.store.GetAccepted(ctx, a.Job)
	switch {
	case err == nil && record.Attempt == a.Number:
		return true, nil
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return false, storeError("read the attempt", err)
	}
	j, err := c.store.Job(ctx, a.Job)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return false, conflict("superseded", "the job is not kept any more")
	case err != nil:
		return false, storeError("read the job", err)
	case j.Settled() || j.Attempt >= a.Number:
		return false, attemptOver(j, a.Number)
	}
	return false, nil // it is being pushed
}

func attemptOf(j *job.Job, number int) *job.Attempt {
	for i := range j.Attempts {
		if j.Attempts[i].Number == number {
			return &j.Attempts[i]
		}
	}
	return nil
}

// attemptOver says how an attempt has ended.
func attemptOver(j *job.Job, number int) error {
	a := attemptOf(j, number)
	switch {
	case a != nil && a.Outcome == job.OutcomeCancelled, a == nil && j.Status == job.Cancelled:
		return conflict("cancelled", "the job was cancelled: stop")
	case a != nil && a.Report != 0, a != nil && a.Outcome == job.OutcomeSucceeded:
		return conflict("already_applied", "the end of attempt %d was reported before: it has %s", number, a.Outcome)
	case a != nil:
		return conflict("superseded", "attempt %d is over: it has %s", number, a.Outcome)
	}
	return conflict("superseded", "attempt %d is over", number)
}
