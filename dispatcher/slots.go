package dispatcher

import "sync"

// slots is a node's bound on pushes in flight, shared fairly over the shards
// that want some: while one goes without, none gets more than its equal part.
// It also holds the node's one token for suspects. It may be used concurrently.
type slots struct {
	mu      sync.Mutex
	limit   int
	used    int
	shards  map[int]*share
	suspect int // the shard that holds the token; -1 for none
}

// share is what one shard has of the slots.
type share struct {
	used    int
	hungry  bool // got less than it wanted
	suspect bool // did not get the token
	nudge   func()
}

func newSlots(limit int) *slots {
	return &slots{limit: limit, shards: make(map[int]*share), suspect: -1}
}

// join lets a shard take part. nudge is called, without the lock, when it is
// worth to ask again.
func (s *slots) join(shard int, nudge func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shards[shard] = &share{nudge: nudge}
}

// leave takes all that a shard holds from it.
func (s *slots) leave(shard int) {
	s.mu.Lock()
	if sh := s.shards[shard]; sh != nil {
		s.used -= sh.used
		delete(s.shards, shard)
	}
	if s.suspect == shard {
		s.suspect = -1
	}
	nudges := s.worth()
	s.mu.Unlock()
	call(nudges)
}

// exchange takes back what a shard has no use for and grants what it wants, as
// far as there is enough.
func (s *slots) exchange(shard int, free, wanted want) granted {
	s.mu.Lock()
	sh := s.shards[shard]
	if sh == nil {
		s.mu.Unlock()
		return granted{}
	}
	s.used -= free.Slots
	sh.used -= free.Slots
	if free.Suspect && s.suspect == shard {
		s.suspect = -1
	}
	sh.hungry, sh.suspect = false, false
	g := granted{Slots: s.grant(sh, wanted.Slots)}
	if wanted.Suspect {
		g.Suspect = s.suspect == -1
		sh.suspect = !g.Suspect
		if g.Suspect {
			s.suspect = shard
		}
	}
	var nudges []func()
	if free != (want{}) {
		nudges = s.worth()
	}
	s.mu.Unlock()
	call(nudges)
	return g
}

// grant gives a shard what it wants, or its part where another is hungry.
func (s *slots) grant(sh *share, wanted int) int {
	n := min(wanted, s.limit-s.used)
	if part, contended := s.part(sh); contended {
		n = min(n, part-sh.used)
	}
	n = max(n, 0)
	s.used += n
	sh.used += n
	sh.hungry = n < wanted
	return n
}

// part returns the equal part of each shard that uses or wants slots, and
// whether any but sh goes without.
func (s *slots) part(sh *share) (part int, contended bool) {
	active := 1
	for _, other := range s.shards {
		if other == sh {
			continue
		}
		if other.used > 0 || other.hungry {
			active++
		}
		contended = contended || other.hungry
	}
	return max(1, s.limit/active), contended
}

// worth returns the nudges of the shards for which asking again is worth it.
func (s *slots) worth() []func() {
	var nudges []func()
	for _, sh := range s.shards {
		if sh.hungry && s.used < s.limit || sh.suspect && s.suspect == -1 {
			nudges = append(nudges, sh.nudge)
		}
	}
	return nudges
}

func call(nudges []func()) {
	for _, f := range nudges {
		f()
	}
}
