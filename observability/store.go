package observability

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/orchestrix/orchestrix/store/engine"
)

// storeMetrics are those of an engine.
type storeMetrics struct {
	duration *prometheus.HistogramVec
	errors   *prometheus.CounterVec
}

func newStoreMetrics() *storeMetrics {
	return &storeMetrics{
		duration: histograms("store_operation_duration_seconds", "How long the store took, by operation; apply is a durable write.", latencies, "operation"),
		errors:   counters("store_errors_total", "Operations of the store that failed; a lost shard is no failure of the store.", "operation"),
	}
}

// MeterEngine returns an engine that measures what e does: its writes and its
// reads. Everything else is e's own.
func (m *Metrics) MeterEngine(e engine.Engine) engine.Engine {
	return &meteredEngine{
		Engine: e,
		apply:  m.store.operation("apply"), get: m.store.operation("get"), scan: m.store.operation("scan"),
	}
}

type meteredEngine struct {
	engine.Engine
	apply, get, scan meter
}

type meter struct {
	duration prometheus.Observer
	errors   prometheus.Counter
}

func (s *storeMetrics) operation(name string) meter {
	return meter{s.duration.WithLabelValues(name), s.errors.WithLabelValues(name)}
}

func (m meter) done(started time.Time, err error) {
	m.duration.Observe(time.Since(started).Seconds())
	if err != nil && !errors.Is(err, engine.ErrFenced) && !errors.Is(err, engine.ErrHistory) && !errors.Is(err, context.Canceled) {
		m.errors.Inc()
	}
}

// Apply implements engine.Engine.
func (e *meteredEngine) Apply(ctx context.Context, shard int, b *engine.Batch) (engine.Result, error) {
	started := time.Now()
	r, err := e.Engine.Apply(ctx, shard, b)
	e.apply.done(started, err)
	return r, err
}

// Get implements engine.Engine.
func (e *meteredEngine) Get(ctx context.Context, shard int, keys ...[]byte) ([][]byte, error) {
	started := time.Now()
	values, err := e.Engine.Get(ctx, shard, keys...)
	e.get.done(started, err)
	return values, err
}

// Scan implements engine.Engine.
func (e *meteredEngine) Scan(ctx context.Context, shard int, r engine.Range) ([]engine.Entry, error) {
	started := time.Now()
	entries, err := e.Engine.Scan(ctx, shard, r)
	e.scan.done(started, err)
	return entries, err
}
