package dispatcher

import (
	"context"
	"fmt"
	"time"
)

// life is the time from a Start to the end of its Stop.
type life struct {
	running  context.Context
	cancel   context.CancelFunc
	ready    chan struct{} // closed when Start has ended, with err
	err      error
	drain    chan struct{} // closed by the first Stop
	stopping bool
	done     chan struct{} // closed when nothing is left
}

// Start takes every shard, books what its last owner left in flight as lost,
// and begins to push. It returns when every shard is served, or the first error;
// ctx bounds the start only. Where the store is Shared it returns at once, and
// shards are taken by Serve. A Start of a dispatcher that runs does nothing; one
// that is being stopped is waited for and started again.
func (d *Dispatcher) Start(ctx context.Context) error {
	for {
		l, stopping, began := d.begin()
		if began {
			return d.start(ctx, l)
		}
		wait := l.ready
		if stopping {
			wait = l.done
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return fmt.Errorf("dispatcher: start: %w", ctx.Err())
		}
		if !stopping {
			return l.err
		}
		d.end(l)
	}
}

// begin begins a life, where there is none.
func (d *Dispatcher) begin() (l *life, stopping, began bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.life != nil {
		return d.life, d.life.stopping, false
	}
	l = &life{ready: make(chan struct{}), drain: make(chan struct{}), done: make(chan struct{})}
	l.running, l.cancel = context.WithCancel(context.Background())
	d.life, d.runners = l, newRunners()
	d.draining.Store(false)
	for _, loop := range d.loops {
		loop.want(!d.shared)
	}
	return l, false, true
}

// end ends a life of which nothing is left.
func (d *Dispatcher) end(l *life) {
	l.cancel()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.life == l {
		d.life = nil
	}
}

func (d *Dispatcher) start(ctx context.Context, l *life) error {
	defer close(l.ready)
	started := make(chan error, len(d.loops))
	for _, loop := range d.loops {
		d.background.Go(func() { loop.run(l.running, l.drain, started) })
	}
	go func() {
		d.background.Wait()
		d.callbacks.Wait()
		d.runners.close()
		close(l.done)
	}()
	if err := d.served(ctx, started); err != nil {
		d.leave() // and give back what was taken
		select {
		case <-l.done:
		case <-time.After(abortGrace):
		}
		l.cancel()
		<-l.done
		d.end(l)
		l.err = fmt.Errorf("dispatcher: start: %w", err)
	}
	return l.err
}

// served waits until every shard is served, or the first is not.
func (d *Dispatcher) served(ctx context.Context, started <-chan error) error {
	for range d.loops {
		select {
		case err := <-started:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Stop claims nothing more, waits for the pushes in flight and gives the shards
// back; where the store is Shared these are given back at once, handed over with the
// pushes in flight (see Serve). When ctx ends first, those pushes are aborted and booked as lost, so
// that they are pushed again by the next owner, and Stop returns an error.
// Whatever it returns, nothing of the dispatcher runs any more. It may be called
// more than once: each call waits, and the first whose ctx ends aborts.
func (d *Dispatcher) Stop(ctx context.Context) error {
	l := d.leave()
	if l == nil {
		return nil
	}
	defer d.end(l)
	select {
	case <-l.done:
		return nil
	case <-ctx.Done():
	}
	for _, loop := range d.loops {
		loop.abortAll()
		loop.abortLeft()
	}
	select {
	case <-l.done:
	case <-time.After(abortGrace):
	}
	l.cancel()
	<-l.done
	return fmt.Errorf("dispatcher: stop: %w", ctx.Err())
}

// abortGrace is how long Stop waits for aborted pushes to be booked before it
// leaves them to the next owner.
const abortGrace = 5 * time.Second

// leave has all shards drained; nil where the dispatcher does not run.
func (d *Dispatcher) leave() *life {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.life
	if l == nil {
		return nil
	}
	if !l.stopping {
		l.stopping = true
		d.draining.Store(true)
		close(l.drain)
	}
	for _, loop := range d.loops {
		loop.post(d.drainEvent()) // under the lock, so that no Serve undoes it
	}
	return l
}
