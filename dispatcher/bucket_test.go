package dispatcher

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
)

// TestBucket starts as much as is allowed, at random times, and checks that no
// stretch of time has more than burst + rate × length, and that a bucket that
// rests long enough allows its burst.
func TestBucket(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := job.Rate{
			Limit:  rapid.IntRange(1, 1000).Draw(t, "limit"),
			Period: job.Duration(rapid.Int64Range(int64(time.Second), int64(time.Hour)).Draw(t, "period")),
		}
		r.Burst = rapid.IntRange(0, r.Limit).Draw(t, "burst")
		var b bucket
		var starts []time.Time
		now := time.UnixMilli(1_800_000_000_000)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			for range 5 {
				if b.ready(r).After(now) {
					break
				}
				b.start(r, now)
				starts = append(starts, now)
				q := &queue{bucket: b} // as a new owner knows it
				state := q.limitState(now)
				q = &queue{}
				q.takeLimits(state)
				b = q.bucket
			}
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(3*r.Interval())).Draw(t, "wait"))).Truncate(time.Millisecond)
		}
		for i, first := range starts {
			for k := i; k < len(starts); k++ {
				n, w := k-i+1, starts[k].Sub(first)
				if allowed := float64(r.Starts()) + w.Seconds()*float64(r.Limit)/r.Period.Std().Seconds(); float64(n) > allowed+1e-6 {
					t.Fatalf("%+v: %d starts within %v, allowed are %.3f", r, n, w, allowed)
				}
			}
		}
		rest := now.Add(r.Period.Std() + r.Interval())
		for i := range r.Starts() {
			if b.ready(r).After(rest) {
				t.Fatalf("%+v: after a rest only %d may start at once", r, i)
			}
			b.start(r, rest)
		}
		if !b.ready(r).After(rest) {
			t.Fatalf("%+v: more than %d may start at once", r, r.Starts())
		}
	})
}

func TestNoRateNeverWaits(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_800_000_000_000)
	b := bucket{now.Add(time.Hour)} // of a rate that was taken away
	if ready := b.ready(job.Rate{}); ready.After(now) {
		t.Errorf("without a rate the next start is at %v", ready)
	}
}

// A strict queue serves a priority only while no higher one is ready.
func TestStrictPriorities(t *testing.T) {
	t.Parallel()
	q := &queue{cfg: Queue{Strict: true}}
	for _, p := range job.Priorities() {
		q.lane(store.Lane{Queue: "q", Priority: p}).n = 2
		q.lane(store.Lane{Queue: "q", Priority: p, AdHoc: true}).n = 2
	}
	for _, want := range job.Priorities() {
		adHoc := 0
		for range 4 {
			l := q.nextLane(false)
			if l.Priority != want {
				t.Fatalf("%s is served while %s is ready", l.Priority, want)
			}
			if l.AdHoc {
				adHoc++
			}
			l.n--
		}
		if adHoc != 2 {
			t.Errorf("%s: %d of 4 are ad hoc", want, adHoc)
		}
	}
	if l := q.nextLane(false); l != nil {
		t.Errorf("an empty queue serves %v", l.Lane)
	}
	q.lane(store.Lane{Queue: "q", Priority: job.Critical}).n = 1
	q.lane(store.Lane{Queue: "q", Priority: job.Low, AdHoc: true}).n = 1
	if l := q.nextLane(true); l == nil || l.Priority != job.Low {
		t.Errorf("without a worker the ad-hoc job is not served: %v", l)
	}
}
