package store

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
)

// bound gives new jobs a backlog.
func bound(b Backlog, jobs ...NewJob) []NewJob {
	for i := range jobs {
		jobs[i].Backlog = &b
	}
	return jobs
}

func (f *fixture) jobs(n int, queue string, change func(*job.Job)) (jobs []NewJob) {
	for range n {
		jobs = append(jobs, f.job(queue, change))
	}
	return jobs
}

// A batch of which a part finds room: only the rest is refused, each by the bound
// that left none.
func TestBacklog(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		backlog Backlog
		want    int // of ten jobs of nine or ten bytes
		full    Full
	}{
		"none":        {Backlog{}, 10, Full{}},
		"jobs":        {Backlog{Jobs: 4}, 4, Full{Waiting: Backlog{Jobs: 4, Bytes: 36}}},
		"bytes":       {Backlog{Bytes: 27}, 3, Full{Bytes: true, Waiting: Backlog{Jobs: 3, Bytes: 27}}},
		"both":        {Backlog{Jobs: 4, Bytes: 27}, 3, Full{Bytes: true, Waiting: Backlog{Jobs: 3, Bytes: 27}}},
		"room left":   {Backlog{Bytes: 30}, 3, Full{Bytes: true, Waiting: Backlog{Jobs: 3, Bytes: 27}}},
		"just":        {Backlog{Jobs: 10, Bytes: 91}, 10, Full{}},
		"none at all": {Backlog{Bytes: 1}, 0, Full{Bytes: true}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			overEngines(t, 1, func(t *testing.T, f *fixture) {
				jobs := bound(test.backlog, f.jobs(10, "q", nil)...)
				for i, r := range f.enqueue(jobs...) {
					switch {
					case i < test.want && (r.Full != nil || r.Job != jobs[i].Job):
						t.Errorf("job %d: %+v, want it stored", i, r)
					case i >= test.want && (r.Full == nil || *r.Full != test.full || r.Job != nil):
						t.Errorf("job %d: %+v, want it refused with %+v", i, r.Full, test.full)
					}
				}
				counts, err := f.Counts(ctx(), "q")
				f.check(err)
				if counts.Waiting != int64(test.want) {
					t.Errorf("%d wait, want %d", counts.Waiting, test.want)
				}
				f.audit(0)
			})
		})
	}
}

// A job leaves room when it is terminal, and takes it again when it is redriven,
// bound or not.
func TestBacklogFollowsALife(t *testing.T) {
	t.Parallel()
	overEngines(t, 1, func(t *testing.T, f *fixture) {
		f.own(0)
		one := Backlog{Jobs: 1}
		e, claim := f.push("q", nil)
		if r := f.enqueue(bound(one, f.job("q", nil))...); r[0].Full == nil {
			t.Fatal("a job that is being pushed does not wait")
		}
		dead := f.settled(e.Job, job.Dead, job.OutcomeFailed)
		f.commit(&Commit{Settle: []Settle{{Job: dead, Was: e.Standing()}}, ClaimsDone: []uint64{claim}})
		if r := f.enqueue(bound(one, f.job("q", nil))...); r[0].Full != nil {
			t.Fatalf("a dead job waits: %+v", r[0].Full)
		}
		dead, err := f.Job(ctx(), dead.ID)
		f.check(err)
		again := *dead
		again.Status, again.Incarnation, again.Due = job.Waiting, 1, start.Add(time.Minute)
		f.commit(&Commit{Settle: []Settle{{Job: &again, Was: Standing{Status: job.Dead}}}})
		f.audit(0)
		if r := f.enqueue(bound(Backlog{Jobs: 2}, f.job("q", nil))...); r[0].Full == nil {
			t.Fatal("a redriven job does not wait")
		}
	})
}

// What is stored already needs no room: an idempotency key that is held, and a
// job that an earlier try has stored.
func TestBacklogOfWhatIsStored(t *testing.T) {
	t.Parallel()
	overEngines(t, 1, func(t *testing.T, f *fixture) {
		keyed := func(j *job.Job) { j.IdempotencyKey = "k" }
		plain, held := f.job("q", nil), f.job("q", keyed)
		bound(Backlog{Jobs: 2}, plain, held)
		jobs := bound(Backlog{Jobs: 2}, plain, held)
		f.enqueue(jobs...)
		twin, other := f.job("q", keyed), f.job("q", keyed)
		other.Digest = [32]byte{2}
		results := f.enqueue(bound(Backlog{Jobs: 2}, jobs[0], twin, other, f.job("q", nil), jobs[1])...)
		for i, want := range []Enqueued{
			{Job: jobs[0].Job},
			{Job: jobs[1].Job, Existing: true},
			{Job: jobs[1].Job, Conflict: true},
			{Full: &Full{Waiting: Backlog{Jobs: 2, Bytes: 18}}},
			{Job: jobs[1].Job},
		} {
			f.equal(fmt.Sprintf("result %d", i), results[i], want)
		}
		f.audit(0)
	})
}

// A repeated key in a batch does not take the place of the job behind it.
func TestBacklogGivesThePlaceOfATwin(t *testing.T) {
	t.Parallel()
	overEngines(t, 1, func(t *testing.T, f *fixture) {
		keyed := func(j *job.Job) { j.IdempotencyKey = "k" }
		b := Backlog{Jobs: 2}
		f.enqueue(bound(b, f.job("q", keyed))...)
		results := f.enqueue(bound(b, f.job("q", keyed), f.job("q", nil), f.job("q", nil))...)
		if !results[0].Existing || results[1].Full != nil || results[2].Full == nil {
			t.Errorf("%+v", results)
		}
	})
}

