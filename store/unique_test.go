package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
	"github.com/orchestrix/orchestrix/store/engine/model"
)

// unique makes a job unique by its type, so that all of a queue's conflict.
func unique(until job.UniqueUntil) func(*job.Job) {
	u := job.Unique{By: []job.UniquePart{job.PartType}, Until: until}
	if until == job.UntilTTL {
		u.TTL = job.Duration(time.Minute)
	}
	return func(j *job.Job) {
		j.Unique = u.WithDefaults()
		j.Unique.SetDigest(j, nil)
	}
}

// held checks that an enqueue of a unique job finds another one.
func (f *fixture) held(queue string, by job.ID) {
	f.Helper()
	if r := f.enqueue(f.job(queue, unique(job.UntilTerminal)))[0]; !r.Held || r.Job.ID != by {
		f.Fatalf("want the lock held by %s: %+v", by, r)
	}
}

// claimOne claims the first job of a lane, and returns how it stands then.
func (f *fixture) claimOne(queue string) (*Entry, uint64) {
	f.Helper()
	e := f.readLane(lane(queue))[0]
	claim := f.owner.NextCommit()
	f.commit(&Commit{Claim: []ClaimEntry{f.claimOf(e)}})
	return &Entry{Job: e.Job, Payload: e.Payload, Place: InClaim}, claim
}

func (f *fixture) end(e *Entry, claim uint64, status job.Status) *job.Job {
	f.Helper()
	j := f.settled(e.Job, status, job.OutcomeSucceeded)
	f.commit(&Commit{Settle: []Settle{{Job: j, Was: e.Standing()}}, ClaimsDone: []uint64{claim}})
	return j
}

func TestUniqueLock(t *testing.T) {
	t.Parallel()
	overEngines(t, 1, func(t *testing.T, f *fixture) {
		first, twin, elsewhere := f.job("q", unique(job.UntilTerminal)), f.job("q", unique(job.UntilStarted)), f.job("p", unique(job.UntilTerminal))
		other := f.job("q", unique(job.UntilTerminal))
		other.Job.Type = "other"
		other.Job.Unique.SetDigest(other.Job, nil)
		results := f.enqueue(first, f.job("q", nil), twin, elsewhere, other)
		for i, want := range []struct {
			id   job.ID
			held bool
		}{0: {first.Job.ID, false}, 2: {first.Job.ID, true}, 3: {elsewhere.Job.ID, false}, 4: {other.Job.ID, false}} {
			if r := results[i]; i != 1 && (r.Job.ID != want.id || r.Held != want.held || r.Existing || r.Conflict || r.Pending) {
				t.Errorf("result %d: %+v", i, r)
			}
		}
		got, err := f.Job(ctx(), first.Job.ID)
		f.check(err)
		f.equal("stored", got.Unique, first.Job.Unique)
		f.audit(0)
	})
}

func TestUniqueUntil(t *testing.T) {
	t.Parallel()
	overEngines(t, 3, func(t *testing.T, f *fixture) {
		shard := f.ShardOf("q")
		f.own(shard)
		for _, until := range []job.UniqueUntil{job.UntilStarted, job.UntilTerminal} {
			f.one("q", unique(until))
			e, claim := f.claimOne("q")
			next := e.Job.ID
			if until == job.UntilStarted {
				next = f.one("q", unique(job.UntilTerminal)).ID
			}
			f.held("q", next)
			// That the first one ends frees its own lock, and no other's.
			done := f.end(e, claim, job.Succeeded)
			if until == job.UntilStarted {
				f.held("q", next)
				e, claim := f.claimOne("q")
				f.end(e, claim, job.Dead)
			}
			f.audit(shard)
			f.commit(&Commit{Delete: []*job.Job{done}})
		}
		if r := f.enqueue(f.job("q", unique(job.UntilTerminal)))[0]; r.Held {
			t.Errorf("the lock is held after all have ended: %+v", r)
		}
		f.audit(shard)
	})
}

