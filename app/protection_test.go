package app_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/job"
)

// failing is a worker that fails until it is mended.
type failing struct{ mended atomic.Bool }

func (f *failing) answer(rw http.ResponseWriter, _ *http.Request, _ push) {
	if !f.mended.Load() {
		rw.WriteHeader(http.StatusInternalServerError)
	}
}

// until asks for the worker until it is as wanted.
func (s *server) until(t *testing.T, name string, wanted func(*client.Worker) bool) *client.Worker {
	t.Helper()
	for ctx := deadline(t); ; {
		w, err := s.Worker(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		if wanted(w) {
			return w
		}
	}
}

// A worker that fails is left alone, and says so everywhere; the jobs burn no
// attempts meanwhile, and run when somebody has mended and resumed it.
func TestCircuitOfAWorker(t *testing.T) {
	t.Parallel()
	s := start(t, config(t.TempDir()))
	var f failing
	ctx := deadline(t)
	s.register(t, "w", []string{"q"}, f.answer)
	if _, err := s.PatchWorker(ctx, "w", map[string]any{"circuit": map[string]any{"min_pushes": 4, "open_for": "1h"}}); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for range 8 {
		ids = append(ids, s.enqueue(t, client.NewJob{Queue: "q", Retry: quick(50)}))
	}
	shown := s.until(t, "w", func(w *client.Worker) bool { return len(w.Circuits) > 0 && w.InFlight == 0 })
	if c := shown.Circuits[0]; c.Queue != "q" || c.State != "open" || c.Opens != 1 || time.Until(c.Until) < 50*time.Minute {
		t.Errorf("the circuit is shown as %+v", c)
	}
	if shown.Circuit.MinPushes != 4 || shown.Circuit.FailureRatio != 0.5 || shown.AutoPause.After != job.Duration(24*time.Hour) || shown.Ramp != "on" {
		t.Errorf("the protection is shown as %+v, %+v, %s", shown.Circuit, shown.AutoPause, shown.Ramp)
	}
	explained := s.explainedBy(t, ctx, ids[0], "circuit_open")
	if explained.Worker != "w" || !explained.Until.Equal(shown.Circuits[0].Until) || !strings.Contains(explained.Message, "resume") {
		t.Errorf("explained as %+v", explained)
	}
	if q, err := s.Queue(ctx, "q"); err != nil || q.Blocked != "circuit_open" || q.WaitingReason == "" {
		t.Errorf("the queue is blocked by %q (%s), %v", q.Blocked, q.WaitingReason, err)
	}
	f.mended.Store(true)
	if w, err := s.ResumeWorker(ctx, "w"); err != nil || len(w.Circuits) != 0 {
		t.Errorf("resumed: %+v, %v", w.Circuits, err)
	}
	for _, id := range ids {
		status(t, s.await(t, id), job.Succeeded)
	}
}

// explainedBy asks why a job waits until one of the causes is the wanted one.
func (s *server) explainedBy(t *testing.T, ctx context.Context, id, cause string) client.Reason {
	t.Helper()
	for {
		e, err := s.ExplainJob(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range e.Reasons {
			if r.Code == cause {
				return r
			}
		}
	}
}

// A worker that has only failed for long is paused, says why, and begins anew when
// it is resumed.
func TestAWorkerThatOnlyFailsIsPaused(t *testing.T) {
	t.Parallel()
	var passed atomic.Int64
	c := config(t.TempDir())
	c.Now = func() time.Time { return time.Now().Add(time.Duration(passed.Load())) }
	s := start(t, c)
	var f failing
	ctx := deadline(t)
	s.register(t, "w", []string{"q"}, f.answer)
	if _, err := s.PatchWorker(ctx, "w", map[string]any{
		"circuit": map[string]any{"mode": "off"}, "auto_pause": map[string]any{"after": "1h", "min_attempts": 2},
	}); err != nil {
		t.Fatal(err)
	}
	fail := func() { status(t, s.await(t, s.enqueue(t, client.NewJob{Queue: "q", Retry: quick(1)})), job.Dead) }
	fail()
	fail()
	if w, err := s.Worker(ctx, "w"); err != nil || w.Paused {
		t.Fatalf("paused after its first failures: %+v, %v", w, err)
	}
	passed.Store(int64(2 * time.Hour))
	fail()
	w := s.until(t, "w", func(w *client.Worker) bool { return w.Paused })
	if !strings.Contains(w.PauseReason, "no attempt has succeeded since") {
		t.Errorf("paused for %q", w.PauseReason)
	}
	if _, err := s.ResumeWorker(ctx, "w"); err != nil {
		t.Fatal(err)
	}
	passed.Store(int64(2*time.Hour + 30*time.Minute))
	fail()
	fail()
	if w, err := s.Worker(ctx, "w"); err != nil || w.Paused {
		t.Errorf("paused again before it has failed for an hour: %+v, %v", w, err)
	}
}
