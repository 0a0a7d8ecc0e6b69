package worker_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orchestrix/orchestrix/worker"
	"github.com/orchestrix/orchestrix/worker/workertest"
)

func TestShutdownWaitsForWhatRuns(t *testing.T) {
	t.Parallel()
	bubble(t, func(ctx context.Context, _ worker.Job[email]) (string, error) {
		time.Sleep(20 * time.Second)
		return "ok", ctx.Err()
	}, func(t *testing.T, c *workertest.Coordinator, mux *worker.Mux) {
		start, a := time.Now(), c.Push(mux, video)
		go func() {
			time.Sleep(time.Second)
			if late := c.Push(mux, video); late.Outcome != workertest.Throttled || string(late.Body) != "this worker is shutting down\n" {
				t.Errorf("a late push is %s: %s", late.Outcome, late.Body)
			}
		}()
		ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
		defer stop()
		if err := mux.Shutdown(ctx); err != nil || time.Since(start) != 20*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if end := a.Wait(); end.Verb != "complete" {
			t.Errorf("ended with %+v", end)
		}
		if err := mux.Shutdown(ctx); err != nil { // again
			t.Error(err)
		}
	})
}

// What does not end in time is given back, and is over within the time.
func TestShutdownGivesBack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		run  func(ctx context.Context) error
		want workertest.Report
		at   time.Duration
	}{
		"a handler that obeys": {func(ctx context.Context) error {
			<-ctx.Done()
			if !errors.Is(context.Cause(ctx), worker.ErrShutdown) {
				t.Errorf("the cause is %v", context.Cause(ctx))
			}
			return ctx.Err()
		}, workertest.Report{Verb: "fail", Error: "shutdown", Retry: true, Released: true}, 25 * time.Second},
		"one that hurries to its end": {func(ctx context.Context) error {
			<-ctx.Done()
			return nil
		}, workertest.Report{Verb: "complete"}, 25 * time.Second},
		"one that does not listen": {func(context.Context) error {
			time.Sleep(time.Hour)
			return nil
		}, workertest.Report{Verb: "fail", Error: "shutdown", Retry: true, Released: true}, 27500 * time.Millisecond},
		"one that gives up for good": {func(ctx context.Context) error {
			<-ctx.Done()
			return worker.NoRetry(ctx.Err())
		}, workertest.Report{Verb: "fail", Error: "shutdown", Retry: true, Released: true}, 25 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(ctx context.Context, _ worker.Job[email]) (string, error) { return "", c.run(ctx) }, func(t *testing.T, coordinator *workertest.Coordinator, mux *worker.Mux) {
				start, a := time.Now(), coordinator.Push(mux, video)
				ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
				defer stop()
				if err := mux.Shutdown(ctx); err != nil {
					t.Error(err)
				}
				end := a.Wait()
				if end.Verb != c.want.Verb || end.Error != c.want.Error || end.Retry != c.want.Retry || end.Released != c.want.Released || end.At.Sub(start) != c.at {
					t.Errorf("ended after %v with %+v", end.At.Sub(start), end)
				}
				time.Sleep(2 * time.Hour)
				for _, r := range a.Reports() {
					if r.At.After(end.At) {
						t.Errorf("then came a %s", r.Verb)
					}
				}
			})
		})
	}
}

func TestShutdownSaysWhatItLeft(t *testing.T) {
	t.Parallel()
	bubble(t, func(context.Context, worker.Job[email]) (string, error) { time.Sleep(time.Minute); return "", nil }, func(t *testing.T, c *workertest.Coordinator, mux *worker.Mux) {
		c.OnReport(func(workertest.Report) (int, string) { return http.StatusServiceUnavailable, "" })
		c.Push(mux, video)
		c.Push(mux, video)
		start := time.Now()
		ctx, stop := context.WithCancel(t.Context())
		stop()
		err := mux.Shutdown(ctx)
		if err == nil || err.Error() != "worker: 2 jobs are still running, or could not be given back" || time.Since(start) != 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		time.Sleep(10 * time.Minute) // until the handlers have returned
	})
}

// A synchronous job is told too, and answered so that it uses up no attempt.
func TestShutdownOfSynchronousJobs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := workertest.New(t)
		mux := worker.NewMux(c.Options()...)
		worker.Handle(mux, "email.send", func(ctx context.Context, _ worker.Job[email]) error {
			<-ctx.Done()
			return ctx.Err()
		})
		answers := make(chan *workertest.Answer)
		go func() { answers <- c.Push(mux, workertest.Push{Type: "email.send", Timeout: time.Hour}) }()
		synctest.Wait()
		ctx, stop := context.WithTimeout(t.Context(), 4*time.Second)
		defer stop()
		start := time.Now()
		done := make(chan error)
		go func() { done <- mux.Shutdown(ctx) }()
		if a := <-answers; a.Outcome != workertest.Throttled || a.Status != http.StatusServiceUnavailable || time.Since(start) != 2*time.Second {
			t.Errorf("it is %s, %d, after %v", a.Outcome, a.Status, time.Since(start))
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