func TestUniqueUntilTTL(t *testing.T) {
	t.Parallel()
	f, _ := modelFixture(t, 1)
	f.own(0)
	first := f.one("q", unique(job.UntilTTL))
	if got := f.offered[0].NextDue; !got.Equal(start.Add(time.Minute)) {
		t.Errorf("the first timer fires at %s", got)
	}
	e, claim := f.claimOne("q")
	f.end(e, claim, job.Succeeded)
	f.clock.advance(time.Minute - time.Millisecond)
	f.held("q", first.ID)
	f.clock.advance(time.Millisecond)
	timers, _, err := f.owner.ReadTimers(ctx(), f.clock.Now(), 10)
	f.check(err)
	if len(timers) != 1 || timers[0].Kind != TimerUnlock {
		t.Fatalf("timers %+v", timers)
	}
	f.commit(&Commit{TimersDone: timers})
	second := f.job("q", unique(job.UntilTTL))
	if r := f.enqueue(second)[0]; r.Held {
		t.Fatalf("after its time: %+v", r)
	}
	// The second one goes before its time, and its lock and timer with it.
	e, claim = f.claimOne("q")
	f.commit(&Commit{Delete: []*job.Job{f.end(e, claim, job.Dead)}})
	if _, next, err := f.owner.ReadTimers(ctx(), f.clock.Now(), 10); err != nil || !next.IsZero() {
		t.Errorf("a timer is left at %s, %v", next, err)
	}
	if r := f.enqueue(f.job("q", unique(job.UntilTTL)))[0]; r.Held {
		t.Errorf("after its deletion: %+v", r)
	}
	f.audit(0)
}

// An older try's timer must not end the lock that a later job has.
func TestUniqueLockOfAnotherStays(t *testing.T) {
	t.Parallel()
	f, _ := modelFixture(t, 1)
	f.own(0)
	first := f.one("q", unique(job.UntilTTL))
	f.replace(first.ID, f.job("q", unique(job.UntilTerminal)))
	second := f.answerReplace()
	f.clock.advance(time.Minute)
	timers, _, err := f.owner.ReadTimers(ctx(), f.clock.Now(), 10)
	f.check(err)
	f.commit(&Commit{TimersDone: timers})
	f.held("q", second)
	was, err := f.Job(ctx(), first.ID)
	f.check(err)
	f.commit(&Commit{Delete: []*job.Job{was}})
	f.held("q", second)
	f.audit(0)
}

func TestUniqueRedrive(t *testing.T) {
	t.Parallel()
	for _, until := range []job.UniqueUntil{job.UntilStarted, job.UntilTerminal, job.UntilTTL} {
		f, _ := modelFixture(t, 1)
		f.own(0)
		redrive := func(j *job.Job) *job.Job {
			stored, err := f.Job(ctx(), j.ID)
			f.check(err)
			again := *stored
			again.Status, again.Incarnation, again.Due, again.FinishedAt = job.Waiting, j.Incarnation+1, f.clock.Now(), time.Time{}
			f.commit(&Commit{Settle: []Settle{{Job: &again, Was: (&Entry{Job: stored}).Standing()}}})
			stored, err = f.Job(ctx(), j.ID)
			f.check(err)
			return stored
		}
		first := f.one("q", unique(until))
		e, claim := f.claimOne("q")
		dead := f.end(e, claim, job.Dead)
		if until == job.UntilTTL {
			f.clock.advance(time.Minute)
			timers, _, err := f.owner.ReadTimers(ctx(), f.clock.Now(), 10)
			f.check(err)
			f.commit(&Commit{TimersDone: timers})
			redrive(dead)
			if r := f.enqueue(f.job("q", unique(until)))[0]; r.Held {
				t.Errorf("%s: a redriven job has its lock again after its time", until)
			}
			continue
		}
		// The lock is free: it is taken again.
		waiting := redrive(dead)
		f.held("q", first.ID)
		dead = f.cancelled(waiting)
		// It is another's: the job runs beside it.
		second := f.one("q", unique(job.UntilTerminal))
		redrive(dead)
		f.held("q", second.ID)
		f.audit(0)
	}
}

