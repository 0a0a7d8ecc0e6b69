package worker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// DefaultKeep is how long jobs are remembered as done: as long as a server retries
// one, unless its policy says otherwise.
const DefaultKeep = 7 * 24 * time.Hour

const (
	// hold is how long a claim outlives a process that died. It is kept anew three
	// times as often.
	hold = time.Minute
	// busyPause is when a job that somebody is at is tried again.
	busyPause = 10 * time.Second
	// storeTimeout bounds what is told to the store once the work has ended.
	storeTimeout = 5 * time.Second
)

// errBusy is the error of an attempt that came while another one runs.
var errBusy = errors.New("another attempt of this job is running")

// Once has a job that was done before not run again: an attempt after a lost answer
// or a crash of the server is answered with success, without a result. One that
// comes while another runs fails with 409 and is tried again ten seconds later. What
// somebody runs again from the dashboard has another WebhookID, and runs.
//
// Jobs are remembered for keep; 0 means DefaultKeep. A job is claimed while it
// runs; where the claim is lost, since the store was away for a minute and somebody
// else has taken it, the handler's context ends with ErrSuperseded.
//
// It narrows the gap and cannot close it: a process that dies between the work and
// the note of it leaves a job that runs again. Only where the note is made in the
// same transaction as the work is there no gap: see package seenpg.
func Once(store Seen, keep time.Duration) Middleware {
	if keep <= 0 {
		keep = DefaultKeep
	}
	return func(next Handler) Handler {
		return HandlerFunc(func(ctx context.Context, p *Push) (Result, error) {
			owner := rand.Text()
			switch state, err := store.Begin(ctx, p.WebhookID, owner, hold); {
			case err != nil:
				return Result{}, fmt.Errorf("whether the job was done before is not known: %w", err)
			case state == SeenDone:
				return Result{}, nil
			case state == SeenBusy:
				return Result{}, RetryAfter(busyPause, &statusError{http.StatusConflict, errBusy})
			}
			return runClaimed(ctx, store, keep, owner, next, p)
		})
	}
}

func runClaimed(ctx context.Context, store Seen, keep time.Duration, owner string, next Handler, p *Push) (Result, error) {
	running, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		keepClaim(running, cancel, store, p.WebhookID, owner)
	}()
	// Also where the handler panics: the claim must not be kept for ever.
	done := false
	defer func() {
		cancel(nil)
		<-stopped
		endClaim(context.WithoutCancel(ctx), store, keep, owner, p, done)
	}()
	result, err := next.ServePush(running, p)
	done = err == nil
	return result, err
}

// keepClaim keeps the claim anew until ctx ends, and ends it where it is somebody
// else's by now.
func keepClaim(ctx context.Context, cancel context.CancelCauseFunc, store Seen, id, owner string) {
	tick := time.NewTicker(hold / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			// An error is not the end: the claim holds for two more.
			if state, err := store.Begin(ctx, id, owner, hold); err == nil && state != SeenNever {
				cancel(ErrSuperseded)
				return
			}
		}
	}
}

func endClaim(ctx context.Context, store Seen, keep time.Duration, owner string, p *Push, done bool) {
	ctx, stop := context.WithTimeout(ctx, storeTimeout)
	defer stop()
	if !done {
		// Where it fails the claim runs out by itself.
		_ = store.Release(ctx, p.WebhookID, owner)
		return
	}
	// The job is done, and must not be said to have failed.
	if err := store.Done(ctx, p.WebhookID, keep); err != nil {
		p.Logger().ErrorContext(ctx, "a job is done, and could not be remembered as done", "error", err)
	}
}
