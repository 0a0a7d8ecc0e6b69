package store

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
	"github.com/orchestrix/orchestrix/store/engine/pebble"
)

// queuesOf returns a queue of each shard.
func (f *fixture) queuesOf() []string {
	queues := make([]string, f.Shards())
	for n, left := 0, len(queues); left > 0; n++ {
		name := "q" + string(rune('a'+n%26)) + string(rune('a'+n/26))
		if s := f.ShardOf(name); queues[s] == "" {
			queues[s] = name
			left--
		}
	}
	return queues
}

func (f *fixture) outgoing(queue string) Outgoing {
	nj := f.job(queue, nil)
	return Outgoing{Job: nj.Job, Payload: nj.Payload}
}

func (f *fixture) deliver(o *Owner, limit int) {
	f.Helper()
	for more := true; more; {
		var err error
		_, more, err = o.Deliver(ctx(), limit)
		f.check(err)
	}
}

// inLanes returns the ids of the ready jobs of a queue, in their order, as they
// are stored.
func (f *fixture) inLanes(queue string) (all []job.ID) {
	f.Helper()
	prefix := appendLanePrefix(nil, lane(queue))
	entries, err := f.engine.Scan(ctx(), f.ShardOf(queue), engine.Range{From: prefix, To: after(prefix), Limit: engine.MaxScan})
	f.check(err)
	for _, e := range entries {
		tag, err := parseLaneTag(e.Value)
		f.check(err)
		all = append(all, tag.id)
	}
	return all
}

func (f *fixture) outboxSize(shard int) int {
	f.Helper()
	entries, err := f.engine.Scan(ctx(), shard, engine.Range{From: []byte{spaceOutbox}, To: []byte{spaceOutbox + 1}, Limit: engine.MaxScan, KeysOnly: true})
	f.check(err)
	return len(entries)
}

func TestOutbox(t *testing.T) {
	t.Parallel()
	overEngines(t, 4, func(_ *testing.T, f *fixture) {
		queues := f.queuesOf()
		o := f.own(1)
		sent := map[string][]job.ID{}
		for range 5 {
			c := &Commit{}
			for _, q := range slices.Concat(queues, queues[2:]) {
				out := f.outgoing(q)
				c.Send = append(c.Send, out)
				sent[q] = append(sent[q], out.Job.ID)
			}
			if c.Empty() {
				f.Fatal("a commit that sends is not empty")
			}
			f.commit(c)
		}
		f.equal("in the outbox", f.outboxSize(1), 30)
		f.equal("arrived before they are delivered", len(f.offered), 0)
		n, more, err := o.Deliver(ctx(), 3)
		if f.check(err); n != 30 || more {
			f.Fatalf("3 at a time: %d, %v", n, more)
		}
		for _, q := range queues {
			f.equal("the jobs of "+q, f.inLanes(q), sent[q])
		}
		var arrived []job.ID
		for _, a := range f.offered {
			arrived = append(arrived, ids(a.Ready)...)
		}
		f.equal("told to the owners", len(arrived), 30)
		f.equal("left in the outbox", f.outboxSize(1), 0)
		if n, more, err := o.Deliver(ctx(), 3); n != 0 || more || err != nil {
			f.Fatalf("nothing is left: %d, %v, %v", n, more, err)
		}
		for shard := range f.Shards() {
			f.audit(shard)
		}
		payload, err := f.Payload(ctx(), sent[queues[3]][9])
		f.check(err)
		f.equal("payload", string(payload), "payload 30")
	})
}

// A delayed job whose time has come before it was delivered is ready.
func TestOutboxDelayedJobs(t *testing.T) {
	t.Parallel()
	overEngines(t, 2, func(_ *testing.T, f *fixture) {
		o := f.own(0)
		q := f.queuesOf()[1]
		c := &Commit{}
		for _, delay := range []time.Duration{time.Minute, time.Hour} {
			nj := f.job(q, func(j *job.Job) { j.Due = j.CreatedAt.Add(delay) })
			c.Send = append(c.Send, Outgoing{Job: nj.Job, Payload: nj.Payload})
		}
		f.commit(c)
		f.clock.advance(2 * time.Minute)
		f.deliver(o, 10)
		f.equal("ready", f.inLanes(q), []job.ID{c.Send[0].Job.ID})
		f.audit(1)
		timers, next, err := f.own(1).ReadTimers(ctx(), f.clock.Now(), 10)
		f.check(err)
		if len(timers) != 0 || !next.Equal(start.Add(time.Hour)) {
			f.Errorf("timers %v, the next at %s", timers, next)
		}
	})
}

