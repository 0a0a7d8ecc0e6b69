package api_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// enqueue enqueues jobs, each of them with what is said of it, and returns
// their ids.
func (s *server) enqueue(jobs ...string) []string {
	s.t.Helper()
	ids := make([]string, len(jobs))
	for i, j := range jobs {
		ids[i] = s.want(202, "POST", "/v1/jobs", `{"type":"t",`+j+`}`).text("id")
	}
	return ids
}

// operation begins an operation and returns it when it is over.
func (s *server) operation(path, body string) *answer {
	s.t.Helper()
	a := s.want(202, "POST", path, body)
	if at := a.header.Get("Location"); at != "/v1/operations/"+a.text("id") || a.text("status") != "running" {
		s.t.Errorf("Location %q of %s", at, a.body)
	}
	a = s.want(200, "GET", a.header.Get("Location")+"?wait=30s", "")
	if a.text("status") != "succeeded" || a.text("finished_at") == "" {
		s.t.Fatalf("operation %s", a.body)
	}
	return a
}

// counts fails the test where an operation has others.
func (a *answer) counts(matched, done, skipped float64) {
	a.t.Helper()
	if a.field("matched") != matched || a.field("done") != done || a.field("skipped") != skipped {
		a.t.Errorf("operation %s; want %v matched, %v done, %v skipped", a.body, matched, done, skipped)
	}
}

func (s *server) statuses(ids []string) string {
	s.t.Helper()
	var out []string
	for _, id := range ids {
		a := s.call("GET", "/v1/jobs/"+id, "")
		if a.status == 404 {
			out = append(out, "gone")
			continue
		}
		out = append(out, strings.TrimSuffix(a.text("status")+" "+a.text("reason"), " "))
	}
	return strings.Join(out, ", ")
}

func TestBulk(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ids := s.enqueue(`"queue":"a","labels":{"x":"1"}`, `"queue":"a","key":"k"`, `"queue":"b","labels":{"x":"1","y":"2"}`, `"queue":"b","delay":"1h"`)
	is := func(want string) {
		t.Helper()
		if got := s.statuses(ids); got != want {
			t.Errorf("the jobs are %s; want %s", got, want)
		}
	}
	s.operation("/v1/jobs/cancel", `{"filter":{"label":{"x":"1"},"queue":"b"}}`).counts(1, 1, 0)
	is("pending, pending, cancelled cancelled, scheduled")
	s.operation("/v1/jobs/run-now", `{"filter":{"queue":"b"}}`).counts(1, 1, 0)
	is("pending, pending, cancelled cancelled, pending")
	s.operation("/v1/jobs/cancel", `{"filter":{"status":"pending","queue":"b"}}`).counts(1, 1, 0)
	is("pending, pending, cancelled cancelled, cancelled cancelled")
	if a := s.operation("/v1/jobs/retry", `{"filter":{"queue":"b"}}`); a.text("filter", "status") != "dead" {
		t.Errorf("a retry is about the dead jobs: %s", a.body)
	}
	is("pending, pending, cancelled cancelled, cancelled cancelled")
	s.operation("/v1/jobs/retry", `{"filter":{"queue":"b","status":"cancelled","label":{"y":"2"}}}`).counts(1, 1, 0)
	is("pending, pending, pending, cancelled cancelled")
	s.operation("/v1/jobs/cancel", `{"filter":{"all":true}}`).counts(3, 3, 0)
	is("cancelled cancelled, cancelled cancelled, cancelled cancelled, cancelled cancelled")
	s.operation("/v1/jobs/delete", `{"filter":{"key":"k"}}`).counts(1, 1, 0)
	is("cancelled cancelled, gone, cancelled cancelled, cancelled cancelled")
	s.operation("/v1/jobs/delete", `{"filter":{"created_before":"2020-01-01T00:00:00Z"}}`).counts(0, 0, 0)
	s.operation("/v1/jobs/delete", `{"filter":{"created_after":"2020-01-01T00:00:00Z"}}`).counts(3, 3, 0)
	is("gone, gone, gone, gone")
	if n := s.count(); n != 0 {
		t.Errorf("%d jobs are counted", n)
	}
}

