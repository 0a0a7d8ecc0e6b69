package api_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/orchestrix/orchestrix/api"
)

// A full queue refuses single jobs and those of a batch that are over, and
// nothing else.
func TestFullQueue(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.want(201, "PUT", "/v1/queues/q", `{"max_pending":3,"max_bytes":30}`)
	s.want(202, "POST", "/v1/jobs", `{"queue":"q","type":"t","payload":"123456","idempotency_key":"k"}`)
	a := s.want(202, "POST", "/v1/jobs/batch", `{"jobs":[
		{"queue":"q","type":"t","payload":"12345678901234567890123"},
		{"queue":"q","type":"t"},{"queue":"q","type":"t"},{"queue":"q","type":"t"},
		{"queue":"q","type":"t","payload":"123456","idempotency_key":"k"},
		{"queue":"other","type":"t"}]}`)
	var results struct{ Results []api.BatchResult }
	if err := json.Unmarshal(a.body, &results); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range results.Results {
		switch {
		case r.Error != nil:
			got = append(got, fmt.Sprint(r.Error.Status, " ", r.Error.Code, " ", r.Error.RetryAfter))
		case r.Existing:
			got = append(got, "existing")
		default:
			got = append(got, r.Status)
		}
	}
	want := []string{"429 max_pending_reached 1m", "pending", "pending", "429 max_pending_reached 1m", "existing", "pending"}
	if !slices.Equal(got, want) {
		t.Errorf("results %q, want %q", got, want)
	}
	refused := s.want(429, "POST", "/v1/jobs", `{"queue":"q","type":"t"}`)
	refused.problem()
	seconds, err := strconv.Atoi(refused.header.Get("Retry-After"))
	if err != nil || seconds < 1 || seconds > 60 || refused.text("code") != "max_pending_reached" || refused.field("outcome") != nil {
		t.Errorf("Retry-After %q, %s", refused.header.Get("Retry-After"), refused.body)
	}
	s.want(200, "POST", "/v1/jobs", `{"queue":"q","type":"t","payload":"123456","idempotency_key":"k"}`)
	q := s.want(200, "GET", "/v1/queues/q", "")
	if q.field("bytes") != 16.0 || q.field("counts", "pending") != 3.0 || q.field("max_pending") != 3.0 || q.field("max_bytes") != 30.0 {
		t.Errorf("queue %s", q.body)
	}
	s.want(200, "PATCH", "/v1/queues/q", `{"max_pending":null}`)
	if a := s.want(429, "POST", "/v1/jobs", `{"queue":"q","type":"t","payload":"1234567890123"}`); a.text("code") != "max_bytes_reached" {
		t.Errorf("refused: %s", a.body)
	}
	s.want(202, "POST", "/v1/jobs", `{"queue":"q","type":"t"}`)
	if n := s.count(); n != 5 {
		t.Errorf("%d jobs are stored, want 5", n)
	}
}

// To wait is of no use for a payload that would not fit into an empty queue.
func TestPayloadLargerThanTheQueue(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.want(201, "PUT", "/v1/queues/q", `{"max_bytes":30}`)
	a := s.want(413, "POST", "/v1/jobs", `{"queue":"q","type":"t","payload":"`+strings.Repeat("x", 40)+`"}`)
	if fields := a.problem(); !slices.Equal(fields, []string{"payload"}) || a.header.Get("Retry-After") != "" {
		t.Errorf("problem %s", a.body)
	}
}

func TestBacklogBounds(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, body := range []string{
		`{"max_pending":0}`, `{"max_pending":-1}`, `{"max_pending":1000000001}`, `{"max_pending":"9"}`,
		`{"max_bytes":0}`, `{"max_bytes":-1}`, `{"max_bytes":1125899906842625}`, `{"max_bytes":1.5}`,
	} {
		a := s.call("PUT", "/v1/queues/q", body)
		field, _, _ := strings.Cut(body[2:], `"`)
		if fields := a.problem(); a.status != 422 || !slices.Equal(fields, []string{field}) {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
	s.want(404, "GET", "/v1/queues/q", "")
}
