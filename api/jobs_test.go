package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/orchestrix/orchestrix/job"
)

func TestEnqueueAndRead(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.want(202, "POST", "/v1/jobs", `{"queue":"billing","type":"invoice.send","payload":{"b":1, "a":[1.0,"é"]},"key":"acme","priority":"high",
		"labels":{"team":"a"},"headers":{"x-trace":"1","authorization":"Bearer t"},"retry":{"max_attempts":3,"delays":["1s","2d"],"backoff":"list"},"timeout":"10s","expires_at":"2040-01-01T00:00:00Z"}`)
	id := a.text("id")
	if _, err := job.ParseID(id); err != nil || a.text("status") != "pending" || a.text("queue") != "billing" || a.text("durability") != "memory" {
		t.Errorf("answer %s", a.body)
	}
	if got := a.header.Get("Location"); got != "/v1/jobs/"+id {
		t.Errorf("Location %q", got)
	}
	got := s.want(200, "GET", "/v1/jobs/"+id, "")
	var j map[string]any
	if err := json.Unmarshal(got.body, &j); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"type": "invoice.send", "key": "acme", "priority": "high", "timeout": "10s", "status": "pending", "payload_size": 23.0, "attempt": 0.0,
	} {
		if j[name] != want {
			t.Errorf("%s = %v, want %v", name, j[name], want)
		}
	}
	if payload, _ := json.Marshal(j["payload"]); string(payload) != `{"a":[1,"é"],"b":1}` {
		t.Errorf("payload %s", payload)
	}
	if h := j["headers"].(map[string]any); h["X-Trace"] != "1" || h["Authorization"] != "[redacted]" {
		t.Errorf("headers %v", h)
	}
	if a := s.want(200, "GET", "/v1/jobs/"+id+"?payload=false", ""); a.field("payload") != nil {
		t.Error("the payload is there although it was not wanted")
	}
}

func TestPayloadIsKeptAsItWasSent(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, payload := range []string{`null`, `"text"`, `12.50`, `{ "a" : 1 , "a" : 2 }`, "[1,\n 2]", `"\u00e9\ud83d"`, `1e400`, `true`} {
		for _, path := range []string{"/v1/jobs", "/v1/jobs/batch"} {
			body := `{"type":"t","payload": ` + payload + ` }`
			var id string
			if path == "/v1/jobs" {
				id = s.want(202, "POST", path, body).text("id")
			} else {
				a := s.want(202, "POST", path, `{"jobs":[`+body+`]}`)
				id = a.field("results").([]any)[0].(map[string]any)["id"].(string)
			}
			parsed, err := job.ParseID(id)
			if err != nil {
				t.Fatal(err)
			}
			stored, err := s.store.Payload(t.Context(), parsed)
			if err != nil || string(stored) != payload {
				t.Errorf("sent %s, stored %s, %v", payload, stored, err)
			}
		}
	}
}

func TestAbsentPayloadIsNull(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	id, err := job.ParseID(s.want(202, "POST", "/v1/jobs", `{"type":"t"}`).text("id"))
	if err != nil {
		t.Fatal(err)
	}
	if stored, err := s.store.Payload(t.Context(), id); err != nil || string(stored) != "null" {
		t.Errorf("stored %q, %v", stored, err)
	}
}

func TestDelays(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, body := range []string{`{"type":"t","delay":"1h"}`, `{"type":"t","run_at":"2098-01-01T00:00:00.123456Z"}`} {
		if body == `{"type":"t","run_at":"2098-01-01T00:00:00.123456Z"}` {
			s.want(422, "POST", "/v1/jobs", body) // more than ten years ahead
			continue
		}
		a := s.want(202, "POST", "/v1/jobs", body)
		if a.text("status") != "scheduled" || a.text("run_at") == "" {
			t.Errorf("%s answered %s", body, a.body)
		}
		if got := s.want(200, "GET", "/v1/jobs/"+a.text("id"), ""); got.text("status") != "scheduled" || got.text("next_attempt_at") == "" {
			t.Errorf("%s reads %s", body, got.body)
		}
	}
	if a := s.want(202, "POST", "/v1/jobs", `{"type":"t","run_at":"2001-01-01T00:00:00Z"}`); a.text("status") != "pending" {
		t.Errorf("a past run_at answered %s", a.body)
	}
}

