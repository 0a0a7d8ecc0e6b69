package api_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/webhook"
)

const workerBody = `{"url":"http://127.0.0.1:1/","queues":["q"]}`

func TestWorkerLife(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	made := s.want(201, "PUT", "/v1/workers/w", `{"url":"http://127.0.0.1:1/hook","queues":["a","b"],"concurrency":5,"timeout":"1m","headers":{"x-a":"1","x-api-key":"k"},"labels":{"l":"1"}}`)
	secret := made.text("secret")
	if _, err := webhook.ParseSecret(secret); err != nil {
		t.Errorf("secret %q: %v", secret, err)
	}
	got := s.want(200, "GET", "/v1/workers/w", "")
	if strings.Contains(string(got.body), secret) || got.field("secret") != nil {
		t.Error("the secret is told twice")
	}
	if h := got.field("headers").(map[string]any); h["X-A"] != "1" || h["X-Api-Key"] != "[redacted]" {
		t.Errorf("headers %v", h)
	}
	if got.field("weight") != 1.0 || got.text("on_gone") != "pause" || got.text("timeout") != "1m" {
		t.Errorf("defaults: %s", got.body)
	}
	// PUT replaces; [redacted] stands for what is stored.
	changed := s.want(200, "PUT", "/v1/workers/w", `{"url":"http://127.0.0.1:1/","queues":["a"],"headers":{"X-Api-Key":"[redacted]"}}`)
	if changed.field("secret") != nil || changed.field("timeout") != nil || changed.field("concurrency") != 0.0 || changed.text("created_at") != made.text("created_at") {
		t.Errorf("replaced: %s", changed.body)
	}
	// PATCH merges (RFC 7396).
	patched := s.want(200, "PATCH", "/v1/workers/w", `{"weight":7,"labels":{"x":"1","y":"2"}}`, "Content-Type", "application/merge-patch+json")
	if patched.field("weight") != 7.0 || patched.text("url") != "http://127.0.0.1:1/" {
		t.Errorf("patched: %s", patched.body)
	}
	patched = s.want(200, "PATCH", "/v1/workers/w", `{"headers":{"x-api-key":null,"x-B":"2"}}`)
	if h := patched.field("headers").(map[string]any); len(h) != 1 || h["X-B"] != "2" {
		t.Errorf("patched: %s", patched.body)
	}
	patched = s.want(200, "PATCH", "/v1/workers/w", `{"weight":null,"labels":{"x":null}}`)
	if l := patched.field("labels").(map[string]any); patched.field("weight") != 1.0 || len(l) != 1 || l["y"] != "2" {
		t.Errorf("patched: %s", patched.body)
	}
	if a := s.want(422, "PATCH", "/v1/workers/w", `{"weight":0}`); !slices.Equal(a.problem(), []string{"weight"}) {
		t.Errorf("patched wrongly: %s", a.body)
	}
	if a := s.want(422, "PATCH", "/v1/workers/w", `{"url":null}`); !slices.Contains(a.problem(), "url") {
		t.Errorf("patched the URL away: %s", a.body)
	}
	s.want(404, "PATCH", "/v1/workers/other", `{"weight":1}`)
	s.want(204, "DELETE", "/v1/workers/w", "")
	s.want(404, "DELETE", "/v1/workers/w", "")
	s.want(404, "GET", "/v1/workers/w", "").problem()
	s.want(404, "POST", "/v1/workers/w/pause", "")
}

func TestWorkerSecrets(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	own := webhook.NewSecret().Reveal()
	if a := s.want(201, "PUT", "/v1/workers/w", `{"url":"http://127.0.0.1:1/","queues":["q"],"signing_secret":"`+own+`"}`); a.text("secret") != own {
		t.Errorf("own secret: %s", a.body)
	}
	if a := s.want(200, "PUT", "/v1/workers/w", `{"url":"http://127.0.0.1:1/","queues":["q"],"signing_secret":"`+own+`"}`); a.field("secret") != nil {
		t.Errorf("the same secret again: %s", a.body)
	}
	rotated := s.want(200, "POST", "/v1/workers/w/rotate-secret", "")
	if rotated.text("secret") == own || rotated.field("secrets") != 2.0 {
		t.Errorf("rotated: %s", rotated.body)
	}
	if a := s.want(200, "POST", "/v1/workers/w/rotate-secret", `{"grace":"0s"}`); a.field("secrets") != 2.0 { // the one in its first grace still signs
		t.Errorf("rotated without grace: %s", a.body)
	}
	for range 3 {
		s.want(200, "POST", "/v1/workers/w/rotate-secret", `{"grace":"1h"}`)
	}
	if a := s.want(409, "POST", "/v1/workers/w/rotate-secret", `{"grace":"1h"}`); a.text("code") != "too_many_secrets" {
		t.Errorf("a sixth secret: %s", a.body)
	}
	if a := s.want(200, "PATCH", "/v1/workers/w", `{"signing_secret":"`+own+`"}`); a.text("secret") != own || a.field("secrets") != 1.0 {
		t.Errorf("a given secret becomes the only one: %s", a.body)
	}
}

