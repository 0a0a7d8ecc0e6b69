package dispatcher

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/webhook/push"
)

// limited is a configuration with worker "w" and that flow control of queue "q".
func limited(q Queue) *Config {
	c := config("w")
	c.Queues = map[string]Queue{"q": q}
	return c
}

func ofKeyK(j *job.Job) { j.Key = "k" }

// Each cause holds up a job in a scene of its own, and is told with what belongs
// to it.
func TestExplain(t *testing.T) {
	t.Parallel()
	perMinute := job.Rate{Limit: 1, Period: job.Duration(time.Minute)}
	soon := noon.Add(time.Minute)
	tests := []struct {
		name  string
		scene func(f *fixture) (asked, first *job.Job)
		want  []Wait
	}{
		{"scheduled", func(f *fixture) (*job.Job, *job.Job) {
			return f.entry(func(j *job.Job) { j.Due = soon }).Job, nil
		}, []Wait{{Cause: CauseScheduled, Until: soon}}},
		{"retrying", func(f *fixture) (*job.Job, *job.Job) {
			e := f.entry()
			f.arrive(e)
			f.answered(failed)
			return f.last(e.Job.ID), nil
		}, []Wait{{Cause: CauseRetrying, Until: noon.Add(10 * time.Second)}}},
		{"scheduled, and what will hold still", func(f *fixture) (*job.Job, *job.Job) {
			f.reconfigure(func(c *Config) {
				c.DefaultQueue.Paused = true
				c.DefaultQueue.Pins = map[string]Pin{"k": {Paused: true}}
				c.Workers = nil
			})
			return f.entry(ofKeyK, func(j *job.Job) { j.Due = soon }).Job, nil
		}, []Wait{{Cause: CauseScheduled, Until: soon}, {Cause: CausePaused}, {Cause: CauseNoWorker}, {Cause: CauseKeyPaused}}},
		{"scheduled, not what will be over then", func(f *fixture) (*job.Job, *job.Job) {
			f.reconfigure(func(c *Config) {
				c.DefaultQueue = Queue{Concurrency: 1, KeyConcurrency: 1, KeyRate: perMinute, Rate: perMinute}
			})
			f.arrive(f.entry(ofKeyK))
			return f.entry(ofKeyK, func(j *job.Job) { j.Due = soon.Add(1) }).Job, nil
		}, []Wait{{Cause: CauseScheduled, Until: soon.Add(1)}}},
		{"paused", func(f *fixture) (*job.Job, *job.Job) {
			f.reconfigure(func(c *Config) { c.DefaultQueue.Paused = true })
			return f.arrived(), nil
		}, []Wait{{Cause: CausePaused}}},
		{"no worker", func(f *fixture) (*job.Job, *job.Job) {
			f.reconfigure(func(c *Config) { c.Workers = nil })
			return f.arrived(), nil
		}, []Wait{{Cause: CauseNoWorker}}},
		{"no worker of a queue that was never seen", func(f *fixture) (*job.Job, *job.Job) {
			return f.entry(func(j *job.Job) { j.Queue = "other" }).Job, nil
		}, []Wait{{Cause: CauseNoWorker}}},
		{"a destination of its own needs no worker", func(f *fixture) (*job.Job, *job.Job) {
			f.reconfigure(func(c *Config) { c.Workers, c.DefaultQueue.Paused = nil, true })
			return f.arrived(func(j *job.Job) { j.URL = "https://example.com" }), nil
		}, []Wait{{Cause: CausePaused}}},
		{"all workers paused or gone", func(f *fixture) (*job.Job, *job.Job) {
			f.arrive(f.entry())
			f.answered(with(failed, func(a *push.Answer) { a.StatusCode, a.Gone = 410, true }))
			f.reconfigure(func(c *Config) {
				c.Workers = append(c.Workers, &Worker{Name: "v", Queues: []string{"q"}, Weight: 1, Paused: true})
			})
			return f.arrived(), nil
		}, []Wait{{Cause: CauseWorkerGone, Worker: "w"}, {Cause: CauseWorkerPaused, Worker: "v"}}},
		{"throttled", func(f *fixture) (*job.Job, *job.Job) {
			f.arrive(f.entry())
			f.answered(throttledFor(time.Minute))
			return f.arrived(), nil
		}, []Wait{{Cause: CauseWorkerThrottled, Worker: "w", Until: soon}}},
		{"worker busy, another paused", func(f *fixture) (*job.Job, *job.Job) {
			f.reconfigure(func(c *Config) {
				c.Workers[0].Concurrency = 2
				c.Workers = append(c.Workers, &Worker{Name: "v", Queues: []string{"q"}, Weight: 1, Paused: true})
			})
			f.arrive(f.entries(2)...)
			return f.arrived(), nil
		}, []Wait{{Cause: CauseWorkerBusy, Worker: "w", InFlight: 2, Limit: 2}, {Cause: CauseWorkerPaused, Worker: "v"}}},
		{"key paused", func(f *fixture) (*job.Job, *job.Job) {
			f.reconfigure(func(c *Config) { c.DefaultQueue.Pins = map[string]Pin{"k": {Paused: true}} })
			return f.arrived(ofKeyK), nil
		}, []Wait{{Cause: CauseKeyPaused}}},
		{"concurrency", func(f *fixture) (*job.Job, *job.Job) {
			f.reconfigure(func(c *Config) { c.DefaultQueue.Concurrency = 2 })
			f.arrive(f.entries(2)...)
			return f.arrived(), nil
		}, []Wait{{Cause: CauseConcurrency, InFlight: 2, Limit: 2}}},
		{"rate", func(f *fixture) (*job.Job, *job.Job) {
			f.reconfigure(func(c *Config) { c.DefaultQueue.Rate = perMinute })
			f.arrive(f.entry())
			f.pass(time.Second)
			return f.arrived(), nil
		}, []Wait{{Cause: CauseRate, Until: soon, Rate: perMinute}}},
		{"key rate", func(f *fixture) (*job.Job, *job.Job) {
			f.reconfigure(func(c *Config) { c.DefaultQueue.KeyRate = perMinute })
			f.arrive(f.entry(ofKeyK))
			return f.arrived(ofKeyK), nil
		}, []Wait{{Cause: CauseKeyRate, Until: soon, Rate: perMinute}}},
		{"node busy", func(f *fixture) (*job.Job, *job.Job) {
			f.slots = 1
			f.arrive(f.entry())
			return f.arrived(), nil
		}, []Wait{{Cause: CauseNodeBusy}}},
		{"draining", func(f *fixture) (*job.Job, *job.Job) {
			f.step(draining{})
			return f.arrived(), nil
		}, []Wait{{Cause: CauseDraining}}},
		{"suspect", func(f *fixture) (*job.Job, *job.Job) {
			f.token = false
			return f.arrived(func(j *job.Job) { j.Losses = 2 }), nil
		}, []Wait{{Cause: CauseSuspect}}},
		{"priority", func(f *fixture) (*job.Job, *job.Job) {
			f.reconfigure(func(c *Config) { c.DefaultQueue.Strict, c.DefaultQueue.Concurrency = true, 1 })
			f.arrive(f.entries(2, func(j *job.Job) { j.Priority = job.High })...)
			return f.arrived(), nil
		}, []Wait{{Cause: CauseConcurrency, InFlight: 1, Limit: 1}, {Cause: CausePriority}}},
		{"turn", func(f *fixture) (*job.Job, *job.Job) {
			return f.entry().Job, nil
		}, []Wait{{Cause: CauseTurn}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := started(t, config("w"))
			j, first := tt.scene(f)
			e := f.m.explain(j, first, f.now)
			if diff := cmp.Diff(tt.want, e.Waits); diff != "" || e.Push != nil {
				t.Errorf("push %+v, waits (-want +got):\n%s", e.Push, diff)
			}
		})
	}
}

