package dispatcher

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/webhook/push"
)

// testCircuit opens at the second of two failures, for ten seconds and up to a
// minute.
var testCircuit = job.Circuit{
	Mode: job.On, Window: job.Duration(time.Minute), MinPushes: 2, FailureRatio: 0.5,
	OpenFor: job.Duration(10 * time.Second), MaxOpen: job.Duration(time.Minute),
}

// guarded is a machine whose workers have the test circuit, and jobs that never
// run out of attempts.
func guarded(t testing.TB, workers ...string) *fixture {
	c := config(workers...)
	for _, w := range c.Workers {
		w.Circuit = testCircuit
	}
	c.Retry.MaxAttempts = 100
	c.Retry.InitialDelay = job.Duration(time.Second)
	return started(t, c)
}

// opened is a guarded machine whose worker's circuit has just opened, with two
// jobs that wait.
func opened(t testing.TB, workers ...string) *fixture {
	f := guarded(t, workers...)
	f.arrive(f.entries(2)...)
	f.answered(failed)
	f.answered(failed)
	return f
}

func TestCircuitOpensAndIsProbed(t *testing.T) {
	t.Parallel()
	f := opened(t, "w")
	f.pass(5 * time.Second)
	if len(f.pushes) != 0 || !f.wake.Equal(noon.Add(10*time.Second)) {
		t.Fatalf("open: %d pushes, wakes at %s", len(f.pushes), f.wake)
	}
	if live := f.m.queues["q"].pools[0].live(f.m.queues["q"], f.now); len(live) != 1 || live[0] != (CircuitLive{"q", noon.Add(10 * time.Second), false, 1}) {
		t.Errorf("shown as %+v", live)
	}
	f.pass(5 * time.Second)
	if len(f.pushes) != 1 {
		t.Fatalf("half-open: %d pushes, want one probe", len(f.pushes))
	}
	f.answered(timedOut)
	f.pass(19 * time.Second)
	if len(f.pushes) != 0 {
		t.Fatalf("a probe has failed, and after 19s of 20s %d are pushed", len(f.pushes))
	}
	f.pass(time.Second)
	f.answered(succeeded)
	if len(f.pushes) != 1 {
		t.Errorf("closed: %d pushes, want the other job's", len(f.pushes))
	}
	if q := f.m.queues["q"]; q.limitState(f.now) != nil {
		t.Error("a closed circuit is kept in the store")
	}
	for _, c := range f.commits {
		for _, s := range c.Settle {
			if s.Job.Failures > 2 {
				t.Errorf("job %s has burnt %d attempts", s.Job.ID, s.Job.Failures)
			}
		}
	}
}

func TestCircuitsDo(t *testing.T) {
	t.Parallel()
	fatal := with(failed, func(a *push.Answer) { a.NoRetry = true })
	unasked := with(failed, func(a *push.Answer) { a.Reason = job.ReasonAuth })
	tests := map[string]struct {
		change  func(*Config)
		answers []push.Answer
		open    bool
	}{
		"open at the ratio":          {answers: []push.Answer{succeeded, failed}, open: true},
		"stay closed below it":       {answers: []push.Answer{succeeded, succeeded, failed}},
		"wait for enough pushes":     {answers: []push.Answer{failed}},
		"count what timed out":       {answers: []push.Answer{timedOut, timedOut}, open: true},
		"not count what is fatal":    {answers: []push.Answer{fatal, fatal, fatal}},
		"not count what is unasked":  {answers: []push.Answer{unasked, unasked, failed}},
		"not count throttling":       {answers: []push.Answer{throttledFor(0), throttledFor(0), failed}},
		"stay closed when off":       {answers: []push.Answer{failed, failed, failed}, change: func(c *Config) { c.Workers[0].Circuit = job.Circuit{} }},
		"know the policy's statuses": {answers: []push.Answer{failed, failed}, change: func(c *Config) { c.Retry.FatalStatuses = []int{500} }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := config("w")
			c.Workers[0].Circuit = testCircuit
			if test.change != nil {
				test.change(c)
			}
			f := started(t, c)
			f.arrive(f.entries(len(test.answers))...)
			for _, a := range test.answers {
				f.answered(a)
			}
			if got := f.m.queues["q"].pools[0].circuit.open(c.Workers[0].Circuit); got != test.open {
				t.Errorf("open: %v, want %v", got, test.open)
			}
		})
	}
}

// The others take over, and what they do not do is not charged to the one that
// is left alone.
func TestAnOpenCircuitLeavesItsJobsToTheOthers(t *testing.T) {
	t.Parallel()
	f := guarded(t, "a", "b")
	f.arrive(f.entries(4)...)
	for len(f.pushes) > 0 {
		if f.pushes[0].Worker.Name == "a" {
			f.answered(failed)
		} else {
			f.answered(succeeded)
		}
	}
	f.pass(time.Second)
	if got := f.workersOf(); got["b"] != 2 || got["a"] != 0 {
		t.Errorf("pushed to %v, want both to b", got)
	}
}

