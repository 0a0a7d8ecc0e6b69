package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/webhook"
)

func TestHappyPath(t *testing.T) {
	t.Parallel()
	s := start(t, config(t.TempDir()))
	w := s.register(t, "mailer", []string{"emails"}, func(rw http.ResponseWriter, _ *http.Request, _ push) {
		rw.Header().Set("Content-Type", "application/json")
		fmt.Fprint(rw, `{"sent":true}`)
	})
	payload := json.RawMessage(`{"to":"ada@example.com","n":12345678901234567890}`)
	id := s.enqueue(t, client.NewJob{
		Queue: "emails", Type: "email.send", Key: "customer 1/ä", Payload: payload,
		Labels: map[string]string{"customer": "1"}, Headers: map[string]string{"x-trace": "abc"},
	})
	j := s.await(t, id)
	status(t, j, job.Succeeded)
	if string(j.Payload) != string(payload) {
		t.Errorf("payload = %s", j.Payload)
	}
	if j.Attempt != 1 || len(j.Attempts) != 1 || j.Attempts[0].StatusCode != http.StatusOK || j.Attempts[0].Worker != "mailer" {
		t.Errorf("attempts = %+v", j.Attempts)
	}
	p := w.received()[0]
	if p.body != string(payload) {
		t.Errorf("the worker received %s, want the payload byte by byte", p.body)
	}
	want := map[string]string{
		webhook.HeaderID: id, webhook.HeaderJobType: "email.send", webhook.HeaderQueue: "emails",
		webhook.HeaderKey: webhook.EncodeValue("customer 1/ä"), webhook.HeaderAttempt: "1",
		"X-Trace": "abc", "Content-Type": "application/json",
	}
	for name, value := range want {
		if got := p.header.Get(name); got != value {
			t.Errorf("%s = %q, want %q", name, got, value)
		}
	}
}

func TestRetry(t *testing.T) {
	t.Parallel()
	s := start(t, config(t.TempDir()))
	w := s.register(t, "w", []string{"q"}, func(rw http.ResponseWriter, _ *http.Request, p push) {
		if p.attempt < 3 {
			http.Error(rw, "not yet", http.StatusBadGateway)
		}
	})
	j := s.await(t, s.enqueue(t, client.NewJob{Queue: "q", Retry: quick(5)}))
	status(t, j, job.Succeeded)
	if diff := cmp.Diff([]string{"failed", "failed", "succeeded"}, outcomes(j)); diff != "" {
		t.Error(diff)
	}
	ids := map[string]bool{}
	for _, p := range w.received() {
		ids[p.id] = true
	}
	if len(ids) != 1 {
		t.Errorf("the attempts have %d webhook-ids, want one", len(ids))
	}
}

func TestDead(t *testing.T) {
	t.Parallel()
	s := start(t, config(t.TempDir()))
	w := s.register(t, "w", []string{"q"}, func(rw http.ResponseWriter, _ *http.Request, p push) {
		if p.jobType == "fatal" {
			rw.Header().Set(webhook.HeaderNoRetry, "true")
		}
		http.Error(rw, "no", http.StatusInternalServerError)
	})
	tests := []struct {
		jobType  string
		attempts int
		reason   job.Reason
	}{{"fails", 3, job.ReasonMaxAttempts}, {"fatal", 1, job.ReasonNoRetry}}
	for _, tt := range tests {
		j := s.await(t, s.enqueue(t, client.NewJob{Queue: "q", Type: tt.jobType, Retry: quick(3)}))
		status(t, j, job.Dead)
		if j.Attempt != tt.attempts || j.Reason != string(tt.reason) {
			t.Errorf("%s: %d attempts, reason %q; want %d, %q", tt.jobType, j.Attempt, j.Reason, tt.attempts, tt.reason)
		}
	}
	if n := len(w.received()); n != 4 {
		t.Errorf("%d pushes, want 4", n)
	}
}

