package push

import (
	"context"
	"io"
	"net"
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

func TestPushOverIPv6(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skipf("no IPv6 on this machine: %v", err)
	}
	server := serveListener(t, l, "http://"+l.Addr().String(), answerWith(okAnswer, false))
	pushOK(t, newClient(t, Options{}), newDestination(t, server.url))
}

func TestNewPanicsOnAnInvalidUserAgent(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("New accepted a user agent with a line break")
		}
	}()
	New(Options{UserAgent: "a\r\nb"})
}