// cancelled ends a job that waits among the timers.
func (f *fixture) cancelled(j *job.Job) *job.Job {
	f.Helper()
	next := *j
	next.Status, next.FinishedAt, next.Due = job.Cancelled, f.clock.Now(), time.Time{}
	f.commit(&Commit{Settle: []Settle{{Job: &next, Was: (&Entry{Job: j, Place: InTimers}).Standing()}}})
	return &next
}

func both(a, b func(*job.Job)) func(*job.Job) { return func(j *job.Job) { a(j); b(j) } }

func TestIdempotencyKeyIsLookedAtBeforeTheLock(t *testing.T) {
	t.Parallel()
	overEngines(t, 1, func(t *testing.T, f *fixture) {
		lock := unique(job.UntilTerminal)
		first, same, reused, other := f.job("q", both(withKey("i"), lock)), f.job("q", both(withKey("i"), lock)), f.job("q", both(withKey("i"), lock)), f.job("q", both(withKey("j"), lock))
		reused.Digest = [32]byte{2}
		for range 2 {
			results := f.enqueue(first, same, reused, other)
			if r := results[0]; r.Job.ID != first.Job.ID || r.Existing || r.Held {
				t.Errorf("the first one: %+v", r)
			}
			if r := results[1]; !r.Existing || r.Held || r.Job.ID != first.Job.ID {
				t.Errorf("its repetition: %+v", r)
			}
			if r := results[2]; !r.Conflict || r.Held {
				t.Errorf("its key with another body: %+v", r)
			}
			if r := results[3]; !r.Held || r.Existing || r.Job.ID != first.Job.ID {
				t.Errorf("its content with another key: %+v", r)
			}
		}
		// What was not stored has taken no key.
		if r := f.enqueue(f.job("q", withKey("j")))[0]; r.Existing || r.Conflict {
			t.Errorf("the other key: %+v", r)
		}
		f.audit(0)
	})
}

// A job that an earlier try stored is found also where its lock is free again, or
// another's.
func TestAmbiguousUniqueEnqueueIsRepeated(t *testing.T) {
	t.Parallel()
	f, e := modelFixture(t, 1)
	f.own(0)
	nj := f.job("q", unique(job.UntilStarted))
	e.Ambiguous = func(op string, _ int) bool { return op == "apply" }
	if _, err := f.Enqueue(ctx(), 0, []NewJob{nj}); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("Enqueue = %v, want ErrUnavailable", err)
	}
	e.Ambiguous = nil
	check := func() {
		t.Helper()
		if r := f.enqueue(nj)[0]; r.Job.ID != nj.Job.ID || r.Held || r.Existing {
			t.Errorf("repeated: %+v", r)
		}
	}
	check()
	f.claimOne("q")
	check()
	f.one("q", unique(job.UntilTerminal))
	check()
	if n := len(f.readLane(lane("q"))); n != 1 {
		t.Errorf("%d jobs are in the lane, want the second one", n)
	}
	f.audit(0)
}

// replace asks for a job in the place of another.
func (f *fixture) replace(holder job.ID, nj NewJob) uint64 {
	f.Helper()
	seq, err := f.Replace(ctx(), nj.Job.ID.Shard(), []NewJob{nj}, []job.ID{holder})
	f.check(err)
	return seq
}

// answerReplace carries out the one command in the inbox, and returns the id of the
// new job.
func (f *fixture) answerReplace() job.ID {
	f.Helper()
	commands, _, err := f.owner.ReadInbox(ctx(), 10)
	f.check(err)
	if len(commands) != 1 || commands[0].Kind != CommandReplace || !commands[0].Holds {
		f.Fatalf("commands %+v", commands)
	}
	c := commands[0]
	old := *c.Entry.Job
	old.Status, old.Reason, old.FinishedAt, old.Due = job.Cancelled, job.ReasonReplaced, f.clock.Now(), time.Time{}
	old.Unique = old.Unique.Replaced(c.New.ID)
	f.commit(&Commit{
		Consumed: []uint64{c.Seq}, Replace: []*job.Job{c.New},
		Settle: []Settle{{Job: &old, Was: c.Entry.Standing()}},
	})
	return c.New.ID
}

