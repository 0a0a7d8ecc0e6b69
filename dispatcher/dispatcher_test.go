package dispatcher

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/store/engine"
	"github.com/orchestrix/orchestrix/store/engine/model"
	"github.com/orchestrix/orchestrix/webhook/push"
)

var bothEngines = map[string]func(testing.TB, int) engine.Engine{
	"pebble": memory,
	"model":  func(_ testing.TB, shards int) engine.Engine { return model.New(shards, nil) },
}

func TestEveryJobIsPushed(t *testing.T) {
	t.Parallel()
	for name, open := range bothEngines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, open(t, 8), nil)
			before := w.enqueue("q0", 100) // read back when the shard is taken
			if n := len(w.d.loops[w.store.ShardOf("q0")].events); n != 0 {
				t.Errorf("%d events are kept for a machine that is not there", n)
			}
			w.start()
			settled, stop := w.d.Watch(before[99])
			defer stop()
			w.enqueue("q1", 200)
			w.enqueue("q2", 50, func(j *job.Job) { j.Due = j.CreatedAt.Add(5 * time.Millisecond) })
			w.enqueue("q2", 50, func(j *job.Job) { j.URL = w.worker.URL })
			w.untilSucceeded(400)
			<-settled
			if jobs, pushes := w.worker.count(); jobs != 400 || pushes != 400 {
				t.Errorf("%d jobs were pushed %d times", jobs, pushes)
			}
			j := w.job(before[0])
			if len(j.Attempts) != 1 || j.Attempts[0].Worker != "w" || j.Attempts[0].StatusCode != http.StatusOK {
				t.Errorf("attempts: %+v", j.Attempts)
			}
			w.until("all is quiet", func() bool {
				got := w.d.Totals()
				return got.InFlight == 0 && got.Settled[job.Succeeded] == 400 // which are shown a moment after they are stored
			})
			got := w.d.Totals()
			if got.Started != 400 || got.Attempts[job.OutcomeSucceeded] != 400 || got.Settled[job.Succeeded] != 400 ||
				got.WindowJobs != 0 || got.WindowBytes != 0 || got.Lost != 0 || got.Commits == 0 {
				t.Errorf("totals: %+v", got)
			}
			if live := w.d.WorkerLive("w"); live.Succeeded != 350 || live.LastSuccess.IsZero() || live.InFlight != 0 {
				t.Errorf("worker: %+v", live)
			}
			if live := w.d.QueueLive("q1"); live.InFlight != 0 || live.Throughput <= 0 || live.Blocked != "" {
				t.Errorf("queue: %+v", live)
			}
		})
	}
}

func TestFailedJobsAreRetried(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memory(t, 2), func(rw http.ResponseWriter, _ *http.Request, push int) {
		if push < 3 {
			http.Error(rw, "not yet", http.StatusInternalServerError)
		}
	})
	w.start()
	ids := w.enqueue("q0", 40)
	dead := w.enqueue("q1", 3, func(j *job.Job) { j.Retry.MaxAttempts = 2 })
	w.untilSucceeded(40)
	w.until("3 are dead", func() bool { return w.counts().Dead == 3 })
	if j := w.job(ids[7]); j.Failures != 2 || j.Attempt != 3 || len(j.Attempts) != 3 {
		t.Errorf("%d failures, %d attempts", j.Failures, j.Attempt)
	}
	if j := w.job(dead[0]); j.Reason != job.ReasonMaxAttempts {
		t.Errorf("dead of %q", j.Reason)
	}
}

func TestGoneWorkerIsReported(t *testing.T) {
	t.Parallel()
	gone := make(chan string, 1)
	w := newWorld(t, memory(t, 1), func(rw http.ResponseWriter, _ *http.Request, _ int) { rw.WriteHeader(http.StatusGone) },
		func(o *Options) { o.OnGone = func(worker string) { gone <- worker } })
	w.start()
	w.enqueue("q0", 1)
	if name := <-gone; name != "w" {
		t.Errorf("%q is gone", name)
	}
}

