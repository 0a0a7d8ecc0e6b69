package api_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/webhook"
)

// taken is an attempt as its worker knows it.
type taken struct{ id, url, token string }

// takeOver registers a worker that answers each push with a status and takes it over; it
// returns what the pushes tell of where to report.
func (s *server) takeOver(answer func(w http.ResponseWriter)) <-chan taken {
	s.t.Helper()
	pushes := make(chan taken, 10)
	w := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(webhook.HeaderJobType) != webhook.TypeCancel {
			pushes <- taken{r.Header.Get(webhook.HeaderID), r.Header.Get(webhook.HeaderCallbackURL), r.Header.Get(webhook.HeaderAttemptToken)}
		}
		answer(w)
	}))
	s.t.Cleanup(w.Close)
	s.want(201, "PUT", "/v1/workers/w", `{"url":"`+w.URL+`","queues":["default"],"heartbeat_timeout":"30s","async_timeout":"2d"}`)
	return pushes
}

func accepts(w http.ResponseWriter) {
	w.Header().Set(webhook.HeaderAsync, "true")
	w.WriteHeader(http.StatusAccepted)
}

// start enqueues a job and returns its attempt as soon as the worker has it, and the
// store knows.
func (s *server) start(pushes <-chan taken, more string) taken {
	s.t.Helper()
	s.want(202, "POST", "/v1/jobs", `{"type":"t","retry":{"backoff":"fixed","initial_delay":"1ms"}`+more+`}`)
	at := <-pushes
	id, err := job.ParseID(at.id)
	if err != nil {
		s.t.Fatal(err)
	}
	for {
		if a, err := s.store.GetAccepted(s.t.Context(), id); err == nil && strings.HasSuffix(at.url, "/"+string(rune('0'+a.Attempt))) {
			return at
		}
	}
}

// report calls as the worker does.
func (s *server) report(status int, at taken, what, body string) *answer {
	s.t.Helper()
	return s.want(status, "POST", at.url+what, body, "Authorization", "Bearer "+at.token)
}

func TestAttemptsAreReported(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	pushes := s.takeOver(accepts)
	at := s.start(pushes, "")
	if got := s.want(200, "GET", "/v1/jobs/"+at.id, "").text("status"); got != "running" {
		t.Errorf("a job whose attempt was taken over is %s", got)
	}
	s.report(200, at, "/heartbeat", "")
	s.report(200, at, "/heartbeat", "{}")
	s.report(200, at, "/complete", `{"result": {"n":  1}}`)
	j := s.want(200, "GET", "/v1/jobs/"+at.id, "")
	if j.text("status") != "succeeded" || string(s.want(200, "GET", "/v1/jobs/"+at.id+"?wait=1s", "").body) == "" {
		t.Errorf("completed: %s", j.body)
	}
	if !strings.Contains(string(j.body), `{"n":  1}`) && !strings.Contains(string(j.body), `{"n": 1}`) && !strings.Contains(string(j.body), `{"n":1}`) {
		t.Errorf("its result is not kept: %s", j.body)
	}
	for _, what := range []string{"/complete", "/fail", "/heartbeat"} {
		if got := s.report(409, at, what, "").text("code"); got != "already_applied" {
			t.Errorf("%s after it: %s", what, got)
		}
	}

	at = s.start(pushes, "")
	s.report(200, at, "/fail", `{"error": "no luck", "retry_after": "1ms"}`)
	again := <-pushes
	if again.id != at.id || again.url == at.url || again.token == at.token {
		t.Errorf("retried: %+v after %+v", again, at)
	}
	j = s.want(200, "GET", "/v1/jobs/"+at.id, "")
	if !strings.Contains(string(j.body), "no luck") || !strings.Contains(string(j.body), `"reported"`) {
		t.Errorf("failed: %s", j.body)
	}
	if got := s.report(409, at, "/complete", "").text("code"); got != "already_applied" {
		t.Errorf("the first attempt again: %s", got)
	}

	at = s.start(pushes, "")
	s.report(200, at, "/fail", `{"retry": false}`)
	if got := s.want(200, "GET", "/v1/jobs/"+at.id, "").text("status"); got != "dead" {
		t.Errorf("never again: %s", got)
	}

	at = s.start(pushes, `,"key":"k"`)
	s.report(200, at, "/fail", `{"released": true, "error": "shutdown"}`)
	if again := <-pushes; again.id != at.id {
		t.Errorf("given back: %+v", again)
	}

	at = s.start(pushes, "")
	s.want(200, "POST", "/v1/jobs/"+at.id+"/cancel", "")
	for _, what := range []string{"/heartbeat", "/complete"} {
		if got := s.report(409, at, what, "").text("code"); got != "cancelled" {
			t.Errorf("%s of a cancelled one: %s", what, got)
		}
	}
	s.want(204, "DELETE", "/v1/jobs/"+at.id, "")
	if got := s.report(409, at, "/heartbeat", "").text("code"); got != "superseded" {
		t.Errorf("of a job that is gone: %s", got)
	}
}

