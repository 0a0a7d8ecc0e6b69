package model_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/orchestrix/orchestrix/store/engine"
	"github.com/orchestrix/orchestrix/store/engine/enginetest"
	"github.com/orchestrix/orchestrix/store/engine/model"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	t.Parallel()
	enginetest.Run(t, func(t testing.TB) enginetest.Store {
		var ahead atomic.Int64
		e := model.New(3, func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) })
		t.Cleanup(func() { e.Close() })
		return enginetest.Store{Engine: e, Advance: func(d time.Duration) { ahead.Add(int64(d)) }}
	})
}

func put(key string) *engine.Batch {
	return &engine.Batch{Groups: []engine.Group{{Puts: []engine.Entry{{Key: []byte(key)}}}}}
}

func has(t *testing.T, e *model.Engine, key string) bool {
	t.Helper()
	values, err := e.Get(context.Background(), 0, []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return values[0] != nil
}

func TestFailDoesNothing(t *testing.T) {
	t.Parallel()
	e := model.New(1, nil)
	broken := true
	e.Fail = func(op string, shard int) error {
		if op == "apply" && shard == 0 && broken {
			return engine.ErrUnavailable
		}
		return nil
	}
	if _, err := e.Apply(t.Context(), 0, put("a")); !errors.Is(err, engine.ErrUnavailable) {
		t.Fatalf("Apply = %v, want ErrUnavailable", err)
	}
	if has(t, e, "a") {
		t.Error("a call that failed was carried out")
	}
	broken = false
	if _, err := e.Apply(t.Context(), 0, put("a")); err != nil || !has(t, e, "a") {
		t.Errorf("Apply = %v, want it carried out", err)
	}
}

func TestAmbiguousDoesIt(t *testing.T) {
	t.Parallel()
	e := model.New(1, nil)
	e.Ambiguous = func(op string, _ int) bool { return op == "apply" }
	if _, err := e.Apply(t.Context(), 0, put("a")); !errors.Is(err, engine.ErrUnavailable) {
		t.Fatalf("Apply = %v, want ErrUnavailable", err)
	}
	if !has(t, e, "a") {
		t.Error("an ambiguous call was not carried out")
	}
}

func BenchmarkApply(b *testing.B) {
	e := model.New(1, nil)
	batch := put("key")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Apply(context.Background(), 0, batch); err != nil {
			b.Fatal(err)
		}
	}
}
