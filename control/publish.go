package control

import (
	"context"
	"sync"

	"github.com/orchestrix/orchestrix/dispatcher"
)

// publisher hands the live configuration to the dispatcher, which takes until all
// shards have it. Those who ask meanwhile share the next time, so that many changes
// at once cost few.
type publisher struct {
	publishing sync.Mutex

	mu   sync.Mutex
	next *publication // that reads what is live when it begins; nil where nobody waits
}

// publication is one time that it is handed over.
type publication struct {
	done   chan struct{}
	config dispatcher.Config
	err    error
}

// publish returns once all that was live at its call has been handed to the
// dispatcher, or when ctx ends: then it is handed over all the same. Where the store
// cannot tell the time, the keeper tries again.
func (c *Control) publish(ctx context.Context) (dispatcher.Config, error) {
	p := &c.publisher
	p.mu.Lock()
	mine, first := p.next, p.next == nil
	if first {
		mine = &publication{done: make(chan struct{})}
		p.next = mine
	}
	p.mu.Unlock()
	if first {
		p.publishing.Lock()
		defer p.publishing.Unlock()
		p.mu.Lock()
		p.next = nil
		p.mu.Unlock()
		// Others wait for it who have more time than the first.
		mine.config, mine.err = c.publishNow(context.WithoutCancel(ctx))
		close(mine.done)
	}
	select {
	case <-mine.done:
		return mine.config, mine.err
	case <-ctx.Done():
		return dispatcher.Config{}, storeError("publish the configuration", ctx.Err())
	}
}

// publishNow hands over what is live. Only one publication is under way.
func (c *Control) publishNow(ctx context.Context) (dispatcher.Config, error) {
	ctx, cancel := context.WithTimeout(ctx, keeperTimeout)
	defer cancel()
	now, err := c.store.Now(ctx)
	if err != nil {
		c.keeper.wake()
		return dispatcher.Config{}, storeError("publish the configuration", err)
	}
	c.mu.Lock()
	config, err := c.config(now)
	c.mu.Unlock()
	if err != nil {
		return dispatcher.Config{}, err
	}
	c.dispatch.Configure(config)
	c.keeper.replan()
	return config, nil
}
