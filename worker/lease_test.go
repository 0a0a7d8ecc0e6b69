package worker

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever heartbeats are missed, the next is never later than the end of the
// lease, a report never takes so long that it outlasts it, and the first good one
// begins it anew.
func TestLease(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		length := time.Duration(rapid.Int64Range(int64(time.Second), int64(time.Hour)).Draw(t, "length"))
		now := time.Unix(1_700_000_000, 0)
		l := newLease(length, now)
		if l.next != now.Add(length/3) || l.end() != now.Add(length) {
			t.Fatalf("begins with %+v", l)
		}
		for l.next.Before(l.end()) {
			now = l.next
			if p := l.patience(now); p <= 0 || p > maxPatience || now.Add(p).After(l.end()) {
				t.Fatalf("a report may take %v, %v before the end", p, l.end().Sub(now))
			}
			l.missed(now, time.Duration(rapid.IntRange(0, 40).Draw(t, "asked"))*time.Second)
			if !l.next.After(now) || l.next.After(l.end()) {
				t.Fatalf("the next heartbeat is due %v after a missed one, %v before the end", l.next.Sub(now), l.end().Sub(now))
			}
		}
		l.renewed(now)
		if l.end() != now.Add(length) || l.misses != 0 {
			t.Fatalf("renewed it is %+v", l)
		}
	})
}
