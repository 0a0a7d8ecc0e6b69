package store

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
	"github.com/orchestrix/orchestrix/store/engine/model"
)

func withKey(key string) func(*job.Job) { return func(j *job.Job) { j.IdempotencyKey = key } }

func TestEnqueue(t *testing.T) {
	t.Parallel()
	overEngines(t, 2, func(t *testing.T, f *fixture) {
		later := start.Add(time.Hour)
		jobs := []NewJob{
			f.job("q", nil),
			f.job("q", func(j *job.Job) { j.Due = later; j.RunAt = later }),
			f.job("q", func(j *job.Job) { j.Key = "k" }),
		}
		results := f.enqueue(jobs...)
		for i, r := range results {
			if r.Job != jobs[i].Job || r.Existing || r.Conflict {
				t.Errorf("result %d: %+v", i, r)
			}
			got, err := f.Job(ctx(), r.Job.ID)
			f.check(err)
			f.equal("stored job", got, r.Job)
			payload, err := f.Payload(ctx(), r.Job.ID)
			f.check(err)
			f.equal("payload", payload, jobs[i].Payload)
		}
		counts, err := f.Counts(ctx(), "q")
		f.check(err)
		f.equal("counts", counts, Counts{Waiting: 3, Scheduled: 1, Bytes: 27})
		f.equal("arrivals", f.offered, []Arrivals{{
			Shard: f.ShardOf("q"), FirstSeq: 1, NextDue: later,
			Ready: []*Entry{{jobs[0].Job, jobs[0].Payload, InLane, 1}, {jobs[2].Job, jobs[2].Payload, InLane, 2}},
		}})
		f.audit(f.ShardOf("q"))
	})
}

func TestEnqueueRefuses(t *testing.T) {
	t.Parallel()
	f, _ := modelFixture(t, 2)
	good := f.job("q", nil)
	terminal := f.job("q", func(j *job.Job) { j.Status = job.Dead })
	for name, try := range map[string]func() error{
		"wrong shard": func() error { _, err := f.Enqueue(ctx(), 1-f.ShardOf("q"), []NewJob{good}); return err },
		"no shard":    func() error { _, err := f.Enqueue(ctx(), 2, []NewJob{good}); return err },
		"terminal":    func() error { _, err := f.Enqueue(ctx(), f.ShardOf("q"), []NewJob{terminal}); return err },
	} {
		if err := try(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	overEngines(t, 1, func(t *testing.T, f *fixture) {
		first, same, other, elsewhere := f.job("q", withKey("i")), f.job("q", withKey("i")), f.job("q", withKey("i")), f.job("p", withKey("i"))
		other.Digest = [32]byte{2}
		// All in one batch: the first one wins, and its twins learn of it.
		results := f.enqueue(first, same, f.job("q", nil), other, elsewhere)
		check := func(results []Enqueued) {
			t.Helper()
			f.equal("ids", []job.ID{results[0].Job.ID, results[1].Job.ID, results[3].Job.ID, results[4].Job.ID},
				[]job.ID{first.Job.ID, first.Job.ID, first.Job.ID, elsewhere.Job.ID})
			if results[0].Existing || results[0].Conflict || !results[1].Existing || results[1].Conflict || results[3].Existing || !results[3].Conflict {
				t.Errorf("results %+v", results)
			}
		}
		check(results)
		again := f.enqueue(first, same, f.job("q", nil), other, elsewhere)
		check(again)
		f.audit(0)
		f.own(0)
		if got := f.readLane(lane("q")); len(got) != 3 {
			t.Errorf("%d jobs are in the lane, want 3", len(got))
		}
	})
}

func TestIdempotencyKeyOfDeletedJobIsFree(t *testing.T) {
	t.Parallel()
	overEngines(t, 1, func(t *testing.T, f *fixture) {
		first := f.one("q", withKey("i"))
		// As an older version might have left it: the job goes, its key stays.
		_, err := f.engine.Apply(ctx(), 0, &engine.Batch{Groups: []engine.Group{{Deletes: [][]byte{appendIDKey(nil, spaceJob, first.ID), appendIDKey(nil, spacePayload, first.ID)}}}})
		f.check(err)
		second := f.job("q", withKey("i"))
		if r := f.enqueue(second); r[0].Job != second.Job || r[0].Existing || r[0].Conflict {
			t.Errorf("enqueue: %+v", r[0])
		}
		if r := f.enqueue(f.job("q", withKey("i"))); !r[0].Existing || r[0].Job.ID != second.Job.ID {
			t.Errorf("enqueue again: %+v", r[0])
		}
	})
}

func TestIdempotencyKeyIsHeldUntilItsTime(t *testing.T) {
	t.Parallel()
	f, _ := modelFixture(t, 1, IdempotencyTTL(DefaultIdempotencyTTL))
	j := f.one("q", withKey("i"))
	f.own(0)
	e := f.readLane(lane("q"))[0]
	f.commit(&Commit{Settle: []Settle{{Job: f.settled(j, job.Succeeded, job.OutcomeSucceeded), Was: e.Standing()}}})
	f.clock.advance(DefaultIdempotencyTTL - 1)
	if r := f.enqueue(f.job("q", withKey("i"))); !r[0].Existing {
		t.Fatalf("before its time: %+v", r[0])
	}
	f.clock.advance(1)
	timers, _, err := f.owner.ReadTimers(ctx(), f.clock.Now(), 10)
	f.check(err)
	if len(timers) != 1 || timers[0].Kind != TimerRelease {
		t.Fatalf("timers %+v", timers)
	}
	f.commit(&Commit{TimersDone: timers})
	if r := f.enqueue(f.job("q", withKey("i"))); r[0].Existing || r[0].Conflict {
		t.Fatalf("after its time: %+v", r[0])
	}
	// The key is another job's now: to delete the first must not free it.
	done, err := f.Job(ctx(), j.ID)
	f.check(err)
	f.commit(&Commit{Delete: []*job.Job{done}})
	if r := f.enqueue(f.job("q", withKey("i"))); !r[0].Existing {
		t.Fatalf("after the first was deleted: %+v", r[0])
	}
	f.audit(0)
}

func TestAmbiguousEnqueueIsRepeated(t *testing.T) {
	t.Parallel()
	f, e := modelFixture(t, 1)
	jobs := []NewJob{f.job("q", nil), f.job("q", nil), f.job("q", withKey("i")), f.job("q", nil)}
	e.Ambiguous = func(op string, _ int) bool { return op == "apply" }
	if _, err := f.Enqueue(ctx(), 0, jobs[:3]); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("Enqueue = %v, want ErrUnavailable", err)
	}
	f.equal("arrivals", f.offered, []Arrivals{{Grown: []Lane{lane("q")}}}) // look for yourself
	e.Ambiguous = nil
	// Drawn differently: the first try's second and third, and one more between.
	results := f.enqueue(jobs[1], jobs[3], jobs[2], jobs[0])
	for i, want := range []job.ID{jobs[1].Job.ID, jobs[3].Job.ID, jobs[2].Job.ID, jobs[0].Job.ID} {
		if r := results[i]; r.Job.ID != want || r.Existing || r.Conflict {
			t.Errorf("result %d: %+v", i, r)
		}
	}
	f.audit(0)
	f.own(0)
	if got := f.readLane(lane("q")); len(got) != 4 {
		t.Errorf("%d jobs are in the lane, want 4", len(got))
	}
}

// gate holds up the applies of an engine.
type gate struct {
	*model.Engine
	open    chan struct{}
	batches []int
}

func (g *gate) Apply(ctx context.Context, shard int, b *engine.Batch) (engine.Result, error) {
	g.batches = append(g.batches, len(b.Groups))
	<-g.open
	return g.Engine.Apply(ctx, shard, b)
}

func TestConcurrentEnqueuesShareACommit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &clock{now: start}
		g := &gate{Engine: model.New(1, c.Now), open: make(chan struct{})}
		f := newFixture(t, g, c)
		cancelled, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for i := range 20 {
			nj := f.job("q", nil)
			wg.Go(func() {
				callCtx := t.Context()
				if i == 7 {
					callCtx = cancelled
				}
				results, err := f.Enqueue(callCtx, 0, []NewJob{nj})
				switch {
				case i == 7 && !errors.Is(err, context.Canceled):
					t.Errorf("the cancelled call: %v", err)
				case i != 7 && (err != nil || results[0].Job != nj.Job):
					t.Errorf("call %d: %+v, %v", i, results, err)
				}
			})
			synctest.Wait()
		}
		cancel()
		synctest.Wait()
		close(g.open)
		wg.Wait()
		f.equal("groups of each batch", g.batches, []int{1, 18})
		if len(f.offered) != 2 || len(f.offered[1].Ready) != 18 || f.offered[1].FirstSeq != 2 {
			t.Errorf("arrivals %+v", f.offered)
		}
	})
}

