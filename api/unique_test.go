package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// uniqueJob is a job of queue q that is unique as the text says.
func uniqueJob(unique, more string) string {
	return `{"type":"t","queue":"q","unique":` + unique + more + `}`
}

func TestUnique(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	first := s.want(202, "POST", "/v1/jobs", uniqueJob(`{}`, `,"payload":1`))
	again := s.want(200, "POST", "/v1/jobs", uniqueJob(`{}`, `,"payload":1`))
	if again.text("id") != first.text("id") || again.field("existing") != true || again.header.Get("Location") != first.header.Get("Location") {
		t.Errorf("again: %s", again.body)
	}
	rejected := s.want(409, "POST", "/v1/jobs", uniqueJob(`{"on_conflict":"reject"}`, `,"payload":1`))
	if rejected.problem(); rejected.text("code") != "unique_conflict" || rejected.text("job") != first.text("id") || !strings.Contains(rejected.text("detail"), first.text("id")) {
		t.Errorf("rejected: %s", rejected.body)
	}
	// Another payload, spacing, content type, key, type and queue are other contents.
	for _, body := range []string{
		uniqueJob(`{}`, `,"payload":2`), uniqueJob(`{}`, `,"payload":[1 ]`), uniqueJob(`{}`, `,"payload":[1]`), uniqueJob(`{}`, `,"payload":1,"content_type":"a/b+json"`), uniqueJob(`{}`, `,"payload":1,"key":"k"`),
		`{"type":"u","queue":"q","payload":1,"unique":{}}`, `{"type":"t","queue":"p","payload":1,"unique":{}}`, `{"type":"t","queue":"q","payload":1}`,
	} {
		s.want(202, "POST", "/v1/jobs", body)
	}
	if a := s.want(200, "POST", "/v1/jobs", uniqueJob(`{}`, `,"body_base64":"MQ==","content_type":"application/json"`)); a.text("id") != first.text("id") {
		t.Errorf("the same bytes in another form: %s", a.body)
	}
	// Once it has ended, another one is stored; what was read of it stays.
	s.want(200, "POST", "/v1/jobs/"+first.text("id")+"/cancel", "")
	second := s.want(202, "POST", "/v1/jobs", uniqueJob(`{"until":"ttl","ttl":"90s","by":["payload","type"],"on_conflict":"reject"}`, `,"payload":1`))
	shown := s.want(200, "GET", "/v1/jobs/"+second.text("id"), "")
	if got, _ := json.Marshal(shown.field("unique")); string(got) != `{"by":["type","payload"],"on_conflict":"reject","ttl":"1m30s","until":"ttl"}` {
		t.Errorf("shown as unique: %s", got)
	}
	// By its ttl it is held after its end too, and by the deletion no more.
	s.want(200, "POST", "/v1/jobs/"+second.text("id")+"/cancel", "")
	held := s.want(200, "POST", "/v1/jobs", uniqueJob(`{"by":["type","payload"]}`, `,"payload":1`))
	if held.text("id") != second.text("id") || held.text("status") != "cancelled" {
		t.Errorf("after its end: %s", held.body)
	}
	s.want(409, "POST", "/v1/jobs", uniqueJob(`{"by":["type","payload"],"on_conflict":"replace"}`, `,"payload":1`))
	s.want(204, "DELETE", "/v1/jobs/"+second.text("id"), "")
	s.want(202, "POST", "/v1/jobs", uniqueJob(`{"by":["type","payload"]}`, `,"payload":1`))
}

func TestUniqueReplace(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	replace := `{"by":["type"],"on_conflict":"replace"}`
	first := s.want(202, "POST", "/v1/jobs", uniqueJob(replace, `,"payload":1,"delay":"1h"`))
	body := uniqueJob(replace, `,"payload":2,"idempotency_key":"k"`)
	second := s.want(202, "POST", "/v1/jobs", body)
	if second.text("id") == first.text("id") || second.field("existing") != nil {
		t.Fatalf("the second one: %s", second.body)
	}
	was := s.want(200, "GET", "/v1/jobs/"+first.text("id"), "")
	if was.text("status") != "cancelled" || was.text("reason") != "replaced" || was.text("replaced_by") != second.text("id") {
		t.Errorf("the first one: %s", was.body)
	}
	if is := s.want(200, "GET", "/v1/jobs/"+second.text("id"), ""); is.field("payload") != 2.0 || is.text("status") != "pending" {
		t.Errorf("it is stored as %s", is.body)
	}
	explained := s.want(200, "GET", "/v1/jobs/"+first.text("id")+"/explain", "")
	if !strings.Contains(string(explained.body), "replaced_by") {
		t.Errorf("why it has ended: %s", explained.body)
	}
	// Its idempotency key is looked at first, and leads to it as ever.
	if a := s.want(200, "POST", "/v1/jobs", body); a.text("id") != second.text("id") {
		t.Errorf("repeated: %s", a.body)
	}
	s.want(422, "POST", "/v1/jobs", uniqueJob(replace, `,"payload":3,"idempotency_key":"k"`))
	// A queue that is full has room for a replacement.
	s.want(201, "PUT", "/v1/queues/q", `{"max_pending":1}`)
	third := s.want(202, "POST", "/v1/jobs", uniqueJob(replace, `,"payload":3`))
	s.want(429, "POST", "/v1/jobs", `{"type":"t","queue":"q"}`)
	// The one that was replaced runs again beside it, on demand.
	s.want(200, "POST", "/v1/jobs/"+first.text("id")+"/retry", "")
	if a := s.want(200, "GET", "/v1/jobs/"+first.text("id"), ""); a.field("replaced_by") != nil {
		t.Errorf("run again: %s", a.body)
	}
	if a := s.want(200, "POST", "/v1/jobs", uniqueJob(`{"by":["type"]}`, "")); a.text("id") != third.text("id") {
		t.Errorf("the lock is that of %s, not of %s", a.text("id"), third.text("id"))
	}
}

