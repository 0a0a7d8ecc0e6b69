package observability

import (
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
)

// Metrics is a registry with all that is measured. Its methods may be called
// concurrently.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	routes   sync.Map // of route to *routeMetrics
	store    *storeMetrics
	jobs     *jobMetrics
	survey   surveyCollector
}

// latencies are the buckets for what takes from a tenth of a millisecond to half
// a minute: an fsync as well as a reader that waits for a job.
var latencies = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

// NewMetrics returns a registry with the metrics of the process, the Go runtime,
// the build, and those that Request, MeterEngine, Enqueued, Attempt, Settled,
// Commit and Show fill.
func NewMetrics(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: counters("http_requests_total", "Requests to the API, by the pattern of their path.", "method", "route", "status"),
		duration: histograms("http_request_duration_seconds", "How long requests to the API took.", latencies, "method", "route"),
		store:    newStoreMetrics(),
		jobs:     newJobMetrics(),
	}
	build := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "orchestrix_build_info", Help: "Always 1; the labels say what runs.",
		ConstLabels: prometheus.Labels{"version": version, "go_version": runtime.Version()},
	}, func() float64 { return 1 })
	m.registry.MustRegister(build, m.requests, m.duration, m.store.duration, m.store.errors, &m.survey,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.registry.MustRegister(m.jobs.collectors()...)
	return m
}

// route tells requests apart.
type route struct {
	method, path string
	status       int
}

// routeMetrics are the metrics of one route, looked up once.
type routeMetrics struct {
	count    prometheus.Counter
	duration prometheus.Observer
}

// Request counts a request. path is the route's pattern; of methods, those that
// are not HTTP's own are one.
func (m *Metrics) Request(method, path string, status int, took time.Duration) {
	key := route{knownMethod(method), path, status}
	found, ok := m.routes.Load(key)
	if !ok {
		found, _ = m.routes.LoadOrStore(key, &routeMetrics{
			m.requests.WithLabelValues(key.method, path, strconv.Itoa(status)),
			m.duration.WithLabelValues(key.method, path),
		})
	}
	of := found.(*routeMetrics)
	of.count.Inc()
	of.duration.Observe(took.Seconds())
}

func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodHead, http.MethodOptions:
		return method
	}
	return "other"
}

// Gather implements prometheus.Gatherer.
func (m *Metrics) Gather() ([]*dto.MetricFamily, error) { return m.registry.Gather() }

// Handler serves the metrics in the formats of Prometheus.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
}
