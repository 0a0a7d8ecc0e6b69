package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/api"
	"github.com/orchestrix/orchestrix/job"
)

func (s *server) explain(id string) (e api.Explanation) {
	s.t.Helper()
	a := s.want(200, "GET", "/v1/jobs/"+id+"/explain", "")
	if err := json.Unmarshal(a.body, &e); err != nil {
		s.t.Fatal(err)
	}
	if e.ID != id {
		s.t.Errorf("explained %s: %s", e.ID, a.body)
	}
	for _, r := range e.Reasons {
		if r.Message == "" || strings.ContainsAny(r.Message, "{}") {
			s.t.Errorf("reason %s says %q", r.Code, r.Message)
		}
	}
	return e
}

// enqueued returns the id of a new job with those members beside its type.
func (s *server) enqueued(members string) string {
	s.t.Helper()
	return s.want(202, "POST", "/v1/jobs", `{"type":"t"`+members+`}`).text("id")
}

func codes(e api.Explanation) string {
	var list []string
	for _, r := range e.Reasons {
		list = append(list, r.Code)
	}
	return strings.Join(list, " ")
}

// hangingWorker is registered as "w" for queue q, has taken one job of the key
// "held", and answers nobody until the test ends.
func (s *server) hangingWorker() (held string) {
	s.t.Helper()
	over := make(chan struct{})
	pushed := make(chan struct{}, 10)
	worker := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		pushed <- struct{}{}
		select {
		case <-over:
		case <-r.Context().Done():
		}
	}))
	s.t.Cleanup(worker.Close)
	s.t.Cleanup(func() { close(over) })
	s.want(201, "PUT", "/v1/workers/w", fmt.Sprintf(`{"url":%q,"queues":["q"]}`, worker.URL))
	held = s.enqueued(`,"queue":"q","key":"held"`)
	<-pushed
	return held
}

func TestExplain(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	waiting := s.enqueued(`,"queue":"q"`)
	if e := s.explain(waiting); codes(e) != "no_worker" || e.Status != "pending" || e.Position != 1 || !e.EstimatedStart.IsZero() {
		t.Errorf("without a worker: %+v", e)
	}
	s.want(200, "POST", "/v1/queues/q/pause", `{"reason":"full moon"}`)
	if e := s.explain(waiting); codes(e) != "paused no_worker" || !strings.Contains(e.Reasons[0].Message, "full moon") {
		t.Errorf("paused: %+v", e)
	}
	at := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	later := s.explain(s.enqueued(`,"queue":"q","run_at":"` + at.Format(time.RFC3339) + `"`))
	if codes(later) != "scheduled paused no_worker" || later.Status != "scheduled" || !later.Reasons[0].Until.Equal(at) || later.Position != 0 {
		t.Errorf("scheduled: %+v", later)
	}
	s.want(200, "POST", "/v1/jobs/"+waiting+"/cancel", "")
	if e := s.explain(waiting); codes(e) != "cancelled" || e.Status != "cancelled" {
		t.Errorf("cancelled: %+v", e)
	}
	for _, id := range []string{"job_none", job.ID{15: 1}.String()} {
		s.want(404, "GET", "/v1/jobs/"+id+"/explain", "")
	}
}

