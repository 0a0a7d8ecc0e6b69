package charts

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for what a busy machine may take long to do; it is
// only used up where the test fails.
const patience = 3 * time.Minute

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// run starts a program that ends with the test. What it says is shown where the test fails.
func run(t *testing.T, program string, args ...string) {
	t.Helper()
	log := filepath.Join(t.TempDir(), filepath.Base(program)+".log")
	out, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = out, out, t.TempDir()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		killed := time.AfterFunc(15*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		killed.Stop()
		out.Close()
		if t.Failed() {
			text, _ := os.ReadFile(log)
			t.Logf("%s said:\n%s", program, text[max(0, len(text)-8000):])
		}
	})
}

// until calls f every so often until it is true.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	end := time.After(patience)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("never: %s", what)
		}
	}
}

func answers(t *testing.T, url string) bool {
	t.Helper()
	resp, err := get(t.Context(), url)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

func get(ctx context.Context, url string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	return http.DefaultClient.Do(req)
}

var builtDir string

// built is the product's binary, built once into the directory that TestMain removes.
var built = sync.OnceValues(func() (string, error) {
	path := filepath.Join(builtDir, "orchestrix")
	build := exec.Command("go", "build", "-o", path, "./cmd/orchestrix")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		return path, fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

func binary(t *testing.T) string {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestMain removes what was built, and keeps Helm's loader from saying of every chart
// that it follows links.
func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	var err error
	if builtDir, err = os.MkdirTemp("", "orchestrix-charts-*"); err != nil {
		panic(err)
	}
	m.Run()
	os.RemoveAll(builtDir)
}

// server is a real one, with workers that answer well and badly.
type server struct {
	t   *testing.T
	url string
}

func newServer(t *testing.T) *server {
	t.Helper()
	address := freeAddress(t)
	s := &server{t, "http://" + address}
	run(t, binary(t), "serve", "--listen", address, "--store", "embedded:"+filepath.Join(t.TempDir(), "data"), "--allow-cidr", "127.0.0.0/8", "--shards", "4", "--drain-grace", "5s")
	until(t, "the server is ready", func() bool { return answers(t, s.url+"/readyz") })
	return s
}

func (s *server) call(method, path string, body any) {
	s.t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, bytes.NewReader(data))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode/100 != 2 || bytes.Contains(text, []byte(`"error":`)) {
		s.t.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, text)
	}
}

type object = map[string]any

// workers registers one that is well, two that fail, of which one soon has its circuit
// open, one that takes attempts over and never ends them, and one that throttles, each with a queue of its own, and a schedule for the first.
func (s *server) workers() {
	s.t.Helper()
	fails := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }
	for _, w := range []struct {
		name      string
		minPushes int // until its circuit may open
		answer    http.HandlerFunc
	}{
		{"well", 10, func(http.ResponseWriter, *http.Request) {}},
		{"failing", 10, fails},
		{"deadly", 10_000, fails},
		{"async", 10, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Orchestrix-Async", "true")
			w.WriteHeader(http.StatusAccepted)
		}},
		{"throttling", 10, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		}},
	} {
		worker := httptest.NewServer(w.answer)
		s.t.Cleanup(worker.Close)
		s.call(http.MethodPut, "/v1/workers/"+w.name, object{
			"url": worker.URL, "queues": []string{w.name},
			"circuit": object{"min_pushes": w.minPushes, "open_for": "1h", "max_open": "1h"},
		})
	}
	s.call(http.MethodPut, "/v1/schedules/every-second", object{"every": "1s", "job": object{"queue": "well", "type": "tick"}})
}

// load enqueues jobs that succeed, that die at once, that are tried until a circuit opens,
// that are throttled, one that is taken over, and one that nobody takes.
func (s *server) load() {
	s.t.Helper()
	var jobs []object
	for queue, n := range map[string]int{"well": 50, "deadly": 5, "failing": 5, "async": 1, "throttling": 3, "nobody": 1} {
		attempts := 20
		if queue == "deadly" {
			attempts = 1
		}
		for range n {
			jobs = append(jobs, object{"queue": queue, "type": "test", "retry": object{"max_attempts": attempts, "backoff": "fixed", "initial_delay": "100ms"}})
		}
	}
	s.call(http.MethodPost, "/v1/jobs/batch", object{"jobs": jobs})
}

// prometheus is a real one that scrapes the server every second and evaluates the alerts'
// rules.
type prometheus struct {
	t   *testing.T
	url string
}

func newPrometheus(t *testing.T, target string) *prometheus {
	t.Helper()
	program := program(t, "prometheus")
	alerts, err := filepath.Abs(filepath.Join("..", "..", "charts", "alerts"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yaml")
	text := fmt.Sprintf(`global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}
rule_files: [%q]
scrape_configs:
  - job_name: orchestrix
    static_configs: [{targets: [%q]}]
`, filepath.Join(alerts, "*.yaml"), target)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	run(t, program, "--config.file", config, "--web.listen-address", address, "--storage.tsdb.path", filepath.Join(dir, "data"), "--log.level", "warn")
	p := &prometheus{t, "http://" + address}
	until(t, "Prometheus is ready", func() bool { return answers(t, p.url+"/-/ready") })
	return p
}
