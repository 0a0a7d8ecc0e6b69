package client_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/job"
)

func TestSchedules(t *testing.T) {
	t.Parallel()
	shown := `{"name":"s","version":3,"every":"1h","timezone":"UTC","overlap":"skip","catch_up":"latest","job":{"queue":"q","type":"t","priority":"normal","payload_size":7,` +
		`"payload":{"b":12345678901234567890,"a":"<"}},"paused":"","next_at":"2026-01-02T03:00:00Z","last":{"slot":"2026-01-02T02:00:00Z","job":"job_1","at":"2026-01-02T02:00:00.5Z"},"fired":2}`
	one := step{status: 200, body: shown}
	op := step{status: 202, body: `{"id":"op_1","kind":"backfill","status":"running","matched":3,"backfill":{"schedule":"s","from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z"}}`}
	s := &script{steps: []step{
		one, one, one, one, one, one,
		{status: 202, body: `{"job":"job_2"}`},
		{status: 200, body: `{"items":[{"at":"2026-01-02T03:00:00Z","local":"2026-01-02T04:00:00+01:00","note":"n"}]}`},
		{status: 200, body: `{"items":[{"kind":"fired","slot":"2026-01-02T03:00:00Z","count":1,"by":"slot","job":"job_1","lateness":"1ms","outcome":"removed"}],"next_cursor":""}`},
		op, op,
		{status: 200, body: `{"items":[` + shown + `],"next_cursor":""}`},
		{status: 204},
	}}
	c, ctx := s.client(t), t.Context()
	got, err := c.Schedule(ctx, "s")
	if err != nil {
		t.Fatal(err)
	}
	if got.Version != 3 || got.Every != job.Duration(time.Hour) || got.Job.Queue != "q" || got.Last.Job != "job_1" || got.Fired != 2 {
		t.Errorf("Schedule = %+v", got)
	}
	calls := []func() error{
		func() error { _, err := c.PutSchedule(ctx, "s", got.ScheduleConfig); return err },
		func() error { _, err := c.CheckSchedule(ctx, "s", client.ScheduleConfig{Cron: "@hourly"}); return err },
		func() error { _, err := c.PatchSchedule(ctx, "s", map[string]any{"overlap": nil}); return err },
		func() error { _, err := c.PauseSchedule(ctx, "s"); return err },
		func() error { _, err := c.ResumeSchedule(ctx, "s"); return err },
		func() error {
			id, err := c.TriggerSchedule(ctx, "s")
			if id != "job_2" {
				t.Errorf("triggered %q", id)
			}
			return err
		},
		func() error {
			slots, err := c.NextSlots(ctx, "s", 3)
			if err == nil && (len(slots) != 1 || slots[0].Note != "n" || !slots[0].At.Equal(slots[0].Local)) {
				t.Errorf("NextSlots = %+v", slots)
			}
			return err
		},
		func() error {
			for run, err := range c.ScheduleRuns(ctx, "s") {
				if err != nil || run.Outcome != "removed" || run.Lateness != job.Duration(time.Millisecond) {
					t.Errorf("run %+v, %v", run, err)
				}
			}
			return nil
		},
		func() error {
			_, err := c.CountBackfill(ctx, "s", client.BackfillRequest{From: time.Unix(0, 0).UTC()})
			return err
		},
		func() error {
			o, err := c.BackfillSchedule(ctx, "s", client.BackfillRequest{From: time.Unix(0, 0).UTC(), To: time.Unix(60, 0).UTC(), Overlap: "skip"})
			if err == nil && o.Backfill.Schedule != "s" {
				t.Errorf("BackfillSchedule = %+v", o)
			}
			return err
		},
		func() error {
			for s, err := range c.Schedules(ctx) {
				if err != nil || s.Name != "s" {
					t.Errorf("listed %+v, %v", s, err)
				}
			}
			return nil
		},
		func() error { return c.DeleteSchedule(ctx, "s") },
	}
	for i, call := range calls {
		if err := call(); err != nil {
			t.Errorf("call %d: %v", i, err)
		}
	}
	// The payload comes back as it went out.
	var sent struct {
		Job struct{ Payload json.RawMessage }
	}
	if err := json.Unmarshal([]byte(s.requests[1].body), &sent); err != nil || string(sent.Job.Payload) != `{"b":12345678901234567890,"a":"<"}` {
		t.Errorf("sent %s, %v", s.requests[1].body, err)
	}
	var urls []string
	for _, r := range s.requests {
		urls = append(urls, r.method+" "+r.url[len("http://orchestrix.test/base/v1/schedules"):])
	}
	want := []string{
		"GET /s", "PUT /s", "PUT /s?dry_run=true", "PATCH /s", "POST /s/pause", "POST /s/resume", "POST /s/trigger", "GET /s/next?count=3",
		"GET /s/runs", "POST /s/backfill", "POST /s/backfill", "GET ", "DELETE /s",
	}
	if diff := cmp.Diff(want, urls); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if body := s.requests[9].body; body != `{"from":"1970-01-01T00:00:00Z","dry_run":true}` {
		t.Errorf("counted by %s", body)
	}
}
