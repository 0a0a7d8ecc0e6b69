package workertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/webhook"
	"github.com/orchestrix/orchestrix/worker"
)

// Coordinator plays the server. It may be used concurrently.
type Coordinator struct {
	t      testing.TB
	secret webhook.Secret
	signer *webhook.Signer

	mu       sync.Mutex
	next     int
	attempts map[string]*attempt // by token
	onReport func(Report) (status int, code string)
}

// New returns a Coordinator with a secret of its own. It fails the test where a
// push cannot be made.
func New(t testing.TB) *Coordinator {
	t.Helper()
	secret := webhook.NewSecret()
	signer, err := webhook.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	return &Coordinator{t: t, secret: secret, signer: signer, attempts: map[string]*attempt{}}
}

// Secret is what pushes are signed with.
func (c *Coordinator) Secret() webhook.Secret { return c.secret }

// Options are what makes a worker.Mux trust this Coordinator and report to it.
func (c *Coordinator) Options() []worker.Option {
	return []worker.Option{worker.WithSecrets(c.secret), worker.WithHTTPClient(&http.Client{Transport: transport{c}})}
}

// SignWith signs pushes with these secrets instead: for a rotation.
func (c *Coordinator) SignWith(secrets ...webhook.Secret) {
	c.t.Helper()
	signer, err := webhook.NewSigner(secrets...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.signer = signer
}

// Push is what is pushed. Fields that are zero have a value that works; only Type
// must be there.
type Push struct {
	Type, Queue, Key string
	// Payload is sent as JSON, or Body as it is where it is not nil.
	Payload     any
	Body        []byte
	ContentType string
	// ID is the job's; a new one where it is empty.
	ID string
	// Attempt is 1 where it is 0, MaxAttempts 10.
	Attempt, MaxAttempts, Incarnation int
	// Epoch is 1 where it is 0.
	Epoch uint64
	// Timeout is how far the deadline is away, 30 seconds where it is 0.
	Timeout time.Duration
	// HeartbeatTimeout is sent where it is not 0: the lease of an asynchronous
	// attempt.
	HeartbeatTimeout time.Duration
	Schedule         string
	ScheduledFor     time.Time
	// SignedAt is now where it is zero.
	SignedAt time.Time
	// Header is added before the push is signed.
	Header http.Header
}

// Push pushes to a handler, and returns its answer. Where the handler is
// asynchronous, it runs on; see Answer.Wait.
func (c *Coordinator) Push(h http.Handler, p Push) *Answer {
	c.t.Helper()
	w := httptest.NewRecorder()
	r, a := c.request(p)
	h.ServeHTTP(w, r)
	return newAnswer(c, a, w)
}

// Request returns the request that Push sends, for tests that change it.
func (c *Coordinator) Request(p Push) *http.Request {
	c.t.Helper()
	r, _ := c.request(p)
	return r
}

func (c *Coordinator) request(p Push) (*http.Request, *attempt) {
	c.t.Helper()
	body := p.body(c.t)
	a := c.newAttempt(&p)
	r := httptest.NewRequestWithContext(c.t.Context(), http.MethodPost, "/", bytes.NewReader(body))
	r.Header = p.header(a)
	id := p.ID
	if p.Incarnation > 0 {
		id += "_r" + strconv.Itoa(p.Incarnation)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.signer.Sign(r.Header, id, p.SignedAt, body)
	return r, a
}

func (p *Push) body(t testing.TB) []byte {
	t.Helper()
	if p.Type == "" {
		t.Fatal("workertest: a Push needs a Type")
	}
	if p.Body != nil {
		return p.Body
	}
	body, err := json.Marshal(p.Payload)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// newAttempt fills in what is zero, and remembers the attempt.
func (c *Coordinator) newAttempt(p *Push) *attempt {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next++
	if p.ID == "" {
		p.ID = fmt.Sprintf("job_test%022d", c.next)
	}
	a := &attempt{token: fmt.Sprintf("oat_test_%d", c.next), job: p.ID, settled: make(chan struct{})}
	setDefault(&p.Queue, "default")
	setDefault(&p.ContentType, job.ContentTypeJSON)
	setDefault(&p.Attempt, 1)
	setDefault(&p.MaxAttempts, 10)
	setDefault(&p.Epoch, 1)
	setDefault(&p.Timeout, 30*time.Second)
	if p.SignedAt.IsZero() {
		p.SignedAt = time.Now()
	}
	a.number = p.Attempt
	c.attempts[a.token] = a
	return a
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (p *Push) header(a *attempt) http.Header {
	h := p.Header.Clone()
	if h == nil {
		h = http.Header{}
	}
	set := func(name, value string) {
		if value != "" && h.Get(name) == "" {
			h.Set(name, value)
		}
	}
	set("Content-Type", p.ContentType)
	set("User-Agent", "Orchestrix/test")
	set(webhook.HeaderJobType, webhook.EncodeValue(p.Type))
	set(webhook.HeaderQueue, webhook.EncodeValue(p.Queue))
	set(webhook.HeaderKey, webhook.EncodeValue(p.Key))
	set(webhook.HeaderAttempt, strconv.Itoa(p.Attempt))
	set(webhook.HeaderMaxAttempts, strconv.Itoa(p.MaxAttempts))
	set(webhook.HeaderIncarnation, strconv.Itoa(p.Incarnation))
	set(webhook.HeaderEpoch, strconv.FormatUint(p.Epoch, 10))
	set(webhook.HeaderEnqueuedAt, rfc3339(p.SignedAt))
	set(webhook.HeaderDeadline, rfc3339(p.SignedAt.Add(p.Timeout)))
	set(webhook.HeaderSchedule, webhook.EncodeValue(p.Schedule))
	set(webhook.HeaderCallbackURL, callbackBase+a.token)
	set(webhook.HeaderAttemptToken, a.token)
	if !p.ScheduledFor.IsZero() {
		set(webhook.HeaderScheduledFor, rfc3339(p.ScheduledFor))
	}
	if p.HeartbeatTimeout != 0 {
		set(webhook.HeaderHeartbeatTimeout, job.Duration(p.HeartbeatTimeout).String())
	}
	return h
}

// callbackBase is where attempts are reported to; nothing listens there.
const callbackBase = "http://orchestrix.test/v1/attempts/"

func rfc3339(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// SendCancel pushes what a server pushes to the worker of a running asynchronous
// job that was cancelled.
func (c *Coordinator) SendCancel(h http.Handler, a *Answer) *Answer {
	c.t.Helper()
	c.Cancel(a)
	return c.Push(h, Push{Type: webhook.TypeCancel, ID: a.attempt.job, Attempt: a.attempt.number, Payload: map[string]any{
		"job_id": a.attempt.job, "attempt": a.attempt.number,
	}})
}

// token returns what is behind the callback address in a path, and the report.
func splitPath(path string) (token, verb string, ok bool) {
	token, verb, ok = strings.Cut(strings.TrimPrefix(path, "/v1/attempts/"), "/")
	return token, verb, ok
}