func TestRedrive(t *testing.T) {
	t.Parallel()
	s := start(t, config(t.TempDir()))
	w := s.register(t, "w", []string{"q"}, func(rw http.ResponseWriter, _ *http.Request, p push) {
		if p.attempt == 1 {
			http.Error(rw, "no", http.StatusInternalServerError)
		}
	})
	id := s.enqueue(t, client.NewJob{Queue: "q", Retry: quick(1)})
	status(t, s.await(t, id), job.Dead)
	if _, err := s.RetryJob(deadline(t), id); err != nil {
		t.Fatal(err)
	}
	j := s.await(t, id)
	status(t, j, job.Succeeded)
	if got := w.received()[1].id; got != id+"_r1" {
		t.Errorf("webhook-id after a redrive = %q, want %q", got, id+"_r1")
	}
	if err := s.DeleteJob(deadline(t), id); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Job(deadline(t), id, 0); !client.HasStatus(err, http.StatusNotFound) {
		t.Errorf("a deleted job: %v", err)
	}
}

func TestDelayed(t *testing.T) {
	t.Parallel()
	s := start(t, config(t.TempDir()))
	w := s.register(t, "w", []string{"q"}, nil)
	const delay = 200 * time.Millisecond
	began := time.Now()
	soon := s.enqueue(t, client.NewJob{Queue: "q", Delay: job.Duration(delay)})
	later := s.enqueue(t, client.NewJob{Queue: "q", RunAt: time.Now().Add(time.Hour)})
	status(t, s.await(t, soon), job.Succeeded)
	if took := w.received()[0].received.Sub(began); took < delay {
		t.Errorf("pushed after %s, before its delay of %s", took, delay)
	}
	j, err := s.Job(deadline(t), later, 0)
	if err != nil || j.Status != job.ShownScheduled {
		t.Fatalf("a job due in an hour is %q, %v", j.Status, err)
	}
	if _, err := s.RunJobNow(deadline(t), later); err != nil {
		t.Fatal(err)
	}
	status(t, s.await(t, later), job.Succeeded)
}

func TestCancel(t *testing.T) {
	t.Parallel()
	s := start(t, config(t.TempDir()))
	reached, aborted := make(chan struct{}), make(chan struct{})
	s.register(t, "w", []string{"q"}, func(_ http.ResponseWriter, r *http.Request, _ push) {
		close(reached)
		<-r.Context().Done()
		close(aborted)
	})
	running := s.enqueue(t, client.NewJob{Queue: "q"})
	pending := s.enqueue(t, client.NewJob{Queue: "nobody"})
	<-reached
	for _, id := range []string{running, pending} {
		if _, err := s.CancelJob(deadline(t), id); err != nil {
			t.Fatal(err)
		}
		status(t, s.await(t, id), job.Cancelled)
		if _, err := s.CancelJob(deadline(t), id); !client.HasStatus(err, http.StatusConflict) {
			t.Errorf("a second cancel: %v, want a conflict", err)
		}
	}
	select {
	case <-aborted:
	case <-deadline(t).Done():
		t.Error("the push of a cancelled job goes on")
	}
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	s := start(t, config(t.TempDir()))
	j := s.await(t, s.enqueue(t, client.NewJob{Queue: "nobody", ExpiresAt: time.Now().Add(2 * time.Second)}))
	status(t, j, job.Expired)
	if j.Attempt != 0 {
		t.Errorf("%d attempts of an expired job", j.Attempt)
	}
}

