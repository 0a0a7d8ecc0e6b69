package worker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// giveBackTime is how long before its end Shutdown begins to give jobs back, and
// how long it takes beyond a context that ends without a deadline.
const giveBackTime = 5 * time.Second

// Shutdown ends the work in good order: new pushes are answered 503 with
// retry-after, and what runs is waited for. Shortly before the deadline of ctx (5
// seconds, or half of the time where that is less), or when ctx ends otherwise,
// handlers are told by their context, whose cause is then ErrShutdown. What they
// have not finished, and return with an error, is given back: the server runs it
// elsewhere at once, and no attempt is used up. So are, at the end, asynchronous
// jobs whose handlers do not return.
//
// Where Register was told so, the worker is deregistered first, so that nothing new
// comes. Shutdown returns nil when nothing is left, and else an error that says how
// much. Call
// it before http.Server.Shutdown, so that the last answers still get out. It may
// be called again; the Mux cannot be used any more.
func (m *Mux) Shutdown(ctx context.Context) error {
	m.running.drain()
	defer m.client.CloseIdleConnections()
	reserve := giveBackTime
	if deadline, ok := ctx.Deadline(); ok {
		reserve = min(reserve, max(time.Until(deadline)/2, 0))
		var stop context.CancelFunc
		ctx, stop = context.WithDeadline(ctx, deadline.Add(-reserve))
		defer stop()
	}
	gone := m.deregister(ctx, reserve)
	return errors.Join(m.finish(ctx, reserve), gone)
}

// finish waits, tells, and gives back.
func (m *Mux) finish(ctx context.Context, reserve time.Duration) error {
	if m.waitIdle(ctx) {
		return nil
	}
	for _, t := range m.running.list() {
		t.cancel(ErrShutdown)
	}
	if m.waitIdleFor(ctx, reserve/2) {
		return nil
	}
	for _, t := range m.running.list() {
		if t.attempt != nil {
			t.attempt.letGo()
		}
	}
	if m.waitIdleFor(ctx, reserve-reserve/2) {
		return nil
	}
	return fmt.Errorf("worker: %d jobs are still running, or could not be given back", len(m.running.list()))
}

// waitIdle reports whether nothing was left when ctx ended.
func (m *Mux) waitIdle(ctx context.Context) bool {
	select {
	case <-m.running.idle:
		return true
	case <-ctx.Done():
		return false
	}
}

// waitIdleFor waits on although ctx has ended.
func (m *Mux) waitIdleFor(ctx context.Context, d time.Duration) bool {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), d)
	defer stop()
	return m.waitIdle(ctx)
}

// letGo has the attempt given back, whatever its handler does. It may be called
// again.
func (a *attempt) letGo() {
	a.mux.running.mu.Lock()
	defer a.mux.running.mu.Unlock()
	select {
	case <-a.release:
	default:
		close(a.release)
	}
}

func drained() *refusal {
	r := refuse(http.StatusServiceUnavailable, "this worker is shutting down")
	r.after = shutdownPause
	return r
}
