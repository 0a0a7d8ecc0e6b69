package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orchestrix/orchestrix/control"
	"github.com/orchestrix/orchestrix/webhook"
)

func TestPreview(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.want(200, "POST", "/v1/schedules/preview", `{"cron":"30 2 * * *","timezone":"America/New_York","from":"2027-03-13T00:00:00Z","count":3}`)
	type slot struct{ At, Local, Note string }
	var got struct{ Items []slot }
	if err := json.Unmarshal(a.body, &got); err != nil {
		t.Fatal(err)
	}
	want := []slot{
		{"2027-03-13T07:30:00Z", "2027-03-13T02:30:00-05:00", ""},
		{"2027-03-14T07:00:00Z", "2027-03-14T03:00:00-04:00", "02:30 does not exist on 2027-03-14: fires 03:00"},
		{"2027-03-15T06:30:00Z", "2027-03-15T02:30:00-04:00", ""},
	}
	if diff := cmp.Diff(want, got.Items); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for body, count := range map[string]int{
		`{"every":"90s"}`:                                    10, // from now on
		`{"every":"90s","max_runs":4}`:                       4,
		`{"cron":"@daily","ends_at":"2020-01-01T00:00:00Z"}`: 0,
	} {
		var got struct{ Items []slot }
		if err := json.Unmarshal(s.want(200, "POST", "/v1/schedules/preview", body).body, &got); err != nil || len(got.Items) != count {
			t.Errorf("%s: %d slots, %v; want %d", body, len(got.Items), err, count)
		}
	}
	for body, fields := range map[string][]string{
		`{}`:                              {"cron"},
		`{"cron":"0 0 30 2 *"}`:           {"cron"},
		`{"cron":"@hourly","every":"1m"}`: {"every"},
		`{"cron":"61 * * * *","timezone":"Mars"}`: {"cron", "timezone"},
		`{"cron":"@hourly","count":1001}`:         {"count"},
		`{"cron":"@hourly","name":"No Name"}`:     {"name"},
		`{"cron":"@hourly","count":0}`:            {"count"},
		`{"every":"10ms"}`:                        {"every"},
		`{"cron":"@hourly","year":2027}`:          {"year"},
	} {
		if a := s.want(422, "POST", "/v1/schedules/preview", body); !slices.Equal(a.problem(), fields) {
			t.Errorf("%s: %s, want %v", body, a.body, fields)
		}
	}
}

const nightly = `{"cron":"30 2 * * *","timezone":"Europe/Berlin","job":{"queue":"reports","type":"report","payload":{"n":1}}}`