// TestCancelRunning: the worker sees its request closed at once, and not when
// the attempt would have timed out.
func TestCancelRunning(t *testing.T) {
	t.Parallel()
	closed := make(chan time.Time, 1)
	w := newWorld(t, memory(t, 4), func(_ http.ResponseWriter, r *http.Request, _ int) {
		<-r.Context().Done()
		closed <- time.Now()
	})
	w.start()
	id := w.enqueue("q0", 1)[0]
	w.until("the job is running", func() bool { return slices.Equal(w.d.Running(id, job.ID{}), []bool{true, false}) })
	w.until("it has reached the worker", func() bool { n, _ := w.worker.count(); return n == 1 })
	settled, stop := w.d.Watch(id)
	defer stop()
	asked := time.Now()
	if _, err := w.store.Send(context.Background(), store.Command{Kind: store.CommandCancel, ID: id}); err != nil {
		t.Fatal(err)
	}
	w.d.Wake(id.Shard())
	if took := (<-closed).Sub(asked); took > time.Second {
		t.Errorf("the request was closed after %s", took)
	}
	<-settled
	if j := w.job(id); j.Status != job.Cancelled || j.Attempts[0].Outcome != job.OutcomeCancelled {
		t.Errorf("%s %+v", j.Status, j.Attempts)
	}
	w.until("its place is free", func() bool { return w.d.Totals().InFlight == 0 })
}

func TestStopWaitsForPushes(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	w := newWorld(t, memory(t, 4), hangs(release))
	w.start()
	w.enqueue("q0", 60) // 50 of them at once
	w.until("50 are pushed", func() bool { n, _ := w.worker.count(); return n == 50 })
	stopped := make(chan error)
	go func() { stopped <- w.d.Stop(context.Background()) }()
	w.until("the dispatcher drains", w.d.draining.Load)
	select {
	case err := <-stopped:
		t.Fatalf("Stop has not waited: %v", err)
	default:
	}
	close(release)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	if c := w.counts(); c.Succeeded != 50 || c.Waiting != 10 {
		t.Errorf("%+v", c)
	}
	w.start()
	w.untilSucceeded(60)
	if lost := w.d.Totals().Lost; lost != 0 {
		t.Errorf("%d attempts are booked as lost after a clean stop", lost)
	}
}

func TestStopAborts(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	w := newWorld(t, memory(t, 4), hangs(release))
	w.start()
	id := w.enqueue("q0", 50)[0]
	w.until("all are pushed", func() bool { n, _ := w.worker.count(); return n == 50 })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := w.d.Stop(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Stop: %v", err)
	}
	j := w.job(id)
	if j.Status != job.Waiting || j.Attempt != 1 || j.Attempts[0].Outcome != job.OutcomeLost || j.Attempts[0].Reason != job.ReasonShutdown || j.Losses != 0 {
		t.Errorf("booked as %+v", j)
	}
	close(release)
	w.start()
	w.untilSucceeded(50)
	if lost := w.d.Totals().Lost; lost != 0 {
		t.Errorf("%d attempts are left to the next owner", lost)
	}
}

// TestConfigureIsLive: what Configure says holds for all that is enqueued after
// it has returned.
func TestConfigureIsLive(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memory(t, 8), nil)
	w.start()
	paused, resumed := w.config, w.config
	paused.DefaultQueue.Paused = true
	total := 0
	for range 20 {
		w.d.Configure(paused)
		_, before := w.worker.count()
		w.enqueue("q0", 5)
		total += 5
		w.until("they are known to wait", func() bool { return w.d.QueueLive("q0").Blocked == blockedPaused })
		if _, pushes := w.worker.count(); pushes != before {
			t.Fatal("a job was pushed while its queue was paused")
		}
		w.d.Configure(resumed)
		w.untilSucceeded(total)
	}
}

// TestDestinationIsKept: the prepared destination of a worker that did not
// change is not built anew.
func TestDestinationIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memory(t, 1), nil)
	first := w.d.config.Load().Workers[0].destination
	w.d.Configure(w.config)
	if w.d.config.Load().Workers[0].destination != first {
		t.Error("an unchanged worker has a new destination")
	}
	changed := w.config
	again := *changed.Workers[0]
	again.Version++
	changed.Workers = []*Worker{&again}
	w.d.Configure(changed)
	if w.d.config.Load().Workers[0].destination == first {
		t.Error("a changed worker has its old destination")
	}
}

func TestInvalidDestination(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memory(t, 1), nil, func(o *Options) {
		bad := *o.Config.Workers[0]
		bad.Secrets = nil // nothing is pushed unsigned
		o.Config.Workers = []*Worker{&bad}
	})
	w.start()
	id := w.enqueue("q0", 1, func(j *job.Job) { j.Retry.MaxAttempts = 1 })[0]
	w.until("it is dead", func() bool { return w.counts().Dead == 1 })
	if a := w.job(id).Attempts[0]; a.Reason != job.ReasonInvalidRequest || a.Outcome != job.OutcomeFailed {
		t.Errorf("%+v", a)
	}
	if n, _ := w.worker.count(); n != 0 {
		t.Error("something was pushed")
	}
}

