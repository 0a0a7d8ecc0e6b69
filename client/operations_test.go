package client_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orchestrix/orchestrix/client"
)

func TestOperations(t *testing.T) {
	t.Parallel()
	running := step{status: 202, body: `{"id":"op_1","kind":"cancel","filter":{"queue":"q","label":{"a":"b"}},"status":"running"}`}
	s := &script{steps: []step{
		running, running, running,
		{status: 200, body: `{"status":"dry_run","matched":7,"more":true}`},
		running,
		{status: 200, body: `{"status":"dry_run"}`},
		{status: 200, body: running.body},
		{status: 200, body: `{"status":"succeeded","done":3}`},
		{status: 200, body: `{"status":"cancelled"}`},
		{status: 200, body: `{"items":[{"id":"op_1"}],"next_cursor":""}`},
	}}
	c := s.client(t)
	ctx := t.Context()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	filter := client.Selection{JobFilter: client.JobFilter{Queue: "q", Labels: map[string]string{"a": "b"}, CreatedBefore: at}}
	o, err := c.CancelJobs(ctx, filter)
	if err != nil || o.Over() || o.ID != "op_1" || o.Filter.Queue != "q" || o.Filter.Labels["a"] != "b" {
		t.Errorf("CancelJobs = %+v, %v", o, err)
	}
	calls := []func() error{
		func() error { _, err := c.RetryJobs(ctx, client.Selection{All: true}); return err },
		func() error {
			_, err := c.DeleteJobs(ctx, client.Selection{JobFilter: client.JobFilter{Status: "dead"}})
			return err
		},
		func() error {
			n, err := c.CountJobs(ctx, "delete", client.Selection{All: true})
			if err == nil && (n.Matched != 7 || !n.More) {
				t.Errorf("CountJobs = %+v", n)
			}
			return err
		},
		func() error { _, err := c.PurgeQueue(ctx, "q"); return err },
		func() error { _, err := c.CountPurge(ctx, "q"); return err },
		func() error {
			o, err := c.WaitOperation(ctx, "op_1")
			if err == nil && (!o.Over() || o.Done != 3) {
				t.Errorf("WaitOperation = %+v", o)
			}
			return err
		},
		func() error { _, err := c.CancelOperation(ctx, "op_1"); return err },
		func() error {
			for _, err := range c.Operations(ctx) {
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
	for i, f := range calls {
		if err := f(); err != nil {
			t.Errorf("call %d: %v", i, err)
		}
	}
	want := []request{
		{method: "POST", url: "jobs/cancel", body: `{"filter":{"queue":"q","label":{"a":"b"},"created_before":"2026-01-02T03:04:05Z"}}`},
		{method: "POST", url: "jobs/retry", body: `{"filter":{"all":true}}`},
		{method: "POST", url: "jobs/delete", body: `{"filter":{"status":"dead"}}`},
		{method: "POST", url: "jobs/delete", body: `{"filter":{"all":true},"dry_run":true}`},
		{method: "POST", url: "queues/q/purge", body: `{}`},
		{method: "POST", url: "queues/q/purge", body: `{"dry_run":true}`},
		{method: "GET", url: "operations/op_1?wait=25s"},
		{method: "GET", url: "operations/op_1?wait=25s"},
		{method: "POST", url: "operations/op_1/cancel"},
		{method: "GET", url: "operations"},
	}
	var got []request
	for _, r := range s.requests {
		got = append(got, request{method: r.method, url: r.url[len("http://orchestrix.test/base/v1/"):], body: r.body})
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(request{})); diff != "" {
		t.Error(diff)
	}
}
