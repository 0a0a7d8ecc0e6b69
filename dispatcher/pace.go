package dispatcher

import (
	"math"
	"time"
)

// pace lets a busy shard gather what ends within a moment into one commit. A
// commit costs about as much as five pushes, and on a fast disk it is durable
// before the next push has ended; so at thousands of jobs a second, waiting for
// some more of them costs no throughput and saves most commits. A shard that is
// not busy never waits.
type pace struct {
	since time.Time // the beginning of the interval that is being counted
	ended int       // attempts in it
	perMs float64   // in the one before
	held  time.Time // since when a commit is held back; zero where none is
}

const (
	// paceInterval is how long attempts are counted for one rate.
	paceInterval = 10 * time.Millisecond
	// maxHold is how long a commit is held back. The store's time has
	// milliseconds, so it is between one and two of them.
	maxHold = 2 * time.Millisecond
	// minGather is what must be expected within maxHold for it to be worth it.
	minGather = 4
	// maxGather is as many as make one commit cheap enough.
	maxGather = 64
	// maxUnseen is how long attempts that have ended stay unseen while a commit is
	// under way. It matters where the store is slow or away.
	maxUnseen = 100 * time.Millisecond
)

// count notes attempts that ended.
func (p *pace) count(now time.Time, n int) {
	if elapsed := now.Sub(p.since); elapsed >= paceInterval {
		p.perMs = float64(p.ended) / float64(elapsed.Milliseconds())
		p.since, p.ended = now, 0
	}
	p.ended += n
}

// expected is how many attempts will end within maxHold, as far as a commit waits
// for them; 0 where it does not.
func (p *pace) expected() int {
	n := min(p.perMs*float64(maxHold.Milliseconds()), maxGather)
	if n < minGather {
		return 0
	}
	return int(math.Ceil(n))
}

// hold reports whether a commit with n ended attempts is to be held back, and
// until when.
func (p *pace) hold(now time.Time, n int) (until time.Time, held bool) {
	expected := p.expected()
	if p.held.IsZero() {
		p.held = now
	}
	until = p.held.Add(maxHold)
	if n == 0 || n >= expected || !now.Before(until) {
		p.held = time.Time{}
		return time.Time{}, false
	}
	return until, true
}