func TestPurge(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ids := s.enqueue(`"queue":"a"`, `"queue":"a","delay":"1h","idempotency_key":"i"`, `"queue":"b"`)
	s.want(200, "POST", "/v1/queues/a/pause", "")
	if a := s.want(200, "POST", "/v1/queues/a/purge", `{"dry_run":true}`); a.text("status") != "dry_run" || a.field("id") != nil {
		t.Errorf("dry run %s", a.body)
	} else {
		a.counts(2, 0, 0)
	}
	if a := s.operation("/v1/queues/a/purge", ""); a.text("kind") != "purge" || a.text("filter", "queue") != "a" {
		t.Errorf("operation %s", a.body)
	} else {
		a.counts(2, 2, 0)
	}
	if got := s.statuses(ids); got != "cancelled purged, cancelled purged, pending" {
		t.Errorf("the jobs are %s", got)
	}
	s.operation("/v1/queues/a/purge", `{"dry_run":false}`).counts(0, 0, 0)
	s.want(404, "POST", "/v1/queues/c/purge", "")
	s.want(422, "POST", "/v1/queues/UP/purge", "")
	s.want(422, "POST", "/v1/queues/a/purge", `{"filter":{}}`)
}

func TestDryRun(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ids := s.enqueue(`"queue":"a"`, `"queue":"a","key":"k"`, `"queue":"b","key":"k"`, `"queue":"b","delay":"1h"`)
	s.operation("/v1/jobs/cancel", `{"filter":{"queue":"b"}}`)
	before := s.statuses(ids)
	for _, tt := range []struct {
		verb, filter string
		want         float64
	}{
		{"cancel", `{"queue":"a"}`, 2},
		{"cancel", `{"queue":"a","status":"pending"}`, 2},
		{"cancel", `{"queue":"a","status":"running"}`, 0},
		{"cancel", `{"queue":"a","key":"k"}`, 1},
		{"cancel", `{"all":true}`, 2},
		{"delete", `{"queue":"b"}`, 2},
		{"delete", `{"queue":"b","status":"cancelled"}`, 2},
		{"delete", `{"queue":"b","status":"dead"}`, 0},
		{"delete", `{"key":"k"}`, 1},
		{"retry", `{"all":true}`, 0},
		{"retry", `{"status":"cancelled"}`, 2},
	} {
		a := s.want(200, "POST", "/v1/jobs/"+tt.verb, `{"dry_run":true,"filter":`+tt.filter+`}`)
		if a.counts(tt.want, 0, 0); a.text("kind") != tt.verb || a.header.Get("Location") != "" {
			t.Errorf("%s %s: %s", tt.verb, tt.filter, a.body)
		}
	}
	if got := s.statuses(ids); got != before {
		t.Errorf("a dry run has changed jobs: %s", got)
	}
}