// A push from before it opened neither closes it nor keeps it open, and a probe
// that was cancelled makes room for another.
func TestOnlyTheProbeDecides(t *testing.T) {
	t.Parallel()
	f := guarded(t, "w")
	f.arrive(f.entries(3)...)
	old := f.pushes[2]
	f.answered(failed)
	f.answered(failed)
	f.pass(10 * time.Second)
	probe := f.pushes[1]
	f.step(pushed{[]result{{old.Entry.Job.ID, old.Attempt, succeeded}}})
	f.rest()
	f.pass(time.Second)
	if len(f.pushes) != 2 {
		t.Fatalf("an old success closed the circuit: %d pushes", len(f.pushes))
	}
	f.send(store.CommandCancel, probe.Entry)
	f.rest()
	if len(f.pushes) != 2 {
		t.Fatal("another probe begins while the cancelled one goes on")
	}
	f.step(pushed{[]result{{probe.Entry.Job.ID, probe.Attempt, aborted}}})
	f.rest()
	if len(f.pushes) != 3 {
		t.Errorf("%d pushes, want another probe", len(f.pushes))
	}
}

func TestAThrottledProbeTellsNothing(t *testing.T) {
	t.Parallel()
	f := opened(t, "w")
	f.pass(10 * time.Second)
	f.answered(throttledFor(3 * time.Second))
	if len(f.pushes) != 0 {
		t.Fatal("pushed while it is throttled")
	}
	f.pass(3 * time.Second)
	if len(f.pushes) != 1 {
		t.Errorf("%d pushes, want one probe", len(f.pushes))
	}
}

func TestResumeClosesACircuit(t *testing.T) {
	t.Parallel()
	f := opened(t, "w")
	f.pass(5 * time.Second)
	f.reconfigure(func(c *Config) { c.Workers[0].Resumed = f.now })
	f.rest()
	if len(f.pushes) != 2 {
		t.Errorf("%d pushes after resume, want 2", len(f.pushes))
	}
	if q := f.m.queues["q"]; q.stored || q.limitState(f.now) != nil {
		t.Error("the closed circuit is kept in the store")
	}
}

// The next owner probes when this one would have, and with the same patience; but
// where somebody has resumed the worker meanwhile, it begins anew.
func TestCircuitsOutliveTheirOwner(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		resumed time.Time
		pushes  int
	}{
		"":                     {time.Time{}, 0},
		"resumed before":       {noon.Add(-time.Second), 0},
		"resumed in the while": {noon.Add(time.Second), 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := opened(t, "w")
			state := f.m.queues["q"].limitState(f.now)
			c := *f.m.cfg
			w := *c.Workers[0]
			w.Resumed = test.resumed
			c.Workers = []*Worker{&w}
			next := newFixture(t, &c)
			next.now = noon.Add(2 * time.Second)
			next.step(recovered{Limits: limitsOf(state)})
			next.rest()
			next.arrive(next.entries(2)...)
			if len(next.pushes) != test.pushes {
				t.Fatalf("%d pushes, want %d", len(next.pushes), test.pushes)
			}
			if test.pushes == 0 {
				next.pass(8 * time.Second)
				next.answered(failed)
				next.pass(time.Second) // the retry is due
				if want := next.now.Add(19 * time.Second); !next.wake.Equal(want) {
					t.Errorf("wakes at %s, want %s", next.wake, want)
				}
			}
		})
	}
}

// A worker that is taken from a queue and given back begins anew, also where a push of
// before has failed meanwhile.
func TestCircuitOfAWorkerThatWasAway(t *testing.T) {
	t.Parallel()
	f := guarded(t, "w")
	with := f.m.cfg
	f.arrive(f.entries(3)...)
	without := *with
	without.Workers = nil
	f.step(configured{&without})
	f.answer(failed)
	f.answer(failed)
	f.step(configured{with})
	if c := f.m.queues["q"].pools[0].circuit; c.opens != 0 {
		t.Errorf("the circuit is open: %+v", c)
	}
}

// A circuit opens when the shares of a plain count of the last window say so, and
// never else.
func TestCircuitAgainstAPlainCount(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cfg := job.Circuit{
			Window: job.Duration(time.Second * time.Duration(rapid.IntRange(1, 100).Draw(t, "window"))), MinPushes: rapid.IntRange(1, 8).Draw(t, "min"),
			FailureRatio: float64(rapid.IntRange(1, 10).Draw(t, "ratio")) / 10, OpenFor: job.Duration(time.Second), MaxOpen: job.Duration(time.Minute),
		}
		type ended struct {
			at     time.Time
			failed bool
		}
		var c circuit
		var all []ended
		now := noon.Add(time.Duration(rapid.Int64Range(0, 1e11).Draw(t, "begin")))
		slot := cfg.Window.Std() / failureSlots
		for range rapid.IntRange(1, 60).Draw(t, "pushes") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(cfg.Window)/4).Draw(t, "later")))
			all = append(all, ended{now, rapid.Bool().Draw(t, "failed")})
			began := now.Truncate(slot).Add(-slot * (failureSlots - 1)) // of the oldest slot that counts
			if now.Sub(began) > cfg.Window.Std() {
				t.Fatalf("the window of %s reaches back %s", cfg.Window, now.Sub(began))
			}
			n, bad := 0, 0
			for _, e := range all {
				if !e.at.Before(began) {
					n++
					if e.failed {
						bad++
					}
				}
			}
			open := n >= cfg.MinPushes && float64(bad) >= cfg.FailureRatio*float64(n)
			if got := c.end(cfg, attemptKey{attempt: 1}, all[len(all)-1].failed, now); got != open || c.open(cfg) != open {
				t.Fatalf("%d of %d failed: changed %v, open %v, want %v", bad, n, got, c.open(cfg), open)
			}
			if open {
				return
			}
		}
	})
}