func TestUniqueWhileRunning(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	pushed, release := make(chan struct{}, 10), make(chan struct{})
	worker := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		pushed <- struct{}{}
		<-release
	}))
	t.Cleanup(worker.Close)
	t.Cleanup(func() { close(release) })
	s.want(201, "PUT", "/v1/workers/w", `{"url":"`+worker.URL+`","queues":["q"],"concurrency":2}`)
	replace := uniqueJob(`{"on_conflict":"replace"}`, "")
	running := s.want(202, "POST", "/v1/jobs", replace)
	<-pushed
	refused := s.want(409, "POST", "/v1/jobs", replace)
	if refused.problem(); refused.text("code") != "unique_conflict" || refused.text("job") != running.text("id") {
		t.Errorf("while it runs: %s", refused.body)
	}
	// One that is unique until it has started gives way.
	until := uniqueJob(`{"by":["type","payload"],"until":"started"}`, "")
	started := s.want(202, "POST", "/v1/jobs", until)
	<-pushed
	next := s.want(202, "POST", "/v1/jobs", until)
	if next.text("id") == started.text("id") {
		t.Errorf("once it runs: %s", next.body)
	}
	if a := s.want(200, "POST", "/v1/jobs", until); a.text("id") != next.text("id") {
		t.Errorf("the one that waits: %s", a.body)
	}
}

func TestUniqueInABatch(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.want(201, "PUT", "/v1/queues/q", `{"concurrency":1}`)
	jobs := []string{
		0: uniqueJob(`{}`, ``),
		1: uniqueJob(`{}`, ``),
		2: uniqueJob(`{"on_conflict":"reject"}`, ``),
		3: uniqueJob(`{"on_conflict":"replace"}`, ``),
		4: uniqueJob(`{"on_conflict":"replace"}`, `,"idempotency_key":"k"`),
		5: uniqueJob(`{"on_conflict":"replace"}`, `,"idempotency_key":"k"`),
		6: uniqueJob(`{}`, `,"payload":2`),
		7: `{"type":"t","queue":"q"}`,
		8: uniqueJob(`{"until":"ttl"}`, ``),
	}
	a := s.want(202, "POST", "/v1/jobs/batch", `{"jobs":[`+strings.Join(jobs, ",")+`]}`)
	var got struct {
		Results []struct {
			ID       string `json:"id"`
			Existing bool   `json:"existing"`
			Error    *struct {
				Status int    `json:"status"`
				Job    string `json:"job"`
				Errors []struct{ Field string }
			}
		}
	}
	if err := json.Unmarshal(a.body, &got); err != nil {
		t.Fatal(err)
	}
	r := got.Results
	if len(r) != len(jobs) || r[1].ID != r[0].ID || !r[1].Existing || r[2].Error == nil || r[2].Error.Status != 409 || r[2].Error.Job != r[0].ID {
		t.Errorf("return and reject: %s", a.body)
	}
	stored := map[string]bool{}
	for _, i := range []int{0, 3, 4, 6, 7} {
		if r[i].Error != nil || r[i].Existing || stored[r[i].ID] {
			t.Errorf("job %d: %+v", i, r[i])
		}
		stored[r[i].ID] = true
	}
	if r[5].ID != r[4].ID || !r[5].Existing {
		t.Errorf("the repetition of a replacement: %+v", r[5])
	}
	if e := r[8].Error; e == nil || e.Status != 422 || e.Errors[0].Field != "jobs[8].unique.ttl" {
		t.Errorf("a wrong one: %+v", r[8])
	}
	waiting := 0
	for id := range stored {
		if s.want(200, "GET", "/v1/jobs/"+id, "").text("status") == "pending" {
			waiting++
		}
	}
	if waiting != 3 {
		t.Errorf("%d of the jobs wait, want one of each content and one that is not unique", waiting)
	}
}

// Many at once, some of them repeated: in the end one waits, and all others were
// replaced, each by one.
func TestUniqueReplaceConcurrently(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	var mu sync.Mutex
	ids := map[string]bool{}
	var all sync.WaitGroup
	for i := range 12 {
		body := uniqueJob(`{"by":["type"],"on_conflict":"replace"}`, fmt.Sprintf(`,"payload":%d,"idempotency_key":"k%d"`, i/2, i/2))
		all.Go(func() {
			for {
				w := httptest.NewRecorder()
				s.handler.ServeHTTP(w, request("POST", "/v1/jobs", body))
				var receipt struct{ ID string }
				switch err := json.Unmarshal(w.Body.Bytes(), &receipt); {
				case err != nil:
					t.Error(err)
				case w.Code == 409 || w.Code == 503:
					continue
				case w.Code != 202 && w.Code != 200:
					t.Errorf("%d %s", w.Code, w.Body)
				}
				mu.Lock()
				defer mu.Unlock()
				ids[receipt.ID] = true
				return
			}
		})
	}
	all.Wait()
	if len(ids) != 6 || s.count() != 6 {
		t.Errorf("%d jobs were answered, %d are stored, want 6", len(ids), s.count())
	}
	waiting := 0
	for id := range ids {
		a := s.want(200, "GET", "/v1/jobs/"+id, "")
		switch {
		case a.text("status") == "pending":
			waiting++
		case a.text("reason") != "replaced" || !ids[a.text("replaced_by")]:
			t.Errorf("%s", a.body)
		}
	}
	if waiting != 1 {
		t.Errorf("%d jobs wait, want 1", waiting)
	}
}
