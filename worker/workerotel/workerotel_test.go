package workerotel_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/orchestrix/orchestrix/worker"
	"github.com/orchestrix/orchestrix/worker/workerotel"
	"github.com/orchestrix/orchestrix/worker/workertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// telemetry is a worker whose spans and metrics are looked at.
type telemetry struct {
	*workertest.Coordinator
	mux   *worker.Mux
	spans *tracetest.SpanRecorder
	read  *sdkmetric.ManualReader
}

const (
	traceID     = "4bf92f3577b34da6a3ce929d0e0e4736"
	spanID      = "00f067aa0ba902b7"
	traceparent = "00-" + traceID + "-" + spanID + "-01"
)

func newTelemetry(t *testing.T, more ...worker.Middleware) *telemetry {
	t.Helper()
	o := &telemetry{Coordinator: workertest.New(t), spans: tracetest.NewSpanRecorder(), read: sdkmetric.NewManualReader()}
	m, err := workerotel.Middleware(
		workerotel.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(o.spans))),
		workerotel.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(o.read))),
	)
	if err != nil {
		t.Fatal(err)
	}
	o.mux = worker.NewMux(append(o.Options(), worker.WithMiddleware(append([]worker.Middleware{m}, more...)...), worker.WithLogger(slog.New(slog.DiscardHandler)))...)
	return o
}

func (o *telemetry) push(jobType string) *workertest.Answer {
	return o.Push(o.mux, workertest.Push{Type: jobType, Queue: "emails", ID: "job_1", Attempt: 2, Header: http.Header{"Traceparent": {traceparent}}})
}

func TestASpanContinuesTheServersTrace(t *testing.T) {
	t.Parallel()
	o := newTelemetry(t)
	worker.Handle(o.mux, "email.send", func(ctx context.Context, _ worker.Job[string]) error {
		if got := trace.SpanContextFromContext(ctx); got.TraceID().String() != traceID || got.SpanID().String() == spanID {
			t.Errorf("the handler is in %v", got)
		}
		return nil
	})
	o.push("email.send")
	ended := o.spans.Ended()
	if len(ended) != 1 {
		t.Fatalf("%d spans", len(ended))
	}
	span := ended[0]
	if span.Name() != "process email.send" || span.Parent().SpanID().String() != spanID || !span.Parent().IsRemote() || span.SpanKind() != trace.SpanKindConsumer || span.Status().Code != codes.Unset {
		t.Errorf("the span is %v of %v", span.Name(), span.Parent())
	}
	want := map[attribute.Key]string{
		"messaging.system": "orchestrix", "messaging.operation.type": "process", "messaging.destination.name": "emails", "messaging.message.id": "job_1",
		"orchestrix.job.id": "job_1", "orchestrix.job.type": "email.send", "orchestrix.attempt": "2", "orchestrix.outcome": "succeeded",
	}
	got := map[attribute.Key]string{}
	for _, a := range span.Attributes() {
		got[a.Key] = a.Value.String()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Where something around the Mux has a span for the request, that is the parent.
func TestASpanOfTheRequestIsTheParent(t *testing.T) {
	t.Parallel()
	o := newTelemetry(t)
	worker.Handle(o.mux, "email.send", func(context.Context, worker.Job[string]) error { return nil })
	outer := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled})
	o.Push(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.mux.ServeHTTP(w, r.WithContext(trace.ContextWithSpanContext(r.Context(), outer)))
	}), workertest.Push{Type: "email.send", Header: http.Header{"Traceparent": {traceparent}}})
	if parent := o.spans.Ended()[0].Parent(); parent.SpanID() != outer.SpanID() {
		t.Errorf("the parent is %v", parent)
	}
}

