package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/control"
	"github.com/orchestrix/orchestrix/store"
)

// locked is a server that wants a key, with root's set.
func locked(t *testing.T) *server {
	root := control.GenerateAPIKey()
	s := newServer(t, func(o *control.Options) { o.Open, o.RootKey = false, root })
	s.key = root
	return s
}

func (s *server) makeKey(scopes ...string) (key, id string) {
	s.t.Helper()
	list, err := json.Marshal(scopes)
	if err != nil {
		s.t.Fatal(err)
	}
	a := s.want(201, "POST", "/v1/api-keys", `{"name":"n","scopes":`+string(list)+`}`)
	return a.text("key"), a.text("id")
}

func TestKeys(t *testing.T) {
	t.Parallel()
	s := locked(t)
	key, id := s.makeKey("read")
	list := s.want(200, "GET", "/v1/api-keys", "")
	if strings.Contains(string(list.body), key) || !strings.Contains(string(list.body), id) {
		t.Errorf("list: %s", list.body)
	}
	docs, err := s.store.ListDocuments(t.Context(), "api-key", "", 10)
	if err != nil || len(docs) != 1 || strings.Contains(string(docs[0].Data), key) || strings.Contains(string(docs[0].Data), key[len(key)-38:]) {
		t.Errorf("stored: %s, %v", docs[0].Data, err)
	}
	s.want(200, "GET", "/v1/jobs", "", "Authorization", "Bearer "+key)
	s.want(200, "GET", "/v1/jobs", "", "Authorization", "bearer "+key)
	wrong := []string{
		"Bearer " + key[:len(key)-1] + "x", "Bearer " + control.GenerateAPIKey(), "Bearer", "Bearer ", key, "Basic " + key, "Bearer " + strings.Repeat("x", 5000),
	}
	for _, header := range wrong {
		a := s.want(401, "GET", "/v1/jobs", "", "Authorization", header)
		if a.problem(); strings.Contains(string(a.body), key) {
			t.Errorf("the answer repeats the key: %s", a.body)
		}
	}
	root := s.key
	s.key = ""
	for _, path := range []string{"/v1/jobs", "/v1/workers", "/v1/queues", "/v1/api-keys", "/v1/signing-keys", "/v1/nodes"} {
		if a := s.want(401, "GET", path, ""); a.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: no WWW-Authenticate", path)
		}
	}
	s.want(401, "POST", "/v1/jobs", `{"type":"t"}`)
	s.want(401, "POST", "/v1/jobs/batch", `{"jobs":[]}`)
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/openapi.json"} {
		s.want(200, "GET", path, "")
	}
	s.key = root
	s.want(204, "DELETE", "/v1/api-keys/"+id, "")
	s.want(404, "DELETE", "/v1/api-keys/"+id, "")
	s.want(401, "GET", "/v1/jobs", "", "Authorization", "Bearer "+key)
}

func TestKeysExpire(t *testing.T) {
	t.Parallel()
	s := locked(t)
	now, err := s.store.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at := now.Add(1500 * time.Millisecond).Format(time.RFC3339Nano)
	key := s.want(201, "POST", "/v1/api-keys", `{"name":"short","scopes":["read"],"expires_at":"`+at+`"}`).text("key")
	deadline := time.Now().Add(20 * time.Second)
	for s.call("GET", "/v1/jobs", "", "Authorization", "Bearer "+key).status != 401 {
		if time.Now().After(deadline) {
			t.Fatal("an expired key still works")
		}
		<-time.After(10 * time.Millisecond)
	}
}

// calls are one call of each kind, on the queue named.
func calls(queue, id string) map[string][][3]string {
	worker := `{"url":"http://127.0.0.1:1/","queues":["` + queue + `"]}`
	return map[string][][3]string{
		"read": {
			{"GET", "/v1/jobs/" + id, ""}, {"GET", "/v1/queues/" + queue, ""}, {"GET", "/v1/jobs?queue=" + queue, ""},
		},
		"jobs:write": {
			{"POST", "/v1/jobs", `{"type":"t","queue":"` + queue + `"}`},
			{"POST", "/v1/jobs/" + id + "/cancel", ""},
			{"POST", "/v1/jobs/" + id + "/retry", ""},
			{"POST", "/v1/jobs/" + id + "/run-now", ""},
			{"DELETE", "/v1/jobs/" + id, ""},
		},
		"workers:write": {
			{"PUT", "/v1/queues/" + queue, `{}`},
			{"PATCH", "/v1/queues/" + queue, `{}`},
			{"POST", "/v1/queues/" + queue + "/pause", ""},
			{"POST", "/v1/queues/" + queue + "/resume", ""},
			{"PUT", "/v1/workers/w-" + queue, worker},
			{"PATCH", "/v1/workers/w-" + queue, `{}`},
			{"POST", "/v1/workers/w-" + queue + "/pause", ""},
			{"POST", "/v1/workers/w-" + queue + "/resume", ""},
			{"POST", "/v1/workers/w-" + queue + "/rotate-secret", ""},
		},
		"admin": {
			{"GET", "/v1/api-keys", ""},
			{"POST", "/v1/api-keys", `{"name":"n","scopes":["read"]}`},
			{"DELETE", "/v1/api-keys/none", ""},
			{"GET", "/v1/signing-keys", ""},
			{"POST", "/v1/signing-keys/rotate", ""},
		},
	}
}

