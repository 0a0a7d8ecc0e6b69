// Package workerotel is OpenTelemetry for a worker: a middleware that continues
// the server's trace in each job and counts jobs by type. It is a package of its
// own so that package worker depends on nothing; it needs OpenTelemetry's API alone,
// and what is done with spans and metrics is the program's choice of an SDK.
//
// It promises a span per attempt, of kind consumer, whose parent is the attempt's
// in the server (the traceparent header, W3C Trace Context) or, where otelhttp has
// made one for the request, that; and two instruments:
//
//	orchestrix.worker.job.duration  histogram, s    by type, queue and outcome
//	orchestrix.worker.job.active    up-down counter by type and queue
//
// The traceparent is not covered by the signatures: it names a trace, and nothing
// is decided by it.
package workerotel

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/orchestrix/orchestrix/worker"
)

const scope = "github.com/orchestrix/orchestrix/worker/workerotel"

// Option changes where spans and metrics go.
type Option func(*config)

type config struct {
	tracers    trace.TracerProvider
	meters     metric.MeterProvider
	propagator propagation.TextMapPropagator
}

// WithTracerProvider makes spans with p; the default is otel.GetTracerProvider().
func WithTracerProvider(p trace.TracerProvider) Option { return func(c *config) { c.tracers = p } }

// WithMeterProvider counts with p; the default is otel.GetMeterProvider().
func WithMeterProvider(p metric.MeterProvider) Option { return func(c *config) { c.meters = p } }

// WithPropagator reads the trace from a push with p; the default reads the headers
// that a server sends, traceparent and tracestate.
func WithPropagator(p propagation.TextMapPropagator) Option {
	return func(c *config) { c.propagator = p }
}

// Middleware returns the middleware, for worker.WithMiddleware: the first, so that
// the others are within the span. It fails where an instrument cannot be made.
func Middleware(options ...Option) (worker.Middleware, error) {
	c := config{otel.GetTracerProvider(), otel.GetMeterProvider(), propagation.TraceContext{}}
	for _, option := range options {
		option(&c)
	}
	i, err := newInstruments(c.meters.Meter(scope))
	if err != nil {
		return nil, err
	}
	o := &observer{c.tracers.Tracer(scope), c.propagator, i}
	return func(next worker.Handler) worker.Handler {
		return worker.HandlerFunc(func(ctx context.Context, p *worker.Push) (worker.Result, error) {
			return o.observe(ctx, p, next)
		})
	}, nil
}

type observer struct {
	tracer     trace.Tracer
	propagator propagation.TextMapPropagator
	instruments
}

type instruments struct {
	duration metric.Float64Histogram
	active   metric.Int64UpDownCounter
}

// bounds of the histogram in seconds: from an empty handler to a long job.
var bounds = []float64{0.005, 0.025, 0.1, 0.25, 1, 2.5, 10, 30, 60, 300, 1800, 7200, 43200}

func newInstruments(m metric.Meter) (instruments, error) {
	duration, err := m.Float64Histogram("orchestrix.worker.job.duration", metric.WithUnit("s"),
		metric.WithDescription("How long attempts took in their handler."), metric.WithExplicitBucketBoundaries(bounds...))
	if err != nil {
		return instruments{}, err
	}
	active, err := m.Int64UpDownCounter("orchestrix.worker.job.active", metric.WithUnit("{job}"),
		metric.WithDescription("Jobs that are in their handler now."))
	return instruments{duration, active}, err
}

func (o *observer) observe(ctx context.Context, p *worker.Push, next worker.Handler) (result worker.Result, err error) {
	ctx, span := o.start(ctx, p)
	kind := attribute.NewSet(attribute.String("orchestrix.job.type", p.Type), attribute.String("orchestrix.queue", p.Queue))
	o.active.Add(ctx, 1, metric.WithAttributeSet(kind))
	began := time.Now()
	finished := false
	defer func() {
		if !finished { // the panic of another middleware, on its way to the Mux
			err = errors.New("panic")
		}
		outcome := attribute.String("orchestrix.outcome", worker.Outcome(err))
		o.active.Add(ctx, -1, metric.WithAttributeSet(kind))
		o.duration.Record(ctx, time.Since(began).Seconds(), metric.WithAttributeSet(kind), metric.WithAttributes(outcome))
		end(span, outcome, err)
	}()
	result, err = next.ServePush(ctx, p)
	finished = true
	return result, err
}

func (o *observer) start(ctx context.Context, p *worker.Push) (context.Context, trace.Span) {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		ctx = o.propagator.Extract(ctx, propagation.HeaderCarrier(p.Header))
	}
	return o.tracer.Start(ctx, "process "+p.Type, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
		// Names of the semantic conventions for messaging, and ours.
		attribute.String("messaging.system", "orchestrix"),
		attribute.String("messaging.operation.type", "process"),
		attribute.String("messaging.destination.name", p.Queue),
		attribute.String("messaging.message.id", p.WebhookID),
		attribute.String("orchestrix.job.id", p.ID),
		attribute.String("orchestrix.job.type", p.Type),
		attribute.Int("orchestrix.attempt", p.Attempt),
	))
}

func end(span trace.Span, outcome attribute.KeyValue, err error) {
	span.SetAttributes(outcome)
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
		var panicked *worker.PanicError
		if errors.As(err, &panicked) {
			span.RecordError(err, trace.WithAttributes(attribute.String("exception.stacktrace", string(panicked.Stack))))
		} else {
			span.RecordError(err)
		}
	}
	span.End()
}
