package api_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orchestrix/orchestrix/api"
)

// What a worker tells of its attempt is shown with the job, pushed or taken over, and in
// the order in which it came.
func TestJobLog(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	at := s.start(s.takeOver(accepts), "")
	path := "/v1/jobs/" + at.id
	if a := s.want(200, "GET", path+"/logs", ""); string(a.body) != `{"items":[],"next_cursor":""}`+"\n" {
		t.Errorf("at first: %s", a.body)
	}
	s.report(200, at, "/progress", `{"percent": 0}`)
	s.report(200, at, "/progress", `{"percent": 42.5, "message": "half \u001b[31m"}`)
	s.report(200, at, "/logs", `{"entries": [
		{"time": "2026-03-01T12:00:00.5+01:00", "level": "warn", "message": "a\u001b[2J", "fields": {"n": 1, "m": {"<script>": null}}},
		{"message": "b"}]}`)
	s.report(200, at, "/logs", `{"logs": [{"level": "critical", "message": "c"}]}`)
	s.report(200, at, "/logs", `{}`)
	j := string(s.want(200, "GET", path, "").body)
	for _, want := range []string{`"progress":{"percent":42.5,"message":"half \u001b[31m","at":"`, `"accepted":true`, `"heartbeat_at":"`, `"deadline":"`} {
		if !strings.Contains(j, want) {
			t.Errorf("the job is without %s: %s", want, j)
		}
	}
	if strings.Contains(string(s.want(200, "GET", "/v1/jobs", "").body), `"progress"`) {
		t.Error("a list tells of progress")
	}
	var got []string
	for cursor := ""; ; {
		var page struct {
			Items []struct {
				Number, Attempt      int
				Level, Message, Time string
			}
			Next string `json:"next_cursor"`
		}
		if err := json.Unmarshal(s.want(200, "GET", path+"/logs?limit=2&cursor="+cursor, "").body, &page); err != nil {
			t.Fatal(err)
		}
		for _, l := range page.Items {
			got = append(got, fmt.Sprintf("%d %d %s %s %t", l.Number, l.Attempt, l.Level, l.Message, l.Time != ""))
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if diff := cmp.Diff(got, []string{"1 1 warn a\x1b[2J true", "2 1 info b true", "3 1 critical c true"}); diff != "" {
		t.Error(diff)
	}
	s.report(200, at, "/complete", `{}`)
	for _, what := range []string{"/progress", "/logs"} {
		if got := s.report(409, at, what, map[string]string{"/progress": `{"percent":1}`, "/logs": `{}`}[what]).text("code"); got != "already_applied" {
			t.Errorf("%s of an attempt that is over: %s", what, got)
		}
	}
	if a := s.want(200, "GET", path+"/logs", ""); !strings.Contains(string(a.body), `"fields":{"n":1,"m":{"<script>":null}}`) {
		t.Errorf("its fields: %s", a.body)
	}
	s.want(204, "DELETE", path, "")
	s.want(404, "GET", path+"/logs", "")
	s.want(404, "GET", "/v1/jobs/job_nonsense/logs", "")
}

// A push that is not answered yet may be told of as well.
func TestJobLogOfAPush(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	answer := make(chan struct{})
	pushes := s.takeOver(func(http.ResponseWriter) { <-answer })
	s.want(202, "POST", "/v1/jobs", `{"type":"t"}`)
	at := <-pushes
	s.report(200, at, "/progress", `{"percent": 7}`)
	s.report(200, at, "/logs", `{"entries": [{"message": "at work"}]}`)
	if j := string(s.want(200, "GET", "/v1/jobs/"+at.id, "").body); !strings.Contains(j, `"percent":7`) || strings.Contains(j, `"accepted"`) {
		t.Errorf("the job: %s", j)
	}
	close(answer)
	if got := s.want(200, "GET", "/v1/jobs/"+at.id+"?wait=30s", "").text("status"); got != "succeeded" {
		t.Errorf("it is %s", got)
	}
}

// follow reads a stream of events to its end: their lines but for the times in them.
func follow(t *testing.T, url string, header ...string) (events []string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Error(err)
		return nil
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Error(err)
		return nil
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || got != "text/event-stream" {
		t.Errorf("%d %s", resp.StatusCode, got)
		return nil
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
		return nil
	}
	for event := range strings.SplitSeq(strings.TrimSuffix(string(body), "\n\n"), "\n\n") {
		events = append(events, times.ReplaceAllString(event, `"$1":""`))
	}
	return events
}

var times = regexp.MustCompile(`"(time|at)":"[^"]*"`)

// A log is followed from its first line, or from behind one, until the job has ended.
func TestFollowLog(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	at := s.start(s.takeOver(accepts), "")
	real := httptest.NewServer(s.handler)
	t.Cleanup(real.Close)
	s.report(200, at, "/logs", `{"entries": [{"message": "a\ndata: b"}, {"level": "error", "message": "c"}]}`)
	s.report(200, at, "/progress", `{"percent": 50}`)
	path := real.URL + "/v1/jobs/" + at.id + "/logs"
	followed := make(chan []string)
	go func() { followed <- follow(t, path, "Accept", "text/event-stream") }()
	s.report(200, at, "/logs", `{"entries": [{"message": "d"}]}`)
	s.report(200, at, "/complete", `{}`)
	first, second, third := "id: 1\nevent: log\ndata: {\"number\":1,\"attempt\":1,\"level\":\"info\",\"time\":\"\",\"message\":\"a\\ndata: b\"}",
		"id: 2\nevent: log\ndata: {\"number\":2,\"attempt\":1,\"level\":\"error\",\"time\":\"\",\"message\":\"c\"}",
		"id: 3\nevent: log\ndata: {\"number\":3,\"attempt\":1,\"level\":\"info\",\"time\":\"\",\"message\":\"d\"}"
	half, end := "event: progress\ndata: {\"percent\":50,\"at\":\"\",\"attempt\":1}", "event: end\ndata: {\"status\":\"succeeded\"}"
	got := <-followed
	slices.Sort(got[:max(len(got)-1, 0)]) // progress may come before the last line or behind it
	if diff := cmp.Diff(got, []string{half, first, second, third, end}); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(follow(t, path+"?follow=true", "Last-Event-ID", "2"), []string{third, half, end}); diff != "" {
		t.Errorf("continued: %s", diff)
	}
	for _, bad := range []string{"-1", "x"} {
		s.want(422, "GET", "/v1/jobs/"+at.id+"/logs?follow=true", "", "Last-Event-ID", bad)
	}
	s.want(404, "GET", "/v1/jobs/job_nonsense/logs?follow=true", "")
	s.want(422, "GET", "/v1/jobs/"+at.id+"/logs?follow=maybe", "")
	s.want(401, "GET", "/v1/jobs/"+at.id+"/logs?follow=true", "", "Authorization", "Bearer "+at.token)
}

// A stream goes on while nothing happens, and ends with the server.
func TestFollowEndsWithTheServer(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	at := s.start(s.takeOver(accepts), "")
	s.report(200, at, "/logs", `{"entries": [{"message": "a"}]}`)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := api.NewServer(s.handler, slog.New(slog.DiscardHandler))
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.Addr().String()+"/v1/jobs/"+at.id+"/logs?follow=true", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if body, err := io.ReadAll(resp.Body); err != nil || !strings.HasPrefix(string(body), "id: 1\n") || strings.Contains(string(body), "event: end") {
		t.Errorf("%q, %v", body, err)
	}
	<-served
}

// slowWriter is a client that takes nothing.
type slowWriter struct{ http.ResponseWriter }

func (slowWriter) Write([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }

// A client that does not read is cut off, although its job goes on.
func TestFollowerIsCutOff(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	at := s.start(s.takeOver(accepts), "")
	s.report(200, at, "/logs", `{"entries": [{"message": "a"}, {"message": "b"}]}`)
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(slowWriter{w}, request("GET", "/v1/jobs/"+at.id+"/logs?follow=true", ""))
	if w.Body.Len() != 0 {
		t.Errorf("it was sent %s", w.Body)
	}
	if got := s.want(200, "GET", "/v1/jobs/"+at.id, "").text("status"); got != "running" {
		t.Errorf("its job is %s", got)
	}
}

func TestBadTales(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	at := s.start(s.takeOver(accepts), "")
	for _, body := range []string{``, `{`, `{"entries": [`} {
		s.report(400, at, "/logs", body)
	}
	for body, field := range map[string]string{
		`{"entries": 1}`:    "entries",
		`{"entries": [{}]}`: "entries[0].message",
		`{"entries": [{"message": "a", "level": "loud"}]}`:                               "entries[0].level",
		`{"entries": [{"message": "a", "fields": [1]}]}`:                                 "entries[0].fields",
		`{"entries": [{"message": "a", "time": "now"}]}`:                                 "entries[0].time",
		`{"entries": [{"message": "a", "colour": "red"}]}`:                               "entries[0].colour",
		`{"entries": [{"message": "` + strings.Repeat("x", 9000) + `"}]}`:                "entries[0].message",
		`{"entries": [` + strings.Repeat(`{"message":"a"},`, 1000) + `{"message":"a"}]}`: "entries",
	} {
		if got := s.report(422, at, "/logs", body).problem(); len(got) != 1 || got[0] != field {
			t.Errorf("%.60s: %v", body, got)
		}
	}
	for _, body := range []string{`{}`, `{"percent": -1}`, `{"percent": 100.1}`, `{"percent": "1"}`, `{"percent": 1, "message": "` + strings.Repeat("x", 1001) + `"}`} {
		s.report(422, at, "/progress", body)
	}
	other := at
	other.token = "none"
	s.report(401, other, "/logs", `{}`)
	s.report(401, other, "/progress", `{"percent": 1}`)
	refused := 0
	for range 40 {
		a := s.do(request("POST", at.url+"/progress", `{"percent": 1}`, "Authorization", "Bearer "+at.token))
		if a.status == 429 && a.text("code") == "too_many_reports" && a.header.Get("Retry-After") == "1" {
			refused++
		} else if a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	if refused == 0 {
		t.Error("forty reports at once are taken")
	}
	s.report(200, at, "/heartbeat", "")
}