func TestScheduleLife(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.want(201, "PUT", "/v1/schedules/nightly", nightly)
	if a.header.Get("ETag") != `"1"` || a.field("version") != 1.0 || a.text("overlap") != "allow" || a.text("catch_up") != "latest" || a.text("catch_up_window") != "1d" ||
		a.text("dst_gap") != "fire" || a.text("job", "queue") != "reports" || a.field("job", "payload", "n") != 1.0 || a.text("paused") != "" || a.text("next_at") == "" || a.field("last") != nil {
		t.Errorf("created: %s", a.body)
	}
	// What changes nothing keeps the version, also where it says the defaults.
	same := `{"cron":"30 2 * * *","timezone":"Europe/Berlin","overlap":"allow","catch_up":"latest","catch_up_window":"24h","dst_gap":"fire","job":{"queue":"reports","type":"report","priority":"normal","payload":{"n":1}}}`
	if a := s.want(200, "PUT", "/v1/schedules/nightly", same); a.field("version") != 1.0 {
		t.Errorf("the same: %s", a.body)
	}
	if a := s.want(200, "PUT", "/v1/schedules/nightly?dry_run=true", strings.Replace(nightly, "30 2", "30 3", 1)); a.field("version") != 2.0 || a.text("cron") != "30 3 * * *" {
		t.Errorf("dry run: %s", a.body)
	}
	if a := s.want(201, "PUT", "/v1/schedules/other?dry_run=true", nightly); a.field("version") != 1.0 {
		t.Errorf("dry run of a new one: %s", a.body)
	}
	s.want(404, "GET", "/v1/schedules/other", "")
	if a := s.want(200, "GET", "/v1/schedules/nightly", ""); a.text("cron") != "30 2 * * *" || a.field("version") != 1.0 {
		t.Errorf("after dry runs: %s", a.body)
	}
	s.want(412, "PUT", "/v1/schedules/nightly", nightly, "If-Match", `"7"`)
	s.want(412, "PUT", "/v1/schedules/nightly", nightly, "If-None-Match", "*")
	s.want(412, "PUT", "/v1/schedules/new", nightly, "If-Match", "*")
	if a := s.want(200, "PATCH", "/v1/schedules/nightly", `{"overlap":"skip","job":{"labels":{"a":"1"},"headers":{"x-api-key":"k","x-a":"b"}}}`, "If-Match", `"1"`); a.field("version") != 2.0 ||
		a.text("overlap") != "skip" || a.text("cron") != "30 2 * * *" || a.text("job", "labels", "a") != "1" || a.text("job", "headers", "X-Api-Key") != "[redacted]" || a.field("job", "payload", "n") != 1.0 {
		t.Errorf("patched: %s", a.body)
	}
	if a := s.want(200, "PATCH", "/v1/schedules/nightly", `{"job":{"headers":{"x-api-key":"[redacted]","x-A":null},"labels":{"a":null,"b":"2"}}}`); a.field("version") != 3.0 || a.field("job", "labels", "a") != nil || a.field("job", "headers", "X-A") != nil {
		t.Errorf("patched: %s", a.body)
	}
	if r, err := s.store.GetSchedule(t.Context(), "nightly"); err != nil || r.Job.Headers["X-Api-Key"] != "k" {
		t.Errorf("the masked header: %+v, %v", r, err)
	}
	list := s.want(200, "GET", "/v1/schedules", "")
	if items := list.field("items").([]any); len(items) != 1 || strings.Contains(string(list.body), `"payload":`) || !strings.Contains(string(list.body), `"payload_size":7`) {
		t.Errorf("listed: %s", list.body)
	}
	if a := s.want(200, "POST", "/v1/schedules/nightly/pause", ""); a.text("paused") != "requested" || a.text("paused_at") == "" || a.text("next_at") != "" || a.field("version") != 3.0 {
		t.Errorf("paused: %s", a.body)
	}
	if a := s.want(200, "GET", "/v1/schedules/nightly/next", ""); len(a.field("items").([]any)) != 0 {
		t.Errorf("next of a paused one: %s", a.body)
	}
	s.want(200, "POST", "/v1/schedules/nightly/pause", "")
	if a := s.want(200, "PUT", "/v1/schedules/nightly", nightly); a.text("paused") != "requested" {
		t.Errorf("a PUT resumes: %s", a.body)
	}
	if a := s.want(200, "POST", "/v1/schedules/nightly/resume", ""); a.text("paused") != "" || a.text("next_at") == "" {
		t.Errorf("resumed: %s", a.body)
	}
	if a := s.want(200, "GET", "/v1/schedules/nightly/next?count=3", ""); len(a.field("items").([]any)) != 3 {
		t.Errorf("next: %s", a.body)
	}
	s.want(422, "GET", "/v1/schedules/nightly/next?count=1001", "")
	s.want(412, "DELETE", "/v1/schedules/nightly", "", "If-Match", `"1"`)
	s.want(204, "DELETE", "/v1/schedules/nightly", "")
	for _, path := range []string{"", "/next", "/runs"} {
		s.want(404, "GET", "/v1/schedules/nightly"+path, "").problem()
	}
	for _, verb := range []string{"/pause", "/resume", "/trigger"} {
		s.want(404, "POST", "/v1/schedules/nightly"+verb, "").problem()
	}
	s.want(404, "PATCH", "/v1/schedules/nightly", `{"overlap":"skip"}`)
	s.want(404, "DELETE", "/v1/schedules/nightly", "")
	s.want(404, "GET", "/v1/schedules/"+strings.Repeat("x", 3000), "")
}

