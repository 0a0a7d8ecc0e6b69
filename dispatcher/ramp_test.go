package dispatcher

import (
	"testing"
	"time"
)

func TestRamped(t *testing.T) {
	t.Parallel()
	tests := []struct {
		limit   int
		since   time.Time
		after   time.Duration
		allowed int
		next    time.Duration // after the resumption; 0 where there is none
	}{
		{100, time.Time{}, 0, 100, 0},
		{100, noon, -time.Minute, 10, time.Second}, // the clocks disagree
		{100, noon, 0, 10, time.Second},
		{100, noon, time.Second - 1, 10, time.Second},
		{100, noon, time.Second, 20, 2 * time.Second},
		{100, noon, 2500 * time.Millisecond, 40, 3 * time.Second},
		{100, noon, 3 * time.Second, 80, 4 * time.Second},
		{100, noon, 4 * time.Second, 100, 0},
		{100, noon, 1000 * time.Hour, 100, 0},
		{1, noon, 0, 1, 0},
		{2, noon, 0, 1, time.Second},
		{2, noon, 2 * time.Second, 1, 3 * time.Second},
		{2, noon, 3 * time.Second, 2, 0},
		{15, noon, 0, 2, time.Second},
		{10_000, noon, time.Second, 2000, 2 * time.Second},
	}
	for _, test := range tests {
		allowed, next := ramped(test.limit, test.since, noon.Add(test.after))
		want := noon.Add(test.next)
		if test.next == 0 {
			want = time.Time{}
		}
		if allowed != test.allowed || !next.Equal(want) {
			t.Errorf("%d, %s after: %d until %s, want %d until %s", test.limit, test.after, allowed, next, test.allowed, want)
		}
	}
}

// inFlightAfter passes the seconds and returns how many are in flight after each,
// beginning with none.
func (f *fixture) inFlightAfter(seconds int) (counts []int) {
	for range seconds + 1 {
		counts = append(counts, len(f.pushes))
		f.pass(time.Second)
	}
	return counts
}

func TestWhoIsResumedIsRampedUp(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(*Config)
		want   []int
		why    string
	}{
		"a queue":                          {func(c *Config) { c.DefaultQueue.Resumed, c.DefaultQueue.Ramp = noon, true }, []int{4, 8, 16, 32, 40, 40}, blockedRamp},
		"a queue without ramp":             {func(c *Config) { c.DefaultQueue.Resumed = noon }, []int{40, 40}, blockedConcurrency},
		"a worker":                         {func(c *Config) { c.Workers[0].Resumed, c.Workers[0].Ramp = noon, true }, []int{4, 8, 16, 32, 40, 40}, blockedRamp},
		"a worker with a limit of its own": {func(c *Config) { w := c.Workers[0]; w.Resumed, w.Ramp, w.Concurrency = noon, true, 20 }, []int{2, 4, 8, 16, 20, 20}, blockedRamp},
		"both": {func(c *Config) {
			c.DefaultQueue.Resumed, c.DefaultQueue.Ramp = noon, true
			c.Workers[0].Resumed, c.Workers[0].Ramp = noon.Add(time.Second), true
		}, []int{4, 4, 8, 16, 32, 40}, blockedRamp},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := config("w")
			c.DefaultQueue.Concurrency = 40
			c.DefaultQueue.Paused = true
			f := started(t, c)
			f.arrive(f.entries(60)...)
			f.reconfigure(func(c *Config) { c.DefaultQueue.Paused = false; test.change(c) })
			f.rest()
			if got := f.m.queues["q"].why(f.now); got != test.why {
				t.Errorf("blocked by %q, want %q", got, test.why)
			}
			got := f.inFlightAfter(len(test.want) - 1)
			for i := range test.want {
				if got[i] != test.want[i] {
					t.Fatalf("in flight after each second: %v, want %v", got, test.want)
				}
			}
		})
	}
}

func TestAClosedCircuitIsRampedUp(t *testing.T) {
	t.Parallel()
	f := opened(t, "w")
	f.reconfigure(func(c *Config) { c.Workers[0].Ramp = true })
	f.arrive(f.entries(150)...)
	f.pass(10 * time.Second)
	f.answered(succeeded)
	want := []int{10, 20, 40, 80, 100}
	for i, got := range f.inFlightAfter(4) {
		if got != want[i] {
			t.Errorf("%d in flight %ds after it was closed, want %d", got, i, want[i])
		}
	}
}
