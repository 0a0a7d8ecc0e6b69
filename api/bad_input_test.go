package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestBadJobs(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	long := strings.Repeat("q", 10<<10)
	deep := strings.Repeat("[", 65) + strings.Repeat("]", 65)
	tests := []struct {
		name   string
		body   string // of one job
		status int
		field  string
	}{
		{"empty", ` `, 400, "body"},
		{"no JSON", `hello`, 400, "body"},
		{"cut", `{"type":"t","payload":{"a":`, 400, "payload"},
		{"cut string", `{"type":"t`, 400, "type"},
		{"trailing comma", `{"type":"t",}`, 400, "body"},
		{"no quotes", `{type:"t"}`, 400, "body"},
		{"single quotes", `{'type':'t'}`, 400, "body"},
		{"bad literal", `{"type":"t","payload":nul}`, 400, "payload"},
		{"bad number", `{"type":"t","payload":01}`, 400, "payload"},
		{"invalid UTF-8 in payload", "{\"type\":\"t\",\"payload\":\"\xff\"}", 400, "payload"},
		{"invalid UTF-8 in key", "{\"type\":\"t\",\"key\":\"\xc3\"}", 400, "key"},
		{"half a surrogate in key", `{"type":"t","key":"\ud83d"}`, 400, "key"},
		{"control character", "{\"type\":\"t\",\"key\":\"a\nb\"}", 400, "key"},
		{"deep payload", `{"type":"t","payload":` + deep + `}`, 400, "payload"},
		{"deep unknown field", `{"type":"t","x":` + deep + `}`, 400, "x"},
		{"two values", `{"type":"t"} {}`, 400, "body"},

		{"array", `[]`, 422, ""},
		{"null", `null`, 422, ""},
		{"no type", `{}`, 422, "type"},
		{"unknown field", `{"type":"t","colour":"red"}`, 422, "colour"},
		{"unknown nested field", `{"type":"t","retry":{"max":1}}`, 422, "retry.max"},
		{"wrong case", `{"Type":"t"}`, 422, "Type"},
		{"twice", `{"type":"t","type":"u"}`, 422, "type"},
		{"twice nested", `{"type":"t","retry":{"factor":2,"factor":3}}`, 422, "retry.factor"},
		{"label twice", `{"type":"t","labels":{"a":"1","a":"2"}}`, 422, "labels.a"},

		{"type is a number", `{"type":1}`, 422, "type"},
		{"type is null", `{"type":null}`, 422, "type"},
		{"type is empty", `{"type":""}`, 422, "type"},
		{"type has spaces", `{"type":"a b"}`, 422, "type"},
		{"queue is an array", `{"type":"t","queue":["q"]}`, 422, "queue"},
		{"queue of 10 KiB", `{"type":"t","queue":"` + long + `"}`, 422, "queue"},
		{"queue in upper case", `{"type":"t","queue":"Q"}`, 422, "queue"},
		{"queue is empty", `{"type":"t","queue":""}`, 422, "queue"},
		{"queue leads elsewhere", `{"type":"t","queue":"../x"}`, 422, "queue"},
		{"long key", `{"type":"t","key":"` + long + `"}`, 422, "key"},
		{"key is empty", `{"type":"t","key":""}`, 422, "key"},
		{"key with NUL", `{"type":"t","key":"a\u0000"}`, 422, "key"},
		{"priority is a number", `{"type":"t","priority":1}`, 422, "priority"},
		{"unknown priority", `{"type":"t","priority":"urgent"}`, 422, "priority"},
		{"long idempotency key", `{"type":"t","idempotency_key":"` + long + `"}`, 422, "idempotency_key"},

		{"delay is a number", `{"type":"t","delay":5}`, 422, "delay"},
		{"negative delay", `{"type":"t","delay":"-5s"}`, 422, "delay"},
		{"delay overflows", `{"type":"t","delay":"99999999999h"}`, 422, "delay"},
		{"delay overflows in days", `{"type":"t","delay":"106752d"}`, 422, "delay"},
		{"delay over ten years", `{"type":"t","delay":"3651d"}`, 422, "delay"},
		{"delay and run_at", `{"type":"t","delay":"1s","run_at":"2030-01-01T00:00:00Z"}`, 422, "run_at"},
		{"run_at is no time", `{"type":"t","run_at":"tomorrow"}`, 422, "run_at"},
		{"run_at is a number", `{"type":"t","run_at":1700000000}`, 422, "run_at"},
		{"run_at without zone", `{"type":"t","run_at":"2027-01-01T00:00:00"}`, 422, "run_at"},
		{"run_at too far", `{"type":"t","run_at":"9999-01-01T00:00:00Z"}`, 422, "run_at"},
		{"expired already", `{"type":"t","expires_at":"2001-01-01T00:00:00Z"}`, 422, "expires_at"},
		{"expires before it runs", `{"type":"t","delay":"2d","expires_at":"2001-01-01T00:00:00Z"}`, 422, "expires_at"},
		{"timeout of nothing", `{"type":"t","timeout":"0s"}`, 422, "timeout"},
		{"timeout too short", `{"type":"t","timeout":"999ms"}`, 422, "timeout"},
		{"timeout too long", `{"type":"t","timeout":"1h1s"}`, 422, "timeout"},

		{"retry is a number", `{"type":"t","retry":3}`, 422, "retry"},
		{"no attempts", `{"type":"t","retry":{"max_attempts":0}}`, 422, "retry.max_attempts"},
		{"negative attempts", `{"type":"t","retry":{"max_attempts":-1}}`, 422, "retry.max_attempts"},
		{"half an attempt", `{"type":"t","retry":{"max_attempts":1.5}}`, 422, "retry.max_attempts"},
		{"attempts overflow", `{"type":"t","retry":{"max_attempts":99999999999999999999}}`, 422, "retry.max_attempts"},
		{"attempts in quotes", `{"type":"t","retry":{"max_attempts":"3"}}`, 422, "retry.max_attempts"},
		{"factor overflows", `{"type":"t","retry":{"factor":1e999}}`, 422, "retry.factor"},
		{"unknown backoff", `{"type":"t","retry":{"backoff":"random"}}`, 422, "retry.backoff"},
		{"negative delays", `{"type":"t","retry":{"delays":["1s","-1s"]}}`, 422, "retry.delays[1]"},
		{"long delays", `{"type":"t","retry":{"delays":["1s","8d"]}}`, 422, "retry.delays[1]"},
		{"list without delays", `{"type":"t","retry":{"backoff":"list"}}`, 422, "retry.delays"},
		{"fatal statuses", `{"type":"t","retry":{"fatal_statuses":[404,200]}}`, 422, "retry.fatal_statuses[1]"},

		{"unique is a flag", `{"type":"t","unique":true}`, 422, "unique"},
		{"unknown field of unique", `{"type":"t","unique":{"for":"1h"}}`, 422, "unique.for"},
		{"unique by nothing", `{"type":"t","unique":{"by":[]}}`, 422, "unique.by"},
		{"unique by an unknown part", `{"type":"t","unique":{"by":["type","label"]}}`, 422, "unique.by[1]"},
		{"unique by a part twice", `{"type":"t","unique":{"by":["key","key"]}}`, 422, "unique.by[1]"},
		{"unknown until", `{"type":"t","unique":{"until":"ended"}}`, 422, "unique.until"},
		{"empty until", `{"type":"t","unique":{"until":""}}`, 422, "unique.until"},
		{"unknown on_conflict", `{"type":"t","unique":{"on_conflict":"drop"}}`, 422, "unique.on_conflict"},
		{"ttl is missing", `{"type":"t","unique":{"until":"ttl"}}`, 422, "unique.ttl"},
		{"ttl of nothing", `{"type":"t","unique":{"until":"ttl","ttl":"0s"}}`, 422, "unique.ttl"},
		{"ttl too short", `{"type":"t","unique":{"until":"ttl","ttl":"999ms"}}`, 422, "unique.ttl"},
		{"ttl too long", `{"type":"t","unique":{"until":"ttl","ttl":"366d"}}`, 422, "unique.ttl"},
		{"ttl without until", `{"type":"t","unique":{"ttl":"1m"}}`, 422, "unique.ttl"},
		{"ttl with another until", `{"type":"t","unique":{"until":"started","ttl":"1m"}}`, 422, "unique.ttl"},

		{"labels are an array", `{"type":"t","labels":[]}`, 422, "labels"},
		{"label is a number", `{"type":"t","labels":{"a":1}}`, 422, "labels.a"},
		{"bad label key", `{"type":"t","labels":{"a b":"1"}}`, 422, "labels"},
		{"CR LF in a header", `{"type":"t","headers":{"x":"a\r\nb: c"}}`, 422, "headers.x"},
		{"LF in a header's name", `{"type":"t","headers":{"x\ny":"a"}}`, 422, `headers["x\ny"]`},
		{"reserved header", `{"type":"t","headers":{"Webhook-Signature":"x"}}`, 422, "headers.Webhook-Signature"},
		{"hop-by-hop header", `{"type":"t","headers":{"Connection":"x"}}`, 422, "headers.Connection"},
		{"content type", `{"type":"t","content_type":"text/html"}`, 422, "content_type"},
		{"content type with LF", `{"type":"t","content_type":"application/json\r\nx: y"}`, 422, "content_type"},

		{"URL with credentials", `{"type":"t","url":"https://user:pass@example.com/"}`, 422, "url"},
		{"file URL", `{"type":"t","url":"file:///etc/passwd"}`, 422, "url"},
		{"relative URL", `{"type":"t","url":"/x"}`, 422, "url"},
		{"no URL", `{"type":"t","url":"http://[::1"}`, 422, "url"},
		{"private address", `{"type":"t","url":"http://10.0.0.1/"}`, 422, "url"},
		{"metadata address", `{"type":"t","url":"http://169.254.169.254/latest"}`, 422, "url"},
		{"mapped address", `{"type":"t","url":"http://[::ffff:10.0.0.1]/"}`, 422, "url"},
		{"octal address", `{"type":"t","url":"http://0177.0.0.1/"}`, 422, "url"},
	}
	for _, tt := range tests {
		a := s.want(tt.status, "POST", "/v1/jobs", tt.body)
		fields := a.problem()
		if !slices.Contains(fields, tt.field) {
			t.Errorf("%s: names %q, want %q: %s", tt.name, fields, tt.field, a.body)
		}
		if strings.Contains(string(a.body), "pass@") || strings.Contains(string(a.body), long) {
			t.Errorf("%s: the answer repeats the value", tt.name)
		}
		s.badInBatch(tt.name, tt.body, tt.status, tt.field)
	}
	if n := s.count(); n != 0 {
		t.Errorf("%d jobs are stored, want none", n)
	}
}