// TestRotationSigns proves that a rotation is live: pushes are signed with both
// secrets, and when the grace has ended with one.
func TestRotationSigns(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	signatures := make(chan int, 100)
	worker := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		signatures <- len(strings.Fields(r.Header.Get(webhook.HeaderSignature)))
	}))
	defer worker.Close()
	s.want(201, "PUT", "/v1/workers/w", `{"url":"`+worker.URL+`","queues":["q"]}`)
	pushed := func() int {
		t.Helper()
		s.want(202, "POST", "/v1/jobs", `{"type":"t","queue":"q"}`)
		select {
		case n := <-signatures:
			return n
		case <-time.After(20 * time.Second):
			t.Fatal("nothing was pushed")
			return 0
		}
	}
	if n := pushed(); n != 1 {
		t.Errorf("%d signatures, want 1", n)
	}
	s.want(200, "POST", "/v1/workers/w/rotate-secret", `{"grace":"1s"}`)
	if n := pushed(); n != 2 {
		t.Errorf("%d signatures while a secret rotates, want 2", n)
	}
	deadline := time.Now().Add(20 * time.Second)
	for pushed() != 1 {
		if time.Now().After(deadline) {
			t.Fatal("the secret before signs although its grace has ended")
		}
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, c := range []struct{ path, body string }{{"/v1/workers/w", workerBody}, {"/v1/queues/q", `{"concurrency":3}`}} {
		s.want(412, "PUT", c.path, c.body, "If-Match", `"1"`)
		s.want(412, "PUT", c.path, c.body, "If-Match", "*")
		first := s.want(201, "PUT", c.path, c.body, "If-None-Match", "*")
		s.want(412, "PUT", c.path, c.body, "If-None-Match", "*")
		tag := first.header.Get("ETag")
		if got := s.want(200, "GET", c.path, "").header.Get("ETag"); got != tag || tag == "" {
			t.Errorf("%s: ETag %q, then %q", c.path, tag, got)
		}
		second := s.want(200, "PUT", c.path, c.body, "If-Match", tag).header.Get("ETag")
		if second == tag {
			t.Errorf("%s: the ETag stayed %q over a change", c.path, tag)
		}
		s.want(412, "PUT", c.path, c.body, "If-Match", tag).problem()
		s.want(412, "PATCH", c.path, `{"concurrency":4}`, "If-Match", tag)
		s.want(412, "DELETE", c.path, "", "If-Match", tag)
		s.want(412, "PATCH", c.path, `{"concurrency":4}`, "If-Match", `"nonsense"`)
		s.want(422, "PATCH", c.path, `{"concurrency":4}`, "If-Match", `W/"1", "2"`).problem()
		s.want(422, "PUT", c.path, c.body, "If-None-Match", `"1"`).problem()
		s.want(200, "PATCH", c.path, `{"concurrency":4}`, "If-Match", second)
		s.want(204, "DELETE", c.path, "", "If-Match", "*")
	}
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.want(201, "PUT", "/v1/workers/w", workerBody)
	for _, path := range []string{"/v1/workers/w", "/v1/queues/q"} {
		a := s.want(200, "POST", path+"/pause", `{"reason":"maintenance"}`)
		if a.field("paused") != true || a.text("pause_reason") != "maintenance" || a.text("paused_at") == "" {
			t.Errorf("%s paused: %s", path, a.body)
		}
		s.want(200, "POST", path+"/pause", "") // without a body
		// PUT does not change state.
		body := workerBody
		if path == "/v1/queues/q" {
			body = `{}`
		}
		if a := s.want(200, "PUT", path, body); a.field("paused") != true {
			t.Errorf("%s: PUT resumed it: %s", path, a.body)
		}
		s.want(422, "PATCH", path, `{"paused":false}`)
		if a := s.want(200, "POST", path+"/resume", ""); a.field("paused") != false || a.field("paused_at") != nil {
			t.Errorf("%s resumed: %s", path, a.body)
		}
	}
}

