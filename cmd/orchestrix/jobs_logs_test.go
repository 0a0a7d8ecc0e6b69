package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/webhook"
)

// The log of a job, and how far it is, as they are shown.
func TestJobsLogs(t *testing.T) {
	t.Parallel()
	server := "--server=" + startServer(t)
	told := make(chan int, 2)
	worker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for verb, body := range map[string]string{
			"/logs":     `{"entries": [{"level": "error", "message": "no\u001b[2J", "fields": {"n": 1}}, {"message": "b"}]}`,
			"/progress": `{"percent": 12.5, "message": "so\nfar"}`,
		} {
			req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, r.Header.Get(webhook.HeaderCallbackURL)+verb, strings.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Authorization", "Bearer "+r.Header.Get(webhook.HeaderAttemptToken))
			req.Close = true
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			told <- resp.StatusCode
		}
	}))
	t.Cleanup(worker.Close)
	if r := command(t, "", "workers", "set", server, "w", "--url", worker.URL, "--queue", "q"); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	made := decode[client.Job](t, command(t, "", "enqueue", server, "-o", "json", "--queue", "q", "--type", "a", "--wait"))
	if a, b := <-told, <-told; a != 200 || b != 200 {
		t.Fatalf("the reports are answered %d and %d", a, b)
	}
	lines := regexp.MustCompile(`^\S+ \S+ error    no\\x1b\[2J \{"n":1\}\n\S+ \S+ info     b\n$`)
	if r := command(t, "", "jobs", "logs", server, made.ID); r.code != exitOK || !lines.MatchString(r.out) {
		t.Errorf("%+v", r)
	}
	r := command(t, "", "jobs", "logs", "--follow", server, made.ID)
	if r.code != exitOK || !lines.MatchString(r.out) || !strings.Contains(r.err, "12.5 % so\\nfar\n") || !strings.Contains(r.err, "the job is succeeded\n") {
		t.Errorf("followed: %+v", r)
	}
	if r := command(t, "", "jobs", "logs", server, made.ID, "-o", "json"); strings.Count(r.out, "\n") != 2 || !strings.HasPrefix(r.out, `{"number":1,`) {
		t.Errorf("as JSON: %+v", r)
	}
	if r := command(t, "", "jobs", "get", server, made.ID); !regexp.MustCompile(`progress: +12.5 % so\\nfar`).MatchString(r.out) {
		t.Errorf("the job: %s", r.out)
	}
}

// What a worker has written is text for the terminal, and nothing else.
func TestEscapeControls(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"größe 🎉\tx":              "größe 🎉\tx",
		"\x1b]0;owned\x07\x1b[2J": `\x1b]0;owned\a\x1b[2J`,
		"a\r\nb\u009b31m":         `a\r\nb\u009b31m`,
		"\u202eevil\u2066\u200b":  `\u202eevil\u2066\u200b`,
		"\xff":                    "�",
	} {
		if got := escapeControls(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}
