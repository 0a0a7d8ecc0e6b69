package dispatcher

import (
	"container/heap"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/orchestrix/orchestrix/store"
)

// The rate of a key that is not at rest is kept in memory and, so that the next
// owner starts nothing early, in a record of the key's own, written with the
// commit that claims its job. Both are gone when the rate is at rest again.

// wakeKey has the key looked at again when its rate allows another push.
func (m *machine) wakeKey(k *key) {
	at := k.bucket.ready(k.queue.cfg.key(k.name).Rate)
	if !k.wake.Equal(at) {
		k.wake = at
		heap.Push(&m.keyWakes, keyWake{at, k})
	}
}

// unparkDue puts back the keys whose rate allows another push now.
func (m *machine) unparkDue(now time.Time) {
	for len(m.keyWakes) > 0 && !m.keyWakes[0].at.After(now) {
		w := heap.Pop(&m.keyWakes).(keyWake)
		if w.key.wake.Equal(w.at) { // else there is another one, or none is needed
			w.key.wake = time.Time{}
			m.unpark(w.key, now)
		}
	}
}

// keyWake is when a key is to be looked at again.
type keyWake struct {
	at  time.Time
	key *key
}

// keyWakes is a heap, the earliest first.
type keyWakes []keyWake

func (h keyWakes) Len() int           { return len(h) }
func (h keyWakes) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h keyWakes) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *keyWakes) Push(w any)        { *h = append(*h, w.(keyWake)) }
func (h *keyWakes) Pop() any {
	n := len(*h) - 1
	last := (*h)[n]
	(*h)[n] = keyWake{}
	*h = (*h)[:n]
	return last
}

// changeKey has the state of a key's rate written with the next commit.
func (m *machine) changeKey(k *key) {
	if !k.limited {
		k.limited = true
		m.limitedKeys = append(m.limitedKeys, k)
	}
}

// writeKeys puts into the next commit what has changed of the keys' rates.
func (m *machine) writeKeys(now time.Time) {
	for i, k := range m.limitedKeys {
		m.limitedKeys[i] = nil
		state := k.state(now)
		was := k.stored
		k.limited, k.stored = false, state != nil
		if was || state != nil {
			m.next.Limits = append(m.next.Limits, store.Limit{Queue: k.queue.name, Key: k.name, State: state})
		}
		k.forget()
	}
	m.limitedKeys = m.limitedKeys[:0]
}

// state returns the state of the key's rate; nil where it is at rest.
func (k *key) state(now time.Time) []byte {
	if k.queue.cfg.key(k.name).Rate.IsZero() || !k.bucket.due.After(now) {
		k.bucket = bucket{}
		return nil
	}
	return appendNumber(nil, fieldBucket, k.bucket.due.UnixNano())
}

// restKeys removes the stored states of keys whose rate is at rest.
func (m *machine) restKeys(q *queue, now time.Time) {
	if len(q.byKey) == 0 {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(q.byKey)) {
		k := q.byKey[name]
		if k.state(now) == nil && k.stored {
			m.changeKey(k)
		}
		k.forget()
	}
}

// recoverKey takes over the state of a key's rate from the shard's last owner.
func (m *machine) recoverKey(l store.Limit, now time.Time) {
	q := m.queue(l.Queue)
	if q.byKey == nil {
		m.beginKeys(q)
	}
	k := q.key(l.Key)
	k.stored = true
	fields(l.State, func(field protowire.Number, number int64, _ []byte) {
		if field == fieldBucket {
			k.bucket.due = time.Unix(0, number).UTC()
		}
	})
	if k.state(now) == nil {
		m.changeKey(k)
	}
	m.park(k, now)
}
