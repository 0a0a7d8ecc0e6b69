package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/job"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script answers requests one after the other, and remembers them.
type script struct {
	steps    []step
	requests []request
}

type step struct {
	status int
	body   string
	header http.Header
	err    error
}

type request struct {
	method, url, key, contentType, body string
	at                                  time.Time
	last                                string // of the events that the client has
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	s.requests = append(s.requests, request{
		r.Method, r.URL.String(), r.Header.Get("Authorization"), r.Header.Get("Content-Type"), string(body), time.Now(), r.Header.Get("Last-Event-ID"),
	})
	if len(s.steps) == 0 {
		return nil, errors.New("the script has no step left")
	}
	next := s.steps[0]
	s.steps = s.steps[1:]
	if next.err != nil {
		return nil, next.err
	}
	h := next.header.Clone()
	if h == nil {
		h = http.Header{}
	}
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	return &http.Response{StatusCode: next.status, Header: h, Body: io.NopCloser(strings.NewReader(next.body)), Request: r}, nil
}

func (s *script) client(t *testing.T, options ...client.Option) *client.Client {
	t.Helper()
	c, err := client.New("http://orchestrix.test/base/", append(options, client.WithHTTPClient(&http.Client{Transport: s}))...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "localhost:8080", "ftp://host", "http://", "http://user:secret@host", "http://a b", "://"} {
		_, err := client.New(url)
		if err == nil {
			t.Errorf("New(%q) is accepted", url)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("New(%q) shows the password: %v", url, err)
		}
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	s := &script{steps: []step{{status: 201, body: `{"name":"w","secret":"whsec_x"}`}}}
	w, err := s.client(t, client.WithKey("ox_key")).PutWorker(t.Context(), "w", client.WorkerConfig{URL: "http://w", Queues: []string{"q"}})
	if err != nil || w.Name != "w" || w.Secret != "whsec_x" {
		t.Fatalf("PutWorker = %+v, %v", w, err)
	}
	want := request{method: "PUT", url: "http://orchestrix.test/base/v1/workers/w", key: "Bearer ox_key", contentType: "application/json", body: `{"url":"http://w","queues":["q"]}`}
	got := s.requests[0]
	got.at = time.Time{}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(request{})); diff != "" {
		t.Error(diff)
	}
}

func TestRepeats(t *testing.T) {
	t.Parallel()
	dial := &net.OpError{Op: "dial", Err: errors.New("refused")}
	lost := &net.OpError{Op: "read", Err: errors.New("reset")}
	get := func(ctx context.Context, c *client.Client) error { _, err := c.Job(ctx, "job_x", 0); return err }
	enqueue := func(ctx context.Context, c *client.Client) error {
		_, err := c.Enqueue(ctx, client.NewJob{Type: "t"})
		return err
	}
	rotate := func(ctx context.Context, c *client.Client) error {
		_, err := c.RotateSecret(ctx, "w", client.Rotation{})
		return err
	}
	const unknown = `{"status":503,"outcome":"unknown"}`
	problem := http.Header{"Content-Type": {"application/problem+json"}}
	after := func(value string) http.Header { return http.Header{"Retry-After": {value}} }
	tests := []struct {
		name  string
		call  func(context.Context, *client.Client) error
		steps []step
		tries int
		least time.Duration
		most  time.Duration
		ok    bool
	}{
		{"success", get, []step{{status: 200, body: "{}"}}, 1, 0, 0, true},
		{"get: dial, reset, 502, 504, then well", get, []step{{err: dial}, {err: lost}, {status: 502}, {status: 504}, {status: 200, body: "{}"}}, 5, 1875 * time.Millisecond, 3750 * time.Millisecond, true},
		{"get: bounded", get, []step{{status: 503}, {status: 503}, {status: 503}, {status: 503}, {status: 503}, {status: 200, body: "{}"}}, 5, 0, time.Minute, false},
		{"get: 404 is an answer", get, []step{{status: 404}, {status: 200, body: "{}"}}, 1, 0, 0, false},
		{"get: 500 is an answer", get, []step{{status: 500}, {status: 200, body: "{}"}}, 1, 0, 0, false},
		{"enqueue: reset", enqueue, []step{{err: lost}, {status: 202, body: "{}"}}, 2, 0, time.Second, true},
		{"enqueue: unknown outcome", enqueue, []step{{status: 503, body: unknown, header: problem}, {status: 202, body: "{}"}}, 2, 0, time.Second, true},
		{"enqueue: 429 with seconds", enqueue, []step{{status: 429, header: after("7")}, {status: 202, body: "{}"}}, 2, 7 * time.Second, 7 * time.Second, true},
		{"enqueue: too long a wait is the caller's", enqueue, []step{{status: 429, header: after("31")}, {status: 202, body: "{}"}}, 1, 0, 0, false},
		{"rotate: never sent", rotate, []step{{err: dial}, {status: 200, body: "{}"}}, 2, 0, time.Second, true},
		{"rotate: perhaps done", rotate, []step{{err: lost}, {status: 200, body: "{}"}}, 1, 0, 0, false},
		{"rotate: gateway", rotate, []step{{status: 504}, {status: 200, body: "{}"}}, 1, 0, 0, false},
		{"rotate: unknown outcome", rotate, []step{{status: 503, body: unknown, header: problem}, {status: 200, body: "{}"}}, 1, 0, 0, false},
		{"rotate: not acted", rotate, []step{{status: 503, header: after("1")}, {status: 200, body: "{}"}}, 2, time.Second, time.Second, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &script{steps: tt.steps}
				began := time.Now()
				err := tt.call(t.Context(), s.client(t))
				if (err == nil) != tt.ok {
					t.Errorf("error = %v", err)
				}
				if len(s.requests) != tt.tries {
					t.Errorf("%d tries, want %d", len(s.requests), tt.tries)
				}
				if took := time.Since(began); took < tt.least || took > tt.most {
					t.Errorf("took %s, want %s to %s", took, tt.least, tt.most)
				}
			})
		})
	}
}

func TestRepeatEndsWithContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		s := &script{steps: []step{{status: 503, header: http.Header{"Retry-After": {"5"}}}, {status: 200, body: "{}"}}}
		began := time.Now()
		_, err := s.client(t).Job(ctx, "job_x", 0)
		if !client.HasStatus(err, 503) || time.Since(began) != 0 {
			t.Errorf("a wait beyond the deadline: %v after %s, want the problem at once", err, time.Since(began))
		}
	})
}

func keys(t *testing.T, body string) []string {
	t.Helper()
	var one struct {
		Key  string `json:"idempotency_key"`
		List []struct {
			Key string `json:"idempotency_key"`
		} `json:"jobs"`
	}
	if err := json.Unmarshal([]byte(body), &one); err != nil {
		t.Fatal(err)
	}
	if one.List == nil {
		return []string{one.Key}
	}
	var out []string
	for _, j := range one.List {
		out = append(out, j.Key)
	}
	return out
}

func TestEnqueueKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &script{steps: []step{{status: 503}, {status: 202, body: "{}"}, {status: 202, body: "{}"}, {status: 202, body: `{"results":[{},{}]}`}}}
		c := s.client(t)
		for range 2 {
			if _, err := c.Enqueue(t.Context(), client.NewJob{Type: "t"}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.EnqueueBatch(t.Context(), []client.NewJob{{Type: "a"}, {Type: "b", IdempotencyKey: "mine"}}); err != nil {
			t.Fatal(err)
		}
		first, again, second := keys(t, s.requests[0].body)[0], keys(t, s.requests[1].body)[0], keys(t, s.requests[2].body)[0]
		if first == "" || first != again {
			t.Errorf("keys of a repeated enqueue: %q, %q", first, again)
		}
		if s.requests[0].body != s.requests[1].body {
			t.Error("a repeated enqueue has another body: the server would take it for another job")
		}
		if second == first {
			t.Error("two enqueues have one key")
		}
		batch := keys(t, s.requests[3].body)
		if batch[0] == "" || batch[1] != "mine" {
			t.Errorf("keys of a batch: %q", batch)
		}
	})
}

func TestNoRetriesNoKeys(t *testing.T) {
	t.Parallel()
	s := &script{steps: []step{{status: 503}}}
	_, err := s.client(t, client.WithRetries(0)).Enqueue(t.Context(), client.NewJob{Type: "t"})
	if !client.HasStatus(err, 503) || len(s.requests) != 1 || keys(t, s.requests[0].body)[0] != "" {
		t.Errorf("err %v, requests %+v", err, s.requests)
	}
}

