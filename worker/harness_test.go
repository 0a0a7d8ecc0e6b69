package worker_test

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/orchestrix/orchestrix/webhook"
	"github.com/orchestrix/orchestrix/worker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// email is the payload of most tests.
type email struct {
	To string `json:"to"`
}

const mail = `{"to":"ada@example.com"}`

// sender signs pushes as a server does.
type sender struct {
	secret webhook.Secret
	signer *webhook.Signer
}

func newSender(t testing.TB) *sender {
	t.Helper()
	secret := webhook.NewSecret()
	signer, err := webhook.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	return &sender{secret, signer}
}

// push is what is sent; zero fields have a value that works.
type push struct {
	id, jobType, body string
	header            map[string]string // before signing; "" takes one away
	at                time.Time
}

// header returns the signed headers.
func (s *sender) header(p push) http.Header {
	h := http.Header{"Content-Type": {"application/json"}}
	values := map[string]string{
		webhook.HeaderJobType: "email.send", webhook.HeaderQueue: "emails", webhook.HeaderAttempt: "1",
		webhook.HeaderMaxAttempts: "10", webhook.HeaderIncarnation: "0", webhook.HeaderEpoch: "7",
		webhook.HeaderEnqueuedAt: time.Now().UTC().Format(time.RFC3339), webhook.HeaderDeadline: time.Now().Add(time.Minute).UTC().Format(time.RFC3339),
	}
	if p.jobType != "" {
		values[webhook.HeaderJobType] = p.jobType
	}
	maps.Copy(values, p.header)
	for name, value := range values {
		if value != "" {
			h.Set(name, value)
		}
	}
	if p.id == "" {
		p.id = "job_1"
	}
	if p.at.IsZero() {
		p.at = time.Now()
	}
	s.signer.Sign(h, p.id, p.at, []byte(p.body))
	return h
}

// request returns a signed request that no server is needed for.
func (s *sender) request(p push) *http.Request {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/hook", bytes.NewReader([]byte(p.body)))
	r.Header = s.header(p)
	return r
}

// send pushes to a handler and returns what it answered.
func (s *sender) send(h http.Handler, p push) *http.Response { return serve(h, s.request(p)) }

func serve(h http.Handler, r *http.Request) *http.Response {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func text(t testing.TB, r *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// counting returns a Mux for "email.send" and how often it ran.
func counting(s *sender, options ...worker.Option) (*worker.Mux, *int) {
	runs := new(int)
	mux := worker.NewMux(append([]worker.Option{worker.WithSecrets(s.secret)}, options...)...)
	worker.Handle(mux, "email.send", func(context.Context, worker.Job[email]) error {
		*runs++
		return nil
	})
	return mux, runs
}

func mustPanic(t *testing.T, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Error("did not panic")
		}
	}()
	f()
}
