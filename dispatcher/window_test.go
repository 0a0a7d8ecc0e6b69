package dispatcher

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
)

func TestFIFOIsASlice(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var f fifo[int]
		var want []int
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				v := rapid.Int().Draw(t, "v")
				f.push(v)
				want = append(want, v)
			},
			"pop": func(t *rapid.T) {
				if len(want) == 0 {
					t.Skip("empty")
				}
				if got := f.pop(); got != want[0] {
					t.Fatalf("popped %d, want %d", got, want[0])
				}
				want = want[1:]
			},
			"": func(t *rapid.T) {
				if f.empty() != (len(want) == 0) || f.n != len(want) {
					t.Fatalf("holds %d, want %d", f.n, len(want))
				}
			},
		})
	})
}

// laneModel is what a lane should be: for each key a list, served in turn.
type laneModel struct {
	keys  []string // in the order in which they are served
	items map[string][]*item
}

func (l *laneModel) add(it *item) {
	key := it.entry.Job.Key
	if len(l.items[key]) == 0 {
		l.keys = append(l.keys, key)
	}
	l.items[key] = append(l.items[key], it)
}

func (l *laneModel) take() *item {
	if len(l.keys) == 0 {
		return nil
	}
	key := l.keys[0]
	it := l.items[key][0]
	l.items[key] = l.items[key][1:]
	l.keys = l.keys[1:]
	if len(l.items[key]) > 0 {
		l.keys = append(l.keys, key)
	}
	return it
}

func (l *laneModel) remove(it *item) {
	key := it.entry.Job.Key
	l.items[key] = slices.DeleteFunc(l.items[key], func(o *item) bool { return o == it })
	if len(l.items[key]) == 0 {
		l.keys = slices.DeleteFunc(l.keys, func(k string) bool { return k == key })
	}
}

// TestLaneServesKeysInTurn compares a lane with its model, and checks that it
// keeps nothing of what has left it.
func TestLaneServesKeysInTurn(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := new(queue).lane(store.Lane{})
		model := laneModel{items: make(map[string][]*item)}
		var in []*item
		leave := func(it *item) { in = slices.DeleteFunc(in, func(o *item) bool { return o == it }) }
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				it := &item{entry: &store.Entry{Job: &job.Job{Key: rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "key")}}}
				l.add(it)
				model.add(it)
				in = append(in, it)
			},
			"take": func(t *rapid.T) {
				want := model.take()
				got, _ := l.take()
				if got != want {
					t.Fatalf("took %+v, want %+v", got, want)
				}
				leave(want)
			},
			"remove": func(t *rapid.T) {
				if len(in) == 0 {
					t.Skip("empty")
				}
				it := in[rapid.IntRange(0, len(in)-1).Draw(t, "i")]
				l.remove(it)
				model.remove(it)
				leave(it)
			},
			"": func(t *rapid.T) {
				held := 0
				for _, k := range l.keys {
					held += len(k.items) - k.head
				}
				if l.n != len(in) || held != len(in) || len(l.keys) != len(model.keys) {
					t.Fatalf("holds %d jobs (%d) of %d keys, want %d of %d", l.n, held, len(l.keys), len(in), len(model.keys))
				}
			},
		})
	})
}

// TestBusyKeyDoesNotGrow: a key that always has ready jobs costs no more memory
// the longer it is served.
func TestBusyKeyDoesNotGrow(t *testing.T) {
	t.Parallel()
	l := new(queue).lane(store.Lane{})
	add := func() { l.add(&item{entry: &store.Entry{Job: &job.Job{}}}) }
	for range 10 {
		add()
	}
	for range 10_000 {
		add()
		l.take()
	}
	if n := cap(l.cur.items); n > 200 {
		t.Errorf("10 ready jobs are kept in a slice for %d", n)
	}
}