// Only the token of just that attempt opens anything, and it opens nothing else.
func TestAttemptTokens(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	pushes := s.takeOver(accepts)
	at, other := s.start(pushes, ""), s.start(pushes, "")
	for name, token := range map[string]string{"none": "", "another's": other.token, "cut": at.token[:20], "changed": "A" + at.token[1:], "long": strings.Repeat("A", 10_000)} {
		if token == at.token {
			continue
		}
		forged := at
		forged.token = token
		for _, what := range []string{"/heartbeat", "/complete", "/fail"} {
			if got := s.report(401, forged, what, "").text("code"); got != "attempt_token" {
				t.Errorf("%s with a token that is %s: %s", what, name, got)
			}
		}
	}
	wrong := at
	wrong.url = strings.TrimSuffix(at.url, "1") + "2"
	s.report(401, wrong, "/complete", "")
	s.want(401, "GET", "/v1/jobs", "", "Authorization", "Bearer "+at.token)
	s.want(404, "POST", "/v1/jobs/job_nonsense/attempts/1/complete", "{}", "Authorization", "Bearer "+at.token)
	if got := s.want(200, "GET", "/v1/jobs/"+at.id, "").text("status"); got != "running" {
		t.Errorf("after all that it is %s", got)
	}
}

func TestBadReports(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	pushes := s.takeOver(accepts)
	at := s.start(pushes, "")
	for body, want := range map[string]int{
		`{"result": `:     400,
		`{"results": 1}`:  422,
		`{"error": "no"}`: 422,
		`[1]`:             422,
		`{"result": "` + strings.Repeat("x", 70_000) + `"}`: 422,
	} {
		s.report(want, at, "/complete", body)
	}
	for body, want := range map[string]int{
		`{"retry": "no"}`:          422,
		`{"retry_after": "2d"}`:    422,
		`{"retry_after": "later"}`: 422,
		`{"error": 1}`:             422,
	} {
		s.report(want, at, "/fail", body)
	}
	for body, field := range map[string]string{
		`{"heartbeat_timeout":"1s"}`: "heartbeat_timeout", `{"heartbeat_timeout":"2h"}`: "heartbeat_timeout",
		`{"async_timeout":"8d"}`: "async_timeout", `{"async":1}`: "async",
	} {
		if got := s.want(422, "PATCH", "/v1/workers/w", body).problem(); len(got) != 1 || got[0] != field {
			t.Errorf("%s: %v", body, got)
		}
	}
	s.report(200, at, "/fail", `{"error": "`+strings.Repeat("ä", 5000)+`"}`)
}

// A report that comes before the answer to the push may be repeated.
func TestReportBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	var at taken
	reported := make(chan *answer)
	answered := make(chan struct{})
	w := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at = taken{r.Header.Get(webhook.HeaderID), r.Header.Get(webhook.HeaderCallbackURL), r.Header.Get(webhook.HeaderAttemptToken)}
		reported <- s.do(request("POST", at.url+"/complete", "{}", "Authorization", "Bearer "+at.token))
		<-answered
		accepts(w)
	}))
	t.Cleanup(w.Close)
	t.Cleanup(func() {
		select {
		case <-answered:
		default: // the test has failed
			close(answered)
		}
	})
	s.want(201, "PUT", "/v1/workers/w", `{"url":"`+w.URL+`","queues":["default"]}`)
	s.want(202, "POST", "/v1/jobs", `{"type":"t"}`)
	if a := <-reported; a.status != 503 || a.text("code") != "not_taken" || a.header.Get("Retry-After") != "1" {
		t.Errorf("before the answer: %d %s", a.status, a.body)
	}
	s.want(200, "POST", at.url+"/heartbeat", "", "Authorization", "Bearer "+at.token)
	close(answered)
	for {
		if a := s.do(request("POST", at.url+"/complete", "{}", "Authorization", "Bearer "+at.token)); a.status == 200 {
			break
		} else if a.status != 503 {
			t.Fatalf("after it: %d %s", a.status, a.body)
		}
	}
}
