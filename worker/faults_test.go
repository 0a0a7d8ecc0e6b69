package worker_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orchestrix/orchestrix/worker"
	"github.com/orchestrix/orchestrix/worker/workertest"
)

var faultSeeds = flag.Uint64("fault-seeds", 300, "how many runs TestAttemptsUnderFaults makes")

// Whatever the server answers or does not, and whatever the handler does: an
// attempt ends, is settled at most once, is silent once it is over, and is not
// given up while heartbeats get through.
func TestAttemptsUnderFaults(t *testing.T) {
	t.Parallel()
	for seed := range *faultSeeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { underFaults(t, rand.New(rand.NewPCG(seed, 7))) })
		})
	}
}

// faults is one run.
type faults struct {
	random *rand.Rand // of the test's own goroutine
	server *rand.Rand // of the server's answers, one at a time
	rough  float64    // share of answers that are not what they should be
	over   time.Time  // of the first conflict that was answered at once
	cause  atomic.Value
	ended  atomic.Bool
}

func underFaults(t *testing.T, random *rand.Rand) {
	f := &faults{random: random, server: rand.New(rand.NewPCG(random.Uint64(), 1)), rough: random.Float64() * random.Float64()}
	if random.IntN(4) == 0 {
		f.rough = 0
	}
	c := workertest.New(t)
	gate := make(chan struct{}, 1)
	c.OnReport(func(r workertest.Report) (int, string) {
		gate <- struct{}{} // late ones come beside others
		status, code, wait := f.answer()
		if status == http.StatusConflict && f.over.IsZero() {
			f.over = r.At
		}
		<-gate
		time.Sleep(wait)
		return status, code
	})
	mux := worker.NewMux(append(c.Options(), quiet(), worker.WithConcurrency(1))...)
	worker.HandleResult(mux, "video.encode", f.handler(), worker.Async())
	a := c.Push(mux, video)
	time.Sleep(time.Duration(random.IntN(400)) * time.Second)
	down := false
	switch random.IntN(4) {
	case 0:
		ctx, stop := context.WithTimeout(t.Context(), time.Duration(random.IntN(60))*time.Second)
		_ = mux.Shutdown(ctx) // what it leaves is the faults' doing
		stop()
		down = true
	case 1:
		c.SendCancel(mux, a)
	}
	time.Sleep(3 * time.Hour)
	synctest.Wait()
	f.check(t, a)
	if next := c.Push(mux, video); !down && next.Outcome != workertest.Accepted {
		t.Errorf("the slot was not given back: %s %s", next.Outcome, next.Body)
	}
	time.Sleep(3 * time.Hour)
}

func (f *faults) answer() (status int, code string, wait time.Duration) {
	r := f.server
	if r.Float64() >= f.rough {
		return 0, "", time.Duration(r.IntN(200)) * time.Millisecond
	}
	switch r.IntN(12) {
	case 0:
		return http.StatusConflict, []string{"cancelled", "superseded", "already_applied"}[r.IntN(3)], 0
	case 1:
		return http.StatusUnauthorized, "", 0
	case 2, 3, 4:
		return 0, "", time.Duration(r.IntN(30)) * time.Second
	default:
		return http.StatusServiceUnavailable, "", 0
	}
}

func (f *faults) handler() func(ctx context.Context, job worker.Job[email]) (string, error) {
	steps, deaf, end := f.random.IntN(30), f.random.IntN(4) == 0, f.random.IntN(4)
	return func(ctx context.Context, job worker.Job[email]) (string, error) {
		defer func() {
			if cause := context.Cause(ctx); cause != nil {
				f.cause.Store(cause)
			}
			f.ended.Store(true)
		}()
		for i := range steps {
			job.Progress(float64(i), "")
			job.Log(slog.LevelInfo, "step")
			select {
			case <-time.After(20 * time.Second):
			case <-ctx.Done():
				if !deaf {
					return "", ctx.Err()
				}
				time.Sleep(20 * time.Second)
			}
		}
		switch end {
		case 0:
			return "", errors.New("no")
		case 1:
			panic("no")
		}
		return "ok", nil
	}
}

func (f *faults) check(t *testing.T, a *workertest.Answer) {
	t.Helper()
	settled, alive, conflict := 0, time.Time{}, false
	for _, r := range a.Reports() {
		taken := r.Status/100 == 2
		if !f.over.IsZero() && r.At.After(f.over) {
			t.Errorf("a %s at %v, and it was over at %v", r.Verb, r.At, f.over)
		}
		switch {
		case taken && (r.Verb == "complete" || r.Verb == "fail"):
			settled++
		case taken && r.Verb == "heartbeat":
			alive = r.At
		case r.Status == http.StatusConflict:
			conflict = true
		}
	}
	if !f.ended.Load() {
		t.Error("the handler has not ended")
	}
	if settled > 1 {
		t.Errorf("settled %d times", settled)
	}
	cause, _ := f.cause.Load().(error)
	if f.rough == 0 && (cause != nil && !errors.Is(cause, worker.ErrShutdown) && !errors.Is(cause, worker.ErrCancelled)) {
		t.Errorf("without a fault it ended by %v, last alive at %v", cause, alive)
	}
	if cause == nil && f.rough == 0 && !conflict && settled == 0 {
		t.Error("without a fault it was not settled")
	}
}