func TestBulkIsRefused(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ids := s.enqueue(`"queue":"a"`, `"queue":"a","delay":"1h"`)
	for _, tt := range []struct {
		verb, body, field string
	}{
		{"cancel", `{}`, "filter"},
		{"cancel", `{"filter":{}}`, "filter"},
		{"cancel", `{"filter":{"label":{}}}`, "filter"},
		{"cancel", `{"filter":{"all":false}}`, "filter"},
		{"cancel", `{"filter":null}`, "filter"},
		{"cancel", `{"filter":[]}`, "filter"},
		{"cancel", `{"filter":{"all":true,"queue":"a"}}`, "filter.all"},
		{"cancel", `{"filter":{"all":"yes"}}`, "filter.all"},
		{"cancel", `{"filter":{"status":"dead"}}`, "filter.status"},
		{"cancel", `{"filter":{"status":"waiting"}}`, "filter.status"},
		{"cancel", `{"filter":{"status":""}}`, "filter.status"},
		{"retry", `{"filter":{"status":"pending"}}`, "filter.status"},
		{"delete", `{"filter":{"status":"running"}}`, "filter.status"},
		{"delete", `{"filter":{"queue":"A"}}`, "filter.queue"},
		{"delete", `{"filter":{"queue":""}}`, "filter.queue"},
		{"delete", `{"filter":{"type":"` + strings.Repeat("x", 200) + `"}}`, "filter.type"},
		{"delete", `{"filter":{"key":"` + strings.Repeat("x", 257) + `"}}`, "filter.key"},
		{"delete", `{"filter":{"label":{"":"x"}}}`, "filter.label"},
		{"delete", `{"filter":{"label":"x:y"}}`, "filter.label"},
		{"delete", `{"filter":{"created_before":"yesterday"}}`, "filter.created_before"},
		{"delete", `{"filter":{"ids":["x"]}}`, "filter.ids"},
		{"delete", `{"filter":{"all":true},"dry_run":1}`, "dry_run"},
		{"delete", `{"filter":{"all":true},"wait":"1s"}`, "wait"},
	} {
		for _, dry := range []string{"", `,"dry_run":true`} {
			body := strings.TrimSuffix(tt.body, "}") + dry + "}"
			if dry == "" {
				body = tt.body
			} else if len(tt.body) < 3 || tt.field == "dry_run" {
				continue
			}
			if got := s.want(422, "POST", "/v1/jobs/"+tt.verb, body).problem(); !slices.Equal(got, []string{tt.field}) {
				t.Errorf("%s %s: the problem names %v", tt.verb, body, got)
			}
		}
	}
	a := s.want(422, "POST", "/v1/jobs/cancel", `{"filter":{}}`)
	if !strings.Contains(string(a.body), `{\"all\": true}`) {
		t.Errorf("it does not say how all jobs are meant: %s", a.body)
	}
	s.want(400, "POST", "/v1/jobs/cancel", `{"filter":`)
	s.want(400, "POST", "/v1/jobs/cancel", "")
	if got := s.statuses(ids); got != "pending, scheduled" {
		t.Errorf("the jobs are %s", got)
	}
	if a := s.want(200, "GET", "/v1/operations", ""); len(a.field("items").([]any)) != 0 {
		t.Errorf("operations %s", a.body)
	}
}

// nextMillisecond returns when the clock shows another millisecond.
func nextMillisecond() {
	for now := time.Now().UnixMilli(); time.Now().UnixMilli() == now; {
		runtime.Gosched()
	}
}

func TestOperations(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	var ids []string
	for i := range 5 {
		ids = append(ids, s.operation("/v1/jobs/delete", fmt.Sprintf(`{"filter":{"queue":"q%d"}}`, i)).text("id"))
		nextMillisecond() // ids sort by it
	}
	slices.Reverse(ids)
	var got []string
	for cursor, pages := "", 1; ; pages++ {
		a := s.want(200, "GET", "/v1/operations?limit=2&cursor="+cursor, "")
		for _, item := range a.field("items").([]any) {
			got = append(got, item.(map[string]any)["id"].(string))
		}
		if cursor = a.text("next_cursor"); cursor == "" {
			if pages != 3 {
				t.Errorf("%d pages", pages)
			}
			break
		}
	}
	if !slices.Equal(got, ids) {
		t.Errorf("operations %v, want %v", got, ids)
	}
	a := s.want(409, "POST", "/v1/operations/"+ids[0]+"/cancel", "")
	if a.problem(); a.text("code") != "state_forbids" {
		t.Errorf("problem %s", a.body)
	}
	for _, id := range []string{"x", "op_", ids[0] + "0", "op_0000000000000000000000000u", strings.ToUpper(ids[0]), "op_00000000000000000000000000"} {
		s.want(404, "GET", "/v1/operations/"+id, "")
		s.want(404, "POST", "/v1/operations/"+id+"/cancel", "")
	}
	s.want(422, "GET", "/v1/operations/"+ids[0]+"?wait=x", "")
	s.want(422, "GET", "/v1/operations?limit=2000", "")
	s.want(422, "GET", "/v1/operations?cursor=x", "")
}