func TestPrioritiesAreWeighted(t *testing.T) {
	t.Parallel()
	ready := func(counts map[job.Priority]int, adHoc ...job.Priority) *queue {
		q := &queue{}
		for _, p := range job.Priorities() {
			l := q.lane(store.Lane{Queue: "q", Priority: p, AdHoc: slices.Contains(adHoc, p)})
			l.n = counts[p]
		}
		return q
	}
	all := map[job.Priority]int{job.Critical: 1, job.High: 1, job.Normal: 1, job.Low: 1}
	tests := map[string]struct {
		q     *queue
		adHoc bool
		want  map[job.Priority]int // of 15 choices
	}{
		"all":               {ready(all), false, map[job.Priority]int{job.Critical: 8, job.High: 4, job.Normal: 2, job.Low: 1}},
		"two":               {ready(map[job.Priority]int{job.Normal: 1, job.Low: 1}), false, map[job.Priority]int{job.Normal: 10, job.Low: 5}},
		"one":               {ready(map[job.Priority]int{job.Low: 1}), false, map[job.Priority]int{job.Low: 15}},
		"none":              {ready(nil), false, map[job.Priority]int{}},
		"ad-hoc only":       {ready(all, job.Low), true, map[job.Priority]int{job.Low: 15}},
		"ad-hoc and others": {ready(all, job.Low), false, map[job.Priority]int{job.Critical: 8, job.High: 4, job.Normal: 2, job.Low: 1}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, waited := make(map[job.Priority]int), make(map[job.Priority]int)
			for range 15 {
				l := test.q.nextLane(test.adHoc)
				if l == nil {
					break
				}
				got[l.Priority]++
				for p := range test.want {
					waited[p]++
				}
				waited[l.Priority] = 0
			}
			if fmt.Sprint(got) != fmt.Sprint(test.want) {
				t.Errorf("served %v, want %v", got, test.want)
			}
			for p, n := range waited {
				if n >= 15 {
					t.Errorf("%s was never served", p)
				}
			}
		})
	}
}

// TestPrioritiesNeverStarve: whatever comes and goes, a lane that stays ready is
// served within a bounded number of choices.
func TestPrioritiesNeverStarve(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		q := &queue{}
		for _, p := range job.Priorities() {
			q.lane(store.Lane{Queue: "q", Priority: p})
		}
		waited := make(map[*lane]int)
		for range 400 {
			for _, l := range q.lanes {
				if rapid.IntRange(0, 3).Draw(t, "change") == 0 {
					l.n = rapid.IntRange(0, 1).Draw(t, "n")
				}
				if l.n == 0 {
					waited[l] = 0
				} else {
					waited[l]++
				}
			}
			if l := q.nextLane(false); l != nil {
				waited[l] = 0
			}
			for l, n := range waited {
				if n > 60 {
					t.Fatalf("%s has waited for %d choices", l.Priority, n)
				}
			}
		}
	})
}

func TestKeysAreServedInTurn(t *testing.T) {
	t.Parallel()
	f := started(t, config("w"))
	f.slots = 0
	var entries []*store.Entry
	for _, key := range []string{"a", "a", "a", "a", "b", "c", "b"} {
		entries = append(entries, f.entry(func(j *job.Job) { j.Key = key }))
	}
	f.arrive(entries...)
	f.slots = 100
	f.step(granted{})
	f.rest()
	var got string
	for _, p := range f.pushes {
		got += p.Entry.Job.Key
	}
	if got != "abcabaa" {
		t.Errorf("served %s", got)
	}
}

// TestWindowIsBounded: what does not fit stays in the store, and is read when
// there is room.
func TestWindowIsBounded(t *testing.T) {
	t.Parallel()
	tests := map[string]limits{
		"by jobs":  {WindowJobs: 10, WindowBytes: 1 << 30, Claims: 5, Timers: 5, SweepEvery: time.Hour},
		"by bytes": {WindowJobs: 1000, WindowBytes: 10 * (1<<10 + 2), Claims: 5, Timers: 5, SweepEvery: time.Hour},
	}
	for name, l := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixtureOf(t, config("w"), l)
			f.slots = 0
			f.step(recovered{})
			f.arrive(f.entries(100)...)
			if f.m.ready > 10 || f.m.bytes > 10*(1<<10+2) {
				t.Errorf("the window holds %d jobs, %d bytes", f.m.ready, f.m.bytes)
			}
			f.slots = 7
			f.step(granted{})
			for range 100 {
				f.rest()
				if f.m.ready > 10 {
					t.Fatalf("the window holds %d jobs", f.m.ready)
				}
				f.answered(succeeded)
			}
			if len(f.settled) != 100 {
				t.Errorf("%d jobs are settled", len(f.settled))
			}
			f.empty()
		})
	}
}

