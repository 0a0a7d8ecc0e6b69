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
	asks    uint64
}

// share is what one shard has of the slots.
type share struct {
	used    int
	hungry  bool   // got less than it wanted
	since   uint64 // the ask since which it is hungry, or that was last granted something
	suspect bool   // did not get the token
	nudged  bool   // and was told to ask again
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

// linger leaves n of the slots that a shard holds in use when it leaves: by pushes
// that go on. lingered gives them back.
func (s *slots) linger(shard, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shards[shard].used -= n
}

func (s *slots) lingered(n int) {
	s.mu.Lock()
	s.used -= n
	nudges := s.worth()
	s.mu.Unlock()
	call(nudges)
}

// exchange takes back what a shard has no use for and, where wanted is not
// zero, grants what it wants, as far as there is enough. A shard that got less
// is nudged when there is more for it, until it is sated or wants something
// else.
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
	var g granted
	if wanted != (want{}) {
		sh.nudged = false
		g = granted{s.grant(sh, wanted.Slots), s.grantSuspect(shard, sh, wanted.Suspect)}
	}
	nudges := s.worth()
	s.mu.Unlock()
	call(nudges)
	return g
}

// sated says that a shard does not want any more what it was refused.
func (s *slots) sated(shard int) {
	s.mu.Lock()
	if sh := s.shards[shard]; sh != nil {
		sh.hungry, sh.suspect, sh.nudged = false, false, false
	}
	nudges := s.worth()
	s.mu.Unlock()
	call(nudges)
}

// grant gives a shard what it wants, or its part where another goes without.
func (s *slots) grant(sh *share, wanted int) int {
	if !sh.hungry {
		s.asks++
		sh.since = s.asks
	}
	sh.hungry = wanted > 0
	part, deprived := s.part()
	n := min(wanted, s.room(sh, part, deprived))
	s.used += n
	sh.used += n
	sh.hungry = n < wanted
	if n > 0 {
		s.asks++
		sh.since = s.asks
	}
	return n
}

func (s *slots) grantSuspect(shard int, sh *share, wanted bool) bool {
	got := wanted && s.suspect == -1
	if got {
		s.suspect = shard
	}
	sh.suspect = wanted && !got
	return got
}

// part returns the equal part of the shards that want more, of all that the
// others leave them, and how many of them have less than that. The others
// cannot push it below the equal part of all.
func (s *slots) part() (part, deprived int) {
	active, hungry, left := 0, 0, s.limit
	for _, sh := range s.shards {
		switch {
		case sh.hungry:
			active++
			hungry++
		case sh.used > 0:
			active++
			left -= sh.used
		}
	}
	part = max(1, s.limit/max(active, 1), left/max(hungry, 1))
	for _, sh := range s.shards {
		if sh.hungry && sh.used < part {
			deprived++
		}
	}
	return part, deprived
}

// room returns how many more slots a hungry shard may have: its part where
// others have less than theirs, and one is left for each of those that waits
// longer.
func (s *slots) room(sh *share, part, deprived int) int {
	n := s.limit - s.used
	if sh.used < part {
		deprived--
	}
	if deprived == 0 || n == 0 {
		return n
	}
	for _, other := range s.shards {
		if other.hungry && other.used < part && other.since < sh.since {
			n--
		}
	}
	return max(0, min(n, part-sh.used))
}

// worth returns the nudges of the shards that would get something if they asked
// again. Each is nudged once before it asks.
func (s *slots) worth() []func() {
	var nudges []func()
	part, deprived := s.part()
	for _, sh := range s.shards {
		if sh.nudged {
			continue
		}
		if sh.hungry && s.room(sh, part, deprived) > 0 || sh.suspect && s.suspect == -1 {
			sh.nudged = true
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

// level returns how many slots are in use, and how many there are.
func (s *slots) level() (used, limit int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used, s.limit
}
