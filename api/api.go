package api

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"

	"github.com/orchestrix/orchestrix/api/front"
	"github.com/orchestrix/orchestrix/control"
)

// Metrics is told of every request, and serves what is measured; an
// *observability.Metrics is one.
type Metrics interface {
	// Request counts a request by its method, its route (a pattern, not the path)
	// and its status.
	Request(method, route string, status int, took time.Duration)
	// Handler serves the metrics.
	Handler() http.Handler
}

// Options are what the API is made of. Control must be set.
type Options struct {
	Control *control.Control
	// Metrics may be nil: then nothing is counted and /metrics is not there.
	Metrics Metrics
	Logger  *slog.Logger // discards by default
	// ProbesOnly leaves out /v1: only /healthz, /readyz and /metrics are there.
	ProbesOnly bool
	// Version is the server's, shown in the OpenAPI document and by /healthz.
	Version string
}

// api is the handlers with what they share.
type api struct {
	control *control.Control
	metrics Metrics
	log     *slog.Logger
	version string
	huma    huma.API
	// closing ends when the server shuts down: streams end then.
	closing context.Context
	// durability is the end of an enqueue's answer.
	durability []byte
}

// New returns the handler of /v1, /healthz, /readyz, /metrics and /openapi.json.
// The control must have been loaded before the first request.
func New(o Options) http.Handler {
	a := &api{control: o.Control, metrics: o.Metrics, log: o.Logger, version: o.Version}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if a.metrics == nil {
		a.metrics = noMetrics{}
	}
	if d := o.Control.Durability(); d != "" {
		a.durability = strconv.AppendQuote([]byte(`,"durability":`), d)
	}
	router := newRouter()
	var end context.CancelFunc
	a.closing, end = context.WithCancel(context.Background())
	router.Use(a.around, a.followLog)
	router.NoRoute(a.noRoute)
	router.NoMethod(a.noMethod)
	a.probes(router)
	if !o.ProbesOnly {
		a.huma = a.newHuma(router)
		a.routes(router)
		a.serveDocument(router)
	}
	return &handler{router, end}
}

// handler is what New returns. end ends its streams.
type handler struct {
	http.Handler
	end context.CancelFunc
}

type noMetrics struct{}

func (noMetrics) Request(string, string, int, time.Duration) {}
func (noMetrics) Handler() http.Handler                      { return nil }

// once sets what gin and huma keep in global variables.
var once sync.Once

func newRouter() *gin.Engine {
	once.Do(func() {
		gin.SetMode(gin.ReleaseMode)
		huma.NewErrorWithContext = humaError
		huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
			return humaError(nil, status, message, errs...)
		}
	})
	router := gin.New()
	router.HandleMethodNotAllowed = true
	router.RedirectTrailingSlash = false
	router.UseRawPath = true // a job's key may have a slash in it, escaped
	return router
}

func (a *api) newHuma(router *gin.Engine) huma.API {
	config := huma.DefaultConfig("Orchestrix", a.version)
	config.Info.Description = "A self-hosted HTTP push dispatcher: enqueue jobs, and have them pushed to workers as signed HTTP requests."
	config.DocsPath, config.OpenAPIPath, config.SchemasPath = "", "", ""
	config.CreateHooks = nil // which would put $schema into every answer
	config.RejectUnknownQueryParameters = true
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"key":     {Type: "http", Scheme: "bearer", Description: "An API key, or the root key. Not needed by a server that listens on loopback only."},
		"attempt": {Type: "http", Scheme: "bearer", Description: "The orchestrix-attempt-token of a push: it lets its worker report on the attempt, and nothing else."},
	}
	config.Security = []map[string][]string{{"key": {}}, {}}
	h := humagin.New(router, config)
	h.UseMiddleware(a.authenticated)
	return h
}

// authenticated gives a huma operation the principal and the request's id.
func (a *api) authenticated(ctx huma.Context, next func(huma.Context)) {
	g := humagin.Unwrap(ctx)
	who, err := a.authenticate(g)
	if err != nil {
		a.fail(g, err)
		return
	}
	who = context.WithValue(who, requestIDKey{}, g.GetString(requestIDHeader))
	next(huma.WithContext(ctx, who))
}