func TestManyJobsAreSplit(t *testing.T) {
	t.Parallel()
	f, _ := modelFixture(t, 1)
	var jobs []NewJob
	for range 2*maxBatchJobs + 1 {
		jobs = append(jobs, f.job("q", nil))
	}
	jobs[5].Payload = make([]byte, maxBatchBytes) // does not fit with the others
	results, err := f.Enqueue(ctx(), 0, jobs)
	f.check(err)
	for i, r := range results {
		if r.Job != jobs[i].Job {
			t.Fatalf("result %d is of %s", i, r.Job.ID)
		}
	}
	var sizes []int
	next := uint64(1)
	for _, a := range f.offered {
		if sizes = append(sizes, len(a.Ready)); a.FirstSeq != next {
			t.Errorf("a batch begins at %d, want %d", a.FirstSeq, next)
		}
		next += uint64(len(a.Ready))
	}
	f.equal("batches", sizes, []int{5, 1, maxBatchJobs, maxBatchJobs - 5})
}

// Many clients at once, one hook: the arrivals of a shard are in the order of
// their numbers, without a hole.
func TestArrivalsAreInOrder(t *testing.T) {
	t.Parallel()
	overEngines(t, 1, func(t *testing.T, f *fixture) {
		var wg sync.WaitGroup
		for range 8 {
			jobs := make([][]NewJob, 20)
			for i := range jobs {
				jobs[i] = []NewJob{f.job("q", nil), f.job("q", nil)}
			}
			wg.Go(func() {
				for _, some := range jobs {
					if _, err := f.Enqueue(ctx(), 0, some); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		var seqs []uint64
		for _, a := range f.offered {
			for _, e := range a.Ready {
				seqs = append(seqs, e.Seq)
			}
		}
		if len(seqs) != 320 || !slices.IsSorted(seqs) || seqs[319] != 320 {
			t.Errorf("%d numbers, sorted: %v", len(seqs), slices.IsSorted(seqs))
		}
		f.audit(0)
	})
}