func TestSchedulesThatAreWrong(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for body, fields := range map[string][]string{
		`{}`:                   {"job"},
		`{"job":{}}`:           {"job.type"},
		`{"job":{"type":"t"}}`: {"cron"},
		`{"cron":"0 0 30 2 *","job":{"type":"t"}}`:                               {"cron"},
		`{"every":"1h","ends_at":"2020-01-01T00:00:00Z","job":{"type":"t"}}`:     {"ends_at"},
		`{"every":"1h","starts_at":"9999-12-31T23:59:59.5Z","job":{"type":"t"}}`: {"starts_at"},
		`{"every":"1h","overlap":"never","catch_up":"some","catch_up_window":"400d","pause_on_failure":1001,"job":{"type":"t","queue":"NO","priority":"x"}}`: {"overlap", "catch_up", "catch_up_window", "pause_on_failure", "job.queue", "job.priority"},
		`{"every":"1h","catch_up":"skip","catch_up_window":"1h","job":{"type":"t"}}`:                                                                         {"catch_up_window"},
		`{"every":"1h","job":{"type":"t","delay":"1s"}}`:                                                                                                     {"job.delay"},
		`{"every":"1h","job":{"type":"t","idempotency_key":"x","unique":{},"run_at":"2030-01-01T00:00:00Z"}}`:                                                {"job.idempotency_key", "job.unique", "job.run_at"},
		`{"every":"1h","job":{"type":"t","payload":1,"body":"x"}}`:                                                                                           {"job.body"},
		`{"every":"1h","job":{"type":"t","url":"http://10.0.0.1/"},"paused":true}`:                                                                           {"paused"},
		`{"every":"1h","job":{"type":"t","headers":{"x-api-key":"[redacted]"}}}`:                                                                             {"job.headers.X-Api-Key"},
	} {
		if a := s.want(422, "PUT", "/v1/schedules/s", body); !slices.Equal(a.problem(), fields) {
			t.Errorf("%s: %s, want %v", body, a.body, fields)
		}
	}
	if a := s.want(422, "PUT", "/v1/schedules/UP", nightly); !slices.Equal(a.problem(), []string{"name"}) {
		t.Errorf("a bad name: %s", a.body)
	}
	large := fmt.Sprintf(`{"every":"1h","job":{"type":"t","body":%q}}`, strings.Repeat("x", 256<<10+1))
	if a := s.want(413, "PUT", "/v1/schedules/s", large); !slices.Equal(a.problem(), []string{"job.body"}) {
		t.Errorf("a large payload: %s", a.body)
	}
	s.want(404, "GET", "/v1/schedules/s", "")
	// One that is over may be stored again as it is, but not be made so.
	s.want(201, "PUT", "/v1/schedules/s", `{"every":"1h","job":{"type":"t"}}`)
	if a := s.want(422, "PATCH", "/v1/schedules/s", `{"ends_at":"2020-01-01T00:00:00Z"}`); !slices.Equal(a.problem(), []string{"ends_at"}) {
		t.Errorf("an end in the past: %s", a.body)
	}
	if a := s.want(422, "PATCH", "/v1/schedules/s", `{"job":null}`); !slices.Equal(a.problem(), []string{"job.type"}) {
		t.Errorf("without a job: %s", a.body)
	}
}