func TestExplainLimits(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.want(201, "PUT", "/v1/queues/q", `{"concurrency":1,"rate":{"limit":2,"period":"1h","burst":1}}`)
	held := s.hangingWorker()
	if e := s.explain(held); e.Status != "running" || len(e.Reasons) > 0 || e.Running == nil || e.Running.Worker != "w" || e.Running.Attempt != 1 ||
		e.Running.Deadline.Sub(e.Running.StartedAt) != 30*time.Second || e.Position != 0 {
		t.Errorf("running: %+v, %+v", e, e.Running)
	}
	for range 2 {
		s.enqueued(`,"queue":"q","key":"other"`)
		s.enqueued(`,"queue":"q","key":"held"`)
	}
	e := s.explain(s.enqueued(`,"queue":"q","key":"held"`))
	if codes(e) != "concurrency rate" || e.Position != 3 {
		t.Fatalf("held up: %+v", e)
	}
	if r := e.Reasons[0]; r.InFlight != 1 || r.Limit != 1 {
		t.Errorf("concurrency: %+v", r)
	}
	if r := e.Reasons[1]; r.Tokens == nil || *r.Tokens != 0 || r.Rate.Limit != 2 || time.Until(r.Until) < 29*time.Minute {
		t.Errorf("rate: %+v", r)
	}
	s.want(200, "PATCH", "/v1/queues/q", `{"concurrency":2}`)
	if e := s.explain(e.ID); codes(e) != "rate" || time.Until(e.EstimatedStart) < 2*time.Hour || time.Until(e.EstimatedStart) > 3*time.Hour {
		t.Errorf("its rate alone: %+v", e) // the first of five in half an hour
	}
}

// Who holds a key is told, and how it is: a push of the key, or the job whose turn
// it is.
func TestExplainKeys(t *testing.T) {
	t.Parallel()
	for limit, code := range map[string]string{"1": "key_turn", "2": "key_busy"} {
		s := newServer(t)
		s.want(201, "PUT", "/v1/queues/q", `{"key_concurrency":`+limit+`}`)
		held := s.hangingWorker()
		if limit == "2" {
			s.want(201, "PUT", "/v1/queues/q/keys/held", `{"concurrency":1}`)
		}
		e := s.explain(s.enqueued(`,"queue":"q","key":"held"`))
		if codes(e) != code || len(e.Reasons[0].Jobs) != 1 || e.Reasons[0].Jobs[0].ID != held || e.Reasons[0].Jobs[0].Status != "running" || !e.EstimatedStart.IsZero() {
			t.Errorf("%s: %+v", code, e)
		}
		if want := map[string]int{"1": 2, "2": 1}[limit]; e.Position != want {
			t.Errorf("%s: position %d, want %d", code, e.Position, want)
		}
		s.want(201, "PUT", "/v1/queues/q/keys/other", `{"paused":true,"reason":"owes us"}`)
		if e := s.explain(s.enqueued(`,"queue":"q","key":"other"`)); codes(e) != "key_paused" || !strings.Contains(e.Reasons[0].Message, "owes us") {
			t.Errorf("a paused key: %+v", e)
		}
	}
}

func TestExplainRetry(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	worker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
	t.Cleanup(worker.Close)
	s.want(201, "PUT", "/v1/workers/w", fmt.Sprintf(`{"url":%q,"queues":["q"]}`, worker.URL))
	id := s.enqueued(`,"queue":"q","retry":{"initial_delay":"1h","jitter":"none"}`)
	e := s.explain(id)
	for until := time.Now().Add(10 * time.Second); e.Status != "retrying" && time.Now().Before(until); {
		e = s.explain(id) // it is being pushed
	}
	if codes(e) != "retrying" || time.Until(e.Reasons[0].Until) < 59*time.Minute || !strings.Contains(e.Reasons[0].Message, "http_status") {
		t.Errorf("retrying: %+v", e)
	}
	s.want(200, "POST", "/v1/workers/w/pause", `{"reason":"broken"}`)
	if e := s.explain(id); codes(e) != "retrying worker_paused" || e.Reasons[1].Worker != "w" || !strings.Contains(e.Reasons[1].Message, "broken") {
		t.Errorf("retrying, to a worker that is paused: %+v", e)
	}
}

func TestExplainNeedsARight(t *testing.T) {
	t.Parallel()
	s := locked(t)
	id := s.enqueued(`,"queue":"billing.a"`)
	for scope, status := range map[string]int{"read": 200, "read@billing.*": 200, "read@other": 404, "jobs:write": 404} {
		key, _ := s.makeKey(scope)
		s.want(status, "GET", "/v1/jobs/"+id+"/explain", "", "Authorization", "Bearer "+key)
	}
}
