package dispatcher

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/store"
)

func queueOf(workers ...string) *queue {
	q := &queue{}
	for _, name := range workers {
		q.pools = append(q.pools, &pool{worker: &Worker{Name: name}})
	}
	return q
}

func TestLimitState(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_800_000_000_000).UTC()
	q := queueOf("a", "b", "c")
	if state := q.limitState(now); state != nil {
		t.Fatalf("at rest the state is %x", state)
	}
	q.bucket.due = now.Add(3 * time.Nanosecond)
	q.pools[0].throttledUntil, q.pools[0].throttles = now.Add(time.Minute), 2
	q.pools[1].throttledUntil, q.pools[1].throttles = now, 5 // over
	q.pools[2].throttledUntil, q.pools[2].throttles = now.Add(time.Hour), 1

	next := queueOf("c", "b", "other")
	next.takeLimits(q.limitState(now))
	if !next.bucket.due.Equal(q.bucket.due) {
		t.Errorf("due %v, want %v", next.bucket.due, q.bucket.due)
	}
	for i, want := range []pool{{throttledUntil: now.Add(time.Hour), throttles: 1}, {}, {}} {
		if got := next.pools[i]; !got.throttledUntil.Equal(want.throttledUntil) || got.throttles != want.throttles {
			t.Errorf("%s: %v (%d), want %v (%d)", got.worker.Name, got.throttledUntil, got.throttles, want.throttledUntil, want.throttles)
		}
	}
}

// A state of any number of workers fits into what the store takes.
func TestLimitStateIsBounded(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_800_000_000_000).UTC()
	var names []string
	for i := range 1000 {
		names = append(names, fmt.Sprintf("worker-with-a-name-%d", i))
	}
	q := queueOf(names...)
	q.bucket.due = now.Add(time.Second)
	for _, p := range q.pools {
		p.throttledUntil = now.Add(time.Minute)
	}
	state := q.limitState(now)
	if len(state) == 0 || len(state) > store.MaxLimitState {
		t.Fatalf("the state has %d bytes", len(state))
	}
	next := queueOf()
	if next.takeLimits(state); !next.bucket.due.Equal(q.bucket.due) {
		t.Errorf("due %v, want %v", next.bucket.due, q.bucket.due)
	}
}

// What is cut or of a later version does no harm.
func FuzzTakeLimits(f *testing.F) {
	q := queueOf("a")
	q.bucket.due = time.Unix(0, 1)
	q.pools[0].throttledUntil = time.UnixMilli(1_800_000_000_000)
	state := q.limitState(time.Time{})
	f.Add(state)
	f.Add(state[:len(state)-1])
	f.Add([]byte{0x1a, 2, 1})
	f.Add(bytes.Repeat([]byte{0xff}, 20))
	f.Fuzz(func(_ *testing.T, state []byte) {
		queueOf("a").takeLimits(state)
	})
}
