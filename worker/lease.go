package worker

import (
	"math/rand/v2"
	"time"
)

// lease is when heartbeats of an attempt are due, and when it is lost. It has no
// clock of its own.
type lease struct {
	length time.Duration
	alive  time.Time // when the last heartbeat that was taken was begun
	next   time.Time // when the next is due
	misses int       // since then
}

func newLease(length time.Duration, now time.Time) lease {
	l := lease{length: length}
	l.renewed(now)
	return l
}

// renewed says that a heartbeat was taken that was begun at that time: when the
// server saw it is not known.
func (l *lease) renewed(begun time.Time) {
	l.alive, l.next, l.misses = begun, begun.Add(l.length/3), 0
}

// missed says that one was not taken. The next follows soon, and none later than
// the end.
func (l *lease) missed(now time.Time, after time.Duration) {
	l.next = now.Add(max(backoff(l.misses), after))
	if end := l.end(); l.next.After(end) {
		l.next = end
	}
	l.misses++
}

func (l *lease) end() time.Time { return l.alive.Add(l.length) }

// maxPatience bounds one report. A server answers within two seconds, also where
// it has to say that it does not know.
const maxPatience = 10 * time.Second

// patience is how long a report may take: not so long that a heartbeat is late,
// and not beyond the lease unless it is over anyway.
func (l *lease) patience(now time.Time) time.Duration {
	most := min(maxPatience, l.length/3)
	if left := l.end().Sub(now); left > 0 {
		return min(most, left)
	}
	return most
}

const (
	firstBackoff = 250 * time.Millisecond
	maxBackoff   = 5 * time.Second
)

// backoff returns the wait after that many failures, between half and all of
// 250ms, 500ms, 1s and so on.
func backoff(failures int) time.Duration {
	wait := min(firstBackoff<<min(failures, 10), maxBackoff)
	return wait/2 + rand.N(wait/2)
}