// However enqueues of a queue come together, they are held to its bounds, and no
// place is left free.
func TestBacklogOfConcurrentEnqueues(t *testing.T) {
	t.Parallel()
	overEngines(t, 1, func(t *testing.T, f *fixture) {
		b := Backlog{Jobs: 100}
		var calls [40][]NewJob
		for i := range calls {
			calls[i] = append(bound(b, f.jobs(4, "q", nil)...), f.job("other", nil))
		}
		var wg sync.WaitGroup
		stored := make([]int, len(calls))
		for i := range calls {
			wg.Go(func() {
				results, err := f.Enqueue(ctx(), 0, calls[i])
				if err != nil {
					t.Error(err)
					return
				}
				for _, r := range results[:4] {
					if r.Full == nil {
						stored[i]++
					}
				}
			})
		}
		wg.Wait()
		sum := 0
		for _, n := range stored {
			sum += n
		}
		counts, err := f.Counts(ctx(), "q")
		f.check(err)
		others, err := f.Counts(ctx(), "other")
		f.check(err)
		if sum != 100 || counts.Waiting != 100 || others.Waiting != int64(len(calls)) {
			t.Errorf("%d acknowledged, %d wait of a bound of 100; %d of the queue without", sum, counts.Waiting, others.Waiting)
		}
		f.audit(0)
	})
}

// Random batches over random bounds, against a plain count.
func TestBacklogModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		f, _ := modelFixture(t, 1)
		waiting := map[string]Backlog{}
		held := map[string]bool{}
		for range rapid.IntRange(1, 8).Draw(rt, "batches") {
			var jobs []NewJob
			for range rapid.IntRange(1, 12).Draw(rt, "jobs") {
				nj := f.job(rapid.SampledFrom([]string{"a", "b", "free"}).Draw(rt, "queue"), nil)
				nj.Payload = append(nj.Payload, make([]byte, rapid.IntRange(0, 20).Draw(rt, "size"))...)
				nj.Job.PayloadSize = len(nj.Payload)
				if rapid.Bool().Draw(rt, "keyed") {
					nj.Job.IdempotencyKey = rapid.SampledFrom([]string{"k", "l", "m"}).Draw(rt, "key")
				}
				if nj.Job.Queue != "free" {
					nj.Backlog = &Backlog{int64(rapid.IntRange(0, 12).Draw(rt, "max jobs")), int64(rapid.IntRange(0, 300).Draw(rt, "max bytes"))}
				}
				jobs = append(jobs, nj)
			}
			for i, r := range f.enqueue(jobs...) {
				j := jobs[i].Job
				key := j.Queue + "/" + j.IdempotencyKey
				if r.Existing {
					if !held[key] {
						rt.Fatalf("job %d: nothing holds %s", i, key)
					}
					continue
				}
				if r.Full != nil {
					if jobs[i].Backlog.full(r.Full.Waiting, int64(j.PayloadSize)) == nil || (j.IdempotencyKey != "" && held[key]) {
						rt.Fatalf("job %d is refused: %+v", i, r.Full)
					}
					continue
				}
				held[key] = held[key] || j.IdempotencyKey != ""
				w := waiting[j.Queue]
				w.Jobs, w.Bytes = w.Jobs+1, w.Bytes+int64(j.PayloadSize)
				waiting[j.Queue] = w
			}
			for queue, w := range waiting {
				counts, err := f.Counts(ctx(), queue)
				f.check(err)
				if got := (Backlog{counts.Waiting, counts.Bytes}); got != w {
					rt.Fatalf("queue %s: %+v wait, want %+v", queue, got, w)
				}
			}
		}
	})
}

// An enqueue without a bound reads nothing.
func TestBacklogCostsNothingWithoutABound(t *testing.T) {
	t.Parallel()
	f, e := modelFixture(t, 1)
	counted := &countingEngine{Engine: e}
	f.engine = counted
	f.enqueue(f.jobs(3, "q", nil)...)
	if counted.reads != 0 {
		t.Errorf("%d reads", counted.reads)
	}
	f.enqueue(bound(Backlog{Jobs: 9}, f.jobs(3, "q", nil)...)...)
	if counted.reads != 1 {
		t.Errorf("%d reads for a batch of a bounded queue, want 1", counted.reads)
	}
}

type countingEngine struct {
	engine.Engine
	reads int
}

// unreadable is an engine that answers no Get while it is broken.
type unreadable struct {
	engine.Engine
	broken bool
}

func (e *unreadable) Get(c context.Context, shard int, keys ...[]byte) ([][]byte, error) {
	if e.broken {
		return nil, engine.ErrUnavailable
	}
	return e.Engine.Get(c, shard, keys...)
}

func (e *countingEngine) Get(c context.Context, shard int, keys ...[]byte) ([][]byte, error) {
	e.reads++
	return e.Engine.Get(c, shard, keys...)
}

func (e *countingEngine) Counters(c context.Context, shard int, names ...[]byte) ([]int64, error) {
	e.reads++
	return e.Engine.Counters(c, shard, names...)
}