// faults is what a model engine is told to fail with.
type faults struct {
	err atomic.Pointer[error]
	ops atomic.Pointer[string] // those that fail; nil for all
	n   atomic.Int64           // calls that failed
}

func (f *faults) fail(op string, _ int) error {
	err, ops := f.err.Load(), f.ops.Load()
	if err == nil || ops != nil && !strings.Contains(*ops, op) {
		return nil
	}
	f.n.Add(1)
	return *err
}

func faultyWorld(t *testing.T, answer func(http.ResponseWriter, *http.Request, int)) (*world, *faults) {
	e := model.New(4, nil)
	f := new(faults)
	e.Fail = f.fail
	return newWorld(t, e, answer), f
}

// TestStoreAwayAndBack: while the store is away the pushes in flight go on, and
// who asks is answered; when it is back all is booked, and nothing was pushed
// twice.
func TestStoreAwayAndBack(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	w, f := faultyWorld(t, hangs(release))
	w.start()
	w.enqueue("q0", 50)
	w.until("all are pushed", func() bool { n, _ := w.worker.count(); return n == 50 })
	f.err.Store(&store.ErrUnavailable)
	close(release)
	w.until("the store was asked in vain", func() bool { w.d.QueueLive("q0"); return f.n.Load() > 20 })
	f.err.Store(nil)
	w.untilSucceeded(50)
	w.enqueue("q1", 50)
	w.untilSucceeded(100)
	got := w.d.Totals()
	if _, pushes := w.worker.count(); pushes != 100 || got.Lost != 0 {
		t.Errorf("100 jobs were pushed %d times, %d lost", pushes, got.Lost)
	}
}

// TestFlakyStore: any operation may fail at any time, with or without having
// been carried out.
func TestFlakyStore(t *testing.T) {
	t.Parallel()
	e := model.New(4, nil)
	var on atomic.Bool
	e.Fail = func(string, int) error {
		if on.Load() && rand.IntN(5) == 0 {
			return store.ErrUnavailable
		}
		return nil
	}
	e.Ambiguous = func(op string, _ int) bool { return op == "apply" && on.Load() && rand.IntN(5) == 0 }
	w := newWorld(t, e, nil)
	w.start()
	jobs := w.jobs("q0", 60)
	on.Store(true)
	for i := range jobs {
		for {
			if _, err := w.store.Enqueue(context.Background(), w.store.ShardOf("q0"), jobs[i:i+1]); err == nil {
				break
			}
		}
	}
	w.until("all are pushed", func() bool { n, _ := w.worker.count(); return n == 60 })
	on.Store(false)
	w.untilSucceeded(60)
}

// TestShardIsTakenAnew: after an error that says that the shard's history is
// another, it is taken again, and nothing is lost.
func TestShardIsTakenAnew(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]error{"fenced": store.ErrFenced, "history": store.ErrHistory, "corrupt": engine.ErrCorrupt} {
		for _, ops := range []string{"apply", "scan", "renew now"} {
			t.Run(name+" "+ops, func(t *testing.T) {
				t.Parallel()
				release := make(chan struct{})
				w, f := faultyWorld(t, hangs(release))
				w.start()
				w.enqueue("q0", 30)
				w.until("all are pushed", func() bool { n, _ := w.worker.count(); return n == 30 })
				f.ops.Store(&ops)
				f.err.Store(&fault)
				done := make(chan struct{})
				go func() { // nobody who asks is left without an answer
					defer close(done)
					for range 50 {
						w.d.Totals()
						w.d.Configure(w.config)
					}
				}()
				close(release)
				w.d.Wake(w.store.ShardOf("q0"))
				w.until("it fails", func() bool { return f.n.Load() > 0 })
				f.err.Store(nil)
				<-done
				w.untilSucceeded(30)
				w.enqueue("q1", 10)
				w.untilSucceeded(40)
			})
		}
	}
}

// TestStopWhileTheStoreIsAway: Stop comes to its end all the same.
func TestStopWhileTheStoreIsAway(t *testing.T) {
	t.Parallel()
	w, f := faultyWorld(t, nil)
	w.start()
	w.enqueue("q0", 5)
	w.untilSucceeded(5)
	f.err.Store(&store.ErrFenced)
	for shard := range 4 {
		w.d.Wake(shard)
	}
	w.until("the shards are lost", func() bool { return f.n.Load() > 8 })
	f.err.Store(&store.ErrUnavailable)
	if err := w.d.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	f.err.Store(nil)
}

