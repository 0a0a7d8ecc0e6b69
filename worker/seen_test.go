package worker_test

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

func TestMemorySeen(t *testing.T) {
	t.Parallel()
	workertest.TestSeen(t, func(*testing.T) worker.Seen { return worker.NewMemorySeen(1000) })
}

func TestMemorySeenIsBounded(t *testing.T) {
	t.Parallel()
	s := worker.NewMemorySeen(10)
	for i := range 100 {
		id := fmt.Sprint("job_", i)
		if err := s.Done(t.Context(), id, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	known := 0
	for i := range 100 {
		if state, _ := s.Begin(t.Context(), fmt.Sprint("job_", i), "a", time.Hour); state == worker.SeenDone {
			known++
			if i < 90 {
				t.Errorf("job_%d is known, and newer ones were forgotten", i)
			}
		}
	}
	if known != 10 {
		t.Errorf("%d are known", known)
	}
}

// onced runs a test in a bubble with a Mux whose handler is run once a job.
func onced(t *testing.T, store worker.Seen, run func(ctx context.Context, job worker.Job[email]) error, f func(t *testing.T, c *workertest.Coordinator, mux *worker.Mux)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := workertest.New(t)
		mux := worker.NewMux(append(c.Options(), quiet(), worker.WithMiddleware(worker.Once(store, 0)))...)
		worker.Handle(mux, "email.send", run)
		worker.Handle(mux, "video.encode", run, worker.Async())
		f(t, c, mux)
	})
}

func attempt(n int) workertest.Push {
	return workertest.Push{Type: "email.send", ID: "job_1", Attempt: n, Payload: email{}, Timeout: time.Hour}
}

func TestOnce(t *testing.T) {
	t.Parallel()
	runs := 0
	onced(t, worker.NewMemorySeen(10), func(context.Context, worker.Job[email]) error {
		runs++
		switch runs {
		case 1:
			return errors.New("no")
		case 2:
			panic("no")
		}
		return nil
	}, func(t *testing.T, c *workertest.Coordinator, mux *worker.Mux) {
		again := attempt(5)
		again.Incarnation = 1
		for i, push := range []workertest.Push{attempt(1), attempt(2), attempt(3), attempt(4), again} {
			a := c.Push(mux, push)
			want, outcome := []int{1, 2, 3, 3, 4}[i], []workertest.Outcome{"failed", "failed", "succeeded", "succeeded", "succeeded"}[i]
			if runs != want || a.Outcome != outcome {
				t.Errorf("push %d %s, after %d runs: %s", i, a.Outcome, runs, a.Body)
			}
		}
		time.Sleep(worker.DefaultKeep)
		if c.Push(mux, attempt(6)); runs != 5 {
			t.Error("it is remembered for ever")
		}
	})
}

func TestOnceWhileItRuns(t *testing.T) {
	t.Parallel()
	runs := 0
	onced(t, worker.NewMemorySeen(10), func(ctx context.Context, _ worker.Job[email]) error {
		runs++
		time.Sleep(10 * time.Minute) // much longer than a claim that is not kept
		return ctx.Err()
	}, func(t *testing.T, c *workertest.Coordinator, mux *worker.Mux) {
		first := make(chan *workertest.Answer)
		go func() { first <- c.Push(mux, attempt(1)) }()
		time.Sleep(9 * time.Minute)
		if a := c.Push(mux, attempt(2)); a.Status != 409 || a.RetryAfter != 10*time.Second || string(a.Body) != "another attempt of this job is running\n" {
			t.Errorf("answered %d after %v: %s", a.Status, a.RetryAfter, a.Body)
		}
		if a := <-first; a.Outcome != workertest.Succeeded || runs != 1 {
			t.Errorf("the first %s, %d runs", a.Outcome, runs)
		}
		// An asynchronous one too.
		p := attempt(3)
		p.ID, p.Type = "job_2", "video.encode"
		a := c.Push(mux, p)
		if a.Wait(); runs != 2 {
			t.Errorf("%d runs", runs)
		}
	})
}

// A store that is away: nothing runs; and what ran is not said to have failed.
func TestOnceWithoutItsStore(t *testing.T) {
	t.Parallel()
	store := &broken{MemorySeen: worker.NewMemorySeen(10)}
	runs := 0
	onced(t, store, func(context.Context, worker.Job[email]) error { runs++; return nil }, func(t *testing.T, c *workertest.Coordinator, mux *worker.Mux) {
		store.begin = errors.New("away")
		if a := c.Push(mux, attempt(1)); a.Outcome != workertest.Failed || string(a.Body) != "whether the job was done before is not known: away\n" || runs != 0 {
			t.Errorf("it %s after %d runs: %s", a.Outcome, runs, a.Body)
		}
		store.begin, store.done = nil, errors.New("away")
		if a := c.Push(mux, attempt(2)); a.Outcome != workertest.Succeeded || runs != 1 {
			t.Errorf("it %s after %d runs: %s", a.Outcome, runs, a.Body)
		}
	})
}

// A claim that somebody else has by now ends the run.
func TestOnceLosesItsClaim(t *testing.T) {
	t.Parallel()
	store := worker.NewMemorySeen(10)
	onced(t, store, func(ctx context.Context, job worker.Job[email]) error {
		if err := store.Done(ctx, job.WebhookID, time.Hour); err != nil {
			return err
		}
		<-ctx.Done()
		return context.Cause(ctx)
	}, func(t *testing.T, c *workertest.Coordinator, mux *worker.Mux) {
		start := time.Now()
		if a := c.Push(mux, attempt(1)); string(a.Body) != worker.ErrSuperseded.Error()+"\n" || time.Since(start) != 20*time.Second {
			t.Errorf("answered %s after %v", a.Body, time.Since(start))
		}
	})
}

// broken is a store that is away at times.
type broken struct {
	*worker.MemorySeen
	begin, done error
}

func (b *broken) Begin(ctx context.Context, id, owner string, hold time.Duration) (worker.SeenState, error) {
	if b.begin != nil {
		return worker.SeenNever, b.begin
	}
	return b.MemorySeen.Begin(ctx, id, owner, hold)
}

func (b *broken) Done(ctx context.Context, id string, keep time.Duration) error {
	if b.done != nil {
		return b.done
	}
	return b.MemorySeen.Done(ctx, id, keep)
}
