package dispatcher

import (
	"cmp"
	"slices"

	"github.com/orchestrix/orchestrix/store"
)

// The window's room is for jobs that can be pushed. A key has no more of it than
// its share where others want some, and next to nothing while it is parked: what
// it has beyond that stays in the store, or is returned to it. The key is behind
// then: the reads of its lane pass over it, so that those find what others have,
// and it is read by itself when it can use more.

// parkedRoom is how many ready items a parked key keeps for the time when it may
// have another push.
const parkedRoom = 4

// keyRoom is how many ready jobs a key may have in the window.
func (l *lane) keyRoom(name string) int {
	room := l.queue.laneRoom()
	if len(l.keys) > 1 || l.newcomer {
		room = max(16, room/8)
	}
	if c := l.queue.cfg.key(name).Concurrency; c > 0 && name != "" {
		room = min(room, max(parkedRoom, 2*c))
	}
	return room
}

// skips returns which keys of a lane are of no use to a read of it: those that
// may not have another push, and those that have their share of the window.
func (m *machine) skips(id store.Lane) func(name string) bool {
	q := m.queue(id.Queue)
	l := q.lane(id)
	return func(name string) bool {
		in := l.keys[name]
		return in != nil && in.ready() >= l.keyRoom(name) || q.barsKey(name, m.now)
	}
}

// fallBehind notes that a key has entries in the store that only a read of that
// key finds.
func (m *machine) fallBehind(l *lane, name string) {
	in := l.key(name)
	in.behind = true
	if in.limits != nil {
		m.park(in.limits, m.now)
	}
	m.wantKey(in)
}

// wantKey notes that a key that is behind runs low, if it could be used.
func (m *machine) wantKey(in *keyed) {
	l := in.lane
	if !in.behind || in.asked || in.parked() || !l.queue.serves(l) || in.ready() > l.keyRoom(in.name)/2 {
		return
	}
	in.asked = true
	l.wanting = append(l.wanting, in)
	m.wantRefill(l.queue, l)
}

// wantKeys is wantKey for all keys of a lane.
func (m *machine) wantKeys(l *lane) {
	var behind []*keyed
	for _, in := range l.keys {
		if in.behind {
			behind = append(behind, in)
		}
	}
	slices.SortFunc(behind, func(a, b *keyed) int { return cmp.Compare(a.name, b.name) })
	for _, in := range behind {
		m.wantKey(in)
	}
}

// onKeyRead ends the read of one key.
func (m *machine) onKeyRead(in *keyed, more bool) {
	in.asked, in.behind = false, more
	m.wantKey(in)
	m.wantRefill(in.lane.queue, in.lane)
	in.lane.forget(in)
}

// giveBack returns to the store what keys that were parked have in the window
// beyond a few jobs.
func (m *machine) giveBack() {
	for i, in := range m.crowded {
		m.crowded[i] = nil
		l := in.lane
		if !in.parked() || l.held > 0 { // a suspect may be newer than what is returned
			continue
		}
		keep := max(parkedRoom, 2*l.queue.cfg.key(in.name).Concurrency)
		if l.parked > l.queue.laneRoom()/2 || m.ready > m.limits.WindowJobs/2 || m.bytes > m.limits.WindowBytes/2 {
			keep = 0
		}
		m.returnTail(in, keep)
	}
	m.crowded = m.crowded[:0]
}

// returnTail returns the items of a parked key behind the first few.
func (m *machine) returnTail(in *keyed, keep int) {
	if in.ready() <= keep {
		return
	}
	tail := in.items[in.head+keep:]
	entries := make([]*store.Entry, len(tail))
	for i, it := range tail {
		entries[i] = it.entry
		m.bytes -= it.entry.Size()
		m.forget(it)
		m.leaves(it)
		m.letGo(it)
	}
	m.ready -= len(tail)
	in.lane.parked -= len(tail)
	clear(tail)
	in.items = in.items[:in.head+keep]
	if entries[0].Job.Ordered { // looked at anew when the key is not parked any more
		in.lane.forget(in)
		return
	}
	in.behind = true
	m.feed.Return(in.lane.Lane, entries)
}
