package api_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestWorkerAuth(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	const worker = `{"url":"http://127.0.0.1:1/","queues":["q"],"auth":`
	auth := func(a *answer) string {
		t.Helper()
		data, err := json.Marshal(a.field("auth"))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(a.body), "hidden") {
			t.Errorf("a secret is shown: %s", a.body)
		}
		return string(data)
	}
	for body, want := range map[string]string{
		`{"type":"basic","username":"u","password":"hidden"}`:                                                          `{"password":"[redacted]","type":"basic","username":"u"}`,
		`{"type":"bearer","token":"hidden"}`:                                                                           `{"token":"[redacted]","type":"bearer"}`,
		`{"type":"header","name":"x-key","value":"hidden"}`:                                                            `{"name":"x-key","type":"header","value":"[redacted]"}`,
		`{"type":"oauth2","token_url":"http://127.0.0.1:2/t","client_id":"c","client_secret":"hidden","scopes":["a"]}`: `{"client_id":"c","client_secret":"[redacted]","scopes":["a"],"token_url":"http://127.0.0.1:2/t","type":"oauth2"}`,
	} {
		if got := auth(s.call("PUT", "/v1/workers/w", worker+body+"}")); got != want {
			t.Errorf("%s is shown as %s", body, got)
		}
		if got := auth(s.want(200, "GET", "/v1/workers/w", "")); got != want {
			t.Errorf("read as %s", got)
		}
		// What is shown may be written back.
		if got := auth(s.want(200, "PUT", "/v1/workers/w", worker+want+"}")); got != want {
			t.Errorf("written back as %s", got)
		}
		s.want(204, "DELETE", "/v1/workers/w", "")
	}
	for body, field := range map[string]string{
		`{}`:                                     "auth.type",
		`{"type":"digest"}`:                      "auth.type",
		`{"type":"bearer"}`:                      "auth.token",
		`{"type":"bearer","token":"[redacted]"}`: "auth.token",
		`{"type":"bearer","token":"t","password":"p"}`:                                                          "auth.password",
		`{"type":"bearer","token":"t","tokens":1}`:                                                              "auth.tokens",
		`{"type":"bearer","token":7}`:                                                                           "auth.token",
		`{"type":"oauth2","token_url":"http://169.254.169.254/t","client_id":"c","client_secret":"s"}`:          "auth.token_url",
		`{"type":"mtls","certificate":"a","key":"hidden"}`:                                                      "auth.type",
		`{"type":"oauth2","token_url":"http://127.0.0.1:2/t","client_id":"c","client_secret":"s","scopes":[1]}`: "auth.scopes[0]",
	} {
		a := s.want(422, "PUT", "/v1/workers/w", worker+body+"}")
		if !slices.Contains(a.problem(), field) || strings.Contains(string(a.body), "hidden") {
			t.Errorf("%s: %s, want %s", body, a.body, field)
		}
	}
}

// TestPatchAuth: a merge patch changes a member, another type, or takes the
// whole away; the worker sees it.
func TestPatchAuth(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	seen := make(chan string, 10)
	worker := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		seen <- user + ":" + password + " " + r.Header.Get("X-Key")
	}))
	t.Cleanup(worker.Close)
	s.want(201, "PUT", "/v1/workers/w", `{"url":"`+worker.URL+`","queues":["q"],"auth":{"type":"basic","username":"u","password":"p"}}`)
	for _, c := range []struct{ patch, want string }{
		{`{}`, "u:p "},
		{`{"auth":{"username":"v"}}`, "v:p "},
		{`{"auth":{"password":"[redacted]"},"weight":3}`, "v:p "},
		{`{"auth":{"type":"header","name":"X-Key","value":"k"}}`, ": k"},
		{`{"auth":null}`, ": "},
	} {
		s.want(200, "PATCH", "/v1/workers/w", c.patch)
		s.want(202, "POST", "/v1/jobs", `{"type":"t","queue":"q"}`)
		select {
		case got := <-seen:
			if got != c.want {
				t.Errorf("after %s the worker sees %q, want %q", c.patch, got, c.want)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("nothing was pushed")
		}
	}
	s.want(422, "PATCH", "/v1/workers/w", `{"auth":{"username":"v"}}`)
	if strings.Contains(s.log.String(), `"p"`) {
		t.Error("a secret stands in the log")
	}
}