// badInBatch sends the same job in a batch: malformed JSON refuses all of it, an
// invalid job only itself.
func (s *server) badInBatch(name, body string, status int, field string) {
	s.t.Helper()
	path := "jobs[0]"
	if field != "" && field != "body" {
		path += "." + field
	}
	batch := `{"jobs":[` + body + `]}`
	if status == http.StatusBadRequest {
		if name == "empty" {
			return // an empty array, which is right
		}
		a := s.want(400, "POST", "/v1/jobs/batch", batch)
		if fields := a.problem(); !strings.HasPrefix(fields[0], "jobs") && fields[0] != "body" {
			s.t.Errorf("%s in a batch: names %q", name, fields)
		}
		return
	}
	a := s.want(202, "POST", "/v1/jobs/batch", batch)
	refused, ok := a.field("results").([]any)[0].(map[string]any)["error"].(map[string]any)
	if !ok || refused["status"] != float64(status) {
		s.t.Errorf("%s in a batch: answered %s", name, a.body)
		return
	}
	for _, e := range refused["errors"].([]any) {
		if e.(map[string]any)["field"] == path {
			return
		}
	}
	s.t.Errorf("%s in a batch: %s does not name %s", name, a.body, path)
}

func TestManyFaultsAreToldAtOnce(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.want(422, "POST", "/v1/jobs", `{"queue":"Q","key":7,"delay":"x","retry":{"factor":"2","x":1},"colour":1}`)
	want := []string{"key", "delay", "retry.factor", "retry.x", "colour", "type"}
	if got := a.problem(); !slices.Equal(got, want) {
		t.Errorf("names %q, want %q", got, want)
	}
	var b strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&b, `"f%d":1,`, i)
	}
	a = s.want(422, "POST", "/v1/jobs", `{`+b.String()+`"type":"t"}`)
	if n := len(a.problem()); n != 50 {
		t.Errorf("%d faults are told, want 50", n)
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	payload := func(n int) string { return `{"type":"t","payload":"` + strings.Repeat("x", n-2) + `"}` }
	s.want(202, "POST", "/v1/jobs", payload(1<<20))
	for _, n := range []int{1<<20 + 1, 1<<20 + 70_000, 5 << 20} {
		a := s.want(413, "POST", "/v1/jobs", payload(n))
		if fields := a.problem(); fields[0] != "payload" {
			t.Errorf("%d bytes: names %q", n, fields)
		}
	}
	a := s.want(202, "POST", "/v1/jobs/batch", `{"jobs":[`+payload(1<<20+1)+`,{"type":"t"}]}`)
	if refused := a.field("results").([]any)[0].(map[string]any)["error"].(map[string]any); refused["status"] != 413.0 {
		t.Errorf("in a batch: %v", refused)
	}
	jobs := strings.Repeat(`{"type":"t"},`, 10_000)
	if a := s.want(422, "POST", "/v1/jobs/batch", `{"jobs":[`+jobs+`{"type":"t"}]}`); !slices.Equal(a.problem(), []string{"jobs"}) {
		t.Errorf("10,001 jobs: %.300s", a.body)
	}
	if n := s.count(); n != 2 {
		t.Errorf("%d jobs are stored, want 2", n)
	}
	s.want(202, "POST", "/v1/jobs/batch", `{"jobs":[`+strings.TrimSuffix(jobs, ",")+`]}`)
	if a := s.want(413, "POST", "/v1/jobs/batch", `{"jobs":["`+strings.Repeat("x", 64<<20)+`"]}`); a.problem()[0] != "body" {
		t.Errorf("64 MiB: %s", a.body)
	}
	if a := s.want(413, "PUT", "/v1/workers/w", `{"url":"`+strings.Repeat("x", 1<<20)+`"}`); a.problem()[0] != "body" {
		t.Errorf("a worker of 1 MiB: %s", a.body)
	}
}

