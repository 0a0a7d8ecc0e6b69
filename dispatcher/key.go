package dispatcher

import (
	"maps"
	"slices"
	"time"
)

// key is what is known of one key of a queue that limits its keys, over all
// lanes. It is known while it has ready jobs or pushes in flight, and until its
// rate is at rest.
type key struct {
	name     string
	queue    *queue
	lanes    []*keyed
	inFlight int
	bucket   bucket
	parked   bool      // it may not have another push now
	wake     time.Time // when it is looked at again, where only its rate bars it
	limited  bool      // the bucket changed since the last commit
	stored   bool      // the store has a state of it
}

// key returns what is known of a key, new where it is not known.
func (q *queue) key(name string) *key {
	k := q.byKey[name]
	if k == nil {
		k = &key{name: name, queue: q}
		k.parked = q.cfg.key(name).Paused
		q.byKey[name] = k
	}
	return k
}

func (k *key) join(in *keyed) {
	in.limits = k
	k.lanes = append(k.lanes, in)
}

func (k *key) leave(in *keyed) {
	k.lanes = slices.DeleteFunc(k.lanes, func(other *keyed) bool { return other == in })
	in.limits = nil
	k.forget()
}

// forget drops a key of which nothing needs to be remembered.
func (k *key) forget() {
	if len(k.lanes) == 0 && k.inFlight == 0 && k.bucket.due.IsZero() && !k.limited && !k.stored && k.queue.byKey[k.name] == k {
		delete(k.queue.byKey, k.name)
	}
}

// blocked says why the key may not have another push now; "" if it may.
func (k *key) blocked(now time.Time) string {
	limits := k.queue.cfg.key(k.name)
	switch {
	case limits.Paused:
		return blockedPaused
	case limits.Concurrency > 0 && k.inFlight >= limits.Concurrency:
		return blockedConcurrency
	case k.bucket.ready(limits.Rate).After(now):
		return blockedRate
	}
	return ""
}

// barsKey reports whether a key may not have another push now.
func (q *queue) barsKey(name string, now time.Time) bool {
	if q.byKey == nil || name == "" {
		return false
	}
	if k := q.byKey[name]; k != nil {
		return k.parked || k.blocked(now) != ""
	}
	return q.cfg.key(name).Paused
}

// bookKey books a push of a key against its limits.
func (m *machine) bookKey(it *item, now time.Time) {
	if it.queue.byKey == nil || it.entry.Job.Key == "" {
		return
	}
	k := it.queue.key(it.entry.Job.Key)
	it.key = k
	k.inFlight++
	if r := it.queue.cfg.key(k.name).Rate; !r.IsZero() {
		k.bucket.start(r, now)
		m.changeKey(k)
	}
	m.park(k, now)
}

// landKey gives back what a push of a key held.
func (m *machine) landKey(k *key, now time.Time) {
	if k != nil {
		k.inFlight--
		m.unpark(k, now)
		k.forget()
	}
}

// park takes a key out of its rings, if it may not have another push.
func (m *machine) park(k *key, now time.Time) {
	why := k.blocked(now)
	if why == blockedRate {
		m.wakeKey(k)
	}
	if why == "" || k.parked {
		return
	}
	for _, in := range k.lanes {
		in.lane.park(in)
		m.crowded = append(m.crowded, in)
		m.wantRefill(k.queue, in.lane)
	}
	k.parked = true
}

// unpark puts a key back into its rings, if it may have another push.
func (m *machine) unpark(k *key, now time.Time) {
	if !k.parked {
		return
	}
	switch k.blocked(now) {
	case "":
	case blockedRate:
		m.wakeKey(k)
		return
	default:
		return
	}
	k.parked, k.wake = false, time.Time{}
	for _, in := range k.lanes {
		in.lane.unpark(in)
		m.wantKey(in)
	}
	m.unblock(k.queue)
	if k.queue.order != nil {
		m.lookAt(k.queue, k.name)
	}
}

// configureKeys applies the queue's limits by key, as they are now.
func (m *machine) configureKeys(q *queue) {
	if q.byKey == nil {
		if !q.cfg.limitsKeys() {
			return
		}
		m.beginKeys(q)
	}
	for _, name := range slices.Sorted(maps.Keys(q.byKey)) {
		k := q.byKey[name]
		m.park(k, m.now)
		m.unpark(k, m.now)
	}
}

// beginKeys begins to keep account of the queue's keys.
func (m *machine) beginKeys(q *queue) {
	q.byKey = make(map[string]*key)
	for _, l := range q.lanes {
		for _, in := range l.keys {
			if in.name != "" {
				q.key(in.name).join(in)
			}
		}
	}
	count := func(it *item) {
		if it.queue == q && it.entry.Job.Key != "" {
			it.key = q.key(it.entry.Job.Key)
			it.key.inFlight++
		}
	}
	for _, it := range m.jobs {
		if it.state == itemClaimed || it.state == itemRunning {
			count(it)
		}
	}
	for _, it := range m.zombies {
		count(it)
	}
	for _, k := range q.byKey {
		k.parked = false // nothing is yet
	}
}
