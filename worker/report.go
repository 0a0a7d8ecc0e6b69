package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// reporter sends the reports of one attempt.
type reporter struct {
	client *http.Client
	url    string // of the attempt, without a slash at its end
	token  string
}

// verdict is what became of a report.
type verdict struct {
	kind  reportKind
	cause error         // of reportOver
	after time.Duration // the wait that the server asked for
	err   error         // why it was not taken
}

type reportKind int

const (
	reportTaken   reportKind = iota
	reportAgain              // nobody knows, or not now: it may be sent again
	reportRefused            // it will not be taken, now or later
	reportOver               // the attempt is no longer this worker's
)

// maxReportAnswer is how much is read of an answer: a problem is short.
const maxReportAnswer = 4 << 10

// maxReportWait bounds the wait that a server may ask for.
const maxReportWait = 30 * time.Second

func (r *reporter) send(ctx context.Context, verb string, body any) verdict {
	data, err := json.Marshal(body)
	if err != nil {
		return verdict{kind: reportRefused, err: err}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+"/"+verb, bytes.NewReader(data))
	if err != nil {
		return verdict{kind: reportRefused, err: err}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+r.token)
	req.Header.Set("User-Agent", userAgent)
	resp, err := r.client.Do(req)
	if err != nil {
		return verdict{kind: reportAgain, err: err}
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, maxReportAnswer)) // its status says enough
	return verdictOf(resp, answer)
}

const userAgent = "orchestrix-worker-go"

func verdictOf(resp *http.Response, answer []byte) verdict {
	if resp.StatusCode/100 == 2 {
		return verdict{kind: reportTaken}
	}
	var problem struct {
		Code   string `json:"code"`
		Detail string `json:"detail"`
	}
	_ = json.Unmarshal(answer, &problem) // a proxy's answer is no problem
	v := verdict{kind: reportRefused, err: fmt.Errorf("answered %d %s: %s", resp.StatusCode, plainText(problem.Code), plainText(problem.Detail))}
	switch status := resp.StatusCode; {
	case status == http.StatusConflict:
		v.kind, v.cause = reportOver, causeOf(problem.Code)
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTooManyRequests, status >= 500:
		v.kind = reportAgain
		if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
			v.after = min(time.Duration(max(n, 0))*time.Second, maxReportWait)
		}
	}
	return v
}

// causeOf says what a conflict means. One of a kind that is not known yet means at
// least that the attempt is not this worker's any more.
func causeOf(code string) error {
	switch code {
	case "cancelled":
		return ErrCancelled
	case "already_applied":
		return ErrAlreadyApplied
	default:
		return ErrSuperseded
	}
}

// newReportClient returns a client that follows no redirect, which would take the
// token along.
func newReportClient(base *http.Client) *http.Client {
	c := http.Client{}
	if base != nil {
		c = *base
	} else {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxIdleConnsPerHost = 32 // one server, many attempts
		c.Transport = t
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}
