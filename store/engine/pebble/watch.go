package pebble

import "sync"

// watchers are the channels to hint on after an unfenced Apply.
type watchers struct {
	mu       sync.Mutex
	channels map[chan struct{}]struct{}
}

// Watch returns a channel that gets a value after each unfenced Apply to the
// shard, several of them sharing one while nobody receives. The hint comes as
// soon as the change can be seen, before it is durable. For a shard that does
// not exist the channel stays silent.
func (e *Engine) Watch(n int) (changed <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	if n < 0 || n >= len(e.shards) {
		return c, func() {}
	}
	w := &e.shards[n].watchers
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.channels == nil {
		w.channels = make(map[chan struct{}]struct{})
	}
	w.channels[c] = struct{}{}
	return c, func() { w.remove(c) }
}

func (w *watchers) remove(c chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.channels, c)
}

func (w *watchers) notify() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.channels {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}
