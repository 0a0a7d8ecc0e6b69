package worker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orchestrix/orchestrix/worker"
	"github.com/orchestrix/orchestrix/worker/workertest"
)

func entriesOf(reports []workertest.Report) []workertest.LogEntry {
	var out []workertest.LogEntry
	for _, r := range reports {
		if r.Status == http.StatusOK {
			out = append(out, r.Entries...)
		}
	}
	return out
}

func TestProgressIsTheNewestOfASecond(t *testing.T) {
	t.Parallel()
	bubble(t, func(_ context.Context, job worker.Job[email]) (string, error) {
		for i := range 100 {
			job.Progress(float64(i), "step "+fmt.Sprint(i))
			time.Sleep(100 * time.Millisecond)
		}
		job.Progress(math.NaN(), "")
		time.Sleep(2 * time.Second)
		job.Progress(math.Inf(1), "a\nb")
		return "", nil
	}, func(t *testing.T, c *workertest.Coordinator, mux *worker.Mux) {
		a := c.Push(mux, video)
		a.Wait()
		var got []float64
		for _, r := range a.Reports() {
			if r.Verb == "progress" {
				got = append(got, r.Percent)
			}
		}
		if len(got) < 10 || len(got) > 13 || got[len(got)-2] != 0 || got[len(got)-1] != 100 {
			t.Errorf("progress is %v", got)
		}
	})
}

func TestLogLinesAreSentTogether(t *testing.T) {
	t.Parallel()
	bubble(t, func(_ context.Context, job worker.Job[email]) (string, error) {
		job.Log(slog.LevelDebug-4, "not even debug")
		job.Log(slog.LevelDebug, "look", "n", 1, "err", errors.New("no"))
		job.Log(slog.LevelInfo, "began")
		job.Logger().With("a", 1).WithGroup("g").Warn("hm", "b", time.Second)
		job.Logger().Error(strings.Repeat("m", 5000), "long", strings.Repeat("f", 5000))
		time.Sleep(3 * time.Second)
		job.Log(slog.LevelInfo+1, "ended")
		return "", nil
	}, func(t *testing.T, c *workertest.Coordinator, mux *worker.Mux) {
		start, a := time.Now(), c.Push(mux, video)
		a.Wait()
		reports := a.Reports()
		if got := verbs(reports); cmp.Diff([]string{"logs", "logs", "complete"}, got) != "" || reports[0].At.Sub(start) != time.Second {
			t.Errorf("the reports are %v, the first after %v", got, reports[0].At.Sub(start))
		}
		want := []workertest.LogEntry{
			{Level: "debug", Message: "look", Time: start, Fields: map[string]any{"n": 1.0, "err": "no"}},
			{Level: "info", Message: "began", Time: start},
			{Level: "warn", Message: "hm", Time: start, Fields: map[string]any{"a": 1.0, "g": map[string]any{"b": 1e9}}},
			{Level: "error", Message: strings.Repeat("m", 4096) + "…", Time: start, Fields: map[string]any{"long": strings.Repeat("f", 4096) + "…"}},
			{Level: "info", Message: "ended", Time: start.Add(3 * time.Second)},
		}
		if diff := cmp.Diff(want, entriesOf(reports)); diff != "" {
			t.Error(diff)
		}
	})
}

// A handler that logs faster than the server reads is not held up, and what is
// missing is counted.
func TestLoggingNeverBlocks(t *testing.T) {
	t.Parallel()
	bubble(t, func(_ context.Context, job worker.Job[email]) (string, error) {
		start := time.Now()
		for range 5 {
			for i := range 2000 {
				job.Log(slog.LevelInfo, "line "+fmt.Sprint(i))
			}
			job.Log(slog.LevelInfo, "long", "fields", make([]int, 10_000))
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("logging took %v", took)
		}
		time.Sleep(time.Minute)
		return "", nil
	}, func(t *testing.T, c *workertest.Coordinator, mux *worker.Mux) {
		start := time.Now()
		c.OnReport(func(r workertest.Report) (int, string) {
			if r.Verb == "logs" && time.Since(start) < 10*time.Second {
				time.Sleep(3 * time.Second)
				return http.StatusServiceUnavailable, ""
			}
			return 0, ""
		})
		a := c.Push(mux, video)
		a.Wait()
		entries := entriesOf(a.Reports())
		if len(entries) != 1001 || entries[0].Message != "line 0" || entries[999].Message != "line 999" {
			t.Fatalf("%d entries came", len(entries))
		}
		if last := entries[1000]; last.Level != "warn" || last.Message != "9005 log lines were dropped: too many at once, or too long" {
			t.Errorf("the last is %+v", last)
		}
	})
}

// The handler for the program's own log: what is logged with a job's context is the
// job's.
func TestLogHandler(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := workertest.New(t)
		var b strings.Builder
		noTime := func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}
		log := slog.New(worker.NewLogHandler(slog.NewTextHandler(&b, &slog.HandlerOptions{ReplaceAttr: noTime})))
		mux := worker.NewMux(c.Options()...)
		run := func(ctx context.Context, _ worker.Job[email]) error {
			log.With("a", 1).WithGroup("g").InfoContext(ctx, "within", "b", 2)
			log.DebugContext(ctx, "too fine for the program")
			log.Info("without")
			return nil
		}
		worker.Handle(mux, "video.encode", run, worker.Async())
		worker.Handle(mux, "email.send", run)
		p := video
		p.ID = "job_1"
		a := c.Push(mux, p)
		a.Wait()
		c.Push(mux, workertest.Push{Type: "email.send", ID: "job_2"})
		want := "level=INFO msg=within job=job_1 type=video.encode attempt=1 a=1 g.b=2\nlevel=INFO msg=without\n" +
			"level=INFO msg=within job=job_2 type=email.send attempt=1 a=1 g.b=2\nlevel=INFO msg=without\n"
		if diff := cmp.Diff(want, b.String()); diff != "" {
			t.Error(diff)
		}
		entries := entriesOf(a.Reports())
		if len(entries) != 1 || entries[0].Message != "within" || fmt.Sprint(entries[0].Fields) != "map[a:1 g:map[b:2]]" {
			t.Errorf("the job's log is %+v", entries)
		}
	})
}

// A Push that no Mux has made, in a test of a handler, can log and has progress.
func TestAPushOfATest(t *testing.T) {
	t.Parallel()
	p := &worker.Push{ID: "job_1"}
	p.Progress(1, "x")
	p.Log(slog.LevelDebug, "x")
	if p.Logger() == nil {
		t.Error("no logger")
	}
}
