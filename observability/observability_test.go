package observability_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/orchestrix/orchestrix/control"
	"github.com/orchestrix/orchestrix/dispatcher"
	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/observability"
	"github.com/orchestrix/orchestrix/store/engine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func scrape(t *testing.T, m *observability.Metrics) string {
	t.Helper()
	return scrapeFor(t, m)
}

func scrapeFor(t testing.TB, m *observability.Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	body, err := io.ReadAll(w.Body)
	if err != nil || w.Code != 200 {
		t.Fatalf("scrape: %d, %v", w.Code, err)
	}
	return string(body)
}

func wantLines(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("the scrape lacks %q", line)
		}
	}
}

func TestRequestsAreCountedByRoute(t *testing.T) {
	t.Parallel()
	m := observability.NewMetrics("1.2.3")
	for range 3 {
		m.Request("POST", "/v1/jobs", 202, time.Millisecond)
	}
	m.Request("POST", "/v1/jobs", 422, time.Millisecond)
	m.Request("BREW", "other", 405, time.Millisecond)
	m.Request("STEAL", "other", 405, time.Millisecond)
	text := scrape(t, m)
	wantLines(
		t, text,
		`orchestrix_http_requests_total{method="POST",route="/v1/jobs",status="202"} 3`,
		`orchestrix_http_requests_total{method="POST",route="/v1/jobs",status="422"} 1`,
		`orchestrix_http_requests_total{method="other",route="other",status="405"} 2`,
		`orchestrix_http_request_duration_seconds_count{method="POST",route="/v1/jobs"} 4`,
	)
	if strings.Contains(text, "BREW") {
		t.Error("a client chose the value of a label")
	}
	if !strings.Contains(text, `orchestrix_build_info{go_version="go`) || !strings.Contains(text, `version="1.2.3"} 1`) {
		t.Error("the scrape lacks the build")
	}
}

func TestTotalsAreReadWhenScraped(t *testing.T) {
	t.Parallel()
	m := observability.NewMetrics("x")
	enqueued := uint64(7)
	m.Watch(observability.Sources{
		Enqueues: func() observability.Enqueues {
			return observability.Enqueues(control.Totals{Enqueued: enqueued, Repeated: 2, Refused: 3, Full: 14, Commands: 4})
		},
		Pushes: func() observability.Pushes {
			return observability.Pushes(dispatcher.Totals{
				Started: 10, Retries: 20, Lost: 1, Commits: 5, InFlight: 6, Accepted: 21, WindowJobs: 8, WindowBytes: 9,
				Attempts: map[job.Outcome]int64{job.OutcomeSucceeded: 11}, Settled: map[job.Status]int64{job.Dead: 12},
				TrimmedByAge: map[job.Status]int64{job.Dead: 15}, TrimmedByBytes: map[job.Status]int64{job.Succeeded: 16},
				Fired: 17, Missed: 18, Skipped: 19, Lateness: map[float64]uint64{0.05: 16, 1: 17}, LatenessSum: 2.5,
			})
		},
		Leader: func() (uint64, bool) { return 7, true },
	})
	wantLines(
		t, scrape(t, m),
		"orchestrix_jobs_enqueued_total 7", "orchestrix_enqueues_repeated_total 2", "orchestrix_enqueues_refused_total 3", "orchestrix_enqueues_full_total 14", "orchestrix_commands_total 4",
		"orchestrix_pushes_started_total 10", "orchestrix_retries_total 20", `orchestrix_attempts_total{outcome="succeeded"} 11`, `orchestrix_attempts_total{outcome="lost"} 0`,
		`orchestrix_jobs_settled_total{status="dead"} 12`, "orchestrix_attempts_recovered_total 1",
		`orchestrix_jobs_trimmed_total{reason="age",status="dead"} 15`, `orchestrix_jobs_trimmed_total{reason="bytes",status="succeeded"} 16`, "orchestrix_commits_total 5",
		`orchestrix_schedule_slots_total{result="fired"} 17`, `orchestrix_schedule_slots_total{result="missed"} 18`, `orchestrix_schedule_slots_total{result="skipped"} 19`,
		`orchestrix_schedule_lateness_seconds_bucket{le="0.05"} 16`, "orchestrix_schedule_lateness_seconds_count 17", "orchestrix_schedule_lateness_seconds_sum 2.5",
		"orchestrix_pushes_in_flight 6", "orchestrix_async_attempts 21", "orchestrix_window_jobs 8", "orchestrix_window_bytes 9", "orchestrix_leader 1", "orchestrix_leader_term 7",
	)
	enqueued = 70
	wantLines(t, scrape(t, m), "orchestrix_jobs_enqueued_total 70")
}

// fakeEngine fails as it is told; what is not overridden is not called.
type fakeEngine struct {
	engine.Engine
	err error
}

func (f *fakeEngine) Apply(context.Context, int, *engine.Batch) (engine.Result, error) {
	return engine.Result{Repeated: true}, f.err
}

func (f *fakeEngine) Get(context.Context, int, ...[]byte) ([][]byte, error) {
	return [][]byte{{1}}, f.err
}

func (f *fakeEngine) Scan(context.Context, int, engine.Range) ([]engine.Entry, error) {
	return []engine.Entry{{}}, f.err
}
func (f *fakeEngine) Shards() int { return 42 }

func TestMeterEngine(t *testing.T) {
	t.Parallel()
	m := observability.NewMetrics("x")
	fake := &fakeEngine{}
	e := m.MeterEngine(fake)
	for _, fake.err = range []error{nil, engine.ErrFenced, engine.ErrUnavailable} {
		r, err := e.Apply(t.Context(), 0, nil)
		if !errors.Is(err, fake.err) || !r.Repeated {
			t.Errorf("Apply = %v, %v", r, err)
		}
		if v, err := e.Get(t.Context(), 0); !errors.Is(err, fake.err) || len(v) != 1 {
			t.Errorf("Get = %v, %v", v, err)
		}
		if v, err := e.Scan(t.Context(), 0, engine.Range{}); !errors.Is(err, fake.err) || len(v) != 1 {
			t.Errorf("Scan = %v, %v", v, err)
		}
	}
	if e.Shards() != 42 {
		t.Error("other methods are not the engine's own")
	}
	var want []string
	for _, op := range []string{"apply", "get", "scan"} {
		want = append(want, `orchestrix_store_operation_duration_seconds_count{operation="`+op+`"} 3`, `orchestrix_store_errors_total{operation="`+op+`"} 1`)
	}
	wantLines(t, scrape(t, m), want...)
}

func TestNewLogger(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	level := new(slog.LevelVar)
	log := observability.NewLogger(&out, level, observability.LogAuto)
	log.Debug("hidden")
	log.Info("seen", "n", 1)
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || line["msg"] != "seen" {
		t.Errorf("not a terminal: wrote %q, want one line of JSON", out.String())
	}
	out.Reset()
	level.Set(slog.LevelDebug)
	observability.NewLogger(&out, level, observability.LogText).Debug("now seen")
	if !strings.Contains(out.String(), `msg="now seen"`) {
		t.Errorf("text: wrote %q", out.String())
	}
}

func TestParseLogFormat(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]observability.LogFormat{"": "auto", "auto": "auto", "text": "text", "json": "json", "xml": ""} {
		got, err := observability.ParseLogFormat(name)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("ParseLogFormat(%q) = %q, %v", name, got, err)
		}
	}
}