func TestScopes(t *testing.T) {
	t.Parallel()
	s := locked(t)
	queues := []string{"billing.in", "mail"}
	ids := map[string]string{}
	for _, q := range queues {
		ids[q] = s.want(202, "POST", "/v1/jobs", `{"type":"t","queue":"`+q+`","delay":"1h"}`).text("id")
		s.want(201, "PUT", "/v1/workers/w-"+q, `{"url":"http://127.0.0.1:1/","queues":["`+q+`"]}`)
	}
	for _, scope := range []string{
		"read", "jobs:write", "workers:write", "admin", "read@billing.*", "jobs:write@billing.*", "workers:write@billing.*", "admin@billing.*", "jobs:write@mail",
	} {
		key, _ := s.makeKey(scope)
		action, prefix, _ := strings.Cut(scope, "@")
		for _, queue := range queues {
			covered := prefix == "" || prefix == queue || strings.HasPrefix(queue, strings.TrimSuffix(prefix, "*"))
			for need, list := range calls(queue, ids[queue]) {
				may := covered && (action == need || action == "admin") && (need != "admin" || prefix == "")
				for _, c := range list {
					s.checkScope(scope, key, c, may)
				}
			}
		}
	}
}

// checkScope makes a call and looks only at whether it was allowed: 403, or 404
// for what may not even be seen.
func (s *server) checkScope(scope, key string, c [3]string, may bool) {
	s.t.Helper()
	a := s.call(c[0], c[1], c[2], "Authorization", "Bearer "+key)
	refused := a.status == http.StatusForbidden || a.status == http.StatusNotFound && !strings.Contains(c[1], "api-keys/none")
	if refused == may || a.status >= 500 || a.status == 401 {
		s.t.Errorf("%s: %s %s answered %d, allowed %t: %s", scope, c[0], c[1], a.status, may, a.body)
	}
}

func TestNarrowedLists(t *testing.T) {
	t.Parallel()
	s := locked(t)
	for i := range 6 {
		queue := []string{"billing.a", "billing.b", "mail"}[i%3]
		s.want(202, "POST", "/v1/jobs", `{"type":"t","queue":"`+queue+`","delay":"1h"}`)
		s.want(201, "PUT", fmt.Sprintf("/v1/workers/w%d", i), `{"url":"http://127.0.0.1:1/","queues":["`+queue+`"]}`)
	}
	key, _ := s.makeKey("read@billing.*", "jobs:write")
	for path, want := range map[string]int{"/v1/jobs": 4, "/v1/jobs?status=scheduled": 4, "/v1/queues": 2, "/v1/workers": 4} {
		a := s.want(200, "GET", path, "", "Authorization", "Bearer "+key)
		if items := a.field("items").([]any); len(items) != want || strings.Contains(string(a.body), "mail") {
			t.Errorf("%s shows %d items, want %d: %s", path, len(items), want, a.body)
		}
	}
	s.want(403, "GET", "/v1/jobs?queue=mail", "", "Authorization", "Bearer "+key).problem()
	none, _ := s.makeKey("jobs:write")
	for _, path := range []string{"/v1/jobs", "/v1/queues", "/v1/workers", "/v1/workers/w0", "/v1/queues/mail"} {
		s.want(403, "GET", path, "", "Authorization", "Bearer "+none).problem()
	}
	// A batch refuses the jobs of other queues and no others.
	narrow, _ := s.makeKey("jobs:write@billing.*")
	a := s.want(202, "POST", "/v1/jobs/batch", `{"jobs":[{"type":"t","queue":"billing.z"},{"type":"t","queue":"mail"}]}`, "Authorization", "Bearer "+narrow)
	results := a.field("results").([]any)
	if results[0].(map[string]any)["id"] == nil || results[1].(map[string]any)["error"].(map[string]any)["status"] != 403.0 {
		t.Errorf("batch: %s", a.body)
	}
	// A worker may not be moved into, or out of, what the key covers.
	writer, _ := s.makeKey("workers:write@billing.*", "read")
	s.want(403, "PUT", "/v1/workers/w0", `{"url":"http://127.0.0.1:1/","queues":["mail"]}`, "Authorization", "Bearer "+writer)
	s.want(403, "PUT", "/v1/workers/w2", `{"url":"http://127.0.0.1:1/","queues":["billing.a"]}`, "Authorization", "Bearer "+writer)
	s.want(403, "DELETE", "/v1/workers/w2", "", "Authorization", "Bearer "+writer)
	s.want(204, "DELETE", "/v1/workers/w0", "", "Authorization", "Bearer "+writer)
}