// A trace that is none begins a new one, and the job runs.
func TestHostileTraces(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"", "00-0-0-0", strings.Repeat("0", 100_000), "ff-" + traceID + "-" + spanID + "-01", "00-" + strings.Repeat("0", 32) + "-" + spanID + "-01"} {
		o := newTelemetry(t)
		worker.Handle(o.mux, "email.send", func(context.Context, worker.Job[string]) error { return nil })
		a := o.Push(o.mux, workertest.Push{Type: "email.send", Header: http.Header{"Traceparent": {value}, "Tracestate": {strings.Repeat("a=b,", 10_000)}}})
		if span := o.spans.Ended()[0]; a.Outcome != workertest.Succeeded || span.Parent().IsValid() || !span.SpanContext().IsValid() {
			t.Errorf("%.40q: %s in %v", value, a.Outcome, span.Parent())
		}
	}
}

func TestFailuresAreInTheSpanAndCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newTelemetry(t, func(next worker.Handler) worker.Handler {
			return worker.HandlerFunc(func(ctx context.Context, p *worker.Push) (worker.Result, error) {
				if p.Type == "middleware" {
					panic("a middleware's own")
				}
				return next.ServePush(ctx, p)
			})
		})
		failed := errors.New("no such mailbox")
		for name, run := range map[string]func() error{
			"ok": func() error { time.Sleep(time.Second); return nil }, "fail": func() error { return failed }, "never": func() error { return worker.NoRetry(failed) },
			"later": func() error { return worker.Throttle(time.Second, failed) }, "panic": func() error { panic("boom") }, "middleware": func() error { return nil },
		} {
			worker.Handle(o.mux, name, func(context.Context, worker.Job[string]) error { return run() })
		}
		for _, name := range []string{"ok", "fail", "never", "later", "panic", "middleware"} {
			o.push(name)
		}
		var spans []string
		for _, s := range o.spans.Ended() {
			spans = append(spans, fmt.Sprint(s.Name(), ": ", s.Status().Description))
			if s.Name() == "process panic" && !slices.ContainsFunc(s.Events()[0].Attributes, func(a attribute.KeyValue) bool {
				return a.Key == "exception.stacktrace" && strings.Contains(a.Value.String(), "workerotel_test.go")
			}) {
				t.Error("the span of a panic has no stack")
			}
		}
		want := []string{"process ok: ", "process fail: no such mailbox", "process never: no such mailbox", "process later: no such mailbox", "process panic: panic: boom", "process middleware: panic"}
		if diff := cmp.Diff(want, spans); diff != "" {
			t.Error(diff)
		}
		counted := map[string]string{}
		for _, m := range o.metrics(t) {
			switch data := m.Data.(type) {
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					outcome, _ := p.Attributes.Value("orchestrix.outcome")
					kind, _ := p.Attributes.Value("orchestrix.job.type")
					counted[kind.String()] = fmt.Sprint(outcome.String(), " ", p.Count, " ", p.Sum)
				}
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					if p.Value != 0 {
						t.Errorf("%d are still active", p.Value)
					}
				}
			}
		}
		wantCounts := map[string]string{"ok": "succeeded 1 1", "fail": "failed 1 0", "never": "dead 1 0", "later": "throttled 1 0", "panic": "failed 1 0", "middleware": "failed 1 0"}
		if diff := cmp.Diff(wantCounts, counted); diff != "" {
			t.Error(diff)
		}
	})
}

func (o *telemetry) metrics(t *testing.T) []metricdata.Metrics {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := o.read.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	if len(all.ScopeMetrics) != 1 || len(all.ScopeMetrics[0].Metrics) != 2 {
		t.Fatalf("the metrics are %+v", all.ScopeMetrics)
	}
	return all.ScopeMetrics[0].Metrics
}

// The span of an asynchronous job is as long as the job.
func TestTheSpanOfAnAsynchronousJob(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newTelemetry(t)
		worker.Handle(o.mux, "video.encode", func(context.Context, worker.Job[string]) error { time.Sleep(time.Hour); return nil }, worker.Async())
		o.push("video.encode").Wait()
		span := o.spans.Ended()[0]
		if span.EndTime().Sub(span.StartTime()) != time.Hour || span.Parent().SpanID().String() != spanID {
			t.Errorf("it is %v long, in %v", span.EndTime().Sub(span.StartTime()), span.Parent())
		}
	})
}
