package workertest_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/orchestrix/orchestrix/webhook"
	"github.com/orchestrix/orchestrix/worker"
	"github.com/orchestrix/orchestrix/worker/workertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What it sends is verified by what verifies a server's pushes, and nothing else.
func TestPushesAreSigned(t *testing.T) {
	t.Parallel()
	c := workertest.New(t)
	p := workertest.Push{
		Type: "email.send", Queue: "emails", Key: "tenant ä", ID: "job_1", Attempt: 2, MaxAttempts: 3, Incarnation: 4, Epoch: 5,
		Schedule: "nightly", Body: []byte("x"), ContentType: "text/plain", Header: http.Header{"X-Own": {"1"}},
	}
	r := c.Request(p)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := (&webhook.Verifier{Secrets: []webhook.Secret{c.Secret()}}).Verify(r.Header, body); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]string{
		"webhook-id": "job_1_r4", "orchestrix-job-type": "email.send", "orchestrix-queue": "emails", "orchestrix-key": "tenant%20%C3%A4",
		"orchestrix-attempt": "2", "orchestrix-max-attempts": "3", "orchestrix-incarnation": "4", "orchestrix-epoch": "5",
		"orchestrix-schedule": "nightly", "content-type": "text/plain", "x-own": "1",
	} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	newer := webhook.NewSecret()
	c.SignWith(newer)
	mux := newMux(worker.WithSecrets(newer))
	if a := c.Push(mux, p); a.Outcome != workertest.Dead || a.Status != http.StatusUnprocessableEntity { // text is no Email
		t.Errorf("signed with another secret it is %d %s", a.Status, a.Body)
	}
	if a := c.Push(newMux(c.Options()...), p); a.Status != http.StatusUnauthorized {
		t.Errorf("who has the first secret answers %d %s", a.Status, a.Body)
	}
}

// The reports of one attempt are not taken with the token of another.
func TestReportsNeedTheirToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := workertest.New(t)
		mux := newMux(c.Options()...)
		r := c.Request(workertest.Push{Type: "video.encode", Header: http.Header{"Orchestrix-Attempt-Token": {"another"}}})
		w := &recorder{header: http.Header{}}
		mux.ServeHTTP(w, r)
		if w.status != http.StatusAccepted {
			t.Fatalf("answered %d", w.status)
		}
		a := c.Push(mux, workertest.Push{Type: "video.encode"})
		c.Supersede(a)
		synctest.Wait()
		if err := mux.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		for _, report := range a.Reports() {
			if report.Status != http.StatusConflict {
				t.Errorf("a %s is answered %d", report.Verb, report.Status)
			}
		}
	})
}

type recorder struct {
	header http.Header
	status int
	strings.Builder
}

func (r *recorder) Header() http.Header    { return r.header }
func (r *recorder) WriteHeader(status int) { r.status = status }
func (r *recorder) Flush()                 {}
