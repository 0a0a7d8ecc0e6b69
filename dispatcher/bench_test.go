package dispatcher

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/observability"
	"github.com/orchestrix/orchestrix/store"
)

// BenchmarkMachine is the life of a job in the pure machine, in batches of 500:
// arrived, claimed, pushed, settled. One op is one job.
func BenchmarkMachine(b *testing.B) {
	const batch = 500
	c := config("w")
	c.DefaultQueue.Concurrency = batch
	f := &fixture{t: b, now: noon, lanes: make(map[store.Lane][]*store.Entry)}
	f.m = newMachine(c, defaultLimits(), 1, 7, f)
	commits := 0
	step := func(events ...event) []pushOrder {
		for {
			out := f.m.step(f.now, events...)
			if out.Commit != nil {
				commits++
			}
			if out.Want == (want{}) {
				return out.Push
			}
			events = []event{granted{Slots: out.Want.Slots}}
		}
	}
	step(recovered{})
	arrivals := make([][]*store.Entry, b.N/batch+1)
	for i := range arrivals {
		arrivals[i] = f.entries(batch)
	}
	results := make([]result, 0, batch)
	b.ReportAllocs()
	b.ResetTimer()
	for _, entries := range arrivals {
		f.now = f.now.Add(time.Millisecond)
		step(arrived{entries})
		results = results[:0]
		for _, p := range step(committed{}) {
			results = append(results, result{p.Entry.Job.ID, p.Attempt, succeeded})
		}
		step(pushed{results})
		step(committed{})
	}
	b.StopTimer()
	if len(f.m.jobs) != 0 || commits < 2*len(arrivals) {
		b.Fatalf("%d jobs are left after %d commits", len(f.m.jobs), commits)
	}
}

// BenchmarkMachineBacklog has many keys and priorities in a full window.
func BenchmarkMachineBacklog(b *testing.B) {
	q := &queue{}
	var items []*item
	for i := range 4000 {
		j := &job.Job{Queue: "q", Priority: job.Priorities()[i%4], Key: string(rune('a' + i%50))}
		items = append(items, &item{entry: &store.Entry{Job: j}, queue: q})
	}
	for _, it := range items {
		q.lane(store.LaneOf(it.entry.Job)).add(it)
	}
	b.ReportAllocs()
	for b.Loop() {
		l := q.nextLane(false)
		it, _ := l.take()
		l.add(it)
	}
}

// BenchmarkDispatcher is the whole way of a job over Pebble in memory: enqueued
// in batches of 500, pushed to a worker on this machine, and settled. One op is
// one job; the worker's own costs are in it.
func BenchmarkDispatcher(b *testing.B) {
	b.Run("metrics=off", func(b *testing.B) { benchmarkDispatcher(b, nil) })
	b.Run("metrics=on", func(b *testing.B) { benchmarkDispatcher(b, observability.NewMetrics("bench")) })
}

func benchmarkDispatcher(b *testing.B, meter Meter) {
	const batch = 500
	w := newWorld(b, memory(b, 4), nil, func(o *Options) { o.Config.DefaultQueue.Concurrency, o.Meter = 256, meter })
	w.worker.Config.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	w.start()
	queues := []string{"q0", "q1", "q2"}
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; done += batch {
		jobs := w.jobs(queues[done/batch%3], min(batch, b.N-done))
		if _, err := w.store.Enqueue(context.Background(), jobs[0].Job.ID.Shard(), jobs); err != nil {
			b.Fatal(err)
		}
		w.until("no more than four batches wait", func() bool {
			return w.d.totals.settled[job.Succeeded].Load() > int64(done-4*batch)
		})
	}
	w.until("all are settled", func() bool { return w.d.totals.settled[job.Succeeded].Load() == int64(b.N) })
	b.StopTimer()
	b.ReportMetric(float64(w.d.totals.commits.Load())/float64(b.N), "commits/op")
}

// BenchmarkConfigure is a change of one worker while jobs of so many queues wait,
// each of a hundred workers serving a hundredth of them. One op is one change.
func BenchmarkConfigure(b *testing.B) {
	for _, queues := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("queues=%d", queues), func(b *testing.B) {
			c := config()
			for i := range 100 {
				c.Workers = append(c.Workers, &Worker{Name: fmt.Sprintf("w%d", i), Weight: 1})
			}
			f := newFixture(b, c)
			for i := range queues {
				name := fmt.Sprintf("q%d", i)
				w := c.Workers[i%100]
				w.Queues = append(w.Queues, name)
			}
			f.m = newMachine(c, defaultLimits(), 1, 7, f)
			f.slots = 0
			f.step(recovered{})
			for i := range queues {
				f.step(arrived{f.entries(1, func(j *job.Job) { j.Queue = fmt.Sprintf("q%d", i) })})
			}
			b.ReportAllocs()
			for b.Loop() {
				f.reconfigure(func(c *Config) { c.Workers[7].Paused = !c.Workers[7].Paused })
			}
		})
	}
}