func TestOutboxRefusesWhatItCannotDeliver(t *testing.T) {
	t.Parallel()
	f, _ := modelFixture(t, 2)
	f.own(0)
	for name, change := range map[string]func(*job.Job){
		"a shard that is not":  func(j *job.Job) { j.ID = job.NewID(start, 2) },
		"a job that has ended": func(j *job.Job) { j.Status = job.Dead },
		"an idempotency key":   func(j *job.Job) { j.IdempotencyKey = "k" },
		"a unique job":         func(j *job.Job) { j.Unique = &job.Unique{} },
	} {
		nj := f.job("q", change)
		if err := f.owner.Commit(ctx(), &Commit{Send: []Outgoing{{Job: nj.Job, Payload: nj.Payload}}}); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	out := f.outgoing("q")
	out.Payload = make([]byte, maxOutgoing+1)
	if err := f.owner.Commit(ctx(), &Commit{Send: []Outgoing{out}}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a payload that is too long: %v", err)
	}
	f.equal("in the outbox", f.outboxSize(0), 0)
}

// A target that is away holds up nobody else.
func TestOutboxPassesATargetThatIsAway(t *testing.T) {
	t.Parallel()
	f, e := modelFixture(t, 3)
	o := f.own(0)
	queues := f.queuesOf()
	c := &Commit{}
	for _, q := range queues {
		c.Send = append(c.Send, f.outgoing(q))
	}
	f.commit(c)
	e.Fail = func(op string, shard int) error {
		if shard == 1 {
			return ErrUnavailable
		}
		return nil
	}
	if n, more, err := o.Deliver(ctx(), 10); n != 2 || !more || !errors.Is(err, ErrUnavailable) {
		t.Fatalf("%d, %v, %v", n, more, err)
	}
	e.Fail = nil
	f.equal("waits for it", f.outboxSize(0), 1)
	f.deliver(o, 10)
	f.equal("has come", f.inLanes(queues[1]), []job.ID{c.Send[1].Job.ID})
}

// Whatever fails on the way, and although owners change and former ones still
// deliver, each entry is taken once and in order, and nothing is left behind.
func TestOutboxDeliversOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		f, e := modelFixture(t, 3)
		queues := f.queuesOf()
		owners := []*Owner{f.own(0)}
		sent := map[string][]job.ID{}
		faults := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "faults"), 1))
		var mu sync.Mutex
		trouble := false
		e.Fail = func(string, int) error {
			mu.Lock()
			defer mu.Unlock()
			if trouble && faults.IntN(4) == 0 {
				return ErrUnavailable
			}
			return nil
		}
		e.Ambiguous = func(op string, _ int) bool {
			mu.Lock()
			defer mu.Unlock()
			return trouble && op == "apply" && faults.IntN(3) == 0
		}
		setTrouble := func(on bool) {
			mu.Lock()
			defer mu.Unlock()
			trouble = on
		}
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			switch rapid.IntRange(0, 4).Draw(rt, "step") {
			case 0, 1:
				c := &Commit{}
				for range rapid.IntRange(1, 4).Draw(rt, "entries") {
					q := rapid.SampledFrom(queues).Draw(rt, "queue")
					out := f.outgoing(q)
					c.Send = append(c.Send, out)
					sent[q] = append(sent[q], out.Job.ID)
				}
				f.commit(c)
			case 2: // one of the owners, perhaps a former one, with faults
				setTrouble(true)
				o := rapid.SampledFrom(owners).Draw(rt, "owner")
				_, _, err := o.Deliver(ctx(), rapid.IntRange(1, 5).Draw(rt, "limit"))
				setTrouble(false)
				if err != nil && !errors.Is(err, ErrUnavailable) {
					rt.Fatal(err)
				}
			case 3: // two at once
				var wg sync.WaitGroup
				for range 2 {
					o := rapid.SampledFrom(owners).Draw(rt, "owner")
					wg.Go(func() {
						if _, _, err := o.Deliver(ctx(), 3); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
			case 4:
				f.check(f.owner.Release(ctx()))
				owners = append(owners, f.own(0))
			}
		}
		f.deliver(f.owner, 2)
		for _, q := range queues {
			f.equal("the jobs of "+q, f.inLanes(q), sent[q])
		}
		f.equal("left", f.outboxSize(0), 0)
	})
}