func TestStartFails(t *testing.T) {
	t.Parallel()
	w, f := faultyWorld(t, nil)
	f.err.Store(&engine.ErrCorrupt)
	if err := w.d.Start(context.Background()); !errors.Is(err, engine.ErrCorrupt) {
		t.Errorf("Start: %v", err)
	}
	f.err.Store(&store.ErrUnavailable)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := w.d.Start(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Start: %v", err)
	}
	f.err.Store(nil)
	w.start()
	w.enqueue("q0", 5)
	w.untilSucceeded(5)
}

func TestStartAndStopMayBeRepeated(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memory(t, 4), nil)
	if err := w.d.Stop(context.Background()); err != nil {
		t.Errorf("Stop before Start: %v", err)
	}
	for n := 1; n <= 3; n++ {
		w.start()
		w.start()
		w.enqueue("q0", 10)
		w.untilSucceeded(10 * n)
		for range 2 {
			if err := w.d.Stop(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.d.Configure(w.config) // of no use, and no harm
	if w.d.Totals().Started != 30 || w.d.Running(job.ID{})[0] || w.d.QueueLive("q0") != (QueueLive{}) {
		t.Error("a stopped dispatcher is live")
	}
}

// TestLifecycleStress calls everything at once.
func TestLifecycleStress(t *testing.T) {
	t.Parallel()
	rounds := 60
	if testing.Short() {
		rounds = 15
	}
	w := newWorld(t, memory(t, 4), nil)
	var wait sync.WaitGroup
	var sent atomic.Int64
	each := func(f func(i int)) {
		wait.Go(func() {
			for i := range rounds {
				f(i)
			}
		})
	}
	for range 2 {
		each(func(int) {
			if err := w.d.Start(context.Background()); err != nil {
				t.Error(err)
			}
		})
		each(func(i int) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i%3)*time.Millisecond)
			defer cancel()
			_ = w.d.Stop(ctx) // its ctx may end first
		})
	}
	each(func(int) { w.d.Configure(w.config) })
	each(func(int) { w.d.Totals() })
	each(func(i int) {
		ids := w.enqueue("q0", 3)
		sent.Add(3)
		settled, stop := w.d.Watch(ids[0])
		defer stop()
		w.d.Running(ids...)
		w.d.Wake(i % 4)
		select {
		case <-settled:
		case <-time.After(time.Millisecond):
		}
	})
	each(func(int) { w.d.QueueLive("q0"); w.d.WorkerLive("w") })
	wait.Wait()
	w.start()
	w.untilSucceeded(int(sent.Load()))
	if n := w.d.watchers.n.Load(); n != 0 {
		t.Errorf("%d watches are left", n)
	}
}

// TestIdleDispatcherOnlyRenews: nothing to do costs nothing but the leases.
func TestIdleDispatcherOnlyRenews(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := model.New(64, nil)
		var mu sync.Mutex
		ops := make(map[string]int)
		e.Fail = func(op string, _ int) error {
			mu.Lock()
			defer mu.Unlock()
			ops[op]++
			return nil
		}
		d := New(Options{Store: store.New(e), Push: push.New(push.Options{})})
		if err := d.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		turns := d.totals.turns.Load()
		mu.Lock()
		clear(ops)
		mu.Unlock()
		time.Sleep(50 * time.Second) // of the bubble's clock; short of a look at what is retained
		synctest.Wait()
		if n := d.totals.turns.Load() - turns; n != 0 {
			t.Errorf("%d turns of idle loops", n)
		}
		mu.Lock()
		if len(ops) != 1 || ops["renew"] > 64*16 || ops["renew"] < 64*14 {
			t.Errorf("an idle dispatcher calls %v", ops)
		}
		mu.Unlock()
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := d.totals.turns.Load() - turns; n > 64*62 {
			t.Errorf("%d turns in an hour, one a minute and shard are expected", n)
		}
		if err := d.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func TestWatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memory(t, 1), nil)
	id := w.jobs("q0", 1)[0].Job.ID
	first, stopFirst := w.d.Watch(id)
	second, stopSecond := w.d.Watch(id)
	stopFirst()
	stopFirst()
	w.d.watchers.settled(id)
	w.d.watchers.settled(id)
	<-second
	select {
	case <-first:
		t.Error("a watch that has ended is told")
	default:
	}
	stopSecond()
	if n, m := w.d.watchers.n.Load(), len(w.d.watchers.ids); n != 0 || m != 0 {
		t.Errorf("%d watches of %d jobs are left", n, m)
	}
}
