package app_test

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/webhook"
)

// golden is a directory that an earlier version wrote and what it said of it;
// see testdata/golden.
type golden struct {
	Made    time.Time
	RootKey string `json:"root_key"`
	Secret  string
	Keys    map[string]client.APIKey
	Workers map[string]map[string]any
	Queues  map[string]map[string]any
	Signing map[string]any
	Jobs    map[string]map[string]any
	Sent    map[string]string
}

// goldenServer is a server of this version on a golden directory.
type goldenServer struct {
	*server
	*golden
}

// Data that an earlier version wrote opens unchanged: nothing is lost, all of it
// reads as it did, and what waited is pushed.
func TestGolden(t *testing.T) {
	t.Parallel()
	archives, err := filepath.Glob("testdata/golden/*.tar.gz")
	if err != nil || len(archives) == 0 {
		t.Fatalf("no golden directory: %v", err)
	}
	for _, archive := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(archive), ".tar.gz"), func(t *testing.T) {
			t.Parallel()
			g, dir := unpack(t, archive)
			s := g.serve(t, dir)
			s.checkConfiguration(t)
			s.checkJobs(t)
			s.checkKeys(t)
			s.checkIdempotency(t)
			s.finish(t)
			ended := s.all(t)
			if err := s.stop(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(ended, g.serve(t, dir).all(t)); diff != "" {
				t.Errorf("opened again, the jobs differ:\n%s", diff)
			}
		})
	}
}

// unpack returns what the archive wants, and its data in a directory.
func unpack(t *testing.T, archive string) (*golden, string) {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		data, err := io.ReadAll(r)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(path), 0o700)
		}
		if err == nil {
			err = os.WriteFile(path, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "want.json"))
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	return &g, filepath.Join(dir, "data")
}

// serve opens the directory just after it was made, so that nothing in it is
// over its retention however much later the test runs.
func (g *golden) serve(t *testing.T, dir string) *goldenServer {
	t.Helper()
	c := config(dir)
	began := time.Now()
	c.RootKey, c.Now = g.RootKey, func() time.Time { return g.Made.Add(time.Since(began)) }
	return &goldenServer{start(t, c, client.WithKey(g.RootKey)), g}
}