func TestReplace(t *testing.T) {
	t.Parallel()
	overEngines(t, 1, func(t *testing.T, f *fixture) {
		f.own(0)
		later := start.Add(time.Hour)
		for i, change := range []func(*job.Job){
			nil,
			func(j *job.Job) { j.RunAt, j.Due = later, later },
			func(j *job.Job) { j.Ordered, j.Key, j.ExpiresAt = true, "k", later },
			withKey("i"),
		} {
			queue := string(rune('a' + i))
			first := f.one(queue, unique(job.UntilTTL))
			f.readLane(lane(queue))
			nj := f.job(queue, unique(job.UntilTerminal))
			if change != nil {
				change(nj.Job)
			}
			seq := f.replace(first.ID, nj)
			f.audit(0)
			if pending, err := f.InboxPending(ctx(), 0, seq); err != nil || !pending {
				t.Errorf("the command is not in the inbox: %v", err)
			}
			if _, err := f.Job(ctx(), nj.Job.ID); !errors.Is(err, ErrNotFound) {
				t.Errorf("it is there before the owner has answered: %v", err)
			}
			f.answerReplace()
			f.audit(0)
			got, err := f.Job(ctx(), nj.Job.ID)
			f.check(err)
			nj.Job.Counted = got.Counted
			f.equal("the new job", got, nj.Job)
			payload, err := f.Payload(ctx(), nj.Job.ID)
			f.check(err)
			f.equal("its payload", payload, nj.Payload)
			was, err := f.Job(ctx(), first.ID)
			f.check(err)
			if was.Status != job.Cancelled || was.Unique.ReplacedBy != nj.Job.ID {
				t.Errorf("the old job: %+v", was)
			}
			f.held(queue, nj.Job.ID)
			if r := f.enqueue(nj)[0]; r.Job.ID != nj.Job.ID || r.Held || r.Existing {
				t.Errorf("who asked for it finds %+v", r)
			}
			if n, want := len(f.readLane(lane(queue))), map[bool]int{true: 1}[i == 0 || i == 3]; n != want {
				t.Errorf("case %d: %d entries in the lane, want %d", i, n, want)
			}
		}
	})
}

func TestReplaceRefused(t *testing.T) {
	t.Parallel()
	f, _ := modelFixture(t, 1)
	f.own(0)
	first := f.one("q", unique(job.UntilTerminal))
	nj, twin := f.job("q", both(withKey("i"), unique(job.UntilTerminal))), f.job("q", both(withKey("i"), unique(job.UntilTerminal)))
	if _, err := f.Replace(ctx(), 0, []NewJob{f.job("q", nil)}, []job.ID{first.ID}); !errors.Is(err, ErrInvalid) {
		t.Errorf("of a job that is not unique: %v", err)
	}
	last, err := f.Replace(ctx(), 0, []NewJob{nj, twin}, []job.ID{first.ID, first.ID})
	f.check(err)
	commands, _, err := f.owner.ReadInbox(ctx(), 10)
	f.check(err)
	if len(commands) != 1 || commands[0].Seq != last || commands[0].New.ID != nj.Job.ID {
		t.Fatalf("of two with one key the inbox has %+v, last %d", commands, last)
	}
	// Until the owner has answered, the key is neither free nor that of a job.
	for range 2 {
		if r := f.enqueue(f.job("q", withKey("i")))[0]; !r.Pending || r.Job != nil {
			t.Errorf("while it is asked for: %+v", r)
		}
	}
	if seq := f.replace(first.ID, twin); seq != 0 {
		t.Errorf("it was asked for again under its key, as %d", seq)
	}
	f.commit(&Commit{Consumed: []uint64{last}, Refuse: []*job.Job{commands[0].New}})
	f.audit(0)
	f.held("q", first.ID)
	if r := f.enqueue(f.job("q", withKey("i")))[0]; r.Pending || r.Existing || r.Conflict {
		t.Errorf("after the refusal: %+v", r)
	}
	f.audit(0)
	// One that is there already loses nothing by a refusal.
	f.commit(&Commit{Refuse: []*job.Job{first}})
	f.audit(0)
}

