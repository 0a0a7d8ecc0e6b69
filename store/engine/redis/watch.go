package redis

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Watch returns a channel that gets a value after each unfenced Apply to the
// shard, by any process, several of them sharing one while nobody receives. Hints
// come by Pub/Sub over one connection, which is made anew when it breaks; those
// sent meanwhile are lost. For a shard that does not exist the channel stays
// silent.
func (e *Engine) Watch(n int) (changed <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	if n < 0 || n >= len(e.keys) {
		return c, func() {}
	}
	channel := e.keys[n].channel
	e.hints.add(channel, c)
	return c, func() { e.hints.remove(channel, c) }
}

// hints hands messages out to who watches.
type hints struct {
	subscribe func(ctx context.Context) *redis.PubSub

	mu       sync.Mutex
	watchers map[string]map[chan struct{}]struct{} // by channel
	changed  chan struct{}                         // has a value where the channels may have changed
	end      context.CancelFunc                    // nil before there was anything to watch
	ended    bool
	running  sync.WaitGroup
}

func newHints(subscribe func(ctx context.Context) *redis.PubSub) *hints {
	return &hints{
		subscribe: subscribe, watchers: map[string]map[chan struct{}]struct{}{},
		changed: make(chan struct{}, 1),
	}
}

func (h *hints) add(channel string, c chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended {
		return
	}
	if h.watchers[channel] == nil {
		h.watchers[channel] = map[chan struct{}]struct{}{}
		h.tell()
	}
	h.watchers[channel][c] = struct{}{}
	if h.end == nil {
		ctx, end := context.WithCancel(context.Background())
		h.end = end
		h.running.Go(func() { h.run(ctx) })
	}
}

func (h *hints) remove(channel string, c chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.watchers[channel], c)
	if len(h.watchers[channel]) == 0 {
		delete(h.watchers, channel)
		h.tell()
	}
}

func (h *hints) tell() {
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

func (h *hints) close() {
	h.mu.Lock()
	h.ended = true
	if h.end != nil {
		h.end()
	}
	h.mu.Unlock()
	h.running.Wait()
}

// quiet is how long a connection may bring nothing before it is tried.
const quiet = 5 * time.Second

// run keeps the subscription at what is watched. The client makes a connection
// that broke anew, with the channels it had.
func (h *hints) run(ctx context.Context) {
	s := h.subscribe(ctx)
	defer s.Close()
	messages := s.Channel(redis.WithChannelHealthCheckInterval(quiet))
	subscribed := map[string]bool{}
	for {
		select {
		case m, ok := <-messages:
			if !ok {
				return
			}
			h.hint(m.Channel)
		case <-h.changed:
			add, remove := h.difference(subscribed)
			// Where these fail, the client makes a new connection and tells it.
			if len(add) > 0 {
				_ = s.Subscribe(ctx, add...)
			}
			if len(remove) > 0 {
				_ = s.Unsubscribe(ctx, remove...)
			}
		case <-ctx.Done():
			return
		}
	}
}

// difference brings subscribed up to what is watched, and tells how.
func (h *hints) difference(subscribed map[string]bool) (add, remove []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for channel := range h.watchers {
		if !subscribed[channel] {
			subscribed[channel] = true
			add = append(add, channel)
		}
	}
	for channel := range subscribed {
		if h.watchers[channel] == nil {
			delete(subscribed, channel)
			remove = append(remove, channel)
		}
	}
	return add, remove
}

func (h *hints) hint(channel string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.watchers[channel] {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}
