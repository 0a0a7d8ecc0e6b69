package control

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/webhook"
	"github.com/orchestrix/orchestrix/webhook/push"
)

// Pusher is what control needs of a *push.Client.
type Pusher interface {
	Push(ctx context.Context, r *push.Request) push.Answer
}

// What a test pushes, and how long it may take at most.
const (
	TestType        = "orchestrix.test"
	testPayload     = `{"test":true}`
	MaxTestDuration = 30 * time.Second
)

// What is shown of an answer.
const (
	maxTestBody    = 4 << 10
	maxTestHeaders = 100
	maxTestValue   = 1 << 10
)

// HeaderField is one header of an exchange.
type HeaderField = push.HeaderField

// WorkerTest is one exchange with a worker, credentials left out. Nothing of it
// is stored.
type WorkerTest struct {
	JobID job.ID
	Queue string
	// URL is without its query.
	URL     string
	Started time.Time
	// Request is nil where nothing was sent.
	Request []HeaderField
	Payload string
	// StatusCode is 0 where no answer came; Answer are its headers.
	StatusCode int
	Answer     []HeaderField
	// Body is the beginning of the answer's; Truncated says that there was more.
	Body      string
	Truncated bool
	Duration  time.Duration
	Outcome   job.Outcome
	Reason    job.Reason
	Error     string
	// Meaning says what the answer would have meant for a job of the queue.
	Meaning string
}

// TestWorker pushes a test to a worker, paused or not, as a job of its first
// queue would be pushed: signed, with its headers, credentials and time-out (at
// most MaxTestDuration). No job is stored, and the worker's record and limits are
// not touched. That the worker cannot be reached is a result and not an error.
func (c *Control) TestWorker(ctx context.Context, name string) (WorkerTest, error) {
	now, err := c.store.Now(ctx)
	if err != nil {
		return WorkerTest{}, storeError("test the worker", err)
	}
	d, err := get[workerRecord](ctx, c, kindWorker, name)
	if err != nil {
		return WorkerTest{}, err
	}
	if d.Version == 0 {
		return WorkerTest{}, notFound("worker", name)
	}
	if err := allowWorker(ctx, ActionWriteWorkers, &d.Value); err != nil {
		return WorkerTest{}, err
	}
	destination, err := d.Value.destination(name, now)
	if err != nil {
		return WorkerTest{}, fmt.Errorf("test worker %s: %w", name, err)
	}
	timeout := c.o.Timeout
	if d.Value.Timeout > 0 {
		timeout = d.Value.Timeout.Std()
	}
	var trace push.Trace
	r := push.Request{
		Destination: destination, JobID: job.NewID(now, 0), Attempt: 1, MaxAttempts: 1, Type: TestType, Queue: d.Value.Queues[0],
		EnqueuedAt: now, Deadline: time.Now().Add(min(timeout, MaxTestDuration)), Body: []byte(testPayload), Trace: &trace,
	}
	a := c.o.Pusher.Push(ctx, &r)
	return c.workerTest(&d.Value, &r, &a), nil
}

// destination is where pushes to the worker go, with a signer and credentials of
// its own: an access token is fetched anew, since its endpoint is under test too.
func (r *workerRecord) destination(name string, now time.Time) (*push.Destination, error) {
	secrets, err := r.Secrets.active(now)
	if err != nil {
		return nil, err
	}
	keys, err := r.Keys.keys(now)
	if err != nil {
		return nil, err
	}
	return push.NewDestination(push.DestinationConfig{
		Name: name, URL: r.URL, Headers: r.Headers, Secrets: secrets, Keys: keys, Auth: r.Auth,
	})
}

func (c *Control) workerTest(w *workerRecord, r *push.Request, a *push.Answer) WorkerTest {
	t := WorkerTest{
		JobID: r.JobID, Queue: r.Queue, URL: r.Destination.URL(), Started: a.Started, Payload: testPayload,
		StatusCode: a.StatusCode, Duration: a.Duration, Outcome: a.Outcome, Reason: a.Reason, Error: a.Error,
		Body: strings.ToValidUTF8(string(a.Body[:min(len(a.Body), maxTestBody)]), "?"), Truncated: a.Truncated || len(a.Body) > maxTestBody,
		Answer: shownHeaders(r.Trace.Answer, ""), Meaning: c.meaning(w, r.Queue, a),
	}
	if a.Sent {
		t.Request = shownHeaders(r.Trace.Request, w.Auth.Name)
	}
	return t
}

// shownHeaders leaves out what may be a credential: what MaskHeaders masks, and
// the header that the worker's auth sets. Signatures are shown: they are good for
// this one message only, and what a person wants to compare.
func shownHeaders(fields []HeaderField, secret string) []HeaderField {
	out := make([]HeaderField, 0, len(fields))
	for _, f := range fields[:min(len(fields), maxTestHeaders)] {
		lower := strings.ToLower(f.Name)
		ours := strings.HasPrefix(lower, webhook.HeaderPrefix) || strings.HasPrefix(lower, "webhook-")
		switch {
		case !ours && (holdsCredential(f.Name) || secret != "" && strings.EqualFold(f.Name, secret)):
			f.Value = Masked
		case len(f.Value) > maxTestValue:
			f.Value = strings.ToValidUTF8(f.Value[:maxTestValue], "") + "…"
		}
		out = append(out, f)
	}
	return out
}

// meaning says in a sentence what the dispatcher would have made of the answer.
func (c *Control) meaning(w *workerRecord, queue string, a *push.Answer) string {
	policy := c.retryOf(queue)
	fatal := policy.Fatal(a.StatusCode)
	switch {
	case a.Outcome == job.OutcomeSucceeded:
		return "the job would have succeeded"
	case a.Outcome == job.OutcomeCancelled:
		return "the test was ended before the answer came"
	case a.Gone && w.OnGone == OnGonePause:
		return "the job would be dead, and the worker paused"
	case a.NoRetry:
		return "the job would be dead: the worker asked not to try again"
	case a.Gone:
		return "the job would be dead"
	case fatal:
		return fmt.Sprintf("the job would be dead: %d is one of the policy's fatal_statuses", a.StatusCode)
	case a.Outcome == job.OutcomeThrottled && a.RetryAfter > 0:
		return fmt.Sprintf("no attempt would be used up; the worker would be left alone for %s", job.Duration(a.RetryAfter))
	case a.Outcome == job.OutcomeThrottled:
		return "no attempt would be used up; the worker would be left alone for the policy's delay"
	case a.RetryAfter > 0:
		return fmt.Sprintf("the attempt would have failed, and the next one would wait at least %s", job.Duration(a.RetryAfter))
	}
	return "the attempt would have failed; the job would be tried again by its policy"
}

// retryOf returns the policy of a job of the queue that brings none.
func (c *Control) retryOf(queue string) job.Policy {
	c.mu.RLock()
	defer c.mu.RUnlock()
	q := c.live.queues[queue]
	return q.Value.Retry.Over(c.o.Retry)
}