func TestAdHoc(t *testing.T) {
	t.Parallel()
	s := start(t, config(t.TempDir()))
	keys, err := s.SigningKeys(deadline(t))
	if err != nil || len(keys) != 1 {
		t.Fatalf("signing keys: %v, %v", keys, err)
	}
	secret, err := webhook.ParseSecret(keys[0].Secret)
	if err != nil {
		t.Fatal(err)
	}
	w := startWorker(t, &webhook.Verifier{Secrets: []webhook.Secret{secret}}, nil)
	j := s.await(t, s.enqueue(t, client.NewJob{URL: w.url + "/hook?token=hidden"}))
	status(t, j, job.Succeeded)
	if got := j.Attempts[0].URL; got != w.url+"/hook" {
		t.Errorf("the attempt shows %q, want no query", got)
	}
}

func TestPriorities(t *testing.T) {
	t.Parallel()
	s := start(t, config(t.TempDir()))
	w := s.register(t, "w", []string{"q"}, nil)
	if _, err := s.PutQueue(deadline(t), "q", client.QueueConfig{Concurrency: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PauseQueue(deadline(t), "q", ""); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, p := range []job.Priority{job.Low, job.Normal, job.Critical, job.High} {
		ids = append(ids, s.enqueue(t, client.NewJob{Queue: "q", Type: p.String(), Priority: p.String()}))
	}
	if _, err := s.ResumeQueue(deadline(t), "q"); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		status(t, s.await(t, id), job.Succeeded)
	}
	var order []string
	for _, p := range w.received() {
		order = append(order, p.jobType)
	}
	if order[0] != "critical" || slices.Index(order, "low") < slices.Index(order, "critical") {
		t.Errorf("order of pushes: %v", order)
	}
}

// A rate spreads the pushes, and is lifted on the running queue.
func TestRate(t *testing.T) {
	t.Parallel()
	s := start(t, config(t.TempDir()))
	w := s.register(t, "w", []string{"q"}, nil)
	rate := &job.Rate{Limit: 2, Period: job.Duration(time.Hour), Burst: 2}
	if _, err := s.PutQueue(deadline(t), "q", client.QueueConfig{Rate: rate, PriorityMode: "strict"}); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for i := range 5 {
		ids = append(ids, s.enqueue(t, client.NewJob{Queue: "q", Type: strconv.Itoa(i)}))
	}
	for _, id := range ids[:2] {
		status(t, s.await(t, id), job.Succeeded)
	}
	q, err := s.Queue(deadline(t), "q")
	if err != nil {
		t.Fatal(err)
	}
	if q.Blocked != "rate" || q.WaitingReason == "" || *q.Rate != *rate || q.PriorityMode != "strict" || q.Counts["pending"] != 3 {
		t.Errorf("queue: %+v with rate %+v", q, q.Rate)
	}
	if n := len(w.received()); n != 2 {
		t.Fatalf("%d pushes started, the rate allows 2 in an hour", n)
	}
	if _, err := s.PatchQueue(deadline(t), "q", map[string]any{"rate": nil}); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		status(t, s.await(t, id), job.Succeeded)
	}
}

// What was started before a restart counts after it.
func TestRateOutlivesARestart(t *testing.T) {
	t.Parallel()
	c := config(t.TempDir())
	s := start(t, c)
	w := s.register(t, "w", []string{"q"}, nil)
	rate := &job.Rate{Limit: 1, Period: job.Duration(time.Hour)}
	if _, err := s.PutQueue(deadline(t), "q", client.QueueConfig{Rate: rate}); err != nil {
		t.Fatal(err)
	}
	first := s.enqueue(t, client.NewJob{Queue: "q", Type: "t"})
	status(t, s.await(t, first), job.Succeeded)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s = start(t, c)
	s.enqueue(t, client.NewJob{Queue: "q", Type: "t"})
	// A job of another queue that is pushed shows that the server is at work.
	other := s.register(t, "other", []string{"r"}, nil)
	status(t, s.await(t, s.enqueue(t, client.NewJob{Queue: "r", Type: "t"})), job.Succeeded)
	q, err := s.Queue(deadline(t), "q")
	if err != nil {
		t.Fatal(err)
	}
	if len(w.received()) != 1 || len(other.received()) != 1 || q.Blocked != "rate" {
		t.Errorf("%d pushes started, the rate allows 1 in an hour; the queue is blocked by %q", len(w.received()), q.Blocked)
	}
}

