package push

import (
	"context"
	"slices"
	"sync"
	"time"
)

// pool keeps idle connections for reuse, newest first, and bounds how many a
// host has. One timer, armed only while a connection is idle, closes those that
// were for too long.
type pool struct {
	maxIdle, maxIdlePerHost, maxPerHost int
	idleTimeout                         time.Duration

	mu     sync.Mutex
	closed bool
	hosts  map[string]*host
	// All idle connections, by the time they became idle.
	oldest, newest *conn
	idle           int
	timer          *time.Timer
}

// host is the pool's record of one scheme, host and port. It lives as long as
// it has a connection or a push that wants one.
type host struct {
	key   string
	users int
	idle  []*conn       // oldest first
	slots chan struct{} // nil where connections are not bounded
}

// enter counts a push to the host, and waits while the host has as many as it
// may have. Every enter is followed by one leave.
func (p *pool) enter(ctx context.Context, key string, deadline time.Time) (*host, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, errClosed
	}
	h := p.hosts[key]
	if h == nil {
		h = &host{key: key}
		if p.maxPerHost > 0 {
			h.slots = make(chan struct{}, p.maxPerHost)
		}
		p.hosts[key] = h
	}
	h.users++
	p.mu.Unlock()
	if err := h.wait(ctx, deadline); err != nil {
		p.forget(h)
		return nil, err
	}
	return h, nil
}

// wait takes one of the host's slots.
func (h *host) wait(ctx context.Context, deadline time.Time) error {
	if h.slots == nil {
		return nil
	}
	select {
	case h.slots <- struct{}{}:
		return nil
	default:
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// take returns the host's idle connection that was used last, or nil.
func (p *pool) take(h *host) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(h.idle) == 0 {
		return nil
	}
	c := h.idle[len(h.idle)-1]
	p.unlink(c)
	return c
}

// leave ends a push. c is kept for reuse where it is not nil and there is room;
// the oldest idle connection of all makes room where the pool is full.
func (p *pool) leave(h *host, c *conn) {
	p.mu.Lock()
	if c != nil && (p.closed || p.maxIdle < 1 || len(h.idle) >= p.maxIdlePerHost) {
		defer c.close()
		c = nil
	}
	if c != nil {
		if p.idle >= p.maxIdle {
			p.evictOldest()
		}
		p.link(h, c)
	}
	p.mu.Unlock()
	if h.slots != nil {
		<-h.slots
	}
	p.forget(h)
}

func (p *pool) forget(h *host) {
	p.mu.Lock()
	h.users--
	p.drop(h)
	p.mu.Unlock()
}

// drop deletes a host that nothing is known of any more.
func (p *pool) drop(h *host) {
	if h.users == 0 && len(h.idle) == 0 {
		delete(p.hosts, h.key)
	}
}

func (p *pool) link(h *host, c *conn) {
	c.host, c.idleSince = h, time.Now()
	h.idle = append(h.idle, c)
	c.prev, c.next = p.newest, nil
	if p.newest != nil {
		p.newest.next = c
	} else {
		p.oldest = c
	}
	p.newest = c
	if p.idle++; p.timer == nil {
		p.timer = time.AfterFunc(p.idleTimeout, p.sweep)
	}
}

func (p *pool) unlink(c *conn) {
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		p.oldest = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	} else {
		p.newest = c.prev
	}
	c.prev, c.next = nil, nil
	i := slices.Index(c.host.idle, c)
	c.host.idle = slices.Delete(c.host.idle, i, i+1)
	p.idle--
}

// sweep closes what was idle for too long, and arms the timer for the next one.
func (p *pool) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer = nil
	for p.oldest != nil {
		if left := p.idleTimeout - time.Since(p.oldest.idleSince); left > 0 {
			p.timer = time.AfterFunc(left, p.sweep)
			return
		}
		p.evictOldest()
	}
}

func (p *pool) evictOldest() {
	c := p.oldest
	p.unlink(c)
	p.drop(c.host)
	c.close()
}

// close closes all idle connections, and lets none become idle again.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for p.oldest != nil {
		p.evictOldest()
	}
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
}
