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
//
// Where even the fastest push takes long, as on a node that has as many in flight
// as it can serve, each of its many shards sees few of them end at a time. Then a
// commit waits for longer, but never for more than a small part of what a push
// takes: it keeps its place for that much longer.
type pace struct {
	since   time.Time // the beginning of the interval that is being counted
	ended   int       // attempts in it
	perMs   float64   // in the one before
	held    time.Time // since when a commit is held back; zero where none is
	fastest fastest
}

// fastest is how long the fastest push took of the last second or two.
type fastest struct {
	since     time.Time
	now, last time.Duration // in this second, and in the one before; 0 where none ended
}

func (f *fastest) count(now time.Time, took time.Duration) {
	if elapsed := now.Sub(f.since); elapsed >= time.Second {
		f.last = f.now
		if elapsed >= 2*time.Second {
			f.last = 0
		}
		f.since, f.now = now, 0
	}
	if f.now == 0 || took < f.now {
		f.now = max(took, 1)
	}
}

func (f *fastest) took() time.Duration {
	if f.now == 0 || f.last == 0 {
		return 0 // too little is known
	}
	return min(f.now, f.last)
}

const (
	// paceInterval is how long attempts are counted for one rate, at least.
	paceInterval = 10 * time.Millisecond
	// maxHold is how long a commit is held back where pushes are fast. The store's
	// time has milliseconds, so it is between one and two of them.
	maxHold = 2 * time.Millisecond
	// holdPart is the part of the fastest push's time for which a commit may be held
	// back, and slowHold the longest.
	holdPart = 8
	slowHold = 50 * time.Millisecond
	// minGather is what must be expected within the patience for it to be worth it.
	minGather = 4
	// maxGather is as many as make one commit cheap enough.
	maxGather = 64
	// maxUnseen is how long attempts that have ended stay unseen while a commit is
	// under way. It matters where the store is slow or away.
	maxUnseen = 100 * time.Millisecond
)

// count notes an attempt that ended.
func (p *pace) count(now time.Time, took time.Duration) {
	if elapsed := now.Sub(p.since); elapsed >= max(paceInterval, 2*p.patience()) {
		p.perMs = float64(p.ended) / float64(elapsed.Milliseconds())
		p.since, p.ended = now, 0
	}
	p.ended++
	p.fastest.count(now, took)
}

// patience is how long a commit may be held back.
func (p *pace) patience() time.Duration {
	return min(max(maxHold, p.fastest.took()/holdPart), slowHold).Truncate(time.Millisecond)
}

// expected is how many attempts will end within the patience, as far as a commit
// waits for them; 0 where it does not.
func (p *pace) expected() int {
	n := min(p.perMs*float64(p.patience().Milliseconds()), maxGather)
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
	until = p.held.Add(p.patience())
	if n == 0 || n >= expected || !now.Before(until) {
		p.held = time.Time{}
		return time.Time{}, false
	}
	return until, true
}