func (a *api) probes(router *gin.Engine) {
	router.GET("/healthz", a.healthz)
	router.GET("/readyz", a.readyz)
	if h := a.metrics.Handler(); h != nil {
		router.GET("/metrics", gin.WrapH(h))
	}
}

func (a *api) routes(router *gin.Engine) {
	router.POST(enqueuePath, a.enqueue)
	router.POST(batchPath, a.enqueueBatch)
	a.describeEnqueue()
	a.jobRoutes()
	a.attemptRoutes()
	a.operationRoutes()
	a.workerRoutes()
	a.queueRoutes()
	a.queueKeyRoutes()
	a.keyRoutes()
	a.nodeRoutes()
	a.scheduleRoutes()
	a.signingRoutes()
}

func (a *api) serveDocument(router *gin.Engine) {
	document, err := json.Marshal(a.huma.OpenAPI())
	if err != nil {
		panic(fmt.Sprintf("the OpenAPI document cannot be written: %v", err)) // a fault of the code
	}
	router.GET("/openapi.json", func(g *gin.Context) { writeJSON(g.Writer, http.StatusOK, document) })
}

func (a *api) noRoute(g *gin.Context) {
	a.fail(g, newProblem(http.StatusNotFound, "no_such_path", "there is nothing at this path"))
}

func (a *api) noMethod(g *gin.Context) {
	a.fail(g, newProblem(http.StatusMethodNotAllowed, "method_not_allowed", "this path has other methods; see the Allow header"))
}

// healthz says that the process answers. It asks nobody else, so that a store
// that is away does not have the process restarted.
func (a *api) healthz(g *gin.Context) {
	writeValue(g.Writer, http.StatusOK, struct {
		Status  string `json:"status"`
		Version string `json:"version,omitempty"`
	}{"ok", a.version})
}

// readyTimeout is how long the store may take to answer a readiness check.
const readyTimeout = 2 * time.Second

// readyz says whether the store answers.
func (a *api) readyz(g *gin.Context) {
	ctx, cancel := context.WithTimeout(g.Request.Context(), readyTimeout)
	defer cancel()
	if err := a.control.Ready(ctx); err != nil {
		a.fail(g, err)
		return
	}
	writeValue(g.Writer, http.StatusOK, struct {
		Status     string `json:"status"`
		Durability string `json:"durability,omitempty"`
		// Secrets says how they are stored.
		Secrets string `json:"secrets"`
	}{"ready", a.control.Durability(), secretsAtRest(a.control.SecretsEncrypted())})
}

func secretsAtRest(encrypted bool) string {
	if encrypted {
		return "encrypted"
	}
	return "plain"
}

func writeValue(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	writeJSON(w, status, body)
}

// The server's bounds on slow clients. A reader may wait for a job for
// control.MaxWait, so an answer may take that long and some.
const (
	headerTimeout = 10 * time.Second
	bodyTimeout   = 2 * time.Minute
	answerTimeout = control.MaxWait + bodyTimeout
	idleTimeout   = 2 * time.Minute
	maxHeader     = 64 << 10
)

// NewServer returns an HTTP server for the handler with its time-outs set. The
// caller sets the address or listens, and shuts it down.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	s := &http.Server{
		Handler: h, ReadHeaderTimeout: headerTimeout, ReadTimeout: bodyTimeout, WriteTimeout: answerTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), // mostly clients that went away
	}
	if own, ok := h.(*handler); ok {
		s.RegisterOnShutdown(own.end)
	}
	return s
}

// NewListener stands before a server of NewServer: it serves enqueues itself, as
// long as a connection has nothing else, and the server everything else. The
// server's Shutdown closes it; Drain it after that.
func NewListener(l net.Listener, s *http.Server, log *slog.Logger) *front.Listener {
	return front.Listen(l, front.Options{
		Handler: s.Handler, Targets: []string{enqueuePath, batchPath},
		FirstTimeout: s.ReadHeaderTimeout, IdleTimeout: s.IdleTimeout, WriteTimeout: s.WriteTimeout, Log: log,
	})
}