// A patch of the payload takes the place of the one before, in whatever form.
func TestSchedulePayloadIsPatched(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.want(201, "PUT", "/v1/schedules/s", `{"every":"1h","job":{"type":"t","payload":{"a":1}}}`)
	for _, step := range []struct{ patch, payload, body, base64, kind string }{
		{`{}`, `{"a":1}`, "", "", "application/json"},
		{`{"job":{"body":"text"}}`, "", "text", "", "text/plain; charset=utf-8"},
		{`{"job":{"body":"a,b","content_type":"text/csv"}}`, "", "a,b", "", "text/csv"},
		{`{"job":{"type":"u"}}`, "", "a,b", "", "text/csv"},
		{`{"job":{"body_base64":"/w==","body":null}}`, "", "", "/w==", "application/octet-stream"},
		{`{"job":{"body":null}}`, "", "", "/w==", "application/octet-stream"}, // it has none
		{`{"job":{"body_base64":null}}`, "null", "", "", "application/json"},
		{`{"job":{"payload":[1]}}`, "[1]", "", "", "application/json"},
		{`{"job":{"url":"https://example.com","method":"DELETE","payload":null}}`, "", "", "", ""},
	} {
		a := s.want(200, "PATCH", "/v1/schedules/s", step.patch)
		payload, _ := json.Marshal(a.field("job", "payload"))
		if step.payload == "" {
			step.payload = "null"
		}
		if string(payload) != step.payload || a.text("job", "body") != step.body || a.text("job", "body_base64") != step.base64 || a.text("job", "content_type") != step.kind {
			t.Errorf("%s: %s", step.patch, a.body)
		}
	}
	if a := s.want(422, "PATCH", "/v1/schedules/s", `{"job":{"method":null,"payload":1,"body":"x"}}`); !slices.Equal(a.problem(), []string{"job.body"}) {
		t.Errorf("two payloads: %s", a.body)
	}
}

// runs returns the history of a schedule.
func (s *server) runs(name string) (runs []map[string]any) {
	s.t.Helper()
	for _, item := range s.want(200, "GET", "/v1/schedules/"+name+"/runs", "").field("items").([]any) {
		runs = append(runs, item.(map[string]any))
	}
	return runs
}

func TestScheduleRuns(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	pushed := make(chan http.Header, 100)
	worker := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { pushed <- r.Header }))
	defer worker.Close()
	s.want(201, "PUT", "/v1/workers/w", `{"url":"`+worker.URL+`","queues":["q"]}`)
	s.want(201, "PUT", "/v1/schedules/s.1", `{"every":"1d","job":{"type":"t","queue":"q"}}`)
	id := s.want(200, "POST", "/v1/schedules/s.1/trigger", "").text("job")
	h := <-pushed
	if h.Get(webhook.HeaderID) != id || h.Get(webhook.HeaderSchedule) != "s.1" {
		t.Errorf("pushed %v, triggered %s", h, id)
	}
	j := s.want(200, "GET", "/v1/jobs/"+id+"?wait=30s", "")
	if j.text("status") != "succeeded" || j.text("schedule") != "s.1" || j.text("scheduled_for") != h.Get(webhook.HeaderScheduledFor) {
		t.Errorf("the job %s, pushed for %s", j.body, h.Get(webhook.HeaderScheduledFor))
	}
	last := s.want(200, "GET", "/v1/schedules/s.1", "")
	if last.text("last", "job") != id || last.text("last", "slot") != j.text("scheduled_for") || last.field("fired") != 0.0 {
		t.Errorf("after a trigger: %s", last.body)
	}
	to := time.Now().UTC()
	from := to.Add(-70 * 24 * time.Hour)
	span := fmt.Sprintf(`"from":%q,"to":%q`, from.Format(time.RFC3339), to.Format(time.RFC3339))
	if a := s.want(200, "POST", "/v1/schedules/s.1/backfill", `{`+span+`,"dry_run":true}`); a.text("status") != "dry_run" || a.field("id") != nil || a.text("backfill", "schedule") != "s.1" {
		t.Errorf("dry run: %s", a.body)
	} else {
		a.counts(70, 0, 0)
	}
	a := s.operation("/v1/schedules/s.1/backfill", `{`+span+`}`)
	if a.text("kind") != "backfill" || a.text("filter", "queue") != "q" {
		t.Errorf("operation %s", a.body)
	}
	a.counts(70, 70, 0)
	slots := map[string]int{}
	for range 70 {
		slots[(<-pushed).Get(webhook.HeaderScheduledFor)]++
	}
	for at, n := range slots {
		if slot, err := time.Parse(time.RFC3339, at); err != nil || n != 1 || !slot.Equal(slot.Truncate(24*time.Hour)) || slot.Before(from) || !slot.Before(to) {
			t.Errorf("the slot %s was pushed %d times", at, n)
		}
	}
	runs := s.runs("s.1")
	if len(runs) != 71 || runs[0]["by"] != "backfill" || runs[70]["by"] != "trigger" || runs[70]["job"] != id || runs[70]["outcome"] != "succeeded" {
		t.Errorf("%d runs, %v to %v", len(runs), runs[0], runs[len(runs)-1])
	}
	page := s.want(200, "GET", "/v1/schedules/s.1/runs?limit=70", "")
	rest := s.want(200, "GET", "/v1/schedules/s.1/runs?limit=70&cursor="+page.text("next_cursor"), "")
	if len(rest.field("items").([]any)) != 1 || rest.text("next_cursor") != "" {
		t.Errorf("the rest: %s", rest.body)
	}
	for body, fields := range map[string][]string{
		`{}`: {"from"},
		`{"from":"2020-01-01T00:00:00Z","to":"2019-01-01T00:00:00Z"}`:                       {"to"},
		`{"from":"2020-01-01T00:00:00Z","to":"2999-01-01T00:00:00Z","overlap":"sometimes"}`: {"to", "overlap"},
		`{"from":"1970-01-01T00:00:00Z"}`:                                                   {"to"},
	} {
		if a := s.want(422, "POST", "/v1/schedules/s.1/backfill", body); !slices.Equal(a.problem(), fields) {
			t.Errorf("%s: %s, want %v", body, a.body, fields)
		}
	}
}

