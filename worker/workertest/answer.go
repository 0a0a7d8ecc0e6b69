package workertest

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"time"

	"github.com/orchestrix/orchestrix/webhook"
)

// Outcome is what an answer means to the server.
type Outcome string

// The outcomes of a push.
const (
	Succeeded Outcome = "succeeded"
	// Accepted is that of an asynchronous job: it runs.
	Accepted Outcome = "accepted"
	// Failed is followed by another attempt, if there is one left.
	Failed Outcome = "failed"
	// Dead is never tried again.
	Dead Outcome = "dead"
	// Throttled uses up no attempt.
	Throttled Outcome = "throttled"
)

// Answer is what a handler answered to a push.
type Answer struct {
	Outcome Outcome
	Status  int
	Header  http.Header
	// Body is the result of a job that succeeded, the error of another one.
	Body []byte
	// RetryAfter is the wait that was asked for; 0 where none was.
	RetryAfter time.Duration

	coordinator *Coordinator
	attempt     *attempt
}

func newAnswer(c *Coordinator, a *attempt, w *httptest.ResponseRecorder) *Answer {
	resp := w.Result()
	out := &Answer{Status: resp.StatusCode, Header: resp.Header, Body: w.Body.Bytes(), coordinator: c, attempt: a}
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		out.RetryAfter = time.Duration(n) * time.Second
	}
	out.Outcome = outcomeOf(resp.StatusCode, resp.Header)
	return out
}

func outcomeOf(status int, h http.Header) Outcome {
	switch {
	case status == http.StatusAccepted && strings.EqualFold(h.Get(webhook.HeaderAsync), "true"):
		return Accepted
	case status/100 == 2:
		return Succeeded
	case status == http.StatusGone, strings.EqualFold(h.Get(webhook.HeaderNoRetry), "true"):
		return Dead
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable && h.Get("Retry-After") != "":
		return Throttled
	}
	return Failed
}

// JobID returns the id of the job that was pushed.
func (a *Answer) JobID() string { return a.attempt.job }

// Reports returns what the job has reported so far, oldest first.
func (a *Answer) Reports() []Report { return a.coordinator.reports(a.attempt) }

// Wait waits until the job has completed or failed, and returns that report. It
// fails the test where the test ends before.
func (a *Answer) Wait() Report {
	t := a.coordinator.t
	t.Helper()
	if a.Outcome != Accepted {
		t.Fatalf("workertest: the push was not accepted: %d %s", a.Status, a.Body)
	}
	select {
	case <-a.attempt.settled:
	case <-t.Context().Done():
		t.Fatal("workertest: the job has neither completed nor failed")
	}
	reports := a.Reports()
	for i := len(reports) - 1; i >= 0; i-- {
		if r := reports[i]; r.Status/100 == 2 && (r.Verb == "complete" || r.Verb == "fail") {
			return r
		}
	}
	return Report{}
}