// TestOutboxCrash loses everything that was not made durable while entries are
// written and delivered. What was committed arrives once, and what was not
// is there as a whole or not at all.
func TestOutboxCrash(t *testing.T) {
	t.Parallel()
	crashes := 8
	if testing.Short() {
		crashes = 2
	}
	for n := range crashes {
		fs := vfs.NewCrashableMem()
		f, closeStore := openShards(t, fs, 3)
		queues := f.queuesOf()
		f.own(0)
		var mu sync.Mutex
		var committed []job.ID
		enough, done := make(chan struct{}), make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := 0; running(done); i++ {
				c := &Commit{}
				for _, q := range queues {
					c.Send = append(c.Send, f.outgoing(q))
				}
				if err := f.owner.Commit(ctx(), c); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for _, out := range c.Send {
					committed = append(committed, out.Job.ID)
				}
				mu.Unlock()
				if i == 20*(n+1) {
					close(enough)
				}
			}
		})
		wg.Go(func() {
			for running(done) {
				if _, _, err := f.owner.Deliver(ctx(), 7); err != nil {
					t.Error(err)
					return
				}
			}
		})
		<-enough
		mu.Lock()
		durable := slices.Clone(committed)
		mu.Unlock()
		crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rand.New(rand.NewPCG(uint64(n), 7))})
		close(done)
		wg.Wait()
		closeStore()

		after, closeStore := openShards(t, crashed, 3)
		after.own(0)
		after.deliver(after.owner, 7)
		times := map[job.ID]int{}
		for shard, q := range queues {
			after.audit(shard)
			for _, id := range after.inLanes(q) {
				times[id]++
			}
		}
		for _, id := range durable {
			if times[id] != 1 {
				t.Fatalf("%s was committed, and arrived %d times", id, times[id])
			}
		}
		if len(times)%len(queues) != 0 {
			t.Errorf("%d jobs arrived: a part of a commit", len(times))
		}
		for id, n := range times {
			if n != 1 {
				t.Errorf("%s arrived %d times", id, n)
			}
		}
		closeStore()
	}
}

func openShards(t *testing.T, fs vfs.FS, shards int) (*fixture, func()) {
	t.Helper()
	e, err := pebble.Open("data", pebble.Options{Shards: shards, FS: fs, MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	return newFixture(t, e, &clock{now: start}), func() { e.Close() }
}

// A delivery that is given up by its caller is told, and may be repeated.
func TestOutboxOfACallerThatGivesUp(t *testing.T) {
	t.Parallel()
	f, _ := modelFixture(t, 2)
	o := f.own(0)
	f.commit(&Commit{Send: []Outgoing{f.outgoing(f.queuesOf()[1])}})
	ended, cancel := context.WithCancel(ctx())
	cancel()
	if _, more, err := o.Deliver(ended, 10); !more || !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", more, err)
	}
	f.deliver(o, 10)
	f.equal("left", f.outboxSize(0), 0)
}

// Another owner delivers between the read of what the target has and the
// delivery: all of it, or a part.
func TestOutboxOvertaken(t *testing.T) {
	t.Parallel()
	for _, part := range []int{2, 10} {
		f, e := modelFixture(t, 2)
		former := f.own(0)
		q := f.queuesOf()[1]
		c := &Commit{}
		var sent []job.ID
		for range 5 {
			out := f.outgoing(q)
			c.Send, sent = append(c.Send, out), append(sent, out.Job.ID)
		}
		f.commit(c)
		f.check(former.Release(ctx()))
		next := f.own(0)
		overtakes, scans := true, 0
		e.Fail = func(op string, _ int) error {
			if op == "scan" && !overtakes { // of the next owner, until its call is over
				if scans++; scans == 2 {
					return ErrUnavailable
				}
			}
			if op == "now" && overtakes {
				overtakes = false
				if n, _, err := next.Deliver(ctx(), part); n != min(part, 5) || (err != nil) != (part < 5) {
					t.Errorf("the next owner delivers %d, %v", n, err)
				}
				scans = 2
			}
			return nil
		}
		if _, _, err := former.Deliver(ctx(), 10); err != nil || overtakes {
			t.Errorf("the former owner: %v", err)
		}
		f.equal("the jobs", f.inLanes(q), sent)
		f.equal("left", f.outboxSize(0), 0)
		f.audit(1)
	}
}

// Large entries are delivered a few at a time, whatever the limit.
func TestOutboxOfLargeEntries(t *testing.T) {
	t.Parallel()
	f, _ := modelFixture(t, 2)
	o := f.own(0)
	c := &Commit{}
	for range 4 {
		out := f.outgoing(f.queuesOf()[1])
		out.Payload = make([]byte, maxBatchBytes*2/5)
		c.Send = append(c.Send, out)
	}
	f.commit(c)
	if n, more, err := o.Deliver(ctx(), 10_000); n != 2 || !more || err != nil {
		t.Errorf("of 4 were delivered %d, %v, %v", n, more, err)
	}
	f.deliver(o, 10)
	f.equal("delivered", len(f.inLanes(f.queuesOf()[1])), 4)
}
