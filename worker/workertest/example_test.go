package workertest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orchestrix/orchestrix/worker"
	"github.com/orchestrix/orchestrix/worker/workertest"
)

// Email is a payload.
type Email struct {
	To string `json:"to"`
}

// newMux is the program's: a test gives it the options of a Coordinator.
func newMux(options ...worker.Option) *worker.Mux {
	mux := worker.NewMux(options...)
	worker.Handle(mux, "email.send", func(_ context.Context, job worker.Job[Email]) error {
		if job.Attempt > 2 {
			return worker.NoRetry(errors.New("nobody has this address"))
		}
		return worker.RetryAfter(time.Minute, errors.New("the mailbox is full"))
	})
	worker.HandleResult(mux, "video.encode", func(ctx context.Context, job worker.Job[Email]) (string, error) {
		for hour := range 24 {
			job.Progress(float64(hour)/24*100, "encoding")
			time.Sleep(time.Hour)
		}
		return "done", ctx.Err()
	}, worker.Async())
	return mux
}

func Example() {
	var t example // a test has its *testing.T

	c := workertest.New(t)
	mux := newMux(c.Options()...)
	for attempt := range 3 {
		a := c.Push(mux, workertest.Push{Type: "email.send", Payload: Email{To: "ada@example.com"}, Attempt: attempt + 1})
		fmt.Printf("%s after %v: %s", a.Outcome, a.RetryAfter, a.Body)
	}
	// Output:
	// failed after 1m0s: the mailbox is full
	// failed after 1m0s: the mailbox is full
	// dead after 0s: nobody has this address
}

// A day passes at once.
func TestVideo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := workertest.New(t)
		began := time.Now()
		a := c.Push(newMux(c.Options()...), workertest.Push{Type: "video.encode", Payload: Email{}})
		if end := a.Wait(); end.Verb != "complete" || time.Since(began) != 24*time.Hour {
			t.Errorf("after %v: %+v", time.Since(began), end)
		}
	})
}

// example stands for the test that an example does not have.
type example struct{ testing.TB }

func (example) Helper()                  {}
func (example) Context() context.Context { return context.Background() }
