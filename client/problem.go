package client

import (
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/orchestrix/orchestrix/job"
)

// Problem is an answer that says no: an RFC 9457 problem of the server, or
// whatever a proxy in between sent. Find it with errors.As.
type Problem struct {
	// Type is a URI that identifies the kind of problem; often empty.
	Type  string `json:"type,omitempty"`
	Title string `json:"title,omitempty"`
	// Status is the HTTP status.
	Status int `json:"status"`
	// Code is a stable word for the kind of problem, more precise than Status.
	Code string `json:"code,omitempty"`
	// Detail says what is wrong and what to do about it.
	Detail string `json:"detail,omitempty"`
	// Errors names each bad field of the request.
	Errors []FieldError `json:"errors,omitempty"`
	// Job is the id of the job that stands in the way, where it is one.
	Job string `json:"job,omitempty"`
	// Outcome is "unknown" where the server cannot say whether it acted.
	Outcome string `json:"outcome,omitempty"`
	// RequestID is what the server's log calls the request.
	RequestID string `json:"request_id,omitempty"`
	// RetryAfter is how long the server asked to wait; 0 where it did not ask.
	RetryAfter time.Duration `json:"-"`
}

// UnmarshalJSON reads a problem. That of a job of a batch, which has no header,
// says in itself when to try again.
func (p *Problem) UnmarshalJSON(data []byte) error {
	type plain Problem
	with := struct {
		*plain
		RetryAfter job.Duration `json:"retry_after"`
	}{plain: (*plain)(p)}
	if err := json.Unmarshal(data, &with); err != nil {
		return err
	}
	p.RetryAfter = with.RetryAfter.Std()
	return nil
}

// FieldError is one thing wrong with one field of a request.
type FieldError struct {
	// Field is the path of the field, such as "retry.max_attempts".
	Field string `json:"field"`
	// Message says what would be right.
	Message string `json:"message"`
}

// Error returns the status, the detail and each bad field in one line.
func (p *Problem) Error() string {
	var b strings.Builder
	b.WriteString(strconv.Itoa(p.Status) + " " + firstNonEmpty(p.Title, http.StatusText(p.Status)))
	if p.Detail != "" {
		b.WriteString(": " + p.Detail)
	}
	for _, e := range p.Errors {
		b.WriteString("; " + e.Field + " " + e.Message)
	}
	return b.String()
}

// HasStatus reports whether err is a Problem with that HTTP status.
func HasStatus(err error, status int) bool {
	var p *Problem
	return errors.As(err, &p) && p.Status == status
}

// maxForeignDetail bounds what is quoted of an answer that is no problem
// document, such as a proxy's HTML page.
const maxForeignDetail = 200

func problemOf(resp *http.Response, body []byte, now time.Time) *Problem {
	p := &Problem{}
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if media != "application/problem+json" || json.Unmarshal(body, p) != nil {
		*p = Problem{Detail: firstLine(string(body))}
	}
	p.Status = resp.StatusCode
	p.RetryAfter = max(p.RetryAfter, retryAfter(resp.Header.Get("Retry-After"), now))
	return p
}

// retryAfter reads the header's two forms: seconds and an HTTP date.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return strings.ToValidUTF8(s[:min(len(s), maxForeignDetail)], "")
}

func firstNonEmpty(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