// TestManyLanesAreReadTogether: what stands at the heads of many lanes lies together
// in the store, so that one that runs low is read with those that soon will.
func TestManyLanesAreReadTogether(t *testing.T) {
	t.Parallel()
	const queues, jobs = 12, 60
	c := config("w")
	c.Workers[0].Queues = nil
	for i := range queues {
		c.Workers[0].Queues = append(c.Workers[0].Queues, fmt.Sprintf("q%d", i))
	}
	l := defaultLimits()
	l.WindowJobs = 10 * queues
	f := newFixtureOf(t, c, l)
	f.step(recovered{})
	f.slots = 0
	for range jobs {
		for _, name := range c.Workers[0].Queues {
			f.arrive(f.entry(func(j *job.Job) { j.Queue = name }))
		}
	}
	f.slots, f.together = queues, nil
	f.step(granted{})
	for range queues * jobs {
		f.rest()
		f.answered(succeeded)
	}
	lanes := 0
	for _, n := range f.together {
		lanes += n
	}
	if lanes == 0 || lanes < queues/2*len(f.together) {
		t.Errorf("%d lanes were read in %d reads: %v", lanes, len(f.together), f.together)
	}
	f.empty()
}

// TestLaneHoldsOneJobWhateverItsSize: a full window of another queue, or a job
// greater than the window, stops no lane.
func TestLaneHoldsOneJobWhateverItsSize(t *testing.T) {
	t.Parallel()
	f := newFixtureOf(t, config("w"), limits{WindowJobs: 4, WindowBytes: 8 << 10, Claims: 5, Timers: 5, SweepEvery: time.Hour})
	f.step(recovered{})
	f.arrive(f.entries(50, func(j *job.Job) { j.Queue = "no-worker" })...)
	huge := f.entry()
	huge.Payload = make([]byte, 1<<20)
	f.arrive(huge)
	if p := f.answered(succeeded); p.Entry != huge {
		t.Errorf("job %s was pushed", p.Entry.Job.ID)
	}
	f.refuse = true // and the same by reading it
	f.lanes[store.LaneOf(huge.Job)] = []*store.Entry{f.entry()}
	f.lanes[store.LaneOf(huge.Job)][0].Payload = make([]byte, 1<<20)
	f.step(laneGrew{store.LaneOf(huge.Job)})
	f.rest()
	f.answered(succeeded)
	if len(f.settled) != 2 {
		t.Errorf("%d jobs are settled", len(f.settled))
	}
}

// TestPausedQueueKeepsNothing: jobs that are cancelled, or become due, while
// their queue is paused leave nothing in memory.
func TestPausedQueueKeepsNothing(t *testing.T) {
	t.Parallel()
	c := config("w")
	c.DefaultQueue.Paused = true
	f := started(t, c)
	for range 50 {
		entries := f.entries(4)
		f.arrive(entries...)
		f.send(store.CommandCancel, entries...)
		f.rest()
	}
	f.empty()
	for range 50 {
		e := f.entry(func(j *job.Job) { j.Due = f.now })
		e.Place = store.InTimers
		f.timers = append(f.timers, store.Timer{Kind: store.TimerDue, At: f.now, ID: e.Job.ID, Entry: e})
		f.step(timerSet{f.now})
		f.rest()
	}
	f.empty()
	if n := len(f.lanes[store.Lane{Queue: "q", Priority: job.Normal}]); n != 50 {
		t.Errorf("%d due jobs were promoted to their lane, want 50", n)
	}
	f.reconfigure(func(c *Config) { c.DefaultQueue.Paused = false })
	f.rest()
	if len(f.pushes) != 50 {
		t.Errorf("%d jobs are pushed after the queue was resumed, want 50", len(f.pushes))
	}
}

// Keys that come while one key fills the window are all pushed within a few
// rounds, also where a read has no room for all of them.
func TestManyNewcomersGetTheirTurn(t *testing.T) {
	t.Parallel()
	c := config("w")
	c.DefaultQueue.Concurrency = 1
	f := started(t, c)
	f.arrive(f.entries(200, ofKey("a"))...)
	const newcomers = 20
	for i := range newcomers {
		f.arrive(f.entry(ofKey(fmt.Sprintf("k%02d", i))))
	}
	others, seen := 0, 0
	for seen < newcomers {
		if f.answered(succeeded).Entry.Job.Key == "a" {
			others++
		} else {
			seen++
		}
		if others > 200 {
			t.Fatalf("%d of %d newcomers were pushed", seen, newcomers)
		}
	}
	// The window has room for eight of them at a time, and for others when four
	// of those are pushed: the first key has one turn in each round of what is there.
	if others > newcomers/4+2 {
		t.Errorf("%d jobs of the first key were pushed before the last of %d others", others, newcomers)
	}
}