func TestBadBatches(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for body, want := range map[string]struct {
		status int
		field  string
	}{
		`{}`:                                    {422, "jobs"},
		`[]`:                                    {422, ""},
		`{"jobs":{}}`:                           {422, "jobs"},
		`{"jobs":null}`:                         {422, "jobs"},
		`{"jobs":[],"x":1}`:                     {422, "x"},
		`{"jobs":[{"type":"t"}],"jobs":[]}`:     {422, "jobs"},
		`{"jobs":[{"type":"t"},{"type":"t"}`:    {400, "jobs"},
		`{"jobs":[{"type":"t"},{"type":"t",}]}`: {400, "jobs[1]"},
		`{"jobs":[{"type":"t"},{"payload":[1,]`: {400, "jobs[1].payload"},
		`{"jobs":[{"type":"t"} {"type":"t"}]}`:  {400, "jobs"},
		`{"jobs":[{"type":"t"}]}{}`:             {400, "body"},
		"{\"jobs\":[{\"type\":\"t\",\"payload\":\"\xff\"}]}": {400, "jobs[0].payload"},
	} {
		a := s.want(want.status, "POST", "/v1/jobs/batch", body)
		if fields := a.problem(); !slices.Contains(fields, want.field) {
			t.Errorf("%s: names %q, want %q", body, fields, want.field)
		}
	}
	if n := s.count(); n != 0 {
		t.Errorf("%d jobs are stored, want none", n)
	}
}

