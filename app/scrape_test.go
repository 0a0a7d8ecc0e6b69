package app

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/orchestrix/orchestrix/control"
	"github.com/orchestrix/orchestrix/dispatcher"
	"github.com/orchestrix/orchestrix/observability"
	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/store/engine"
	"github.com/orchestrix/orchestrix/store/engine/pebble"
	"github.com/orchestrix/orchestrix/webhook/push"
)

// gate is an engine that can be taken away: then any call of it panics.
type gate struct{ engine.Engine }

// TestAScrapeCallsNoEngine: what the metrics show is in memory, whatever the store does.
func TestAScrapeCallsNoEngine(t *testing.T) {
	t.Parallel()
	e, err := pebble.OpenMemory(pebble.Options{Shards: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	client := push.New(push.Options{Guard: push.NewGuard(nil, true)})
	defer client.Close()
	g := &gate{e}
	a := &App{config: Config{Store: "memory:"}.withDefaults(), log: slog.New(slog.DiscardHandler), metrics: observability.NewMetrics("x")}
	a.store = store.New(a.metrics.MeterEngine(g))
	a.dispatch = dispatcher.New(dispatcher.Options{Store: a.store, Push: client, Meter: a.metrics})
	a.control = control.New(control.Options{Store: a.store, Dispatcher: a.dispatch, OnEnqueued: a.metrics.Enqueued})
	a.watch()
	if _, err := a.control.Enqueue(control.As(t.Context(), control.Root()), &control.NewJob{Queue: "q", Type: "t"}); err != nil {
		t.Fatal(err)
	}
	s := &surveyor{app: a, store: a.store, shards: dispatcher.NewSurveyor(a.dispatch)}
	v, err := s.look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a.metrics.Show(v)
	g.Engine = nil
	w := httptest.NewRecorder()
	a.metrics.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, line := range []string{"orchestrix_jobs_enqueued_total 1", `orchestrix_queue_jobs_enqueued_total{queue="q"} 1`, "orchestrix_leader 1", "orchestrix_survey_age_seconds "} {
		if !strings.Contains(w.Body.String(), line) {
			t.Errorf("the scrape lacks %s", line)
		}
	}
}