func TestIdempotency(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	body := `{"type":"t","queue":"q","payload":1,"idempotency_key":"k"}`
	first := s.want(202, "POST", "/v1/jobs", body)
	again := s.want(200, "POST", "/v1/jobs", body)
	if again.text("id") != first.text("id") || again.field("existing") != true {
		t.Errorf("repeated: %s, first: %s", again.body, first.body)
	}
	reused := s.want(422, "POST", "/v1/jobs", `{"type":"t","queue":"q","payload":2,"idempotency_key":"k"}`)
	if reused.text("code") != "idempotency_key_reused" || reused.problem()[0] != "idempotency_key" {
		t.Errorf("reused: %s", reused.body)
	}
	if a := s.want(202, "POST", "/v1/jobs", `{"type":"t","queue":"other","payload":2,"idempotency_key":"k"}`); a.text("id") == first.text("id") {
		t.Error("the key is not scoped to its queue")
	}
	header := s.want(202, "POST", "/v1/jobs", `{"type":"t","queue":"q"}`, "Idempotency-Key", "h")
	if a := s.want(200, "POST", "/v1/jobs", `{"type":"t","queue":"q"}`, "Idempotency-Key", "h"); a.text("id") != header.text("id") {
		t.Error("the header is not a key")
	}
	if a := s.want(422, "POST", "/v1/jobs", body, "Idempotency-Key", "different"); a.problem()[0] != "idempotency_key" {
		t.Errorf("two keys: %s", a.body)
	}
	batch := s.want(202, "POST", "/v1/jobs/batch", `{"jobs":[`+body+`,{"type":"t","queue":"q","payload":9,"idempotency_key":"k"}]}`)
	results := batch.field("results").([]any)
	if r := results[0].(map[string]any); r["id"] != first.text("id") || r["existing"] != true {
		t.Errorf("in a batch: %v", r)
	}
	if r := results[1].(map[string]any)["error"].(map[string]any); r["code"] != "idempotency_key_reused" {
		t.Errorf("reused in a batch: %v", r)
	}
}

func TestIdempotencyConcurrently(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ids := make([]string, 32)
	var all sync.WaitGroup
	for i := range ids {
		all.Go(func() {
			w := httptest.NewRecorder()
			s.handler.ServeHTTP(w, request("POST", "/v1/jobs", `{"type":"t","idempotency_key":"same"}`))
			var r struct{ ID string }
			if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil || (w.Code != 200 && w.Code != 202) {
				t.Errorf("status %d: %s", w.Code, w.Body)
			}
			ids[i] = r.ID
		})
	}
	all.Wait()
	for _, id := range ids {
		if id != ids[0] || id == "" {
			t.Fatalf("one key made %v", ids)
		}
	}
	if n := s.count(); n != 1 {
		t.Errorf("%d jobs are stored, want 1", n)
	}
}

func TestBatch(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.want(202, "POST", "/v1/jobs/batch", `{"jobs":[
		{"type":"t","queue":"a"},
		{"type":"","queue":"b"},
		{"type":"t","queue":"c","retry":{"max_attempts":0,"foo":1}},
		{"type":"t","queue":"d","delay":"1h"},
		{"type":"t","queue":"UPPER"},
		{"type":"t","url":"ftp://x"},
		17,
		{"type":"t","queue":"e"}]}`)
	results := a.field("results").([]any)
	want := []string{"pending", "jobs[1].type", "jobs[2].retry.max_attempts", "scheduled", "jobs[4].queue", "jobs[5].url", "jobs[6]", "pending"}
	if len(results) != len(want) {
		t.Fatalf("answer %s", a.body)
	}
	for i, w := range want {
		r := results[i].(map[string]any)
		got, _ := r["status"].(string)
		if e, ok := r["error"].(map[string]any); ok {
			got = e["errors"].([]any)[0].(map[string]any)["field"].(string)
		}
		if got != w {
			t.Errorf("result %d = %v, want %s", i, r, w)
		}
	}
	if n := s.count(); n != 3 {
		t.Errorf("%d jobs are stored, want 3", n)
	}
	if a := s.want(202, "POST", "/v1/jobs/batch", `{"jobs":[]}`); len(a.field("results").([]any)) != 0 {
		t.Errorf("an empty batch answered %s", a.body)
	}
}

