package api

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/orchestrix/orchestrix/control"
)

// requestIDHeader names a request in the answer and in the log. A client may
// give its own.
const requestIDHeader = "X-Request-Id"

const maxRequestID = 128

type requestIDKey struct{}

// requestID returns the id of the request that a context belongs to.
func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// around is what happens around every request: it gets an id, is counted and
// logged, and a panic becomes a problem.
func (a *api) around(g *gin.Context) {
	started := time.Now()
	id := g.GetHeader(requestIDHeader)
	if id == "" || len(id) > maxRequestID || strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' }) {
		id = rand.Text()
	}
	g.Set(requestIDHeader, id)
	g.Writer.Header()[requestIDHeader] = []string{id}
	defer func() {
		if p := recover(); p != nil {
			a.panicked(g, id, p)
		}
		a.done(g, id, time.Since(started))
	}()
	if err := a.admit(g.Request); err != nil {
		a.fail(g, err)
		return
	}
	g.Next()
}

func (a *api) panicked(g *gin.Context, id string, p any) {
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(p)
	}
	a.log.Error("panic while serving a request", slog.String("request_id", id), slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
	if !g.Writer.Written() {
		a.fail(g, newProblem(http.StatusInternalServerError, "internal", "the server failed; its log says why under this request_id"))
	}
}

func (a *api) done(g *gin.Context, id string, took time.Duration) {
	route := g.FullPath()
	if route == "" {
		route = "other" // an unknown path: the client chooses it, so it is no label
	}
	a.metrics.Request(g.Request.Method, route, g.Writer.Status(), took)
	if a.log.Enabled(g.Request.Context(), slog.LevelDebug) {
		a.log.Debug("request", "method", g.Request.Method, "path", g.Request.URL.Path, "status", g.Writer.Status(), "took", took, "request_id", id)
	}
}

// fail answers with the problem of an error and ends the request.
func (a *api) fail(g *gin.Context, err error) {
	a.refuse(g.Request.Context(), g.GetString(requestIDHeader), err).write(g.Writer)
	g.Abort()
}

// admit refuses what no handler should see.
func (a *api) admit(r *http.Request) error {
	if a.control.Open() && r.Header.Get("Authorization") == "" {
		if err := checkLocal(r); err != nil {
			return err
		}
	}
	if r.ContentLength == 0 || r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	return checkContentType(r)
}

// checkLocal protects a server that wants no key from the browser of the person
// at the machine: a page from elsewhere may send requests to loopback, and a name
// that resolves to 127.0.0.1 makes it the same origin.
func checkLocal(r *http.Request) error {
	if !loopbackHost(r.Host) {
		return newProblem(http.StatusForbidden, "foreign_host", "without a key, requests must name localhost or a loopback address as their host")
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
	default:
		return newProblem(http.StatusForbidden, "foreign_origin", "without a key, requests from other sites are refused")
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		u, err := url.Parse(origin)
		if err != nil || u.Host != r.Host {
			return newProblem(http.StatusForbidden, "foreign_origin", "without a key, requests from other origins are refused")
		}
	}
	return nil
}

func loopbackHost(hostPort string) bool {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		host = strings.Trim(hostPort, "[]")
	}
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// checkContentType wants JSON. A form, which a browser sends anywhere without
// asking, is none.
func checkContentType(r *http.Request) error {
	text := r.Header.Get("Content-Type")
	if text == "application/json" {
		return nil
	}
	kind, params, err := mime.ParseMediaType(text)
	charset := params["charset"]
	ok := err == nil && (kind == "application/json" || kind == "application/merge-patch+json" && r.Method == http.MethodPatch)
	if ok && (charset == "" || strings.EqualFold(charset, "utf-8")) {
		return nil
	}
	return newProblem(http.StatusUnsupportedMediaType, "unsupported_media_type", "the body must be application/json in UTF-8",
		FieldProblem{"content-type", "must be application/json"})
}

// authenticate returns the request's context with its principal and its id.
func (a *api) authenticate(g *gin.Context) (context.Context, error) {
	ctx := g.Request.Context()
	if isAttemptReport(g.Request) {
		return ctx, nil // the token of the attempt is looked at in its place
	}
	var key string
	if header := g.GetHeader("Authorization"); header != "" {
		scheme, rest, _ := strings.Cut(header, " ")
		if key = strings.TrimSpace(rest); !strings.EqualFold(scheme, "Bearer") || key == "" {
			return ctx, newProblem(http.StatusUnauthorized, "unauthenticated", "the Authorization header must be: Bearer <key>")
		}
	}
	p, err := a.control.Authenticate(ctx, key)
	if err != nil {
		return ctx, err
	}
	return control.As(ctx, p), nil
}
