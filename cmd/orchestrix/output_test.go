package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/cmd/orchestrix/internal/receiver"
	"github.com/orchestrix/orchestrix/control"
	"github.com/orchestrix/orchestrix/store/engine/redis/redistest"
	"github.com/orchestrix/orchestrix/store/sealed"
)

func decode[T any](t *testing.T, r result) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(r.out), &v); err != nil {
		t.Fatalf("not JSON: %v\n%s%s", err, r.out, r.err)
	}
	return v
}

func TestWorkersTest(t *testing.T) {
	t.Parallel()
	server := "--server=" + startServer(t)
	worker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		io.WriteString(w, "short and stout\x1b[31m")
	}))
	t.Cleanup(worker.Close)
	if r := command(t, `{"type":"bearer","token":"hidden"}`, "workers", "set", server, "w", "--url", worker.URL+"/hook", "--queue", "q", "--auth", "-"); r.code != exitOK {
		t.Fatalf("set: %+v", r)
	}
	r := command(t, "", "workers", "test", server, "w")
	for _, want := range []string{"> POST " + worker.URL + "/hook\n", "> Authorization: [redacted]\n", "> webhook-signature: v1,", "> orchestrix-job-type: orchestrix.test\n", "< 418\n", "< short and stout [31m\n", "failed after ", "would be tried again"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("no %q in\n%s", want, r.out)
		}
	}
	if r.code != exitFailed || strings.Contains(r.out, "hidden") {
		t.Errorf("code %d, %s", r.code, r.out)
	}
	if got := decode[client.WorkerTest](t, command(t, "", "workers", "test", server, "-o", "json", "w")); got.Answer == nil || got.Answer.Status != 418 || got.Outcome != "failed" {
		t.Errorf("as JSON: %+v", got)
	}
	if r := command(t, "", "workers", "test", server, "other"); r.code != exitRefused {
		t.Errorf("a worker that is not there: %+v", r)
	}
}

func TestGenerateSecretKey(t *testing.T) {
	t.Parallel()
	first, second := command(t, "", "secrets", "generate-key"), command(t, "", "secrets", "generate-key")
	if _, err := sealed.ParseKeyring(first.out + second.out); err != nil || first.code != exitOK {
		t.Errorf("%+v: %v", first, err)
	}
	if r := decode[map[string]string](t, command(t, "", "secrets", "generate-key", "-o", "json")); len(r["key"]) != len(strings.TrimSpace(first.out)) {
		t.Errorf("as JSON: %v", r)
	}
}

