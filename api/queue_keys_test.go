package api_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
)

func TestKeyLimits(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.want(201, "PUT", "/v1/queues/q", `{"key_concurrency":3,"key_rate":{"limit":5,"period":"1m","burst":2},"after_lost":"wait"}`)
	if a.field("key_concurrency") != 3.0 || a.text("after_lost") != "wait" || a.field("on_dead") != nil {
		t.Errorf("limits: %s", a.body)
	}
	a = s.want(200, "PUT", "/v1/queues/q", `{"key_concurrency":1,"on_dead":"block"}`)
	if a.field("key_concurrency") != 1.0 || a.text("after_lost") != "wait" || a.text("on_dead") != "block" || a.field("key_rate") != nil {
		t.Errorf("order: %s", a.body)
	}
}

// The order of a queue's keys is decided while nothing waits in it.
func TestOrderChangesWhileNothingWaits(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.want(202, "POST", "/v1/jobs", `{"queue":"q","type":"t","key":"k"}`)
	if a := s.want(409, "PUT", "/v1/queues/q", `{"key_concurrency":1}`); a.text("code") != "queue_not_empty" {
		t.Errorf("a queue with a job: %s", a.body)
	}
	s.want(201, "PUT", "/v1/queues/q", `{"key_concurrency":2}`)
	s.want(201, "PUT", "/v1/queues/o", `{"key_concurrency":1}`)
	s.want(202, "POST", "/v1/jobs", `{"queue":"o","type":"t","key":"k"}`)
	s.want(409, "PATCH", "/v1/queues/o", `{"key_concurrency":null}`)
	s.want(200, "PATCH", "/v1/queues/o", `{"concurrency":7}`)
}

func TestPinnedKeys(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	const path = "/v1/queues/q/keys/tenants%2F7"
	s.want(201, "PUT", path, `{"concurrency":2,"rate":{"limit":60,"period":"1m","burst":3}}`)
	a := s.want(200, "GET", path, "")
	if a.text("key") != "tenants/7" || a.field("pinned") != true || a.field("concurrency") != 2.0 || a.field("tokens") != 3.0 || a.field("depth") != 0.0 {
		t.Errorf("pinned: %s", a.body)
	}
	s.want(200, "PUT", path, `{"paused":true,"reason":"down"}`)
	s.want(202, "POST", "/v1/jobs", `{"queue":"q","type":"t","key":"tenants/7"}`)
	a = s.want(200, "GET", path, "")
	if a.text("blocked_by") != "paused" || a.text("reason") != "down" || a.field("depth") != 1.0 || a.field("concurrency") != nil {
		t.Errorf("paused: %s", a.body)
	}
	var list struct{ Items []map[string]any }
	if err := json.Unmarshal(s.want(200, "GET", "/v1/queues/q/keys", "").body, &list); err != nil || len(list.Items) != 1 {
		t.Errorf("list: %v, %v", list, err)
	}
	s.want(412, "DELETE", path, "", "If-Match", `"999"`)
	s.want(204, "DELETE", path, "")
	s.want(404, "DELETE", path, "")
	if a = s.want(200, "GET", path, ""); a.field("pinned") != false || a.field("blocked_by") != nil {
		t.Errorf("unpinned: %s", a.body)
	}
	s.want(201, "PUT", "/v1/queues/o", `{"key_concurrency":1}`)
	if a := s.want(422, "PUT", "/v1/queues/o/keys/k", `{"concurrency":2}`); !slices.Equal(a.problem(), []string{"concurrency"}) {
		t.Errorf("more than one at once in order: %s", a.body)
	}
}

// recorder is a worker that notes which jobs begin and whether two of one key
// overlap. It fails each job the first time.
type recorder struct {
	mu      sync.Mutex
	running map[string]bool
	seen    map[string]bool
	ended   []string
	overlap bool
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	key, job := req.Header.Get("orchestrix-key"), string(body)
	r.mu.Lock()
	r.overlap = r.overlap || r.running[key]
	r.running[key] = true
	again := r.seen[job]
	r.seen[job] = true
	r.mu.Unlock()
	r.mu.Lock()
	r.running[key] = false
	if again {
		r.ended = append(r.ended, job)
	}
	r.mu.Unlock()
	if !again {
		w.WriteHeader(http.StatusInternalServerError)
	}
}

// The jobs of a key run one after the other, as they were enqueued, whatever
// their priority and though each fails once.
func TestKeysKeepTheirOrder(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	r := &recorder{running: make(map[string]bool), seen: make(map[string]bool)}
	worker := httptest.NewServer(r)
	defer worker.Close()
	s.want(201, "PUT", "/v1/workers/w", `{"url":"`+worker.URL+`","queues":["q"],"circuit":{"mode":"off"}}`)
	s.want(201, "PUT", "/v1/queues/q", `{"key_concurrency":1,"retry":{"backoff":"fixed","initial_delay":"20ms"}}`)
	const jobs, keys = 24, 3
	var last [keys]string
	for i := range jobs {
		priority := []string{"low", "critical", "normal"}[i%3]
		a := s.want(202, "POST", "/v1/jobs", fmt.Sprintf(`{"queue":"q","type":"t","key":"k%d","priority":%q,"payload":%d,"delay":"%dms"}`, i%keys, priority, i, 10*(jobs-i)))
		last[i%keys] = a.text("id")
	}
	for _, id := range last {
		if a := s.want(200, "GET", "/v1/jobs/"+id+"?wait=30s", ""); a.text("status") != "succeeded" {
			t.Fatalf("the last job of a key: %s", a.body)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var next [keys]int
	for _, job := range r.ended {
		var i int
		fmt.Sscan(job, &i)
		if want := next[i%keys]*keys + i%keys; i != want {
			t.Errorf("job %d ended where %d is next: %v", i, want, r.ended)
		}
		next[i%keys]++
	}
	if r.overlap || len(r.ended) != jobs {
		t.Errorf("overlap %v, %d of %d jobs ended", r.overlap, len(r.ended), jobs)
	}
}
