package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"go.uber.org/goleak"

	"github.com/orchestrix/orchestrix/api"
	"github.com/orchestrix/orchestrix/control"
	"github.com/orchestrix/orchestrix/dispatcher"
	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/observability"
	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/store/engine"
	"github.com/orchestrix/orchestrix/store/engine/pebble"
	"github.com/orchestrix/orchestrix/webhook/push"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is an API over the real store, on memory, and a real dispatcher.
type server struct {
	t       testing.TB
	handler http.Handler
	control *control.Control
	store   *store.Store
	engine  *brokenEngine
	log     *logBuffer
	// key is sent with each call.
	key string
}

// brokenEngine fails while it is told to.
type brokenEngine struct {
	engine.Engine
	mu  sync.Mutex
	err error
}

func (b *brokenEngine) breakWith(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

func (b *brokenEngine) broken() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

func (b *brokenEngine) Apply(ctx context.Context, shard int, batch *engine.Batch) (engine.Result, error) {
	if err := b.broken(); err != nil && batch.Fence == nil {
		return engine.Result{}, err
	}
	return b.Engine.Apply(ctx, shard, batch)
}

func (b *brokenEngine) Get(ctx context.Context, shard int, keys ...[]byte) ([][]byte, error) {
	if err := b.broken(); err != nil {
		return nil, err
	}
	return b.Engine.Get(ctx, shard, keys...)
}

// logBuffer keeps what is logged.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

const shards = 4

func newServer(t testing.TB, change ...func(*control.Options)) *server {
	t.Helper()
	e, err := pebble.OpenMemory(pebble.Options{Shards: shards, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	s := &server{t: t, engine: &brokenEngine{Engine: e}, log: &logBuffer{}}
	s.store = store.New(s.engine)
	guard := push.NewGuard(nil, true)
	client := push.New(push.Options{Guard: guard})
	t.Cleanup(client.Close)
	d := dispatcher.New(dispatcher.Options{
		Store: s.store, Push: client,
		Callback: func(id job.ID, attempt int) (url, token string) {
			return fmt.Sprintf("/v1/jobs/%s/attempts/%d", id, attempt), s.control.AttemptToken(id, attempt)
		},
	})
	o := control.Options{
		Store: s.store, Dispatcher: d, Guard: guard, Pusher: client, Open: true, Durability: "memory", Logger: slog.New(slog.NewJSONHandler(s.log, nil)),
	}
	for _, f := range change {
		f(&o)
	}
	s.control = control.New(o)
	if _, err := s.control.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.control.Close)
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.engine.breakWith(nil)
		if err := d.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	s.handler = api.New(api.Options{
		Control: s.control, Version: "test", Logger: o.Logger, Metrics: observability.NewMetrics("test"),
	})
	return s
}

// answer is a response that was held against the OpenAPI document.
type answer struct {
	t      testing.TB
	status int
	header http.Header
	body   []byte
}

// field returns a member of the answer's object by its path.
func (a *answer) field(path ...string) any {
	a.t.Helper()
	var v any
	if err := json.Unmarshal(a.body, &v); err != nil {
		a.t.Fatalf("answer %s: %v", a.body, err)
	}
	for _, name := range path {
		m, ok := v.(map[string]any)
		if !ok {
			a.t.Fatalf("answer %s has no %s", a.body, strings.Join(path, "."))
		}
		v = m[name]
	}
	return v
}

func (a *answer) text(path ...string) string {
	a.t.Helper()
	s, _ := a.field(path...).(string)
	return s
}

// problem returns the fields that a problem names.
func (a *answer) problem() []string {
	a.t.Helper()
	var p api.Problem
	if err := json.Unmarshal(a.body, &p); err != nil || a.header.Get("Content-Type") != "application/problem+json" {
		a.t.Fatalf("not a problem: %s %s, %v", a.header.Get("Content-Type"), a.body, err)
	}
	if p.Status != a.status || p.Title == "" || p.Code == "" || p.RequestID != a.header.Get("X-Request-Id") || p.RequestID == "" {
		a.t.Errorf("status %d with an incomplete problem %s", a.status, a.body)
	}
	var fields []string
	for _, e := range p.Errors {
		if e.Message == "" {
			a.t.Errorf("field %s has no message", e.Field)
		}
		fields = append(fields, e.Field)
	}
	return fields
}

// request is a call to be made; header holds pairs.
func request(method, path, body string, header ...string) *http.Request {
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, "http://localhost"+path, reader)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

// call makes a call and holds its answer against the OpenAPI document.
func (s *server) call(method, path, body string, header ...string) *answer {
	s.t.Helper()
	return s.do(request(method, path, body, header...))
}

func (s *server) do(r *http.Request) *answer {
	s.t.Helper()
	if s.key != "" && r.Header.Get("Authorization") == "" {
		r.Header.Set("Authorization", "Bearer "+s.key)
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	a := &answer{t: s.t, status: w.Code, header: w.Header(), body: w.Body.Bytes()}
	if strings.HasPrefix(r.URL.Path, "/v1/") && r.Pattern != "unchecked" && w.Code != http.StatusNotFound && w.Code != http.StatusMethodNotAllowed {
		s.checkAnswer(r, w.Result())
	}
	return a
}

// want makes a call that has to be answered with that status.
func (s *server) want(status int, method, path, body string, header ...string) *answer {
	s.t.Helper()
	a := s.call(method, path, body, header...)
	if a.status != status {
		s.t.Fatalf("%s %s %.300s: status %d, want %d: %.600s", method, path, body, a.status, status, a.body)
	}
	return a
}

// document is the OpenAPI document's validator; building it takes a while.
var document = sync.OnceValues(func() (validator.Validator, error) {
	h := api.New(api.Options{Control: control.New(control.Options{})})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost/openapi.json", nil))
	doc, err := libopenapi.NewDocument(w.Body.Bytes())
	if err != nil {
		return nil, err
	}
	v, errs := validator.NewValidator(doc)
	if len(errs) > 0 {
		return nil, errs[0]
	}
	return v, nil
})

// checking serialises the validator, which is not safe for concurrent use with
// its caches.
var checking sync.Mutex

func (s *server) checkAnswer(r *http.Request, resp *http.Response) {
	s.t.Helper()
	v, err := document()
	if err != nil {
		s.t.Fatal(err)
	}
	checking.Lock()
	defer checking.Unlock()
	if ok, errs := v.ValidateHttpResponse(r, resp); !ok {
		for _, e := range errs {
			s.t.Errorf("%s %s answered %d, which the OpenAPI document does not allow: %s: %s %v", r.Method, r.URL, resp.StatusCode, e.Message, e.Reason, e.SchemaValidationErrors)
		}
	}
}

func (s *server) count() int64 {
	s.t.Helper()
	var n int64
	queues, err := s.store.ListQueues(context.Background(), "", 1000)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, q := range queues {
		n += q.Waiting + q.Succeeded + q.Dead + q.Cancelled + q.Expired
	}
	return n
}
