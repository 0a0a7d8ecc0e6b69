package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
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