// meddler is an engine in which something happens right after an Apply.
type meddler struct {
	*model.Engine
	meddle func()
}

func (m *meddler) Apply(ctx context.Context, shard int, b *engine.Batch) (engine.Result, error) {
	result, err := m.Engine.Apply(ctx, shard, b)
	if meddle := m.meddle; meddle != nil {
		m.meddle = nil
		meddle()
	}
	return result, err
}

// Whoever meets a key or lock whose job is deleted at that moment tries again.
func TestHolderIsDeletedMeanwhile(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*job.Job){
		"idempotency key": withKey("i"),
		"unique lock":     unique(job.UntilTTL),
	} {
		c := &clock{now: start}
		m := &meddler{Engine: model.New(1, c.Now)}
		f := newFixture(t, m, c)
		f.own(0)
		f.one("q", change)
		e, claim := f.claimOne("q")
		done := f.end(e, claim, job.Succeeded)
		m.meddle = func() { f.commit(&Commit{Delete: []*job.Job{done}}) }
		second := f.job("q", change)
		results, err := f.Enqueue(ctx(), 0, []NewJob{second})
		if err != nil || results[0].Job.ID != second.Job.ID || results[0].Existing || results[0].Held {
			t.Errorf("%s: %+v, %v", name, results, err)
		}
		f.audit(0)
	}
}

// One that is stored at the moment in which it is found missing is found.
func TestHolderIsStoredMeanwhile(t *testing.T) {
	t.Parallel()
	c := &clock{now: start}
	m := &meddler{Engine: model.New(1, c.Now)}
	f := newFixture(t, m, c)
	f.own(0)
	first := f.one("q", unique(job.UntilTerminal))
	nj := f.job("q", both(withKey("i"), unique(job.UntilTerminal)))
	f.replace(first.ID, nj)
	m.meddle = func() { f.answerReplace() }
	same := f.job("q", both(withKey("i"), unique(job.UntilTerminal)))
	if r := f.enqueue(same)[0]; !r.Existing || r.Job.ID != nj.Job.ID {
		t.Errorf("%+v", r)
	}
	f.audit(0)
}

// The ordered jobs of one call are stored in their order, also where one of them has
// to wait for what becomes of another that wants the same lock.
func TestABatchKeepsTheOrderOfAKey(t *testing.T) {
	t.Parallel()
	f, _ := modelFixture(t, 1)
	f.own(0)
	lock := unique(job.UntilTerminal)
	ordered := func(j *job.Job) { j.Key, j.Ordered = "k", true }
	f.one("q", withKey("i"))
	repeated := f.job("q", both(withKey("i"), lock)) // is there already, and so does not take the lock
	first, second, other := f.job("q", both(ordered, lock)), f.job("q", ordered), f.job("q", nil)
	f.offered = nil
	results := f.enqueue(repeated, first, second, other)
	if !results[0].Existing || results[1].Job.ID != first.Job.ID || results[1].Held || results[2].Job.ID != second.Job.ID {
		t.Fatalf("%+v", results)
	}
	seq := map[job.ID]uint64{}
	for _, a := range f.offered {
		for _, e := range a.Ready {
			seq[e.Job.ID] = e.Seq
		}
	}
	if seq[first.Job.ID] == 0 || seq[first.Job.ID] >= seq[second.Job.ID] {
		t.Errorf("the first job of the key has number %d, the second %d", seq[first.Job.ID], seq[second.Job.ID])
	}
	f.audit(0)
}