// arrived is a new job that was handed to the machine.
func (f *fixture) arrived(change ...func(*job.Job)) *job.Job {
	f.t.Helper()
	e := f.entry(change...)
	f.arrive(e)
	return e.Job
}

// All that holds is told at once, in the order of the causes, and to ask changes
// nothing.
func TestExplainAll(t *testing.T) {
	t.Parallel()
	rate := job.Rate{Limit: 1, Period: job.Duration(time.Minute)}
	f := started(t, limited(Queue{Concurrency: 1, Rate: rate, KeyConcurrency: 1, KeyRate: rate}))
	f.reconfigure(func(c *Config) { c.Workers[0].Concurrency = 1 })
	holder := f.arrived(ofKeyK)
	queues := len(f.m.queues)
	asked := f.arrived(ofKeyK)
	got := f.m.explain(asked, nil, f.now).Waits
	until := noon.Add(time.Minute)
	want := []Wait{
		{Cause: CauseKeyBusy, InFlight: 1, Limit: 1, Jobs: []job.ID{holder.ID}},
		{Cause: CauseKeyRate, Until: until, Rate: rate},
		{Cause: CauseConcurrency, InFlight: 1, Limit: 1},
		{Cause: CauseRate, Until: until, Rate: rate},
		{Cause: CauseWorkerBusy, Worker: "w", InFlight: 1, Limit: 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("waits (-want +got):\n%s", diff)
	}
	f.m.explain(f.entry(func(j *job.Job) { j.Queue = "other" }).Job, nil, f.now)
	if len(f.m.queues) != queues {
		t.Errorf("%d queues are known, were %d", len(f.m.queues), queues)
	}
	if got := f.m.explain(asked, nil, until).Waits; len(got) != 3 {
		t.Errorf("a minute later: %+v", got)
	}
}

// The holder of an ordered key is told, whether it runs, waits or is dead, and
// so is a push of the key that was settled meanwhile.
func TestExplainOrder(t *testing.T) {
	t.Parallel()
	f := started(t, limited(Queue{Concurrency: 10, KeyConcurrency: 1, DeadBlocks: true}))
	ordered := func(j *job.Job) { j.Key, j.Ordered = "k", true }
	j, first := f.entry(ordered).Job, f.entry(ordered).Job
	want := []Wait{{Cause: CauseKeyTurn, Jobs: []job.ID{first.ID}}}
	if diff := cmp.Diff(want, f.m.explain(j, first, f.now).Waits); diff != "" {
		t.Errorf("behind one that waits:\n%s", diff)
	}
	first.Status, first.Blocks = job.Dead, true
	want[0].Cause = CauseKeyDead
	if diff := cmp.Diff(want, f.m.explain(j, first, f.now).Waits); diff != "" {
		t.Errorf("behind a dead one:\n%s", diff)
	}
	later := f.entry(ordered, func(j *job.Job) { j.Due = noon.Add(time.Hour) }).Job
	if got := f.m.explain(later, first, f.now).Waits; len(got) != 2 || got[0].Cause != CauseScheduled || got[1].Cause != CauseKeyDead {
		t.Errorf("delayed, behind a dead one: %+v", got)
	}

	zombie := f.entry(ofKeyK)
	f.arrive(zombie)
	f.send(store.CommandCancel, zombie)
	f.rest()
	want = []Wait{{Cause: CauseKeyBusy, InFlight: 1, Limit: 1, Jobs: []job.ID{zombie.Job.ID}}}
	if diff := cmp.Diff(want, f.m.explain(j, j, f.now).Waits); diff != "" {
		t.Errorf("first, while the push of one that was cancelled goes on:\n%s", diff)
	}
}

func TestExplainPush(t *testing.T) {
	t.Parallel()
	f := started(t, config("w"))
	f.pass(time.Second)
	j := f.arrived(func(j *job.Job) { j.Attempt = 2 })
	want := &Push{Attempt: 3, Worker: "w", Started: f.now, Deadline: f.now.Add(time.Minute)}
	if e := f.m.explain(j, nil, f.now); len(e.Waits) > 0 || cmp.Diff(want, e.Push) != "" {
		t.Errorf("waits %+v, push %+v", e.Waits, e.Push)
	}
}

// A lost push that is waited for is shown as what the job waits for.
func TestExplainLostPush(t *testing.T) {
	t.Parallel()
	f := newFixture(t, limited(Queue{Concurrency: 10, LostWaits: true}))
	e := f.entry()
	until := f.now.Add(time.Second)
	f.step(recovered{Claims: []store.Claim{{Number: 1, Entries: []store.ClaimEntry{
		{Entry: e, Attempt: 1, Worker: "w", Started: f.now, Deadline: until},
	}}}})
	f.rest()
	got := f.m.explain(e.Job, nil, f.now)
	if diff := cmp.Diff([]Wait{{Cause: CauseLostPush, Until: until, Worker: "w"}}, got.Waits); diff != "" || got.Push == nil {
		t.Errorf("push %+v, waits:\n%s", got.Push, diff)
	}
}

func TestEstimate(t *testing.T) {
	t.Parallel()
	rate := job.Rate{Limit: 60, Period: job.Duration(time.Minute)}
	turn, busy := Wait{Cause: CauseTurn}, Wait{Cause: CauseConcurrency}
	byRate := Wait{Cause: CauseRate, Until: noon.Add(time.Second), Rate: rate}
	keyLimited := Wait{Cause: CauseKeyRate, Until: noon.Add(5 * time.Second), Rate: rate}
	tests := []struct {
		name   string
		e      Explanation
		before int
		ready  int64
		want   time.Duration // after noon; 0 for none
	}{
		{"the next one", Explanation{Waits: []Wait{turn}, Throughput: 2, Share: 1, Keys: 1}, 0, 1, time.Second / 2},
		{"behind nine", Explanation{Waits: []Wait{busy}, Throughput: 2, Share: 1, Keys: 1}, 9, 100, 5 * time.Second},
		{"of one of two keys", Explanation{Waits: []Wait{busy}, Throughput: 1, Share: 1, Keys: 2}, 9, 100, 19 * time.Second},
		{"of many keys with few jobs", Explanation{Waits: []Wait{busy}, Throughput: 1, Share: 1, Keys: 1000}, 9, 20, 20 * time.Second},
		{"with a third of the queue", Explanation{Waits: []Wait{busy}, Throughput: 1, Share: 1.0 / 3, Keys: 1}, 3, 100, 10 * time.Second},
		{"by the rate", Explanation{Waits: []Wait{byRate}, Share: 1, Keys: 1}, 9, 100, 10 * time.Second},
		{"by the key's rate", Explanation{Waits: []Wait{keyLimited}, Share: 1, Keys: 3}, 2, 100, 7 * time.Second},
		{"by the slower of two", Explanation{Waits: []Wait{busy, byRate}, Throughput: 1000, Share: 1, Keys: 1}, 9, 100, 10 * time.Second},
		{"of an unknown pace", Explanation{Waits: []Wait{busy, byRate}, Share: 1, Keys: 1}, 9, 100, 0},
		{"paused", Explanation{Waits: []Wait{{Cause: CausePaused}, busy}, Throughput: 1, Share: 1, Keys: 1}, 9, 100, 0},
		{"running", Explanation{Throughput: 1, Share: 1, Keys: 1}, 0, 100, 0},
		{"for ever", Explanation{Waits: []Wait{busy}, Throughput: 1e-9, Share: 1, Keys: 1}, 9_999, 1e6, 3650 * 24 * time.Hour},
	}
	for _, tt := range tests {
		got := tt.e.Start(tt.before, tt.ready, noon)
		if want := noon.Add(tt.want); tt.want == 0 && !got.IsZero() || tt.want != 0 && got.Sub(want).Abs() > time.Microsecond {
			t.Errorf("%s: %v, want %v", tt.name, got.Sub(noon), tt.want)
		}
	}
}

// The estimate knows what the window holds: the lane's keys and the other lanes.
func TestExplainPace(t *testing.T) {
	t.Parallel()
	f := started(t, limited(Queue{Concurrency: 1}))
	for range 20 {
		f.arrive(f.entry())
		f.answered(succeeded)
	}
	f.pass(10 * time.Second)
	f.arrive(f.entries(2)...)
	f.arrive(f.entry(ofKeyK), f.entry(func(j *job.Job) { j.Priority = job.High }))
	e := f.m.explain(f.arrived(ofKeyK), nil, f.now)
	if e.Throughput != 2 || e.Keys != 2 || e.Share != 2.0/6 {
		t.Errorf("throughput %v, %d keys, share %v", e.Throughput, e.Keys, e.Share)
	}
}