func TestListPages(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	var made []string
	for i := range 25 {
		body := fmt.Sprintf(`{"type":"t%d","queue":"q%d","key":"k","labels":{"n":"%d","odd":"%t"}}`, i%2, i%3, i, i%2 == 1)
		made = append([]string{s.want(202, "POST", "/v1/jobs", body).text("id")}, made...)
	}
	walk := func(query string, limit int) (ids []string) {
		for cursor := ""; ; {
			a := s.want(200, "GET", fmt.Sprintf("/v1/jobs?limit=%d&cursor=%s&%s", limit, cursor, query), "")
			for _, item := range a.field("items").([]any) {
				v := item.(map[string]any)
				ids = append(ids, v["id"].(string))
				if v["payload"] != nil || v["attempts"] != nil || v["result"] != nil {
					t.Errorf("a list holds %v", v)
				}
			}
			if cursor = a.text("next_cursor"); cursor == "" {
				return ids
			}
		}
	}
	// Ids of one millisecond are in no order of their own; sets are compared.
	for _, limit := range []int{1, 7, 25, 1000} {
		got := walk("", limit)
		if !sameSet(got, made) || !descending(got) {
			t.Errorf("limit %d: %d jobs, want %d once each, newest first", limit, len(got), len(made))
		}
	}
	for query, want := range map[string]int{
		"queue=q0": 9, "type=t1": 12, "key=k": 25, "key=other": 0, "label=odd:true": 12, "label=odd:true&label=n:3": 1, "label=n:x:y": 0,
		"status=pending": 25, "status=running": 0, "status=succeeded": 0, "queue=q1&status=pending&type=t0": 4,
		"created_after=2099-01-01T00:00:00Z": 0, "created_before=2099-01-01T00:00:00Z": 25, "created_before=2020-01-01T00:00:00Z": 0,
	} {
		if got := walk(query, 5); len(got) != want {
			t.Errorf("%s lists %d jobs, want %d", query, len(got), want)
		}
	}
}

func sameSet(a, b []string) bool {
	seen := map[string]int{}
	for _, x := range a {
		seen[x]++
	}
	for _, x := range b {
		seen[x]--
	}
	for _, n := range seen {
		if n != 0 {
			return false
		}
	}
	return true
}

func descending(ids []string) bool {
	for i := 1; i < len(ids); i++ {
		if ids[i] >= ids[i-1] {
			return false
		}
	}
	return true
}

func TestListRefuses(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for range 3 {
		s.want(202, "POST", "/v1/jobs", `{"type":"t","queue":"q"}`)
	}
	cursor := s.want(200, "GET", "/v1/jobs?limit=1&queue=q", "").text("next_cursor")
	s.want(200, "GET", "/v1/jobs?limit=2&queue=q&cursor="+cursor, "")
	other := "x"
	if cursor[0] == 'x' {
		other = "y"
	}
	for query, field := range map[string]string{
		"limit=1&cursor=" + cursor:                 "cursor", // of another query
		"queue=q&cursor=" + cursor[:len(cursor)-1]: "cursor",
		"queue=q&cursor=" + other + cursor[1:]:     "cursor",
		"cursor=%21":                               "cursor",
		"limit=0":                                  "limit",
		"limit=1001":                               "limit",
		"limit=x":                                  "limit",
		"status=waiting":                           "status",
		"queue=UPPER":                              "queue",
		"type=a%20b":                               "type",
		"label=novalue":                            "label",
		"label=" + "bad%20key:1":                   "label",
		"created_after=yesterday":                  "created_after",
		"unknown=1":                                "unknown",
	} {
		a := s.want(422, "GET", "/v1/jobs?"+query, "")
		if fields := a.problem(); len(fields) == 0 || fields[0] != field {
			t.Errorf("%s names %v, want %s", query, fields, field)
		}
	}
}

