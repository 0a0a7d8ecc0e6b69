package worker

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever comes in whatever order, no push gets through twice while its time is
// within the tolerance, and never are more remembered than were allowed.
func TestNoReplayGetsThrough(t *testing.T) {
	t.Parallel()
	const tolerance, capacity = 10 * time.Second, 16
	rapid.Check(t, func(t *rapid.T) {
		r, now := newReplays(capacity, tolerance), time.Unix(1_700_000_000, 0)
		passed := map[string]bool{}
		for range rapid.IntRange(1, 200).Draw(t, "pushes") {
			now = now.Add(time.Duration(rapid.IntRange(0, 3000).Draw(t, "wait")) * time.Millisecond)
			p := &Push{
				WebhookID: fmt.Sprint("job_", rapid.IntRange(0, 40).Draw(t, "job")),
				signedAt:  now.Add(time.Duration(rapid.IntRange(-10, 10).Draw(t, "offset")) * time.Second),
			}
			// A push is signed once: its time is part of what it is.
			key := fmt.Sprint(p.WebhookID, p.signedAt)
			p.WebhookID = key
			verdict := r.see(p, now)
			if verdict == neverSeen && passed[key] {
				t.Fatalf("%s got through twice", key)
			}
			if verdict == seenBefore && !passed[key] {
				t.Fatalf("%s is new, and was taken for a replay", key)
			}
			passed[key] = passed[key] || verdict == neverSeen
			if n := len(r.current) + len(r.older); n > capacity {
				t.Fatalf("%d are remembered", n)
			}
		}
	})
}

func TestReplaysWithinTheWindow(t *testing.T) {
	t.Parallel()
	const tolerance = 5 * time.Minute
	r, start := newReplays(1000, tolerance), time.Unix(1_700_000_000, 0)
	p := &Push{WebhookID: "job_1", signedAt: start.Add(tolerance)} // as far ahead as is accepted
	if r.see(p, start) != neverSeen {
		t.Fatal("a new push is refused")
	}
	for at := start; !at.After(start.Add(2 * tolerance)); at = at.Add(time.Second) {
		r.see(&Push{WebhookID: at.String(), signedAt: at}, at)
		if r.see(p, at) != seenBefore {
			t.Fatalf("it gets through again %v later", at.Sub(start))
		}
	}
}

// More pushes than can be remembered: a fresh one gets through, an older one is
// put off rather than believed.
func TestPushesBeyondTheMemory(t *testing.T) {
	t.Parallel()
	r, now := newReplays(100, 5*time.Minute), time.Unix(1_700_000_000, 0)
	for i := range 1000 {
		now = now.Add(10 * time.Millisecond)
		if v := r.see(&Push{WebhookID: fmt.Sprint(i), signedAt: now}, now); v != neverSeen {
			t.Fatalf("fresh push %d: %v", i, v)
		}
	}
	if v := r.see(&Push{WebhookID: "0", signedAt: now.Add(-990 * 10 * time.Millisecond)}, now); v != tooOldToKnow {
		t.Errorf("a forgotten push: %v", v)
	}
	if v := r.see(&Push{WebhookID: "999", signedAt: now}, now); v != seenBefore {
		t.Errorf("a remembered push: %v", v)
	}
	if n := len(r.current) + len(r.older); n > 100 {
		t.Errorf("%d are remembered", n)
	}
}