func TestIdempotency(t *testing.T) {
	t.Parallel()
	s := start(t, config(t.TempDir()))
	s.register(t, "w", []string{"q"}, nil)
	first := client.NewJob{Queue: "q", Type: "pay", IdempotencyKey: "order-1", Payload: 1}
	a, err := s.Enqueue(deadline(t), first)
	if err != nil || a.Existing {
		t.Fatalf("first = %+v, %v", a, err)
	}
	b, err := s.Enqueue(deadline(t), first)
	if err != nil || !b.Existing || b.ID != a.ID {
		t.Errorf("again = %+v, %v; want the first job", b, err)
	}
	other := first
	other.Payload = 2
	if _, err := s.Enqueue(deadline(t), other); !client.HasStatus(err, http.StatusUnprocessableEntity) {
		t.Errorf("another body under the key: %v, want 422", err)
	}
}

func TestBatch(t *testing.T) {
	t.Parallel()
	s := start(t, config(t.TempDir()))
	w := s.register(t, "w", []string{"a", "b"}, nil)
	jobs := []client.NewJob{{Queue: "a", Type: "t"}, {Queue: "NOT A QUEUE", Type: "t"}, {Queue: "b", Type: "t"}}
	results, err := s.EnqueueBatch(deadline(t), jobs)
	if err != nil || len(results) != 3 {
		t.Fatalf("results = %+v, %v", results, err)
	}
	if e := results[1].Error; e == nil || len(e.Errors) != 1 || e.Errors[0].Field != "jobs[1].queue" {
		t.Errorf("the bad job: %+v", results[1].Error)
	}
	for _, i := range []int{0, 2} {
		status(t, s.await(t, results[i].ID), job.Succeeded)
	}
	if n := len(w.received()); n != 2 {
		t.Errorf("%d pushes, want 2", n)
	}
}

func TestGoneWorkerIsPaused(t *testing.T) {
	t.Parallel()
	s := start(t, config(t.TempDir()))
	s.register(t, "w", []string{"q"}, func(rw http.ResponseWriter, _ *http.Request, _ push) { rw.WriteHeader(http.StatusGone) })
	status(t, s.await(t, s.enqueue(t, client.NewJob{Queue: "q", Retry: quick(3)})), job.Dead)
	ctx := deadline(t)
	for {
		w, err := s.Worker(ctx, "w")
		if err != nil {
			t.Fatal(err)
		}
		if w.Paused {
			if w.PauseReason == "" {
				t.Error("the worker is paused without a visible reason")
			}
			return
		}
	}
}

func TestLists(t *testing.T) {
	t.Parallel()
	s := start(t, config(t.TempDir()))
	var want []string
	for i := range 25 {
		want = append(want, s.enqueue(t, client.NewJob{Queue: fmt.Sprintf("q%d", i%3), Type: "t", Labels: map[string]string{"n": fmt.Sprint(i)}}))
	}
	got := map[string]bool{}
	last := ""
	for j, err := range s.Jobs(deadline(t), client.JobFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if last != "" && j.ID > last {
			t.Errorf("%s after %s: not newest first", j.ID, last)
		}
		got[j.ID], last = true, j.ID
		if j.Payload != nil {
			t.Error("a list carries a payload")
		}
	}
	for _, id := range want {
		if !got[id] {
			t.Errorf("%s is not listed", id)
		}
	}
	page, err := s.JobPage(deadline(t), client.JobFilter{Queue: "q1", Labels: map[string]string{"n": "4"}}, client.PageOptions{})
	if err != nil || len(page.Items) != 1 || page.Items[0].ID != want[4] {
		t.Errorf("the job with label n:4: %+v, %v", page.Items, err)
	}
}
