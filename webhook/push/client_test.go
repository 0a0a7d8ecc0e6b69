package push

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/webhook"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var testSecret = webhook.NewSecret()

// newClient returns a client that may push to loopback.
func newClient(t testing.TB, o Options) *Client {
	t.Helper()
	if o.Guard == nil {
		o.Guard = NewGuard(nil, true)
	}
	c := New(o)
	t.Cleanup(c.Close)
	return c
}

func newDestination(t testing.TB, url string) *Destination {
	t.Helper()
	d, err := NewDestination(DestinationConfig{Name: "w", URL: url, Secrets: []webhook.Secret{testSecret}})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// newRequest returns a request with a deadline that a healthy test never meets.
func newRequest(d *Destination, body string) *Request {
	return &Request{
		Destination: d, JobID: job.NewID(time.Now(), 7), Attempt: 3, MaxAttempts: 10, Type: "invoice.created",
		Queue: "billing", Key: "tenant-1", Epoch: 42, EnqueuedAt: time.Now(), Deadline: time.Now().Add(20 * time.Second),
		Body: []byte(body),
	}
}

func TestPushIsVerified(t *testing.T) {
	t.Parallel()
	verifier := webhook.Verifier{Secrets: []webhook.Secret{testSecret}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if err := verifier.Verify(r.Header, body); err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		w.Write(body)
	}))
	t.Cleanup(server.Close)
	c := newClient(t, Options{})
	for range 3 {
		r := newRequest(newDestination(t, server.URL+"/hook?x=1"), `{"a":1}`)
		a := c.Push(context.Background(), r)
		if a.Outcome != job.OutcomeSucceeded || string(a.Body) != `{"a":1}` || !a.Sent {
			t.Fatalf("got %+v", a)
		}
	}
}