func TestOpenServerRefusesForeignPages(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for name, tt := range map[string]struct {
		host   string
		header []string
		status int
	}{
		"curl":             {"localhost:8080", nil, 202},
		"address":          {"127.0.0.1:8080", nil, 202},
		"IPv6":             {"[::1]:8080", nil, 202},
		"own page":         {"localhost:8080", []string{"Origin", "http://localhost:8080", "Sec-Fetch-Site", "same-origin"}, 202},
		"foreign origin":   {"localhost:8080", []string{"Origin", "https://evil.example"}, 403},
		"null origin":      {"localhost:8080", []string{"Origin", "null"}, 403},
		"other port":       {"localhost:8080", []string{"Origin", "http://localhost:3000"}, 403},
		"cross site":       {"localhost:8080", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		"same site":        {"localhost:8080", []string{"Sec-Fetch-Site", "same-site"}, 403},
		"rebound name":     {"evil.example:8080", nil, 403},
		"rebound as local": {"localhost.evil.example", nil, 403},
		"other address":    {"192.168.1.5:8080", nil, 403},
		"form":             {"localhost:8080", []string{"Content-Type", "text/plain"}, 415},
		"url-encoded":      {"localhost:8080", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415},
		"no type":          {"localhost:8080", []string{"Content-Type", ""}, 415},
		"latin":            {"localhost:8080", []string{"Content-Type", "application/json; charset=latin1"}, 415},
		"charset":          {"localhost:8080", []string{"Content-Type", "application/json; charset=UTF-8"}, 202},
	} {
		r := request("POST", "/v1/jobs", `{"type":"t"}`, tt.header...)
		r.Host = tt.host
		if a := s.do(r); a.status != tt.status {
			t.Errorf("%s: status %d, want %d: %s", name, a.status, tt.status, a.body)
		}
	}
	r := request("GET", "/v1/jobs", "")
	r.Host = "evil.example"
	if a := s.do(r); a.status != 403 {
		t.Errorf("reading over a rebound name: status %d", a.status)
	}
}

func TestUnavailableStore(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.want(201, "PUT", "/v1/workers/w", workerBody)
	s.engine.breakWith(store.ErrUnavailable)
	for _, c := range [][3]string{
		{"POST", "/v1/jobs", `{"type":"t"}`},
		{"POST", "/v1/jobs/batch", `{"jobs":[{"type":"t"},{"type":"t","queue":"b"}]}`},
		{"PUT", "/v1/workers/v", workerBody},
		{"GET", "/v1/workers/w", ""},
		{"GET", "/v1/jobs/job_00000000000000000000000000", ""},
	} {
		a := s.want(503, c[0], c[1], c[2])
		a.problem()
		if a.header.Get("Retry-After") != "1" || a.text("outcome") != "unknown" {
			t.Errorf("%s %s: Retry-After %q: %s", c[0], c[1], a.header.Get("Retry-After"), a.body)
		}
	}
	s.want(200, "GET", "/healthz", "")
	s.engine.breakWith(nil)
	s.want(202, "POST", "/v1/jobs", `{"type":"t"}`)
}

func TestServerFaultsHaveAnID(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.engine.breakWith(fmt.Errorf("disk 7 of vault 12 is on fire"))
	a := s.want(500, "POST", "/v1/jobs", `{"type":"t"}`, "X-Request-Id", "my-request-1")
	a.problem()
	if a.text("request_id") != "my-request-1" || strings.Contains(string(a.body), "vault") {
		t.Errorf("answer %s", a.body)
	}
	if log := s.log.String(); !strings.Contains(log, "my-request-1") || !strings.Contains(log, "vault 12") {
		t.Errorf("log %s", log)
	}
	s.engine.breakWith(nil)
	if a := s.want(200, "GET", "/v1/jobs", "", "X-Request-Id", "bad id\n"); a.header.Get("X-Request-Id") == "bad id\n" || a.header.Get("X-Request-Id") == "" {
		t.Errorf("X-Request-Id %q", a.header.Get("X-Request-Id"))
	}
}

func TestPathsAndMethods(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, path := range []string{"/", "/v1", "/v1/", "/v1/nothing", "/v1/jobs/", "/v2/jobs", "/v1/stats", "/docs", "/openapi.yaml", "/schemas/Job.json"} {
		s.want(404, "GET", path, "").problem()
	}
	for _, path := range []string{"/v1/jobs", "/v1/workers/w", "/healthz"} {
		if a := s.want(405, "BREW", path, ""); !slices.Contains(a.problem(), "") && a.header.Get("Allow") == "" {
			t.Errorf("%s: no Allow header", path)
		}
	}
	ready := s.want(200, "GET", "/readyz", "")
	if ready.text("status") != "ready" || ready.text("durability") != "memory" {
		t.Errorf("readyz: %s", ready.body)
	}
	if a := s.want(200, "GET", "/metrics", ""); !strings.Contains(string(a.body), `orchestrix_http_requests_total{method="GET",route="/readyz",status="200"} 1`) {
		t.Error("the metrics lack the request before")
	}
}