func TestPayloadKeepsItsBytes(t *testing.T) {
	t.Parallel()
	s := &script{steps: []step{{status: 202, body: "{}"}}}
	payload := json.RawMessage(`{"html":"<b>&</b>","n":12345678901234567890}`)
	if _, err := s.client(t).Enqueue(t.Context(), client.NewJob{Type: "t", Payload: payload}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains([]byte(s.requests[0].body), payload) {
		t.Errorf("the body changes the payload: %s", s.requests[0].body)
	}
}

func TestUnique(t *testing.T) {
	t.Parallel()
	s := &script{steps: []step{{status: 202, body: "{}"}, {status: 202, body: "{}"}, {status: 409, body: `{"job":"job_x"}`, header: http.Header{"Content-Type": {"application/problem+json"}}}}}
	c := s.client(t, client.WithRetries(0))
	unique := job.Unique{By: []job.UniquePart{job.PartKey}, Until: job.UntilTTL, TTL: job.Duration(time.Minute), OnConflict: job.ConflictReplace}
	for i, tt := range []struct {
		unique *job.Unique
		want   string
	}{
		{&job.Unique{}, `{"type":"t","unique":{}}`},
		{&unique, `{"type":"t","unique":{"by":["key"],"until":"ttl","ttl":"1m","on_conflict":"replace"}}`},
	} {
		if _, err := c.Enqueue(t.Context(), client.NewJob{Type: "t", Unique: tt.unique}); err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSpace(s.requests[i].body); got != tt.want {
			t.Errorf("sent %s, want %s", got, tt.want)
		}
	}
	_, err := c.Enqueue(t.Context(), client.NewJob{Type: "t", Unique: &unique})
	if p := (*client.Problem)(nil); !errors.As(err, &p) || p.Status != 409 || p.Job != "job_x" {
		t.Errorf("a conflict: %v", err)
	}
}

func TestProblem(t *testing.T) {
	t.Parallel()
	problem := http.Header{"Content-Type": {"application/problem+json; charset=utf-8"}}
	tests := []struct {
		name string
		step step
		want client.Problem
		text string
	}{
		{
			"of the server",
			step{status: 422, header: problem, body: `{"status":422,"title":"Unprocessable Entity","code":"invalid","detail":"the request is not valid","errors":[{"field":"queue","message":"must be short"}],"request_id":"r1"}`},
			client.Problem{Status: 422, Title: "Unprocessable Entity", Code: "invalid", Detail: "the request is not valid", Errors: []client.FieldError{{Field: "queue", Message: "must be short"}}, RequestID: "r1"},
			"422 Unprocessable Entity: the request is not valid; queue must be short",
		},
		{
			"that says when to try again",
			step{status: 429, header: problem, body: `{"status":429,"code":"max_pending_reached","retry_after":"40s"}`},
			client.Problem{Status: 429, Code: "max_pending_reached", RetryAfter: 40 * time.Second},
			"429 Too Many Requests",
		},
		{
			"of a proxy",
			step{status: 413, header: http.Header{"Content-Type": {"text/html"}}, body: "<h1>Too large</h1>\n<p>more"},
			client.Problem{Status: 413, Detail: "<h1>Too large</h1>"},
			"413 Request Entity Too Large: <h1>Too large</h1>",
		},
		{
			"that is broken",
			step{status: 409, header: problem, body: `{"title":`},
			client.Problem{Status: 409, Detail: `{"title":`},
			`409 Conflict: {"title":`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := &script{steps: []step{tt.step}}
			_, err := s.client(t).Queue(t.Context(), "q")
			var p *client.Problem
			if !errors.As(err, &p) {
				t.Fatalf("error = %v, no problem", err)
			}
			if diff := cmp.Diff(tt.want, *p); diff != "" {
				t.Error(diff)
			}
			if p.Error() != tt.text {
				t.Errorf("Error() = %q, want %q", p.Error(), tt.text)
			}
		})
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	pages := []step{
		{status: 200, body: `{"items":[{"id":"a"},{"id":"b"}],"next_cursor":"c1"}`},
		{status: 200, body: `{"items":[],"next_cursor":"c2"}`},
		{status: 200, body: `{"items":[{"id":"c"}],"next_cursor":""}`},
	}
	s := &script{steps: pages}
	var got []string
	for j, err := range s.client(t).Jobs(t.Context(), client.JobFilter{Status: "dead", Labels: map[string]string{"k": "v"}}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, j.ID)
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, got); diff != "" {
		t.Error(diff)
	}
	const base = "http://orchestrix.test/base/v1/jobs?"
	for i, query := range []string{"label=k%3Av&status=dead", "cursor=c1&label=k%3Av&status=dead", "cursor=c2&label=k%3Av&status=dead"} {
		if s.requests[i].url != base+query {
			t.Errorf("page %d: %s", i, s.requests[i].url)
		}
	}
}

func TestPagesEndEarly(t *testing.T) {
	t.Parallel()
	s := &script{steps: []step{{status: 200, body: `{"items":[{"id":"a"},{"id":"b"}],"next_cursor":"c1"}`}}}
	for range s.client(t).Jobs(t.Context(), client.JobFilter{}) {
		break
	}
	if len(s.requests) != 1 {
		t.Errorf("%d pages read for one job", len(s.requests))
	}
	failing := &script{steps: []step{{status: 403}}}
	n := 0
	for _, err := range failing.client(t).Workers(t.Context()) {
		if n++; !client.HasStatus(err, 403) {
			t.Errorf("error = %v", err)
		}
	}
	if n != 1 {
		t.Errorf("%d rounds after an error", n)
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	s := &script{steps: []step{{status: 200, body: `{"status":"running"}`}, {status: 200, body: `{"status":"succeeded"}`}}}
	j, err := s.client(t).Wait(t.Context(), "job_x")
	if err != nil || !j.Terminal() || len(s.requests) != 2 {
		t.Errorf("Wait = %+v, %v after %d requests", j, err, len(s.requests))
	}
	if !strings.HasSuffix(s.requests[0].url, "?wait=25s") {
		t.Errorf("url = %s", s.requests[0].url)
	}
}

func TestForeignAnswer(t *testing.T) {
	t.Parallel()
	s := &script{steps: []step{{status: 200, body: "<html>"}}}
	if _, err := s.client(t).Queue(t.Context(), "q"); err == nil || len(s.requests) != 1 {
		t.Errorf("an answer that is not JSON: %v after %d requests", err, len(s.requests))
	}
}
