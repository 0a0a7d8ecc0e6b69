package api_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/orchestrix/orchestrix/control"
	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/webhook"
)

// exchanged returns the headers that one side of an exchange shows.
func exchanged(a *answer, side string) http.Header {
	a.t.Helper()
	h := http.Header{}
	for _, field := range a.field(side, "headers").([]any) {
		m := field.(map[string]any)
		h.Add(m["name"].(string), m["value"].(string))
	}
	return h
}

// TestWorkerTest: what is shown is what the worker got, signature and all, but
// for what may be a credential; nothing is stored.
func TestWorkerTest(t *testing.T) {
	t.Parallel()
	s, secret := newServer(t), webhook.NewSecret()
	verifier := webhook.Verifier{Secrets: []webhook.Secret{secret}}
	worker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || verifier.Verify(r.Header, body) != nil || r.Header.Get("X-Tenant") != "hidden" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Set-Cookie", "hidden")
		w.Header().Set("X-Trace", "7")
		io.WriteString(w, strings.Repeat("a", 5000))
	}))
	t.Cleanup(worker.Close)
	s.want(201, "PUT", "/v1/workers/w", `{"url":"`+worker.URL+`/hook?key=hidden","queues":["a","b"],"signing_secret":"`+secret.Reveal()+`",
		"headers":{"X-Api-Key":"hidden","X-Plain":"1"},"auth":{"type":"header","name":"X-Tenant","value":"hidden"}}`)
	s.want(200, "POST", "/v1/workers/w/pause", "")
	a := s.want(200, "POST", "/v1/workers/w/test", "")
	if a.text("outcome") != "succeeded" || a.text("queue") != "a" || a.field("answer", "status") != 200.0 || a.field("request", "sent") != true || a.text("request", "url") != worker.URL+"/hook" {
		t.Errorf("test: %s", a.body)
	}
	if strings.Contains(string(a.body), "hidden") {
		t.Errorf("a credential is shown: %s", a.body)
	}
	sent, came := exchanged(a, "request"), exchanged(a, "answer")
	if err := verifier.Verify(sent, []byte(a.text("request", "body"))); err != nil || sent.Get(webhook.HeaderJobType) != control.TestType || sent.Get("X-Plain") != "1" || sent.Get("X-Tenant") != "[redacted]" {
		t.Errorf("what is shown does not verify: %v, %v", err, sent)
	}
	if came.Get("X-Trace") != "7" || came.Get("Set-Cookie") != "[redacted]" || len(a.text("answer", "body")) != 4096 || a.field("answer", "truncated") != true {
		t.Errorf("answer: %s", a.body)
	}
	if n := s.count(); n != 0 {
		t.Errorf("%d jobs are stored", n)
	}
	s.want(404, "GET", "/v1/jobs/"+a.text("job_id"), "")
	if got := s.want(200, "GET", "/v1/workers/w", ""); got.field("succeeded") != 0.0 {
		t.Errorf("the test is counted: %s", got.body)
	}
	s.want(404, "POST", "/v1/workers/other/test", "")
}

// TestWorkerTestMeaning: each answer is told as the dispatcher would take it.
func TestWorkerTestMeaning(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	worker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		for _, name := range []string{"Retry-After", "Orchestrix-No-Retry"} {
			if v := query.Get(name); v != "" {
				w.Header().Set(name, v)
			}
		}
		w.WriteHeader(map[string]int{"204": 204, "302": 302, "410": 410, "422": 422, "429": 429, "500": 500}[query.Get("status")])
	}))
	t.Cleanup(worker.Close)
	s.want(201, "PUT", "/v1/queues/q", `{"retry":{"fatal_statuses":[422]}}`)
	for _, c := range []struct{ query, more, outcome, reason, meaning string }{
		{"204", "", "succeeded", "", "would have succeeded"},
		{"302", "", "failed", "redirect", "tried again"},
		{"410", "", "failed", "gone", "and the worker paused"},
		{"410", `,"on_gone":"ignore"`, "failed", "gone", "the job would be dead"},
		{"422", "", "failed", "http_status", "fatal_statuses"},
		{"429", "", "throttled", "throttled", "the policy's delay"},
		{"429&Retry-After=90", "", "throttled", "throttled", "left alone for 1m30s"},
		{"500", "", "failed", "http_status", "tried again"},
		{"500&Retry-After=60", "", "failed", "http_status", "at least 1m"},
		{"500&Orchestrix-No-Retry=true", "", "failed", "no_retry", "asked not to try again"},
	} {
		s.call("PUT", "/v1/workers/w", `{"url":"`+worker.URL+`?status=`+c.query+`","queues":["q"]`+c.more+`}`)
		a := s.want(200, "POST", "/v1/workers/w/test", "")
		if a.text("outcome") != c.outcome || a.text("reason") != c.reason || !strings.Contains(a.text("meaning"), c.meaning) {
			t.Errorf("%s: %s", c.query, a.body)
		}
		if paused := s.want(200, "GET", "/v1/workers/w", "").field("paused"); paused != false {
			t.Error("the test paused the worker")
		}
	}
}

// TestWorkerTestFails: what never reaches the worker is a result too, and the
// guard stands before tests as before pushes.
func TestWorkerTestFails(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for url, reason := range map[string]job.Reason{"http://127.0.0.1:1/": job.ReasonConnect, "http://no-such-name.invalid/": job.ReasonDNS} {
		s.call("PUT", "/v1/workers/w", `{"url":"`+url+`","queues":["q"]}`)
		a := s.want(200, "POST", "/v1/workers/w/test", "")
		if a.text("outcome") != "failed" || a.text("reason") != string(reason) || a.text("error") == "" || a.field("answer") != nil || a.field("request", "sent") != false {
			t.Errorf("%s: %s", url, a.body)
		}
	}
	s.call("PUT", "/v1/workers/w", `{"url":"http://127.0.0.1:1/","queues":["q"],"auth":{"type":"oauth2","token_url":"http://127.0.0.1:1/t","client_id":"c","client_secret":"hidden"}}`)
	if a := s.want(200, "POST", "/v1/workers/w/test", ""); a.text("reason") != string(job.ReasonAuth) || strings.Contains(string(a.body), "hidden") {
		t.Errorf("no token: %s", a.body)
	}
	key := s.want(201, "POST", "/v1/api-keys", `{"name":"r","scopes":["read"]}`).text("key")
	s.want(403, "POST", "/v1/workers/w/test", "", "Authorization", "Bearer "+key)
}
