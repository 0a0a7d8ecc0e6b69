package worker

import (
	"context"
	"errors"
	"runtime/debug"
	"time"
)

// Causes for which the context of a handler ends before its function has returned:
// what context.Cause says. ErrShutdown is for all handlers, the others for
// asynchronous ones. Of a synchronous one the server closes the request, which is
// context.Canceled.
var (
	// ErrShutdown says that Shutdown cannot wait any longer.
	ErrShutdown = errors.New("worker: shutting down")
	// ErrCancelled says that somebody cancelled the job.
	ErrCancelled = errors.New("worker: the job was cancelled")
	// ErrSuperseded says that the server has given the job to another attempt.
	ErrSuperseded = errors.New("worker: another attempt has taken over")
	// ErrAlreadyApplied says that the attempt has been completed or failed, by
	// somebody else.
	ErrAlreadyApplied = errors.New("worker: the attempt is settled already")
	// ErrLeaseLost says that the server did not take a heartbeat for so long that it
	// counts the attempt as lost.
	ErrLeaseLost = errors.New("worker: no heartbeat got through for as long as the lease")
)

// attempt is an asynchronous push under way: a goroutine that works, and one that
// reports.
type attempt struct {
	mux      *Mux
	route    *route
	push     *Push
	reporter reporter
	lease    lease
	journal  *journal

	ctx    context.Context
	cancel context.CancelCauseFunc
	// over is what the server has ended the attempt by; of the reporting goroutine. The
	// context may have ended by another cause before.
	over error
	// done has the end of the work, and ended is closed then. release is closed where nobody waits for it any
	// longer.
	done    chan outcome
	ended   chan struct{}
	release chan struct{}
}

// outcome is what the handler returned.
type outcome struct {
	result Result
	err    error
}

func newAttempt(ctx context.Context, m *Mux, r *route, p *Push, reporter reporter, length time.Duration) *attempt {
	a := &attempt{
		mux: m, route: r, push: p, reporter: reporter, lease: newLease(length, time.Now()), journal: newJournal(),
		done: make(chan outcome, 1), ended: make(chan struct{}), release: make(chan struct{}),
	}
	p.journal = a.journal
	a.ctx, a.cancel = context.WithCancelCause(context.WithValue(ctx, pushKey{}, p))
	return a
}

// start begins both. ctx is that of the reports, which go on after the handler's has
// ended.
func (a *attempt) start(ctx context.Context) {
	go a.work()
	go a.report(ctx)
}

// work runs the handler, whatever it does to its goroutine.
func (a *attempt) work() {
	out := outcome{err: errors.New("the handler ended its goroutine")}
	defer a.mux.give(a.route)
	defer func() {
		if value := recover(); value != nil { // http.ErrAbortHandler
			out.err = &PanicError{value, debug.Stack()}
		}
		a.mux.running.note(a.push)
		close(a.ended)
		a.done <- out
	}()
	out.result, out.err = a.mux.run(a.ctx, a.route, a.push)
}

// report tells the server what there is to tell until the attempt is over.
func (a *attempt) report(ctx context.Context) {
	defer a.mux.running.remove(a.push)
	defer a.cancel(context.Canceled)
	beat := time.NewTimer(time.Until(a.lease.next))
	defer beat.Stop()
	var flush <-chan time.Time
	for {
		select {
		case <-beat.C:
			if a.beat(ctx); a.isOurs() {
				beat.Reset(time.Until(a.lease.next))
			}
		case <-a.journal.wake:
			if flush == nil {
				flush = time.After(flushEvery)
			}
		case <-flush:
			flush = nil
			if a.isOurs() {
				a.flush(ctx)
			}
		case out := <-a.done:
			a.settle(ctx, out)
			return
		case <-a.release:
			a.giveBack(ctx)
			return
		}
	}
}

// isOurs reports whether the server still waits for this attempt, as far as is
// known. It does while the worker shuts down.
func (a *attempt) isOurs() bool {
	cause := a.cause()
	return a.over == nil && (cause == nil || errors.Is(cause, ErrShutdown))
}

// cause is why the handler's context has ended; nil while it has not.
func (a *attempt) cause() error { return context.Cause(a.ctx) }

// beat sends a heartbeat where one is due, and ends the context where none has got
// through for too long.
func (a *attempt) beat(ctx context.Context) {
	now := time.Now()
	if now.Before(a.lease.next) {
		return
	}
	v := a.send(ctx, "heartbeat", struct{}{})
	switch {
	case v.kind == reportTaken:
		a.lease.renewed(now)
	case v.kind == reportOver:
		// send has ended the context.
	case !time.Now().Before(a.lease.end()):
		a.cancel(ErrLeaseLost)
	default:
		a.lease.missed(time.Now(), v.after)
	}
}

// flush sends what has come together in the journal. What was not taken is kept
// for the next time.
func (a *attempt) flush(ctx context.Context) {
	progress, entries := a.journal.take()
	if progress != nil {
		if a.send(ctx, "progress", progress).kind == reportAgain {
			a.journal.keepProgress(progress)
		}
	}
	a.beat(ctx) // each of the two may take a third of the lease
	if len(entries) > 0 {
		if a.send(ctx, "logs", logsBody{entries}).kind == reportAgain {
			a.journal.keepEntries(entries)
		}
	}
}

// send sends one report within what is left of the lease, and ends the context
// where the answer says that the attempt is over. Of one that is over nothing is
// sent.
func (a *attempt) send(ctx context.Context, verb string, body any) verdict {
	if errors.Is(a.cause(), ErrCancelled) { // by a push
		a.over = ErrCancelled
	}
	if a.over != nil {
		return verdict{kind: reportOver, cause: a.over}
	}
	ctx, stop := context.WithTimeout(ctx, a.lease.patience(time.Now()))
	defer stop()
	v := a.reporter.send(ctx, verb, body)
	if v.kind == reportOver {
		a.over = v.cause
		a.cancel(v.cause)
	}
	return v
}
