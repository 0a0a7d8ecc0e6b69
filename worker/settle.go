package worker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/orchestrix/orchestrix/job"
)

// completeBody and failBody are the two reports that end an attempt.
type completeBody struct {
	Result json.RawMessage `json:"result,omitempty"`
}

type failBody struct {
	Error      string       `json:"error"`
	Retry      bool         `json:"retry"`
	RetryAfter job.Duration `json:"retry_after,omitempty"`
	// Released gives the attempt back, since the worker ends: the job runs elsewhere at
	// once, and none is used up.
	Released bool `json:"released,omitempty"`
}

// shutdownReason is the error of an attempt that is given back.
const shutdownReason = "shutdown"

// settle reports the end of the work, unless the server knows better already.
func (a *attempt) settle(ctx context.Context, out outcome) {
	lostAndDone := out.err == nil && errors.Is(a.cause(), ErrLeaseLost) // perhaps nobody has begun it anew yet
	if !a.isOurs() && !lostAndDone {
		return
	}
	if out.err != nil && errors.Is(a.cause(), ErrShutdown) {
		a.giveBack(ctx)
		return
	}
	body, dropped := resultBody(out.result)
	if dropped {
		a.mux.logger.ErrorContext(ctx, "a result is too large to be kept, and was dropped",
			"job", a.push.ID, "type", a.push.Type, "bytes", len(out.result.Body), "limit", MaxResult)
		a.journal.note(time.Now(), fmt.Sprintf("the result of %d bytes is larger than %d, and was dropped", len(out.result.Body), MaxResult))
	}
	a.flush(ctx)
	if out.err != nil {
		f := failureOf(a.cause(), out.err)
		// Not released where it is throttled: that is for what ends with the worker.
		a.insist(ctx, "fail", failBody{Error: cmp.Or(f.text, "failed"), Retry: !f.noRetry, RetryAfter: job.Duration(f.after)})
		return
	}
	a.insist(ctx, "complete", completeBody{body})
}

// giveBack has the server run the job elsewhere, at once.
func (a *attempt) giveBack(ctx context.Context) {
	a.flush(ctx)
	a.insist(ctx, "fail", failBody{Error: shutdownReason, Retry: true, Released: true})
}

// insist sends a report until it is taken or refused, or the lease is over, and
// keeps the lease meanwhile.
func (a *attempt) insist(ctx context.Context, verb string, body any) {
	for try := 0; ; try++ {
		v := a.send(ctx, verb, body)
		switch v.kind {
		case reportTaken, reportOver:
			return
		case reportRefused:
			a.lost(ctx, verb, v)
			return
		}
		again := time.Now().Add(max(backoff(try), v.after))
		if again.After(a.lease.end()) && !a.renewBefore(again) {
			a.lost(ctx, verb, v)
			return
		}
		if !a.waitUntil(ctx, again) {
			a.lost(ctx, verb, v)
			return
		}
	}
}

// renewBefore reports whether a heartbeat is due before the time, which may
// prolong the lease.
func (a *attempt) renewBefore(t time.Time) bool {
	return a.lease.next.Before(t) && a.lease.next.Before(a.lease.end())
}

// waitUntil waits with heartbeats, and reports false where the attempt is over.
func (a *attempt) waitUntil(ctx context.Context, t time.Time) bool {
	for {
		until := t
		if a.lease.next.Before(until) {
			until = a.lease.next
		}
		time.Sleep(time.Until(until))
		a.beat(ctx)
		if !a.isOurs() || !time.Now().Before(a.lease.end()) {
			return false
		}
		if !time.Now().Before(t) {
			return true
		}
	}
}

func (a *attempt) lost(ctx context.Context, verb string, v verdict) {
	a.mux.logger.ErrorContext(ctx, "the server was not told how an attempt ended, and will repeat the job",
		"job", a.push.ID, "type", a.push.Type, "attempt", a.push.Attempt, "report", verb, "error", v.err)
}

// resultBody returns a result as JSON: what is JSON as it is, text as a string,
// and other bytes as base64. One that is too large is dropped.
func resultBody(r Result) (body json.RawMessage, dropped bool) {
	if len(r.Body) == 0 {
		return nil, false
	}
	switch {
	case (r.ContentType == "" || job.IsJSON(r.ContentType)) && json.Valid(r.Body):
		body = r.Body
	case utf8.Valid(r.Body):
		body, _ = json.Marshal(string(r.Body)) // a string is always JSON
	default:
		body, _ = json.Marshal(r.Body)
	}
	if len(body) > MaxResult {
		return nil, true
	}
	return body, false
}