func TestBadConfigurations(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	const ok = `"url":"http://127.0.0.1:1/","queues":["q"]`
	tests := []struct{ method, path, body, field string }{
		{"PUT", "/v1/workers/w", `{}`, "url"},
		{"PUT", "/v1/workers/w", `{"url":"http://127.0.0.1:1/"}`, "queues"},
		{"PUT", "/v1/workers/w", `{"url":"http://127.0.0.1:1/","queues":[]}`, "queues"},
		{"PUT", "/v1/workers/w", `{"url":"http://127.0.0.1:1/","queues":["q","Q"]}`, "queues[1]"},
		{"PUT", "/v1/workers/w", `{"url":"http://127.0.0.1:1/","queues":["q","q"]}`, "queues[1]"},
		{"PUT", "/v1/workers/w", `{"url":"http://127.0.0.1:1/","queues":"q"}`, "queues"},
		{"PUT", "/v1/workers/w", `{"url":"http://127.0.0.1:1/","queues":[1]}`, "queues[0]"},
		{"PUT", "/v1/workers/w", `{"url":"http://user:pw@127.0.0.1:1/","queues":["q"]}`, "url"},
		{"PUT", "/v1/workers/w", `{"url":"file:///x","queues":["q"]}`, "url"},
		{"PUT", "/v1/workers/w", `{"url":"http://192.168.0.1/","queues":["q"]}`, "url"},
		{"PUT", "/v1/workers/w", `{` + ok + `,"concurrency":-1}`, "concurrency"},
		{"PUT", "/v1/workers/w", `{` + ok + `,"concurrency":10001}`, "concurrency"},
		{"PUT", "/v1/workers/w", `{` + ok + `,"weight":0}`, "weight"},
		{"PUT", "/v1/workers/w", `{` + ok + `,"weight":1001}`, "weight"},
		{"PUT", "/v1/workers/w", `{` + ok + `,"timeout":"0s"}`, "timeout"},
		{"PUT", "/v1/workers/w", `{` + ok + `,"timeout":"2h"}`, "timeout"},
		{"PUT", "/v1/workers/w", `{` + ok + `,"on_gone":"delete"}`, "on_gone"},
		{"PUT", "/v1/workers/w", `{` + ok + `,"circuit":"off"}`, "circuit"},
		{"PUT", "/v1/workers/w", `{` + ok + `,"circuit":{"mode":"maybe"}}`, "circuit.mode"},
		{"PUT", "/v1/workers/w", `{` + ok + `,"circuit":{"min_pushes":0}}`, "circuit.min_pushes"},
		{"PUT", "/v1/workers/w", `{` + ok + `,"circuit":{"failure_ratio":0}}`, "circuit.failure_ratio"},
		{"PUT", "/v1/workers/w", `{` + ok + `,"circuit":{"failure_ratio":1.5}}`, "circuit.failure_ratio"},
		{"PUT", "/v1/workers/w", `{` + ok + `,"circuit":{"window":"2h"}}`, "circuit.window"},
		{"PUT", "/v1/workers/w", `{` + ok + `,"circuit":{"open_for":"1m","max_open":"30s"}}`, "circuit.max_open"},
		{"PUT", "/v1/workers/w", `{` + ok + `,"circuit":{"half_open":1}}`, "circuit.half_open"},
		{"PUT", "/v1/workers/w", `{` + ok + `,"auto_pause":{"mode":true}}`, "auto_pause.mode"},
		{"PUT", "/v1/workers/w", `{` + ok + `,"auto_pause":{"after":"59s"}}`, "auto_pause.after"},
		{"PUT", "/v1/workers/w", `{` + ok + `,"auto_pause":{"min_attempts":0}}`, "auto_pause.min_attempts"},
		{"PUT", "/v1/workers/w", `{` + ok + `,"ramp":"slow"}`, "ramp"},
		{"PUT", "/v1/queues/q", `{"ramp":"slow"}`, "ramp"},
		{"PUT", "/v1/workers/w", `{` + ok + `,"headers":{"x":"a\nb"}}`, "headers.X"},
		{"PUT", "/v1/workers/w", `{` + ok + `,"headers":{"x-token":"[redacted]"}}`, "headers.X-Token"},
		{"PUT", "/v1/workers/w", `{` + ok + `,"signing_secret":"whsec_c2hvcnQ="}`, "signing_secret"},
		{"PUT", "/v1/workers/w", `{` + ok + `,"rate":1}`, "rate"},
		{"PUT", "/v1/workers/w", `{` + ok + `,"auth":{}}`, "auth.type"},
		{"PUT", "/v1/workers/w", `{` + ok + `,"labels":{"!":"x"}}`, "labels"},
		{"PUT", "/v1/workers/w", `{` + ok + `,"description":"` + strings.Repeat("x", 1001) + `"}`, "description"},
		{"PUT", "/v1/workers/UPPER", `{` + ok + `}`, "name"},
		{"PUT", "/v1/workers/" + strings.Repeat("w", 129), `{` + ok + `}`, "name"},
		{"PUT", "/v1/queues/q", `{"concurrency":0}`, "concurrency"},
		{"PUT", "/v1/queues/q", `{"concurrency":10001}`, "concurrency"},
		{"PUT", "/v1/queues/q", `{"concurrency":"1"}`, "concurrency"},
		{"PUT", "/v1/queues/q", `{"retry":{"factor":0.5}}`, "retry.factor"},
		{"PUT", "/v1/queues/q", `{"key_concurrency":0}`, "key_concurrency"},
		{"PUT", "/v1/queues/q", `{"key_concurrency":10001}`, "key_concurrency"},
		{"PUT", "/v1/queues/q", `{"key_concurrency":"1"}`, "key_concurrency"},
		{"PUT", "/v1/queues/q", `{"key_rate":{"limit":1,"period":"8d"}}`, "key_rate.period"},
		{"PUT", "/v1/queues/q", `{"on_dead":"stop"}`, "on_dead"},
		{"PUT", "/v1/queues/q", `{"on_dead":"block"}`, "on_dead"},
		{"PUT", "/v1/queues/q", `{"on_dead":"block","key_concurrency":2}`, "on_dead"},
		{"PUT", "/v1/queues/q", `{"after_lost":"never"}`, "after_lost"},
		{"PUT", "/v1/queues/q", `{"after_lost":"repush","key_concurrency":1}`, "after_lost"},
		{"PUT", "/v1/queues/q/keys/k", `{}`, "paused"},
		{"PUT", "/v1/queues/q/keys/k", `{"concurrency":0}`, "concurrency"},
		{"PUT", "/v1/queues/q/keys/k", `{"concurrency":10001}`, "concurrency"},
		{"PUT", "/v1/queues/q/keys/k", `{"paused":"yes"}`, "paused"},
		{"PUT", "/v1/queues/q/keys/k", `{"rate":{"limit":1}}`, "rate.period"},
		{"PUT", "/v1/queues/q/keys/k", `{"other":1}`, "other"},
		{"PUT", "/v1/queues/q/keys/k", `{"paused":true,"reason":"` + strings.Repeat("x", 201) + `"}`, "reason"},
		{"PUT", "/v1/queues/q/keys/" + strings.Repeat("k", 257), `{"paused":true}`, "key"},
		{"PUT", "/v1/queues/Q/keys/k", `{"paused":true}`, "name"},
		{"PUT", "/v1/queues/q", `{"rate":{}}`, "rate.limit"},
		{"PUT", "/v1/queues/q", `{"rate":"5/s"}`, "rate"},
		{"PUT", "/v1/queues/q", `{"rate":{"limit":0,"period":"1s"}}`, "rate.limit"},
		{"PUT", "/v1/queues/q", `{"rate":{"limit":1000001,"period":"1s"}}`, "rate.limit"},
		{"PUT", "/v1/queues/q", `{"rate":{"limit":1.5,"period":"1s"}}`, "rate.limit"},
		{"PUT", "/v1/queues/q", `{"rate":{"limit":5}}`, "rate.period"},
		{"PUT", "/v1/queues/q", `{"rate":{"limit":5,"period":"8d"}}`, "rate.period"},
		{"PUT", "/v1/queues/q", `{"rate":{"limit":5,"period":"-1s"}}`, "rate.period"},
		{"PUT", "/v1/queues/q", `{"rate":{"limit":5,"period":"1s","burst":6}}`, "rate.burst"},
		{"PUT", "/v1/queues/q", `{"rate":{"limit":5,"period":"1s","per":1}}`, "rate.per"},
		{"PUT", "/v1/queues/q", `{"priority_mode":"fair"}`, "priority_mode"},
		{"PUT", "/v1/queues/q", `{"priority_mode":""}`, "priority_mode"},
		{"PUT", "/v1/queues/Q", `{}`, "name"},
		{"POST", "/v1/queues/q/pause", `{"reason":"` + strings.Repeat("x", 201) + `"}`, "reason"},
		{"POST", "/v1/queues/q/pause", `{"why":"x"}`, "why"},
		{"POST", "/v1/api-keys", `{"name":"n"}`, "scopes"},
		{"POST", "/v1/api-keys", `{"name":"","scopes":["read"]}`, "name"},
		{"POST", "/v1/api-keys", `{"name":"n","scopes":["write"]}`, "scopes[0]"},
		{"POST", "/v1/api-keys", `{"name":"n","scopes":["read","jobs:write@*"]}`, "scopes[1]"},
		{"POST", "/v1/api-keys", `{"name":"n","scopes":["jobs:write@A.*"]}`, "scopes[0]"},
		{"POST", "/v1/api-keys", `{"name":"n","scopes":["read"],"expires_at":"2001-01-01T00:00:00Z"}`, "expires_at"},
		{"POST", "/v1/signing-keys/rotate", `{"grace":"-1s"}`, "grace"},
		{"POST", "/v1/signing-keys/rotate", `{"grace":"31d"}`, "grace"},
		{"POST", "/v1/signing-keys/rotate", `{"secret":"hunter2"}`, "secret"},
	}
	for _, tt := range tests {
		a := s.want(422, tt.method, tt.path, tt.body)
		if fields := a.problem(); !slices.Contains(fields, tt.field) {
			t.Errorf("%s %s %s: names %q, want %q", tt.method, tt.path, tt.body, fields, tt.field)
		}
		for _, secret := range []string{"hunter2", "c2hvcnQ", ":pw@"} {
			if strings.Contains(string(a.body), secret) {
				t.Errorf("%s %s: the answer repeats a secret: %s", tt.method, tt.path, a.body)
			}
		}
	}
	blocked := s.want(422, "PUT", "/v1/workers/w", `{"url":"http://10.1.2.3/","queues":["q"]}`)
	if !strings.Contains(string(blocked.body), "--allow-cidr") {
		t.Errorf("a refused address does not name the flag: %s", blocked.body)
	}
	for _, path := range []string{"/v1/workers", "/v1/queues", "/v1/api-keys"} {
		if a := s.want(200, "GET", path, ""); len(a.field("items").([]any)) != 0 {
			t.Errorf("%s: something is stored: %s", path, a.body)
		}
	}
}