func TestScheduleRights(t *testing.T) {
	t.Parallel()
	s := locked(t)
	s.want(201, "PUT", "/v1/schedules/ours", `{"every":"1h","job":{"type":"t","queue":"a.1"}}`)
	s.want(201, "PUT", "/v1/schedules/theirs", `{"every":"1h","job":{"type":"t","queue":"b.1"}}`)
	reader, _ := s.makeKey("read@a.*")
	writer, _ := s.makeKey("jobs:write@a.*", "read@a.*")
	s.key = reader
	if items := s.want(200, "GET", "/v1/schedules", "").field("items").([]any); len(items) != 1 {
		t.Errorf("listed: %v", items)
	}
	s.want(404, "GET", "/v1/schedules/theirs", "")
	s.want(200, "GET", "/v1/schedules/ours", "")
	s.want(403, "POST", "/v1/schedules/ours/trigger", "")
	s.key = writer
	s.want(200, "POST", "/v1/schedules/ours/trigger", "")
	s.want(200, "PATCH", "/v1/schedules/ours", `{"job":{"queue":"a.2"}}`)
	s.want(403, "PATCH", "/v1/schedules/ours", `{"job":{"queue":"b.2"}}`)
	s.want(403, "PUT", "/v1/schedules/theirs", `{"every":"1h","job":{"type":"t","queue":"a.1"}}`)
	s.want(404, "DELETE", "/v1/schedules/theirs", "")
	s.want(404, "POST", "/v1/schedules/theirs/pause", "")
	s.want(404, "POST", "/v1/schedules/theirs/backfill", `{"from":"2026-01-01T00:00:00Z"}`)
	s.want(204, "DELETE", "/v1/schedules/ours", "")
}

func TestTooManySchedules(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(o *control.Options) { o.MaxSchedules = 2 })
	s.want(201, "PUT", "/v1/schedules/a", nightly)
	s.want(201, "PUT", "/v1/schedules/b", nightly)
	if a := s.want(409, "PUT", "/v1/schedules/c", nightly); a.text("code") != "too_many_schedules" {
		t.Errorf("one too many: %s", a.body)
	}
	s.want(200, "PUT", "/v1/schedules/b", nightly)
	s.want(204, "DELETE", "/v1/schedules/a", "")
	s.want(201, "PUT", "/v1/schedules/c", nightly)
}
