package dispatcher

import (
	"context"
	"slices"
	"time"
)

// Serve makes these the shards that the node serves, where the store is Shared.
// It returns at once: the others are handed over with their pushes in flight, with
// which this node goes on, and each of these is taken as soon as nobody else holds
// it. It has no effect before Start and after Stop.
func (d *Dispatcher) Serve(shards []int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.shared || d.life == nil || d.life.stopping {
		return
	}
	wanted := make([]bool, len(d.loops))
	for _, shard := range shards {
		wanted[shard] = true
	}
	for shard, l := range d.loops {
		switch changed := l.want(wanted[shard]); {
		case changed && wanted[shard]:
			l.post(resuming{})
		case changed:
			l.post(d.drainEvent())
		}
	}
}

// Living tells which nodes are not dead, this one among them. The pushes that another
// has handed over to this node's shards are booked as lost when it is. Before the
// first call none is taken for dead.
func (d *Dispatcher) Living(nodes []string) {
	nodes = slices.Clone(nodes)
	d.living.Store(&nodes)
	for _, l := range d.loops {
		l.post(living{nodes})
	}
}

// drainEvent is how a shard is given up: where other nodes wait for it at once, else
// when its pushes have ended.
func (d *Dispatcher) drainEvent() draining {
	if d.shared {
		return draining{d.node}
	}
	return draining{}
}

// Owned returns the shards that the node serves just now, in their order. A shard
// that is being handed over is among them.
func (d *Dispatcher) Owned() []int {
	var owned []int
	for shard, l := range d.loops {
		if l.owns() {
			owned = append(owned, shard)
		}
	}
	return owned
}

// Serves reports whether the node serves the shard just now.
func (d *Dispatcher) Serves(shard int) bool {
	return shard < len(d.loops) && d.loops[shard].owns()
}

// InFlight returns about how many pushes are in flight, without asking the shards.
func (d *Dispatcher) InFlight() int {
	used, _ := d.slots.level()
	return used
}

const (
	// pollEvery is how often a node looks by itself for what others have written.
	pollEvery = time.Second
	// heldPause is about how long a shard is left alone that another node holds.
	heldPause = 60 * time.Millisecond
)

// want says whether the shard is to be served, and reports whether that is new.
func (l *loop) want(on bool) (changed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wanted == on {
		return false
	}
	l.wanted = on
	select {
	case l.decided <- struct{}{}:
	default:
	}
	return true
}

func (l *loop) isWanted() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.wanted
}

func (l *loop) owns() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.serving
}

// awaitWanted waits until the shard is to be served. It reports false where it
// never will be.
func (l *loop) awaitWanted(ctx context.Context, drain <-chan struct{}) bool {
	select {
	case <-l.decided: // by now it is known
	default:
	}
	for !l.isWanted() {
		select {
		case <-l.decided:
		case <-drain:
			return false
		case <-ctx.Done():
			return false
		}
	}
	return ctx.Err() == nil && !l.d.draining.Load()
}

// foreignChanges watches for what other nodes write.
type foreignChanges struct {
	hints <-chan struct{}
	poll  <-chan time.Time
	stop  func()
}

// watch begins to watch where other nodes use the store; otherwise nothing comes.
func (l *loop) watch() foreignChanges {
	if !l.d.shared {
		return foreignChanges{stop: func() {}}
	}
	hints, stop := l.d.store.Watch(l.shard)
	ticker := time.NewTicker(pollEvery)
	return foreignChanges{hints, ticker.C, func() { ticker.Stop(); stop() }}
}