func TestOperationsAreAuthorised(t *testing.T) {
	t.Parallel()
	s := locked(t)
	ids := s.enqueue(`"queue":"billing.a"`, `"queue":"billing.b"`, `"queue":"other"`)
	root := s.key
	all := s.operation("/v1/jobs/delete", `{"filter":{"all":true}}`).text("id")
	other := s.operation("/v1/queues/other/purge", "").text("id")
	billing := s.operation("/v1/jobs/delete", `{"filter":{"queue":"billing.a"}}`).text("id")
	keys, keyIDs := map[string]string{}, map[string]string{}
	for _, scope := range []string{"read", "jobs:write", "workers:write", "admin", "read@billing.*", "jobs:write@billing.*", "admin@billing.*"} {
		keys[scope], keyIDs[scope] = s.makeKey(scope)
	}
	for _, tt := range []struct {
		scope string
		// What a bulk over all queues, one over a queue of its own, one over a
		// queue of another and a purge of each are answered with.
		all, own, foreign, purge, purgeForeign int
		sees                                   []string
	}{
		{"read", 403, 403, 403, 403, 403, []string{billing, other, all}},
		{"jobs:write", 202, 202, 202, 202, 202, []string{billing, other, all}},
		{"admin", 202, 202, 202, 202, 202, []string{billing, other, all}},
		{"workers:write", 403, 403, 403, 403, 403, nil},
		{"read@billing.*", 403, 403, 403, 403, 403, []string{billing}},
		{"jobs:write@billing.*", 403, 202, 403, 202, 403, []string{billing}},
		{"admin@billing.*", 403, 202, 403, 202, 403, []string{billing}},
	} {
		t.Run(tt.scope, func(t *testing.T) {
			s := *s
			s.t, s.key = t, keys[tt.scope]
			seen := func() (ids []string) {
				a := s.call("GET", "/v1/operations", "")
				if a.status == 403 {
					return nil
				}
				for _, item := range a.field("items").([]any) {
					ids = append(ids, item.(map[string]any)["id"].(string))
				}
				return ids
			}
			visible := slices.DeleteFunc(seen(), func(id string) bool { return !slices.Contains([]string{billing, other, all}, id) })
			if !slices.Equal(visible, tt.sees) {
				t.Errorf("it sees %v, want %v", visible, tt.sees)
			}
			for _, id := range []string{billing, other, all} {
				want, cancel := 404, 404
				if slices.Contains(tt.sees, id) {
					want, cancel = 200, 409 // it is over
					if strings.HasPrefix(tt.scope, "read") {
						cancel = 403
					}
				}
				s.want(want, "GET", "/v1/operations/"+id, "")
				s.want(cancel, "POST", "/v1/operations/"+id+"/cancel", "")
			}
			for _, verb := range []string{"cancel", "retry", "delete"} {
				const none = `,"created_before":"2020-01-01T00:00:00Z"}` // so that nothing is changed
				for filter, want := range map[string]int{`{"type":"t"`: tt.all, `{"queue":"billing.a"`: tt.own, `{"queue":"other"`: tt.foreign} {
					a := s.want(want, "POST", "/v1/jobs/"+verb, `{"filter":`+filter+none+`}`)
					if want == 202 { // only so many may run at once
						s.want(200, "GET", a.header.Get("Location")+"?wait=30s", "")
					}
				}
				for filter, want := range map[string]int{`{"all":true}`: tt.all, `{"queue":"billing.a"}`: tt.own, `{"queue":"other"}`: tt.foreign} {
					s.want(map[int]int{202: 200, 403: 403}[want], "POST", "/v1/jobs/"+verb, `{"dry_run":true,"filter":`+filter+`}`)
				}
			}
			s.want(map[int]int{202: 200, 403: 403}[tt.purge], "POST", "/v1/queues/billing.b/purge", `{"dry_run":true}`)
			s.want(map[int]int{202: 200, 403: 403}[tt.purgeForeign], "POST", "/v1/queues/other/purge", `{"dry_run":true}`)
			s.want(tt.purgeForeign, "POST", "/v1/queues/other/purge", "")
		})
	}
	s.key = root
	if got := s.statuses(ids); got != "pending, pending, cancelled purged" {
		t.Errorf("the jobs are %s", got)
	}
	s.key = keys["jobs:write@billing.*"]
	if a := s.want(202, "POST", "/v1/queues/billing.b/purge", ""); a.text("by") != keyIDs["jobs:write@billing.*"] {
		t.Errorf("begun by %q", a.text("by"))
	}
	s.key = ""
	s.want(401, "POST", "/v1/jobs/cancel", `{"filter":{"all":true}}`)
	s.want(401, "POST", "/v1/queues/other/purge", "")
	s.want(401, "GET", "/v1/operations", "")
}
