package store

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
)

// push enqueues a job and claims it.
func (f *fixture) push(queue string, change func(*job.Job)) (e *Entry, claim uint64) {
	f.Helper()
	j := f.one(queue, change)
	for _, e := range f.readLane(LaneOf(j)) {
		if e.Job.ID == j.ID {
			claim = f.owner.NextCommit()
			f.commit(&Commit{Claim: []ClaimEntry{f.claimOf(e)}})
			return &Entry{Job: e.Job, Payload: e.Payload, Place: InClaim}, claim
		}
	}
	f.Fatalf("%s is not in its lane", j.ID)
	return nil, 0
}

func TestLifeOfAJob(t *testing.T) {
	t.Parallel()
	overEngines(t, 1, func(t *testing.T, f *fixture) {
		f.own(0)
		e, claim := f.push("q", func(j *job.Job) { j.ExpiresAt = start.Add(time.Hour) })
		f.audit(0)
		// It fails, and waits for its second attempt.
		retry := f.settled(e.Job, job.Waiting, job.OutcomeFailed)
		f.commit(&Commit{Settle: []Settle{{Job: retry, Was: e.Standing()}}, ClaimsDone: []uint64{claim}})
		counts, err := f.Counts(ctx(), "q")
		f.check(err)
		f.equal("retrying", counts, Counts{Waiting: 1, Retrying: 1, Bytes: 9})
		f.audit(0)
		timers, next, err := f.owner.ReadTimers(ctx(), start, 10)
		f.check(err)
		if len(timers) != 0 || !next.Equal(retry.Due) {
			t.Fatalf("timers %+v, next %s", timers, next)
		}
		f.clock.advance(time.Second)
		timers, next, err = f.owner.ReadTimers(ctx(), f.clock.Now(), 10)
		f.check(err)
		if len(timers) != 1 || timers[0].Kind != TimerDue || string(timers[0].Entry.Payload) != "payload 1" || !next.Equal(e.Job.ExpiresAt) {
			t.Fatalf("timers %+v, next %s", timers, next)
		}
		// It succeeds.
		f.commit(&Commit{Claim: []ClaimEntry{f.claimOf(timers[0].Entry)}})
		f.audit(0)
		done := f.settled(timers[0].Entry.Job, job.Succeeded, job.OutcomeSucceeded)
		f.commit(&Commit{
			Settle:     []Settle{{Job: done, Was: Standing{Status: job.Waiting, Place: InClaim}}},
			ClaimsDone: []uint64{f.owner.CommitNumber()},
		})
		f.audit(0)
		got, err := f.Job(ctx(), done.ID)
		f.check(err)
		done.Counted = got.Counted // the audit knows with what
		f.equal("job", got, done)
		counts, err = f.Counts(ctx(), "q")
		f.check(err)
		f.equal("counts", counts, Counts{Succeeded: 1, Kept: int64(got.Counted)})
		if _, next, err := f.owner.ReadTimers(ctx(), f.clock.Now(), 10); err != nil || !next.IsZero() {
			t.Errorf("a timer is left at %s, %v", next, err)
		}
	})
}

func TestRedrive(t *testing.T) {
	t.Parallel()
	f, _ := modelFixture(t, 1)
	f.own(0)
	expires := start.Add(time.Hour)
	e, claim := f.push("q", func(j *job.Job) { j.ExpiresAt = expires })
	dead := f.settled(e.Job, job.Dead, job.OutcomeFailed)
	f.commit(&Commit{Settle: []Settle{{Job: dead, Was: e.Standing()}}, ClaimsDone: []uint64{claim}})
	_, err := f.Send(ctx(), Command{Kind: CommandRetry, ID: dead.ID})
	f.check(err)
	commands, _, err := f.owner.ReadInbox(ctx(), 10)
	f.check(err)
	if len(commands) != 1 || commands[0].Kind != CommandRetry || commands[0].Entry.Place != Nowhere || !commands[0].At.Equal(start) {
		t.Fatalf("commands %+v", commands)
	}
	again := *commands[0].Entry.Job
	again.Status, again.Incarnation, again.Due, again.FinishedAt = job.Waiting, 1, start, time.Time{}
	f.commit(&Commit{Settle: []Settle{{Job: &again, Was: commands[0].Entry.Standing()}}, Consumed: []uint64{commands[0].Seq}})
	f.audit(0)
	timers, next, err := f.owner.ReadTimers(ctx(), start, 10)
	f.check(err)
	if len(timers) != 1 || !timers[0].due() || !next.Equal(expires) {
		t.Errorf("timers %+v, next %s", timers, next)
	}
	if pending, err := f.InboxPending(ctx(), 0, commands[0].Seq); err != nil || pending {
		t.Errorf("the command is pending: %v, %v", pending, err)
	}
}

