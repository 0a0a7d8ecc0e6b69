package control

import (
	"context"
	"sync"
	"time"

	"github.com/orchestrix/orchestrix/dispatcher"
)

// keeper does in the background what the configuration needs without anybody
// asking: it takes a secret out of use when its grace ends, pauses a worker that
// answered 410 or only fails, and reads everything anew after a change whose outcome was
// unknown.
type keeper struct {
	mu      sync.Mutex
	pauses  []pauseRequest
	reload  bool
	cancel  context.CancelFunc
	changed chan struct{} // holds one value while there is something to look at
	stopped chan struct{}
}

// pauseRequest asks that a worker be paused: one that answered 410 or, where failing
// is set, one that only fails.
type pauseRequest struct {
	name    string
	at      time.Time
	failing dispatcher.Failing
}

// The keeper's tries after a failure begin at keeperPause and end at
// keeperPatience, since it works on behalf of nobody who waits.
const (
	keeperPause    = 100 * time.Millisecond
	keeperPatience = 5 * time.Second
	keeperTimeout  = 10 * time.Second
)

func newKeeper() keeper { return keeper{changed: make(chan struct{}, 1)} }

func (k *keeper) start(c *Control) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.cancel != nil {
		return
	}
	ctx, cancel := context.WithCancel(As(context.Background(), Root()))
	k.cancel, k.stopped = cancel, make(chan struct{})
	go func() {
		defer close(k.stopped)
		var following sync.WaitGroup
		if c.o.Shared {
			following.Go(func() { c.follow(ctx) })
			following.Go(func() { c.adoptOperations(ctx) })
		}
		c.keep(ctx)
		following.Wait()
	}()
}

func (k *keeper) stop() {
	k.mu.Lock()
	cancel, stopped := k.cancel, k.stopped
	k.mu.Unlock()
	if cancel != nil {
		cancel()
		<-stopped
	}
}

// wake has the configuration read anew.
func (k *keeper) wake() {
	k.mu.Lock()
	k.reload = true
	k.mu.Unlock()
	k.replan()
}

// replan has the keeper look at what is due.
func (k *keeper) replan() {
	select {
	case k.changed <- struct{}{}:
	default:
	}
}

func (k *keeper) take() (pauses []pauseRequest, reload bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	pauses, reload = k.pauses, k.reload
	k.pauses, k.reload = nil, false
	return pauses, reload
}

func (k *keeper) ask(r pauseRequest) {
	k.mu.Lock()
	k.pauses = append(k.pauses, r)
	k.mu.Unlock()
	k.replan()
}

// WorkerGone tells that a worker answered 410 at that time: it is paused soon
// after, with that as its reason. It does not block.
func (c *Control) WorkerGone(name string, at time.Time) {
	c.keeper.ask(pauseRequest{name: name, at: at})
}

func (c *Control) keep(ctx context.Context) {
	pause := keeperPause
	for ctx.Err() == nil {
		err := c.keepOnce(ctx)
		if err == nil {
			pause = keeperPause
			c.keeper.rest(ctx, c.untilNextEnd(ctx))
			continue
		}
		if ctx.Err() == nil {
			c.log.Warn("the configuration could not be brought up to date; trying again", "error", err, "in", pause)
		}
		sleep(ctx, pause)
		pause = min(2*pause, keeperPatience)
	}
}

// rest waits until there is something to look at, at most for that time.
func (k *keeper) rest(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-k.changed:
	case <-ctx.Done():
	}
}

// keepOnce does what is due. What fails is due again.
func (c *Control) keepOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, keeperTimeout)
	defer cancel()
	pauses, reload := c.keeper.take()
	for i, r := range pauses {
		if err := c.pauseAsked(ctx, r); err != nil {
			c.keeper.giveBack(pauses[i:], reload)
			return err
		}
	}
	c.changing.Lock()
	defer c.changing.Unlock()
	if !reload {
		return c.republishIfDue(ctx)
	}
	_, err := c.reload(ctx)
	if err != nil {
		c.keeper.giveBack(nil, true)
	}
	return err
}

func (c *Control) pauseAsked(ctx context.Context, r pauseRequest) error {
	if r.failing.Worker != "" {
		return c.pauseFailing(ctx, r)
	}
	return c.pauseGone(ctx, r)
}

func (k *keeper) giveBack(pauses []pauseRequest, reload bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pauses = append(pauses, k.pauses...)
	k.reload = k.reload || reload
}

// republishIfDue publishes the configuration without the secrets whose grace
// has ended.
func (c *Control) republishIfDue(ctx context.Context) error {
	c.mu.RLock()
	end := c.live.nextEnd
	c.mu.RUnlock()
	if end.IsZero() {
		return nil
	}
	now, err := c.store.Now(ctx)
	if err != nil || now.Before(end) {
		return storeError("look for secrets whose grace has ended", err)
	}
	_, err = c.publish(ctx)
	return err
}

// untilNextEnd returns how long to rest: until the next grace ends, and no
// longer than a minute, so that a clock that was set is noticed.
func (c *Control) untilNextEnd(ctx context.Context) time.Duration {
	const longest = time.Minute
	c.mu.RLock()
	end := c.live.nextEnd
	c.mu.RUnlock()
	if end.IsZero() {
		return longest // an idle server does not even ask for the time
	}
	now, err := c.store.Now(ctx)
	if err != nil {
		return keeperPatience
	}
	return min(max(end.Sub(now), time.Millisecond), longest)
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