// call returns the answer to a call with that key.
func (s *goldenServer) call(t *testing.T, key, method, path, body string) (status int, answer map[string]any) {
	t.Helper()
	q, err := http.NewRequestWithContext(deadline(t), method, s.URL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer "+key)
	q.Header.Set("Content-Type", "application/json")
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer a.Body.Close()
	if err := json.NewDecoder(a.Body).Decode(&answer); err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return a.StatusCode, answer
}

func (s *goldenServer) get(t *testing.T, path string) map[string]any {
	t.Helper()
	status, answer := s.call(t, s.RootKey, http.MethodGet, path, "")
	if status != http.StatusOK {
		t.Fatalf("GET %s: %d %v", path, status, answer)
	}
	return answer
}

// same compares the members that were there, but for some that live.
func same(t *testing.T, what string, was, is map[string]any, but ...string) {
	t.Helper()
	for _, name := range but {
		delete(was, name)
	}
	for name, want := range was {
		if !reflect.DeepEqual(want, is[name]) {
			t.Errorf("%s: %s is %.200v, it was %.200v", what, name, is[name], want)
		}
	}
}

func (s *goldenServer) checkConfiguration(t *testing.T) {
	t.Helper()
	for name, was := range s.Workers {
		same(t, "worker "+name, was, s.get(t, "/v1/workers/"+name), "in_flight", "succeeded", "failed", "last_success_at", "last_failure_at", "throttled_until")
	}
	for name, was := range s.Queues {
		same(t, "queue "+name, was, s.get(t, "/v1/queues/"+name), "counts", "oldest_pending_age", "throughput", "in_flight", "blocked", "waiting_reason")
	}
	same(t, "signing keys", s.Signing, s.get(t, "/v1/signing-keys"))
}

// checkJobs wants each job as it was, and those that had not ended as they were
// asked for.
func (s *goldenServer) checkJobs(t *testing.T) {
	t.Helper()
	for name, was := range s.Jobs {
		status, _ := job.ParseStatus(was["status"].(string))
		is := s.get(t, "/v1/jobs/"+was["id"].(string))
		if status.Terminal() {
			same(t, name, was, is)
			continue
		}
		// They are under way: what is compared is what their sender said.
		same(t, name, was, is, "status", "reason", "attempt", "failures", "attempts", "next_attempt_at", "finished_at", "result", "result_type")
	}
	if n := len(s.all(t)); n != len(s.Jobs) {
		t.Errorf("%d jobs are listed, want %d", n, len(s.Jobs))
	}
}

func (s *goldenServer) checkKeys(t *testing.T) {
	t.Helper()
	for _, c := range []struct {
		key, method, path, body string
		status                  int
	}{
		{"reader", http.MethodGet, "/v1/jobs", "", http.StatusOK},
		{"reader", http.MethodPost, "/v1/jobs", `{"queue":"held","type":"x"}`, http.StatusForbidden},
		{"writer", http.MethodPost, "/v1/jobs", `{"queue":"mail","type":"x"}`, http.StatusForbidden},
		{"writer", http.MethodPost, "/v1/jobs", s.Sent["low"], http.StatusOK},
	} {
		if status, answer := s.call(t, s.Keys[c.key].Key, c.method, c.path, c.body); status != c.status {
			t.Errorf("%s %s with the key %s: %d %v, want %d", c.method, c.path, c.key, status, answer, c.status)
		}
	}
	if status, _ := s.call(t, s.RootKey[:len(s.RootKey)-1]+"x", http.MethodGet, "/v1/jobs", ""); status != http.StatusUnauthorized {
		t.Errorf("a wrong key is answered with %d", status)
	}
}

// checkIdempotency repeats what was enqueued under a key: of a job that ended,
// one that is delayed, one that waits.
func (s *goldenServer) checkIdempotency(t *testing.T) {
	t.Helper()
	for _, name := range []string{"succeeded", "delayed", "low"} {
		status, answer := s.call(t, s.RootKey, http.MethodPost, "/v1/jobs", s.Sent[name])
		if status != http.StatusOK || answer["id"] != s.Jobs[name]["id"] {
			t.Errorf("%s enqueued again: %d %v", name, status, answer)
		}
		other := strings.Replace(s.Sent[name], `"type":"ok"`, `"type":"other"`, 1)
		if status, answer = s.call(t, s.RootKey, http.MethodPost, "/v1/jobs", other); status != http.StatusUnprocessableEntity {
			t.Errorf("%s with another body: %d %v", name, status, answer)
		}
	}
}

// finish gives the jobs a worker that is there, and lets all of them end.
func (s *goldenServer) finish(t *testing.T) {
	t.Helper()
	secret, err := webhook.ParseSecret(s.Secret)
	if err != nil {
		t.Fatal(err)
	}
	w := startWorker(t, &webhook.Verifier{Secrets: []webhook.Secret{secret}}, nil)
	s.register(t, "late", []string{"nobody"}, nil)
	for name := range s.Workers {
		if _, err := s.PatchWorker(deadline(t), name, map[string]any{"url": w.url}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.ResumeQueue(deadline(t), "held"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"delayed", "retrying", "throttled", "timed"} {
		if _, err := s.RunJobNow(deadline(t), s.id(name)); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"delayed", "retrying", "throttled", "critical", "low", "unserved", "commanded", "running"} {
		status(t, s.await(t, s.id(name)), job.Succeeded)
	}
	if j := s.await(t, s.id("running")); j.Attempts[0].Outcome != job.OutcomeLost.String() {
		t.Errorf("the attempt that was under way: %+v", j.Attempts[0])
	}
	s.endTimed(t)
	received := map[string]string{}
	for _, p := range w.received() {
		received[p.id] = p.body
	}
	if received[s.id("running")] != `{"in":"flight"}` || received[s.id("low")] != "2" {
		t.Errorf("the worker received %v", received)
	}
}

// endTimed cancels the job whose destination is not there, once it was tried.
func (s *goldenServer) endTimed(t *testing.T) {
	t.Helper()
	for j, err := s.Job(deadline(t), s.id("timed"), 0); ; j, err = s.Job(deadline(t), s.id("timed"), 50*time.Millisecond) {
		if err != nil {
			t.Fatal(err)
		}
		if len(j.Attempts) > 0 {
			if j.Attempts[0].Reason != string(job.ReasonConnect) {
				t.Errorf("the ad-hoc job was tried so: %+v", j.Attempts[0])
			}
			break
		}
	}
	if _, err := s.CancelJob(deadline(t), s.id("timed")); err != nil {
		t.Fatal(err)
	}
}

func (s *goldenServer) id(name string) string { return s.Jobs[name]["id"].(string) }

// all returns all jobs whole, by id.
func (s *goldenServer) all(t *testing.T) map[string]map[string]any {
	t.Helper()
	all := map[string]map[string]any{}
	for j, err := range s.Client.Jobs(deadline(t), client.JobFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		all[j.ID] = s.get(t, "/v1/jobs/"+j.ID)
	}
	return all
}
