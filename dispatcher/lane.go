package dispatcher

import (
	"slices"

	"github.com/orchestrix/orchestrix/store"
)

// lane is the part of a store lane that is in the window. Its keys are served
// as a ring, so that no key starves another. Parked keys, which may not have
// another push now (see key), are not in the ring.
type lane struct {
	store.Lane
	queue    *queue
	keys     map[string]*keyed // that have ready items, or are behind
	cur      *keyed            // the key to be served next
	n        int               // ready items in the ring
	parked   int               // those of parked keys
	held     int               // suspects
	more     bool              // the store may have entries that are not in the window, of keys that are not behind
	backlog  int               // where it is in machine.backlogs, while more is true
	newcomer bool              // among them, perhaps, of keys that have none in the window
	urgent   bool              // one has come that no read has found yet
	asked    bool              // in machine.refill, or being read
	wanting  []*keyed          // keys that are behind and run low
	credit   int               // of the smooth weighted round-robin over priorities
}

// keyed is one key of a lane: its ready items, in order.
type keyed struct {
	lane       *lane
	name       string
	limits     *key // nil where the queue has no limits by key
	items      []*item
	head       int
	prev, next *keyed
	linked     bool
	// behind says that the store may have entries of the key that only a read of
	// this key finds: it had more of the window than its share, or was parked.
	behind bool
	asked  bool // in lane.wanting, or being read
}

// key returns what is known of a key of the lane, new where it is not known.
func (l *lane) key(name string) *keyed {
	k := l.keys[name]
	if k == nil {
		k = &keyed{lane: l, name: name}
		l.keys[name] = k
		if l.queue.byKey != nil && name != "" {
			l.queue.key(name).join(k)
		}
	}
	return k
}

// forget drops a key of which nothing needs to be remembered.
func (l *lane) forget(k *keyed) {
	if k.ready() > 0 || k.behind || k.asked || l.keys[k.name] != k {
		return
	}
	delete(l.keys, k.name)
	if k.limits != nil {
		k.limits.leave(k)
	}
}

func (k *keyed) ready() int { return len(k.items) - k.head }

func (k *keyed) parked() bool { return k.limits != nil && k.limits.parked }

// add puts an item behind the others of its key. It reports whether it may be
// taken now.
func (l *lane) add(it *item) bool {
	k := l.key(it.entry.Job.Key)
	k.add(it)
	if k.parked() {
		l.parked++
		return false
	}
	l.link(k)
	l.n++
	return true
}

// add puts an item at the end. What was taken makes room before the slice grows,
// or a key that always has ready jobs would grow for ever.
func (k *keyed) add(it *item) {
	if len(k.items) == cap(k.items) && k.head > len(k.items)/2 {
		n := copy(k.items, k.items[k.head:])
		clear(k.items[n:])
		k.items, k.head = k.items[:n], 0
	}
	k.items = append(k.items, it)
}

// remove takes out an item that leaves the window in another way than by take.
// It reports whether it could have been taken. The item is looked for from the
// end, where due jobs stand that are promoted.
func (l *lane) remove(it *item) bool {
	k := l.keys[it.entry.Job.Key]
	i := len(k.items) - 1
	for k.items[i] != it {
		i--
	}
	k.items = slices.Delete(k.items, i, i+1)
	if k.parked() {
		l.parked--
		l.forget(k)
		return false
	}
	l.n--
	l.rest(k)
	return true
}

// rest takes a key out of the ring when it has no ready items.
func (l *lane) rest(k *keyed) {
	if k.ready() == 0 {
		k.items, k.head = k.items[:0], 0
		l.unlink(k)
		l.forget(k)
	}
}

// link puts a key at the end of the ring, if it is not in it: just behind the
// one to be served next, going backwards.
func (l *lane) link(k *keyed) {
	if k.linked {
		return
	}
	k.linked = true
	if l.cur == nil {
		k.prev, k.next = k, k
		l.cur = k
		return
	}
	k.prev, k.next = l.cur.prev, l.cur
	k.prev.next, k.next.prev = k, k
}

func (l *lane) unlink(k *keyed) {
	if !k.linked {
		return
	}
	k.linked = false
	if k.next == k {
		l.cur = nil
		return
	}
	k.prev.next, k.next.prev = k.next, k.prev
	if l.cur == k {
		l.cur = k.next
	}
}

// take removes and returns the next ready item, with its key; nil where there is
// none.
func (l *lane) take() (*item, *keyed) {
	k := l.cur
	if k == nil {
		return nil, nil
	}
	it := k.items[k.head]
	k.items[k.head] = nil
	k.head++
	l.n--
	l.cur = k.next
	l.rest(k)
	return it, k
}

// park takes a key out of the ring, with all that it has ready.
func (l *lane) park(k *keyed) {
	if n := k.ready(); n > 0 {
		l.unlink(k)
		l.n -= n
		l.parked += n
		l.queue.ready -= n
	}
}

// unpark puts a key back into the ring.
func (l *lane) unpark(k *keyed) {
	if n := k.ready(); n > 0 {
		l.link(k)
		l.n += n
		l.parked -= n
		l.queue.ready += n
	}
}
