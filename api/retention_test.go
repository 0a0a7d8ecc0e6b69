package api_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/control"
	"github.com/orchestrix/orchestrix/job"
)

// A queue shows what it follows: its own retention over the server's.
func TestRetentionOfAQueue(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(o *control.Options) {
		o.Retention = map[job.Status]time.Duration{job.Succeeded: 48 * time.Hour, job.Dead: 240 * time.Hour}
	})
	a := s.want(201, "PUT", "/v1/queues/q", `{"retention":{"succeeded":"1h","cancelled":"5d","max_bytes":1000}}`)
	for name, want := range map[string]any{"succeeded": "1h", "dead": "10d", "cancelled": "5d", "max_bytes": 1000.0} {
		if got := a.field("retention", name); got != want {
			t.Errorf("retention.%s = %v, want %v", name, got, want)
		}
	}
	if a.field("kept_bytes") != 0.0 || a.field("trimmed", "dead") != 0.0 {
		t.Errorf("queue %s", a.body)
	}
	a = s.want(200, "PATCH", "/v1/queues/q", `{"retention":{"succeeded":"2h"}}`)
	if a.text("retention", "succeeded") != "2h" || a.text("retention", "cancelled") != "5d" {
		t.Errorf("patched: %s", a.body)
	}
	a = s.want(200, "PATCH", "/v1/queues/q", `{"retention":null}`)
	if a.text("retention", "succeeded") != "2d" || a.field("retention", "max_bytes") != nil {
		t.Errorf("reset: %s", a.body)
	}
}

func TestRetentionBounds(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, field := range []string{"succeeded", "dead", "cancelled", "expired", "max_bytes"} {
		values := []string{`"0s"`, `"999ms"`, `"3651d"`, `"x"`, `5`}
		if field == "max_bytes" {
			values = []string{`0`, `-1`, `"5"`, `1125899906842625`}
		}
		for _, value := range values {
			a := s.call("PUT", "/v1/queues/q", `{"retention":{"`+field+`":`+value+`}}`)
			if fields := a.problem(); a.status != 422 || !slices.Equal(fields, []string{"retention." + field}) {
				t.Errorf("%s %s: %d %s", field, value, a.status, a.body)
			}
		}
	}
	if a := s.call("PUT", "/v1/queues/q", `{"retention":{"running":"1d"}}`); a.status != 422 {
		t.Errorf("an unknown status: %d", a.status)
	}
	s.want(404, "GET", "/v1/queues/q", "")
}

// What a queue keeps too much of goes, oldest first, and dead jobs are not
// removed without a word.
func TestRetentionByBytesIsShown(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.want(202, "POST", "/v1/jobs/batch", `{"jobs":[`+strings.TrimSuffix(strings.Repeat(`{"queue":"q","type":"t","payload":"`+strings.Repeat("x", 500)+`"},`, 10), ",")+`]}`)
	ids := s.want(200, "GET", "/v1/jobs?queue=q", "").field("items").([]any)
	for _, item := range ids {
		s.want(200, "POST", "/v1/jobs/"+item.(map[string]any)["id"].(string)+"/cancel", "")
	}
	kept := s.want(200, "GET", "/v1/queues/q", "").field("kept_bytes").(float64)
	if kept < 10*500 {
		t.Fatalf("%v bytes are kept", kept)
	}
	s.want(200, "PATCH", "/v1/queues/q", `{"retention":{"max_bytes":3000}}`)
	deadline := time.Now().Add(20 * time.Second)
	for {
		q := s.want(200, "GET", "/v1/queues/q", "")
		if n := q.field("kept_bytes").(float64); n <= 3000 && n > 1000 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("still kept: %s", q.body)
		}
		<-time.After(5 * time.Millisecond)
	}
	left := s.want(200, "GET", "/v1/jobs?queue=q", "").field("items").([]any)
	for i, item := range left {
		if got, want := item.(map[string]any)["id"], ids[i].(map[string]any)["id"]; got != want {
			t.Errorf("left is %v, want %v: the newest stay", got, want)
		}
	}
}