func TestQueueLife(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.want(404, "GET", "/v1/queues/mail", "").problem()
	s.want(202, "POST", "/v1/jobs", `{"type":"t","queue":"mail"}`)
	s.want(202, "POST", "/v1/jobs", `{"type":"t","queue":"mail","delay":"1h"}`)
	q := s.want(200, "GET", "/v1/queues/mail", "")
	if q.field("counts", "pending") != 1.0 || q.field("counts", "scheduled") != 1.0 || q.field("concurrency") != 100.0 ||
		q.text("blocked") != "no_worker" || q.text("waiting_reason") == "" || q.field("configured") != false {
		t.Errorf("a mentioned queue: %s", q.body)
	}
	s.want(404, "DELETE", "/v1/queues/mail", "")
	s.want(201, "PUT", "/v1/queues/mail", `{"concurrency":7,"retry":{"max_attempts":2},"description":"mails"}`)
	s.want(409, "DELETE", "/v1/queues/mail", "").problem()
	q = s.want(200, "PATCH", "/v1/queues/mail", `{"concurrency":null,"retry":{"max_attempts":null,"factor":3}}`)
	if q.field("concurrency") != 100.0 || q.field("retry", "factor") != 3.0 || q.field("retry", "max_attempts") != nil {
		t.Errorf("patched: %s", q.body)
	}
	if q := s.want(200, "POST", "/v1/queues/mail/pause", ""); q.text("blocked") != "paused" {
		t.Errorf("paused: %s", q.body)
	}
	s.want(201, "PUT", "/v1/workers/w", `{"url":"http://127.0.0.1:1/","queues":["served"]}`)
	if q := s.want(200, "GET", "/v1/queues/served", ""); q.field("workers").([]any)[0] != "w" {
		t.Errorf("a served queue: %s", q.body)
	}
	s.want(201, "PUT", "/v1/queues/empty", `{}`)
	s.want(204, "DELETE", "/v1/queues/empty", "")
}

func TestListsByName(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	var workers, queues []string
	for i := range 12 {
		w, q := fmt.Sprintf("w%02d", i), fmt.Sprintf("q%02d", i)
		workers, queues = append(workers, w), append(queues, q)
		switch i % 3 { // a queue is mentioned by a worker, by a job, or configured
		case 0:
			s.want(202, "POST", "/v1/jobs", `{"type":"t","queue":"`+q+`"}`)
			s.want(201, "PUT", "/v1/workers/"+w, `{"url":"http://127.0.0.1:1/","queues":["q01"]}`)
		case 1:
			s.want(201, "PUT", "/v1/workers/"+w, `{"url":"http://127.0.0.1:1/","queues":["`+q+`"]}`)
		default:
			s.want(201, "PUT", "/v1/queues/"+q, `{}`)
			s.want(201, "PUT", "/v1/workers/"+w, `{"url":"http://127.0.0.1:1/","queues":["q01"]}`)
		}
	}
	for path, want := range map[string][]string{"/v1/workers": workers, "/v1/queues": queues} {
		for _, limit := range []int{1, 5, 12, 100} {
			var got []string
			for cursor := ""; ; {
				a := s.want(200, "GET", fmt.Sprintf("%s?limit=%d&cursor=%s", path, limit, cursor), "")
				for _, item := range a.field("items").([]any) {
					got = append(got, item.(map[string]any)["name"].(string))
				}
				if cursor = a.text("next_cursor"); cursor == "" {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s by %d: %v, want %v", path, limit, got, want)
			}
		}
	}
	cursor := s.want(200, "GET", "/v1/workers?limit=1", "").text("next_cursor")
	s.want(422, "GET", "/v1/queues?cursor="+cursor, "").problem()
}

func TestGoneWorkerIsPaused(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.want(201, "PUT", "/v1/workers/w", workerBody)
	s.want(201, "PUT", "/v1/workers/tough", `{"url":"http://127.0.0.1:1/","queues":["q"],"on_gone":"ignore"}`)
	for _, name := range []string{"tough", "missing", "w"} {
		s.control.WorkerGone(name, time.Now().Add(time.Hour))
	}
	deadline := time.Now().Add(20 * time.Second)
	for s.want(200, "GET", "/v1/workers/w", "").field("paused") != true {
		if time.Now().After(deadline) {
			t.Fatal("a worker that answered 410 was not paused")
		}
		<-time.After(5 * time.Millisecond)
	}
	if a := s.want(200, "GET", "/v1/workers/w", ""); !strings.Contains(a.text("pause_reason"), "410") {
		t.Errorf("paused for %q", a.text("pause_reason"))
	}
	if s.want(200, "GET", "/v1/workers/tough", "").field("paused") != false {
		t.Error("a worker that ignores 410 was paused")
	}
}

func TestSigningKeys(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	first := s.want(200, "GET", "/v1/signing-keys", "").field("items").([]any)
	if len(first) != 1 {
		t.Fatalf("keys %v", first)
	}
	second := s.want(200, "POST", "/v1/signing-keys/rotate", `{"grace":"1h"}`).field("items").([]any)
	if len(second) != 2 || second[1].(map[string]any)["secret"] != first[0].(map[string]any)["secret"] || second[1].(map[string]any)["until"] == nil {
		t.Errorf("rotated: %v", second)
	}
	if again := s.want(200, "GET", "/v1/signing-keys", "").field("items").([]any); len(again) != 2 {
		t.Errorf("read again: %v", again)
	}
}