func TestJobsFromTheShell(t *testing.T) {
	t.Parallel()
	server := "--server=" + startServer(t)
	file := filepath.Join(t.TempDir(), "payload.json")
	if err := os.WriteFile(file, []byte(`{"from":"file"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	r := command(t, `{"from":"stdin"}`, "enqueue", server, "-o", "json", "--queue", "q", "--type", "a", "--priority", "high",
		"--label", "customer:42", "--header", "x-a: b", "--delay", "1h", "--retry-max-attempts", "3", "-")
	made := decode[client.Receipt](t, r)
	if r.code != exitOK || made.Status != "scheduled" {
		t.Fatalf("enqueue: %d, %+v", r.code, made)
	}
	if r := command(t, "", "enqueue", server, "--queue", "q", "--type", "b", "@"+file); r.code != exitOK || !strings.Contains(r.out, "pending") {
		t.Errorf("enqueue of a file: %+v", r)
	}
	got := decode[client.Job](t, command(t, "", "jobs", "get", server, "-o", "json", made.ID))
	var payload bytes.Buffer // the output is indented
	if err := json.Compact(&payload, got.Payload); err != nil {
		t.Fatal(err)
	}
	if payload.String() != `{"from":"stdin"}` || got.Labels["customer"] != "42" || got.Priority != "high" || got.Retry.MaxAttempts != 3 {
		t.Errorf("the job: %+v", got)
	}
	raw := decode[client.Receipt](t, command(t, "\x00\xff", "enqueue", server, "-o", "json", "--queue", "r", "--body-file", "-", "--content-type", "image/x"))
	if r := command(t, "", "jobs", "payload", server, raw.ID); r.out != "\x00\xff" {
		t.Errorf("the bytes: %+v", r)
	}
	if r := command(t, "", "jobs", "get", server, raw.ID); !strings.Contains(r.out, "2 bytes of image/x; see: orchestrix jobs payload "+raw.ID) {
		t.Errorf("a job of bytes: %+v", r)
	}
	text := decode[client.Receipt](t, command(t, "", "enqueue", server, "-o", "json", "--queue", "r", "--body", "a\nb", "--url", "https://example.com", "--method", "PUT", "--delay", "1h"))
	if r := command(t, "", "jobs", "get", server, text.ID); !regexp.MustCompile(`method: +PUT\n`).MatchString(r.out) || !regexp.MustCompile(`payload: +a b\n`).MatchString(r.out) {
		t.Errorf("a job of text: %+v", r)
	}
	list := command(t, "", "jobs", "list", server, "--label", "customer:42")
	if !regexp.MustCompile(`(?m)^ID +QUEUE +TYPE +STATUS +ATTEMPTS +CREATED`).MatchString(list.out) || strings.Count(list.out, "job_") != 1 {
		t.Errorf("the list:\n%s", list.out)
	}
	if strings.Contains(list.out, "\x1b") {
		t.Error("the list has escape sequences, and is not on a terminal")
	}
	if r := command(t, "", "jobs", "cancel", server, made.ID, "job_00000000000000000000000000"); r.code != exitRefused || !strings.Contains(r.out, "cancelled") || !strings.Contains(r.err, "404") {
		t.Errorf("cancel of two, one of which is not there: %+v", r)
	}
	if r := command(t, "", "jobs", "delete", server, made.ID); r.code != exitOK || !strings.Contains(r.out, "deleted") {
		t.Errorf("delete: %+v", r)
	}
	many := command(t, "", "enqueue", server, "--queue", "many", "--type", "c", "--count", "1200", "1")
	if many.code != exitOK || many.out != "1200 jobs enqueued in queue many\n" {
		t.Errorf("many: %+v", many)
	}
	q := decode[client.Queue](t, command(t, "", "queues", "get", server, "-o", "json", "many"))
	if q.Counts["pending"] != 1200 || q.Blocked != "no_worker" {
		t.Errorf("the queue: %+v", q)
	}
	if r := command(t, "", "queues", "set", server, "many", "--max-pending", "1200", "--max-bytes", "5000"); !strings.Contains(r.out, "1200 bytes, at most 1200 jobs, at most 5000 bytes") {
		t.Errorf("a bounded queue: %+v", r)
	}
	if r := command(t, "", "queues", "set", server, "kept", "--retention-succeeded", "1h", "--retention-bytes", "5000"); !strings.Contains(r.out, "0 bytes; succeeded 1h, dead 30d, cancelled 7d, expired 7d, at most 5000 bytes") {
		t.Errorf("a queue with its own retention: %+v", r)
	}
	if r := command(t, "", "queues", "set", server, "kept", "--retention-dead", "soon"); r.code != exitUsage {
		t.Errorf("a retention that is none: %+v", r)
	}
	if r := command(t, "", "enqueue", server, "--queue", "many", "--type", "c", "1"); r.code != exitRefused || !strings.Contains(r.err, "its max_pending is 1200") {
		t.Errorf("one too many: %+v", r)
	}
	if r := command(t, "", "queues", "list", server); !strings.Contains(r.out, "no_worker") || !strings.Contains(r.out, "1200") {
		t.Errorf("queues:\n%s", r.out)
	}
}

func TestWaitingTellsByExitCode(t *testing.T) {
	t.Parallel()
	server := "--server=" + startServer(t)
	tests := []struct {
		status string
		code   int
		shown  string
	}{{"200", exitOK, "succeeded"}, {"500", exitFailed, "dead"}}
	for _, tt := range tests {
		queue := "q" + tt.status
		listening := make(chan result, 1)
		go func() {
			listening <- command(t, "", "listen", server, "--queue", queue, "--name", "w"+tt.status, "--status", tt.status, "--count", "1", "-o", "json")
		}()
		r := command(t, "", "enqueue", server, "--queue", queue, "--type", "t", "--wait", "--retry-max-attempts", "1", `{"a":1}`)
		if r.code != tt.code || !regexp.MustCompile(`(?m)^status: +`+tt.shown).MatchString(r.out) || !strings.Contains(r.out, "ATTEMPT") {
			t.Errorf("a worker that answers %s: %+v", tt.status, r)
		}
		l := <-listening
		got := decode[receivedLine](t, l)
		if l.code != exitOK || got.Body != `{"a":1}` || got.Queue != queue || got.Attempt != 1 {
			t.Errorf("listen: %+v, %+v", l, got)
		}
	}
	if r := command(t, "", "workers", "list", server); !strings.Contains(r.err, "no workers yet") {
		t.Errorf("a worker that has ended is still registered: %s", r.out)
	}
}

func TestWorkersFromTheShell(t *testing.T) {
	t.Parallel()
	server := "--server=" + startServer(t)
	r := command(t, "", "workers", "set", server, "mailer", "--url", "http://127.0.0.1:9/hook", "--queue", "a,b", "--concurrency", "7")
	if r.code != exitOK || !strings.Contains(r.out, "whsec_") || !strings.Contains(r.err, "Keep the secret") {
		t.Fatalf("set: %+v", r)
	}
	for verb, want := range map[string]string{"pause": "paused", "resume": "active", "rotate-secret": "whsec_", "get": "a, b"} {
		if r := command(t, "", "workers", verb, server, "mailer"); r.code != exitOK || !strings.Contains(r.out, want) {
			t.Errorf("%s: %+v", verb, r)
		}
	}
	proven := command(t, `{"type":"bearer","token":"hidden"}`, "workers", "set", server, "proven", "--url", "http://127.0.0.1:9/hook", "--queue", "a", "--auth", "-")
	if proven.code != exitOK || !strings.Contains(proven.out, "bearer") || strings.Contains(proven.out, "hidden") {
		t.Errorf("set with --auth: %+v", proven)
	}
	keyed := command(t, "", "workers", "set", server, "proven", "--url", "http://127.0.0.1:9/hook", "--queue", "a", "--signing-key", "generate")
	rotated := command(t, "", "workers", "rotate-key", server, "proven", "--grace", "1h")
	if keyed.code != exitOK || strings.Count(keyed.out, "whpk_") != 1 || rotated.code != exitOK || strings.Count(rotated.out, "whpk_") != 2 {
		t.Errorf("set with --signing-key: %+v, rotate-key: %+v", keyed, rotated)
	}
	if r := command(t, "", "workers", "rotate-key", server, "proven", "--grace", "long"); r.code != exitUsage {
		t.Errorf("rotate-key with a bad grace: %+v", r)
	}
	if r := command(t, "", "workers", "set", server, "proven", "--url", "http://127.0.0.1:9/hook", "--queue", "a", "--auth", "hidden"); r.code != exitUsage || strings.Contains(r.err, "hidden") {
		t.Errorf("set with a bad --auth: %+v", r)
	}
	bad := command(t, "", "workers", "set", server, "x", "--url", "http://10.0.0.1/", "--queue", "a")
	if bad.code != exitRefused || !strings.Contains(bad.err, "url: ") || !strings.Contains(bad.err, "--allow-cidr") {
		t.Errorf("a private address: %+v", bad)
	}
	if r := command(t, "", "workers", "delete", server, "mailer"); r.code != exitOK || r.out != "worker mailer deleted\n" {
		t.Errorf("delete: %+v", r)
	}
}

func TestAPIKeysFromTheShell(t *testing.T) {
	t.Parallel()
	if r := command(t, "", "api-keys", "generate"); control.CheckRootKey(strings.TrimSpace(r.out)) != nil {
		t.Errorf("generate: %+v", r)
	}
	server := "--server=" + startServer(t)
	made := decode[client.APIKey](t, command(t, "", "api-keys", "create", server, "ci", "--scope", "jobs:write@ci.*", "--expires-in", "90d", "-o", "json"))
	if made.Key == "" || made.ExpiresAt.IsZero() {
		t.Errorf("create: %+v", made)
	}
	list := command(t, "", "api-keys", "list", server)
	if !strings.Contains(list.out, "jobs:write@ci.*") || strings.Contains(list.out, made.Key) {
		t.Errorf("list:\n%s", list.out)
	}
	if r := command(t, "", "api-keys", "delete", server, made.ID); r.code != exitOK {
		t.Errorf("delete: %+v", r)
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	r := command(t, "", "doctor", "--server", "http://"+l.Addr().String(), "--listen", "127.0.0.1:0", "--store", "memory:")
	if r.code != exitFailed || !strings.Contains(r.out, "none is running") {
		t.Errorf("doctor: %+v", r)
	}
	err = (&cli{server: "http://h"}).checkReach(t, l.Addr().String())
	if code := exitCode(t.Context(), err); code != exitUnreachable {
		t.Errorf("exit code %d, want %d", code, exitUnreachable)
	}
	if text := explain(err, "http://h"); !strings.Contains(text, "orchestrix serve") {
		t.Errorf("no word on what to do next: %s", text)
	}
}

// checkReach calls a server without repetitions, which would take seconds.
func (c *cli) checkReach(t *testing.T, addr string) error {
	t.Helper()
	api, err := client.New("http://"+addr, client.WithRetries(0))
	if err != nil {
		t.Fatal(err)
	}
	_, err = api.Queue(t.Context(), "q")
	return err
}

func TestDoctor(t *testing.T) {
	t.Parallel()
	url := startServer(t)
	target, err := receiver.Listen(t.Context(), "127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close(t.Context(), 0)
	if r := command(t, "", "workers", "set", "--server", url, "near", "--url", target.URL(), "--queue", "q"); r.code != exitOK {
		t.Fatal(r.err)
	}
	r := command(t, "", "doctor", "--server", url, "--listen", strings.TrimPrefix(url, "http://"), "--store", "embedded:"+t.TempDir())
	if r.code != exitOK {
		t.Errorf("doctor: %+v", r)
	}
	for _, check := range []string{"configuration", "directory", "fsync", "free space", "open files", "port", "server", "clock", "API key", "worker near"} {
		if !regexp.MustCompile(`(?m)^` + check + ` +(ok|warn)`).MatchString(r.out) {
			t.Errorf("%s is not well:\n%s", check, r.out)
		}
	}
}

func TestDoctorLooksAtRedis(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	redis.Do(t, "ACL", "SETUSER", "user", "on", ">hidden", "~*", "&*", "+@all")
	store := strings.Replace(redis.URL(""), "://", "://user:hidden@", 1)
	for url, want := range map[string]string{
		store: `(?m)^store +ok`,
		strings.Replace(store, "redis:", "redis-cluster:", 1):   `(?m)^store +FAILED.*begin the URL with redis://`,
		strings.Replace(store, ":hidden@", ":hidden-wrong@", 1): `(?m)^store +FAILED.*WRONGPASS`,
		"redis://:hidden@127.0.0.1:1":                           `(?m)^store +FAILED.*refused`,
	} {
		r := command(t, "", "doctor", "--listen", "127.0.0.1:0", "--store", url)
		if !regexp.MustCompile(want).MatchString(r.out) || strings.Contains(r.out+r.err, "hidden") {
			t.Errorf("want %s:\n%s%s", want, r.out, r.err)
		}
	}
}

func TestJobsExplain(t *testing.T) {
	t.Parallel()
	server := "--server=" + startServer(t)
	made := decode[client.Receipt](t, command(t, "", "enqueue", server, "-o", "json", "--queue", "q", "--type", "a", "--key", "k"))
	r := command(t, "", "jobs", "explain", server, made.ID)
	for _, want := range []string{"status:    pending\n", "position:  1, among the jobs of its key\n", "\nno_worker\n  no worker serves queue q: register one\n"} {
		if r.code != exitOK || !strings.Contains(r.out, want) {
			t.Errorf("no %q in %d\n%s%s", want, r.code, r.out, r.err)
		}
	}
	if e := decode[client.Explanation](t, command(t, "", "jobs", "explain", server, "-o", "json", made.ID)); e.Position != 1 || len(e.Reasons) != 1 || e.Reasons[0].Code != "no_worker" {
		t.Errorf("as JSON: %+v", e)
	}
	if r := command(t, "", "jobs", "get", server, made.ID); !strings.Contains(r.out, "waiting:   no worker serves queue q: register one\n") {
		t.Errorf("get does not say why it waits:\n%s", r.out)
	}
	if r := command(t, "", "jobs", "explain", server, "job_none"); r.code != exitRefused {
		t.Errorf("a job that is not there: %+v", r)
	}
}