func TestPushWaitAndCommands(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	worker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("Orchestrix-Job-Type") {
		case "json":
			w.Header().Set("Content-Type", "application/json")
			w.Write([]byte(`{"done": true}`))
		case "binary":
			w.Write([]byte{0xff, 0xfe})
		default:
			w.Write([]byte("plain ü"))
		}
	}))
	defer worker.Close()
	s.want(201, "PUT", "/v1/workers/w", `{"url":"`+worker.URL+`","queues":["q"]}`)
	for kind, want := range map[string]string{"json": `{"done":true}`, "binary": `"//4="`, "text": `"plain ü"`} {
		id := s.want(202, "POST", "/v1/jobs", `{"type":"`+kind+`","queue":"q"}`).text("id")
		a := s.want(200, "GET", "/v1/jobs/"+id+"?wait=20s", "")
		var v struct {
			Status   string
			Result   json.RawMessage
			Attempts []struct {
				Outcome    string
				StatusCode int `json:"status_code"`
				Worker     string
			}
		}
		if err := json.Unmarshal(a.body, &v); err != nil || v.Status != "succeeded" || string(v.Result) != want || len(v.Attempts) != 1 ||
			v.Attempts[0].Outcome != "succeeded" || v.Attempts[0].StatusCode != http.StatusOK || v.Attempts[0].Worker != "w" {
			t.Errorf("%s: %s", kind, a.body)
		}
		s.want(409, "POST", "/v1/jobs/"+id+"/cancel", "")
		s.want(409, "POST", "/v1/jobs/"+id+"/run-now", "")
		if a := s.want(200, "POST", "/v1/jobs/"+id+"/retry", ""); a.field("incarnation") != 1.0 {
			t.Errorf("retried: %s", a.body)
		}
		if a := s.want(200, "GET", "/v1/jobs/"+id+"?wait=20s", ""); a.text("status") != "succeeded" || a.field("attempt") != 2.0 {
			t.Errorf("after the retry: %s", a.body)
		}
		s.want(204, "DELETE", "/v1/jobs/"+id, "")
		s.want(404, "GET", "/v1/jobs/"+id, "")
	}
}

func TestCommandsByState(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	id := s.want(202, "POST", "/v1/jobs", `{"type":"t","queue":"q","delay":"1h"}`).text("id")
	s.want(409, "POST", "/v1/jobs/"+id+"/retry", "")
	s.want(409, "DELETE", "/v1/jobs/"+id, "")
	if a := s.want(200, "POST", "/v1/jobs/"+id+"/run-now", ""); a.text("status") != "pending" {
		t.Errorf("run now: %s", a.body)
	}
	if a := s.want(200, "POST", "/v1/jobs/"+id+"/cancel", ""); a.text("status") != "cancelled" || a.text("reason") != "cancelled" {
		t.Errorf("cancel: %s", a.body)
	}
	s.want(409, "POST", "/v1/jobs/"+id+"/cancel", "")
	for _, missing := range []string{"job_00000000000000000000000000", "job_7zzzzzzzzzzzzzzzzzzzzzzzzz", "nonsense", "job_0"} {
		for _, verb := range []string{"cancel", "retry", "run-now"} {
			s.want(404, "POST", "/v1/jobs/"+missing+"/"+verb, "").problem()
		}
		s.want(404, "DELETE", "/v1/jobs/"+missing, "").problem()
		s.want(404, "GET", "/v1/jobs/"+missing, "").problem()
	}
	s.want(422, "GET", "/v1/jobs/"+id+"?wait=soon", "").problem()
}
