package client_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orchestrix/orchestrix/client"
)

func TestJobLogs(t *testing.T) {
	t.Parallel()
	s := &script{steps: []step{
		{status: 200, body: `{"items":[{"number":1,"attempt":1,"level":"info","time":"2026-01-02T03:00:00Z","message":"a","fields":{"n":1}}],"next_cursor":"x"}`},
		{status: 200, body: `{"items":[{"number":2,"attempt":2,"level":"warn","time":"2026-01-02T03:00:00Z","message":"b"}],"next_cursor":""}`},
	}}
	var got []string
	for l, err := range s.client(t).JobLogs(t.Context(), "job_1") {
		got = append(got, fmt.Sprint(l.Number, " ", l.Attempt, " ", l.Level, " ", l.Message, " ", string(l.Fields), err))
	}
	if diff := cmp.Diff(got, []string{`1 1 info a {"n":1}<nil>`, `2 2 warn b <nil>`}); diff != "" {
		t.Error(diff)
	}
}

// A stream that breaks is continued after the last line, one that ends ends, and what is
// not known is passed over.
func TestFollowLogs(t *testing.T) {
	t.Parallel()
	const line = "id: %d\nevent: log\ndata: {\"number\":%d,\"attempt\":1,\"level\":\"info\",\"message\":\"a\"}\n\n"
	s := &script{steps: []step{
		{status: 503, body: `{"status":503,"code":"unavailable"}`},
		{status: 200, body: ": \n\n" + fmt.Sprintf(line, 1, 1) + "event: progress\ndata: {\"percent\":50}\n\nevent: log\ndata: {\"num"},
		{status: 200, body: fmt.Sprintf(line, 2, 2) + "event: unheard of\ndata: x\n\nevent: truncated\ndata: {}\n\nevent: end\ndata: {\"status\":\"dead\"}\n\n" + fmt.Sprintf(line, 3, 3)},
	}}
	var got []string
	for e, err := range s.client(t).FollowLogs(t.Context(), "job_1") {
		switch {
		case err != nil:
			got = append(got, err.Error())
		case e.Line != nil:
			got = append(got, fmt.Sprint("line ", e.Line.Number))
		case e.Progress != nil:
			got = append(got, fmt.Sprint("progress ", e.Progress.Percent))
		default:
			got = append(got, fmt.Sprint(e.Truncated, e.Ended))
		}
	}
	if diff := cmp.Diff(got, []string{"line 1", "progress 50", "line 2", "true", "falsedead"}); diff != "" {
		t.Error(diff)
	}
	if last := s.requests[2].last; last != "1" {
		t.Errorf("it goes on after %q", last)
	}

	for name, only := range map[string]step{
		"refused":  {status: 404, body: `{"status":404,"code":"not_found","detail":"no such job"}`},
		"no event": {status: 200, body: "event: log\ndata: [1]\n\n"},
	} {
		s := &script{steps: []step{only}}
		n := 0
		for _, err := range s.client(t).FollowLogs(t.Context(), "job_1") {
			if n++; err == nil {
				t.Errorf("%s: no error", name)
			}
			if name == "refused" && !client.HasStatus(err, 404) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if n == 0 {
			t.Errorf("%s: it ends without an error", name)
		}
	}
}
