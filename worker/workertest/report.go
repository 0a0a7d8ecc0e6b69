package workertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/orchestrix/orchestrix/job"
)

// Report is what a running asynchronous job told the server. Which fields are set
// depends on the Verb.
type Report struct {
	// Verb is heartbeat, progress, logs, complete or fail.
	Verb string `json:"-"`
	// At is when it came, Status how it was answered.
	At     time.Time `json:"-"`
	Status int       `json:"-"`

	// Percent and Message are those of progress.
	Percent float64 `json:"percent"`
	Message string  `json:"message"`
	// Entries are those of logs.
	Entries []LogEntry `json:"entries"`
	// Result is that of complete.
	Result json.RawMessage `json:"result"`
	// Error, Retry, RetryAfter and Released are those of fail.
	Error      string       `json:"error"`
	Retry      bool         `json:"retry"`
	RetryAfter job.Duration `json:"retry_after"`
	Released   bool         `json:"released"`
}

// LogEntry is a line of a job's log.
type LogEntry struct {
	Level   string         `json:"level"`
	Message string         `json:"message"`
	Time    time.Time      `json:"time"`
	Fields  map[string]any `json:"fields"`
}

// attempt is what is known of a push.
type attempt struct {
	token   string
	job     string
	number  int
	reports []Report
	over    string // the code of the conflict that further reports are answered with
	settled chan struct{}
}

// OnReport has f answer reports: with a status, and the code of the problem. Status
// 0 leaves it to the Coordinator. f may be called concurrently.
func (c *Coordinator) OnReport(f func(Report) (status int, code string)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.onReport = f
}

// Cancel cancels the job: its next report is answered 409 with cancelled.
func (c *Coordinator) Cancel(a *Answer) { c.end(a, "cancelled") }

// Supersede gives the job to another attempt: the next report of this one is
// answered 409 with superseded.
func (c *Coordinator) Supersede(a *Answer) { c.end(a, "superseded") }

func (c *Coordinator) end(a *Answer, code string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.attempt.over == "" {
		a.attempt.over = code
	}
}

func (c *Coordinator) reports(a *attempt) []Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(a.reports)
}

// transport receives reports without a network.
type transport struct{ c *Coordinator }

// RoundTrip implements http.RoundTripper. As with a real server, who does not wait
// for the answer does not know whether the report was taken.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	r.Body.Close()
	if err != nil {
		return nil, err
	}
	answered := make(chan judgement, 1)
	go func() { answered <- t.judge(r, body) }()
	select {
	case j := <-answered:
		return problem(r, j.status, j.code), nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// judgement is how a report is answered.
type judgement struct {
	status int
	code   string
}

func (t transport) judge(r *http.Request, body []byte) judgement {
	token, verb, _ := splitPath(r.URL.Path)
	report := Report{Verb: verb, At: time.Now()}
	status, code := http.StatusUnauthorized, "unauthorized"
	if r.Header.Get("Authorization") == "Bearer "+token {
		if status, code = http.StatusBadRequest, "invalid"; json.Unmarshal(body, &report) == nil {
			status, code = t.c.receive(token, report)
		}
	}
	return judgement{status, code}
}

// receive records a report, and returns how it is answered.
func (c *Coordinator) receive(token string, r Report) (status int, code string) {
	c.mu.Lock()
	f := c.onReport
	c.mu.Unlock()
	if f != nil {
		status, code = f(r) // without the lock: it may call the Coordinator
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.attempts[token]
	if a == nil {
		return http.StatusNotFound, "not_found"
	}
	if status == 0 {
		status, code = a.judge(r)
	}
	r.Status = status
	a.reports = append(a.reports, r)
	if status/100 == 2 && (r.Verb == "complete" || r.Verb == "fail") {
		a.settle()
	}
	return status, code
}

func (a *attempt) settle() {
	a.over = "already_applied"
	select {
	case <-a.settled: // a function of the test has taken a second one
	default:
		close(a.settled)
	}
}

func (a *attempt) judge(r Report) (status int, code string) {
	switch r.Verb {
	case "heartbeat", "progress", "logs", "complete", "fail":
	default:
		return http.StatusNotFound, "not_found"
	}
	if a.over != "" {
		return http.StatusConflict, a.over
	}
	return http.StatusOK, ""
}

func problem(r *http.Request, status int, code string) *http.Response {
	body := "{}"
	if status/100 != 2 {
		body = fmt.Sprintf(`{"status":%d,"code":%q}`, status, code)
	}
	return &http.Response{
		StatusCode: status, Status: fmt.Sprintf("%d %s", status, http.StatusText(status)), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader([]byte(body))), ContentLength: int64(len(body)), Request: r,
	}
}