func TestSendAll(t *testing.T) {
	t.Parallel()
	f, _ := modelFixture(t, 2)
	a, b := f.one("q", nil), f.one("q", nil)
	shard := a.ID.Shard()
	f.own(shard)
	first, err := f.Send(ctx(), Command{Kind: CommandCancel, ID: a.ID})
	f.check(err)
	last, err := f.SendAll(ctx(), shard, []Command{{Kind: CommandPurge, ID: b.ID, Incarnation: 1}, {Kind: CommandRetry, ID: a.ID, Incarnation: 3}})
	f.check(err)
	if last != first+2 {
		t.Errorf("the last of two commands after number %d has number %d", first, last)
	}
	commands, _, err := f.owner.ReadInbox(ctx(), 10)
	f.check(err)
	var got []Command
	for _, c := range commands {
		got = append(got, Command{Seq: c.Seq, Kind: c.Kind, ID: c.ID, At: c.At, Incarnation: c.Incarnation})
	}
	f.equal("commands", got, []Command{
		{Seq: first, Kind: CommandCancel, ID: a.ID, At: start},
		{Seq: first + 1, Kind: CommandPurge, ID: b.ID, At: start, Incarnation: 1},
		{Seq: last, Kind: CommandRetry, ID: a.ID, At: start, Incarnation: 3},
	})
	for name, commands := range map[string][]Command{"none": nil, "another shard's": {{Kind: CommandCancel, ID: a.ID}, {Kind: CommandCancel, ID: job.NewID(start, 1-shard)}}} {
		if _, err := f.SendAll(ctx(), shard, commands); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	jobs, err := f.Jobs(ctx(), a.ID, b.ID, job.NewID(start, 1))
	f.check(err)
	if len(jobs) != 2 || jobs[a.ID].Queue != "q" || jobs[b.ID] == nil {
		t.Errorf("jobs %v", jobs)
	}
}

func TestCommitIsRepeated(t *testing.T) {
	t.Parallel()
	f, e := modelFixture(t, 1)
	f.own(0)
	f.one("q", nil)
	entries := f.readLane(lane("q"))
	broken := errors.New("on the way")
	for name, fault := range map[string]func(){
		"not applied": func() { e.Fail = func(string, int) error { return errors.Join(ErrUnavailable, broken) } },
		"applied":     func() { e.Ambiguous = func(string, int) bool { return true } },
	} {
		fault()
		c := f.claimAll(entries)
		number := f.owner.NextCommit()
		for range 2 {
			if err := f.owner.Commit(ctx(), c); !errors.Is(err, ErrUnavailable) {
				t.Fatalf("%s: %v, want ErrUnavailable", name, err)
			}
		}
		if err := f.owner.Commit(ctx(), &Commit{}); !errors.Is(err, ErrInvalid) || f.owner.NextCommit() != number {
			t.Errorf("%s: another commit: %v", name, err)
		}
		e.Fail, e.Ambiguous = nil, nil
		f.commit(c)
		if f.owner.CommitNumber() != number {
			t.Errorf("%s: commit number %d, want %d", name, f.owner.CommitNumber(), number)
		}
		f.commit(&Commit{ClaimsDone: []uint64{number}})
		entries[0].Place = InClaim
	}
}

// A commit whose context ended may have been applied as well.
func TestCommitAfterItsContext(t *testing.T) {
	t.Parallel()
	f, _ := modelFixture(t, 1)
	f.own(0)
	cancelled, cancel := context.WithCancel(ctx())
	cancel()
	c := &Commit{Consumed: []uint64{1}}
	if err := f.owner.Commit(cancelled, c); !errors.Is(err, context.Canceled) {
		t.Fatalf("Commit = %v", err)
	}
	if err := f.owner.Commit(ctx(), &Commit{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("another commit: %v", err)
	}
	f.commit(c)
}

func TestCommitRefuses(t *testing.T) {
	t.Parallel()
	f, _ := modelFixture(t, 1)
	f.own(0)
	j := f.one("q", nil)
	unknown := &Entry{Job: j, Place: InLane}
	waiting := *j
	for name, c := range map[string]*Commit{
		"claim from nowhere":       {Claim: []ClaimEntry{f.claimOf(&Entry{Job: j})}},
		"claim without a place":    {Claim: []ClaimEntry{f.claimOf(unknown)}},
		"settle without a due":     {Settle: []Settle{{Job: &waiting, Was: unknown.Standing()}}},
		"promote out of a lane":    {Promote: []*Entry{unknown}},
		"delete what waits":        {Delete: []*job.Job{j}},
		"a due timer without job ": {TimersDone: []Timer{{Kind: TimerDue, At: start, ID: j.ID}}},
	} {
		if err := f.owner.Commit(ctx(), c); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	f.commit(&Commit{}) // the owner can go on
	f.audit(0)
}

func TestFencedOwnerChangesNothing(t *testing.T) {
	t.Parallel()
	overEngines(t, 1, func(t *testing.T, f *fixture) {
		j := f.one("q", nil)
		old := f.own(0)
		entries := f.readLane(lane("q"))
		if _, err := f.Own(ctx(), 0, engine.Nonce{2}, time.Minute); !errors.As(err, new(*engine.HeldError)) {
			t.Fatalf("Own = %v, want a HeldError", err)
		}
		f.check(old.Renew(ctx(), time.Minute))
		f.clock.advance(time.Minute + 1)
		next, err := f.Own(ctx(), 0, engine.Nonce{2}, time.Minute)
		f.check(err)
		if next.Epoch() <= old.Epoch() {
			t.Errorf("epoch %d after %d", next.Epoch(), old.Epoch())
		}
		if err := old.Commit(ctx(), f.claimAll(entries)); !errors.Is(err, ErrFenced) {
			t.Errorf("Commit = %v, want ErrFenced", err)
		}
		if err := old.Renew(ctx(), time.Minute); !errors.Is(err, ErrFenced) {
			t.Errorf("Renew = %v, want ErrFenced", err)
		}
		f.owner = next
		f.equal("what the next owner finds", ids(f.readLane(lane("q"))), []job.ID{j.ID})
		f.check(next.Release(ctx()))
		_, err = f.Own(ctx(), 0, engine.Nonce{3}, time.Minute)
		f.check(err)
	})
}

// A hand-over takes the place of the claims of its pushes, and is found with its node
// by each later owner until the last of them is settled.
func TestHandOver(t *testing.T) {
	t.Parallel()
	overEngines(t, 1, func(t *testing.T, f *fixture) {
		f.own(0)
		e1, c1 := f.push("q", nil)
		e2, c2 := f.push("q", nil)
		entries := []ClaimEntry{f.claimOf(e1), f.claimOf(e2)}
		entries[1].Probe = true
		for name, c := range map[string]*Commit{
			"without a node": {HandOver: &HandOver{Entries: entries}},
			"without pushes": {HandOver: &HandOver{Node: "n"}},
			"beside a claim": {HandOver: &HandOver{Node: "n", Entries: entries}, Claim: entries},
		} {
			if err := f.owner.Commit(ctx(), c); !errors.Is(err, ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		n := f.owner.NextCommit()
		f.commit(&Commit{HandOver: &HandOver{Node: "n", Entries: entries}, ClaimsDone: []uint64{c1, c2}})
		f.audit(0)
		for range 2 {
			f.own(0)
			claims, err := f.owner.Recover(ctx())
			f.check(err)
			f.equal("claims", claims, []Claim{{Number: n, Entries: entries, Node: "n"}})
		}
		f.commit(&Commit{Settle: []Settle{{Job: f.settled(e1.Job, job.Succeeded, job.OutcomeSucceeded), Was: e1.Standing()}}})
		claims, err := f.owner.Recover(ctx())
		f.check(err)
		f.equal("claims", claims, []Claim{{Number: n, Entries: entries[1:], Node: "n"}})
		report := Command{Kind: CommandReport, ID: e2.Job.ID, Attempt: 1, Report: []byte("x")}
		_, err = f.Send(ctx(), report)
		f.check(err)
		commands, _, err := f.owner.ReadInbox(ctx(), 10)
		f.check(err)
		if len(commands) != 1 || commands[0].Kind != CommandReport || commands[0].Attempt != 1 || string(commands[0].Report) != "x" {
			t.Errorf("the report: %+v", commands)
		}
		report.Report = make([]byte, MaxReport+1)
		if _, err := f.Send(ctx(), report); !errors.Is(err, ErrInvalid) {
			t.Errorf("a report that is too long: %v", err)
		}
	})
}

func TestRecover(t *testing.T) {
	t.Parallel()
	overEngines(t, 1, func(t *testing.T, f *fixture) {
		f.own(0)
		e1, c1 := f.push("q", nil)
		e2, c2 := f.push("q", nil)
		f.commit(&Commit{Settle: []Settle{{Job: f.settled(e1.Job, job.Succeeded, job.OutcomeSucceeded), Was: e1.Standing()}}})
		f.own(0)
		claims, err := f.owner.Recover(ctx())
		f.check(err)
		f.equal("claims", claims, []Claim{
			{Number: c1},
			{Number: c2, Entries: []ClaimEntry{{Entry: e2, Attempt: 1, Worker: "w", Started: start, Deadline: start.Add(30 * time.Second)}}},
		})
		f.commit(&Commit{
			Settle:     []Settle{{Job: f.settled(e2.Job, job.Waiting, job.OutcomeLost), Was: e2.Standing()}},
			ClaimsDone: []uint64{c1, c2},
		})
		claims, err = f.owner.Recover(ctx())
		f.check(err)
		if len(claims) != 0 {
			t.Errorf("claims %+v are left", claims)
		}
		f.audit(0)
	})
}

func TestResult(t *testing.T) {
	t.Parallel()
	f, _ := modelFixture(t, 1)
	f.own(0)
	e, _ := f.push("q", nil)
	if _, _, err := f.Result(ctx(), e.Job.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("before an attempt: %v, want ErrNotFound", err)
	}
	if _, _, err := f.Result(ctx(), job.NewID(start, 0)); !errors.Is(err, ErrNotFound) {
		t.Errorf("of no job: %v, want ErrNotFound", err)
	}
	j, was := e.Job, e.Standing()
	for i, size := range []int{5000, 10, job.MaxAnswerKept + 1, 0} {
		j = f.settled(j, job.Waiting, job.OutcomeFailed)
		answer := bytes.Repeat([]byte{byte('a' + i)}, size)
		last := &j.Attempts[len(j.Attempts)-1]
		last.Answer, last.AnswerSize, last.AnswerType = answer[:min(size, job.MaxAnswerKept)], size, "text/plain"
		f.commit(&Commit{Settle: []Settle{{Job: j, Was: was, Answer: answer, AnswerType: "text/plain"}}})
		body, contentType, err := f.Result(ctx(), j.ID)
		f.check(err)
		if !bytes.Equal(body, answer) || contentType != "text/plain" {
			t.Errorf("result %d: %d bytes of %q, want %d", i, len(body), contentType, size)
		}
		was = Standing{Status: job.Waiting, Place: InTimers, Due: j.Due, Retrying: true}
	}
}

func TestTimersAreReadFromTheirHead(t *testing.T) {
	t.Parallel()
	overEngines(t, 1, func(t *testing.T, f *fixture) {
		f.own(0)
		var want []job.ID
		for i := range 30 {
			due := start.Add(time.Duration(30-i) * time.Second)
			want = append([]job.ID{f.one("q", func(j *job.Job) { j.Due = due }).ID}, want...)
		}
		var got []job.ID
		for range 45 {
			f.clock.advance(time.Second)
			timers, _, err := f.owner.ReadTimers(ctx(), f.clock.Now(), 2)
			f.check(err)
			c := &Commit{}
			for _, timer := range timers {
				got = append(got, timer.ID)
				c.Claim = append(c.Claim, f.claimOf(timer.Entry))
			}
			f.commit(c)
		}
		f.equal("fired", got, want)
		// One that comes late, behind the floor, is found within its interval.
		late := f.job("q", func(j *job.Job) { j.CreatedAt = start; j.Due = start.Add(time.Second) })
		f.clock.advance(2 * wholeInterval)
		_, _, err := f.owner.ReadTimers(ctx(), f.clock.Now(), 10)
		f.check(err)
		f.enqueue(late)
		f.clock.advance(wholeInterval)
		timers, _, err := f.owner.ReadTimers(ctx(), f.clock.Now(), 10)
		f.check(err)
		if len(timers) != 1 || timers[0].ID != late.Job.ID {
			t.Errorf("timers %+v", timers)
		}
		// And at once where the owner is told of it.
		later := f.job("q", func(j *job.Job) { j.CreatedAt = start; j.Due = start.Add(time.Second) })
		f.commit(&Commit{Claim: []ClaimEntry{f.claimOf(timers[0].Entry)}})
		_, _, err = f.owner.ReadTimers(ctx(), f.clock.Now(), 10)
		f.check(err)
		f.enqueue(later)
		f.owner.SetTimer(later.Job.Due)
		timers, _, err = f.owner.ReadTimers(ctx(), f.clock.Now(), 10)
		f.check(err)
		if len(timers) != 1 || timers[0].ID != later.Job.ID {
			t.Errorf("timers %+v, want %s", timers, later.Job.ID)
		}
	})
}

// finish enqueues jobs and settles them.
func (f *fixture) finish(n int, status job.Status) (ids []job.ID) {
	f.Helper()
	for range n {
		j := f.one("q", nil)
		e := &Entry{Job: j, Place: InLane}
		f.commit(&Commit{Settle: []Settle{{Job: f.settled(j, status, job.OutcomeFailed), Was: e.Standing()}}})
		ids = append(ids, j.ID)
		f.clock.advance(time.Millisecond)
	}
	return ids
}

func TestRetention(t *testing.T) {
	t.Parallel()
	overEngines(t, 1, func(t *testing.T, f *fixture) {
		f.own(0)
		f.one("q", nil) // waits for ever
		dead := f.finish(3, job.Dead)
		old := f.finish(40, job.Succeeded)
		f.clock.advance(3 * time.Hour)
		young := f.finish(5, job.Succeeded)
		removed := f.trim(&RetentionRules{Ages: map[job.Status]time.Duration{job.Succeeded: time.Hour}}, 20)
		f.equal("removed", removed, old)
		page, err := f.ListJobs(ctx(), JobFilter{}, job.ID{}, 100)
		f.check(err)
		if len(page.Jobs) != 1+len(dead)+len(young) {
			t.Errorf("%d jobs are left", len(page.Jobs))
		}
		if _, err := f.Job(ctx(), old[0]); !errors.Is(err, ErrNotFound) {
			t.Errorf("a removed job: %v, want ErrNotFound", err)
		}
	})
}

// A job may become terminal long after younger ones were looked at.
func TestRetentionFindsWhatFinishedLate(t *testing.T) {
	t.Parallel()
	f, _ := modelFixture(t, 1)
	f.own(0)
	late := f.one("q", nil)
	f.finish(3, job.Succeeded)
	rules := &RetentionRules{Ages: map[job.Status]time.Duration{job.Succeeded: time.Minute}}
	pass := func() int { return len(f.trim(rules, 10)) }
	f.clock.advance(time.Hour)
	if n := pass(); n != 3 {
		t.Fatalf("%d removed, want 3", n)
	}
	f.commit(&Commit{Settle: []Settle{{Job: f.settled(late, job.Succeeded, job.OutcomeSucceeded), Was: Standing{Status: job.Waiting, Place: InLane}}}})
	if n := pass(); n != 0 {
		t.Fatalf("%d removed before their time", n)
	}
	f.clock.advance(time.Hour)
	if n := pass(); n != 1 {
		t.Fatalf("%d removed, want the late one", n)
	}
}

// What is deleted twice, or waits again by then, is not counted down twice.
func TestDeleteOfWhatIsGone(t *testing.T) {
	t.Parallel()
	overEngines(t, 1, func(t *testing.T, f *fixture) {
		f.own(0)
		ids := f.finish(2, job.Dead)
		gone, err := f.Job(ctx(), ids[0])
		f.check(err)
		again, err := f.Job(ctx(), ids[1])
		f.check(err)
		next := *again
		next.Status, next.Incarnation, next.Due = job.Waiting, 1, start
		f.commit(&Commit{
			Delete: []*job.Job{gone, gone, again},
			Settle: []Settle{{Job: &next, Was: Standing{Status: job.Dead}}},
		})
		f.audit(0)
		f.commit(&Commit{Delete: []*job.Job{gone, again}})
		f.audit(0)
		counts, err := f.Counts(ctx(), "q")
		f.check(err)
		f.equal("counts", counts, Counts{Waiting: 1, Scheduled: 1, Bytes: 9})
	})
}

// Ranges remove what is to be removed and nothing between.
func TestDeleteInRuns(t *testing.T) {
	t.Parallel()
	overEngines(t, 1, func(t *testing.T, f *fixture) {
		f.own(0)
		ids := f.finish(200, job.Dead)
		f.clock.advance(2 * settledAge)
		young := f.finish(minRun, job.Dead)
		keeps := map[job.ID]bool{ids[3]: true, ids[60]: true, ids[61]: true, ids[63]: true, ids[199]: true}
		c := &Commit{}
		for _, id := range append(ids, young...) {
			if !keeps[id] {
				j, err := f.Job(ctx(), id)
				f.check(err)
				c.Delete = append(c.Delete, j)
			}
		}
		f.commit(c)
		f.audit(0)
		page, err := f.ListJobs(ctx(), JobFilter{}, job.ID{}, 300)
		f.check(err)
		if len(page.Jobs) != len(keeps) {
			t.Errorf("%d jobs are left, want %d", len(page.Jobs), len(keeps))
		}
		for _, j := range page.Jobs {
			if !keeps[j.ID] {
				t.Errorf("%s is left", j.ID)
			}
		}
	})
}
