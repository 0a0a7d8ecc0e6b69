package store

import (
	"cmp"
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
	"github.com/orchestrix/orchestrix/store/engine/model"
)

// TestLife lives through random lives of jobs, with faults of the engine, as a
// dispatcher would cause them. Every lane entry must be handed out exactly once
// and in its key's order, and after each step all that is stored must agree.
func TestLife(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := newLife(t)
		t.Repeat(map[string]func(*rapid.T){
			"enqueue": l.enqueueSome,
			"offer":   func(*rapid.T) { l.offer() },
			"read":    l.read,
			"key":     l.readKeys,
			"return":  l.giveBack,
			"claim":   l.claim,
			"settle":  l.settle,
			"timers":  l.timers,
			"command": l.command,
			"inbox":   func(*rapid.T) { l.inbox() },
			"remove":  l.remove,
			"restart": func(*rapid.T) { l.restart() },
			"advance": func(t *rapid.T) {
				l.clock.advance(time.Duration(rapid.IntRange(1, 5000).Draw(t, "ms")) * time.Millisecond)
			},
			"maintain": func(*rapid.T) { l.owner.removeStale(ctx()) },
			"":         func(*rapid.T) { l.audit(0) },
		})
		l.drain()
	})
}

// life is a small dispatcher.
type life struct {
	*fixture
	t        *rapid.T
	engine   *model.Engine
	fail     bool
	window   map[job.ID]*Entry // handed out, and not yet claimed
	claims   map[job.ID]uint64 // being pushed
	pushed   map[job.ID]*Entry
	lastSeq  map[laneKey]uint64 // handed out last
	behind   map[laneKey]bool   // to be read by ReadKey
	terminal map[job.ID]*job.Job
	lives    byte
}

type laneKey struct {
	Lane
	key string
}

func newLife(t *rapid.T) *life {
	f, e := modelFixture(nil, 1)
	f.TB = rapidTB{TB: nil, t: t}
	l := &life{fixture: f, t: t, engine: e, terminal: map[job.ID]*job.Job{}}
	e.Ambiguous = func(op string, _ int) bool { return op == "apply" && l.fail }
	l.restart()
	return l
}

// rapidTB lets the fixture end a property's run.
type rapidTB struct {
	testing.TB
	t *rapid.T
}

func (r rapidTB) Helper()                   { r.t.Helper() }
func (r rapidTB) Fatal(args ...any)         { r.t.Helper(); r.t.Fatal(args...) }
func (r rapidTB) Fatalf(s string, a ...any) { r.t.Helper(); r.t.Fatalf(s, a...) }

var lifeQueues = []string{"a", "b"}

func (l *life) enqueueSome(t *rapid.T) {
	var jobs []NewJob
	for range rapid.IntRange(1, 5).Draw(t, "n") {
		queue := rapid.SampledFrom(lifeQueues).Draw(t, "queue")
		jobs = append(jobs, l.job(queue, func(j *job.Job) {
			j.Key = rapid.SampledFrom([]string{"", "", "x", "y", "z\x00"}).Draw(t, "key")
			j.Priority = rapid.SampledFrom([]job.Priority{job.High, job.Normal}).Draw(t, "priority")
			switch rapid.IntRange(0, 6).Draw(t, "special") {
			case 0:
				j.Due = j.CreatedAt.Add(2 * time.Second)
				j.RunAt = j.Due
			case 1:
				j.ExpiresAt = j.CreatedAt.Add(3 * time.Second)
			case 2:
				j.IdempotencyKey = rapid.SampledFrom([]string{"i", "j"}).Draw(t, "idempotency")
			case 3:
				j.URL = "https://example.com/"
			case 4:
				unique(rapid.SampledFrom([]job.UniqueUntil{job.UntilStarted, job.UntilTerminal, job.UntilTTL}).Draw(t, "until"))(j)
				j.IdempotencyKey = rapid.SampledFrom([]string{"", "", "i"}).Draw(t, "idempotency")
			}
		}))
	}
	l.fail = rapid.IntRange(0, 9).Draw(t, "ambiguous") == 0
	results, err := l.Enqueue(ctx(), 0, jobs)
	l.fail = false
	if errors.Is(err, ErrUnavailable) {
		half := rapid.IntRange(0, len(jobs)-1).Draw(t, "repeated from")
		_, err = l.Enqueue(ctx(), 0, jobs[half:])
		l.check(err)
		results, err = l.Enqueue(ctx(), 0, jobs)
	}
	l.check(err)
	for i, r := range results {
		if r.Held && rapid.Bool().Draw(t, "replace") {
			_, err := l.Replace(ctx(), 0, jobs[i:i+1], []job.ID{r.Job.ID})
			l.check(err)
		}
	}
}

// offer offers what arrived to Take, except for what was lost.
func (l *life) offer() {
	for _, a := range l.offered {
		for i, e := range a.Ready {
			if e.Seq != a.FirstSeq+uint64(i) {
				l.Fatalf("entry %d has number %d, the first has %d", i, e.Seq, a.FirstSeq)
			}
			at := laneKey{LaneOf(e.Job), e.Job.Key}
			switch {
			case l.behind[at] && i%2 == 0:
				l.owner.PassKey(at.Lane, e)
			case l.owner.Take(at.Lane, e):
				l.handedOut(e)
			}
		}
	}
	l.offered = nil
}

// handedOut checks that the store handed out an entry for the first time, and
// behind those of its key.
func (l *life) handedOut(e *Entry) {
	if l.window[e.Job.ID] != nil || l.pushed[e.Job.ID] != nil {
		l.Fatalf("%s (seq %d) was handed out twice", e.Job.ID, e.Seq)
	}
	at := laneKey{LaneOf(e.Job), e.Job.Key}
	if e.Place != InLane || e.Seq <= l.lastSeq[at] {
		l.Fatalf("%s has seq %d after %d in %v", e.Job.ID, e.Seq, l.lastSeq[at], at)
	}
	l.lastSeq[at] = e.Seq
	if string(e.Payload[:8]) != "payload " {
		l.Fatalf("payload %q", e.Payload)
	}
	l.window[e.Job.ID] = e
}

func (l *life) read(t *rapid.T) {
	for _, lane := range l.lanes() {
		limit := rapid.IntRange(1, 6).Draw(t, "limit")
		skip := rapid.SampledFrom([]string{"none", "x", "y", "z\x00"}).Draw(t, "skip")
		entries, skipped, _, err := l.owner.ReadLaneExcept(ctx(), lane, limit, rapid.SampledFrom([]int{1, 30, 1 << 20}).Draw(t, "bytes"),
			func(key string) bool { return key == skip })
		l.check(err)
		for _, key := range skipped {
			l.behind[laneKey{lane, key}] = true
		}
		if len(entries) > limit {
			l.Fatalf("%d entries, limit %d", len(entries), limit)
		}
		for _, e := range entries {
			l.handedOut(e)
		}
	}
}

// readKeys reads keys that are behind, and one that may be or not.
func (l *life) readKeys(t *rapid.T) {
	for _, lane := range l.lanes() {
		for _, key := range []string{"x", "y", "z\x00"} {
			at := laneKey{lane, key}
			if !l.behind[at] && rapid.IntRange(0, 5).Draw(t, "behind or not") > 0 {
				continue
			}
			l.readKey(at, rapid.IntRange(1, 6).Draw(t, "limit"))
		}
	}
}

func (l *life) readKey(at laneKey, limit int) {
	entries, more, err := l.owner.ReadKey(ctx(), at.Lane, at.key, limit, 1<<20)
	l.check(err)
	if len(entries) > limit {
		l.Fatalf("%d entries of a key, limit %d", len(entries), limit)
	}
	for _, e := range entries {
		if e.Job.Key != at.key {
			l.Fatalf("key %q, asked for %q", e.Job.Key, at.key)
		}
		l.handedOut(e)
	}
	if l.behind[at] = more; !more {
		delete(l.behind, at)
	}
}

// giveBack returns the newest entries of a key.
func (l *life) giveBack(t *rapid.T) {
	of := map[laneKey][]*Entry{}
	for _, id := range sortedKeys(l.window) {
		if e := l.window[id]; e.Place == InLane && e.Seq > 0 && e.Job.Key != "" {
			at := laneKey{LaneOf(e.Job), e.Job.Key}
			of[at] = append(of[at], e)
		}
	}
	for _, lane := range l.lanes() {
		for _, key := range []string{"x", "y", "z\x00"} {
			at := laneKey{lane, key}
			entries := of[at]
			slices.SortFunc(entries, func(a, b *Entry) int { return cmp.Compare(a.Seq, b.Seq) })
			entries = entries[rapid.IntRange(0, len(entries)).Draw(t, "kept"):]
			if len(entries) == 0 {
				continue
			}
			l.owner.Return(lane, entries)
			for _, e := range entries {
				delete(l.window, e.Job.ID)
			}
			l.behind[at], l.lastSeq[at] = true, entries[0].Seq-1
		}
	}
}

func (l *life) draw(t *rapid.T, m map[job.ID]*Entry) []*Entry {
	var some []*Entry
	for _, id := range sortedKeys(m) {
		if rapid.Bool().Draw(t, "pick") {
			some = append(some, m[id])
		}
	}
	return some
}

func sortedKeys(m map[job.ID]*Entry) []job.ID {
	var ids []job.ID
	for id := range m {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, compareIDs)
	return ids
}

// try commits, with faults.
func (l *life) try(t *rapid.T, c *Commit) {
	number := l.owner.NextCommit()
	if l.fail = rapid.IntRange(0, 9).Draw(t, "ambiguous") == 0; l.fail {
		if err := l.owner.Commit(ctx(), c); !errors.Is(err, ErrUnavailable) {
			l.Fatalf("ambiguous commit: %v", err)
		}
		if err := l.owner.Commit(ctx(), &Commit{}); !errors.Is(err, ErrInvalid) {
			l.Fatalf("another commit: %v", err)
		}
		l.fail = false
	}
	l.commit(c)
	if l.owner.CommitNumber() != number {
		l.Fatalf("commit %d, want %d", l.owner.CommitNumber(), number)
	}
}

func (l *life) claim(t *rapid.T) {
	some := l.draw(t, l.window)
	if len(some) == 0 {
		return
	}
	c := &Commit{}
	for _, e := range some {
		c.Claim = append(c.Claim, l.claimOf(e))
	}
	number := l.owner.NextCommit()
	l.try(t, c)
	for _, e := range some {
		delete(l.window, e.Job.ID)
		l.pushed[e.Job.ID] = &Entry{Job: e.Job, Payload: e.Payload, Place: InClaim}
		l.claims[e.Job.ID] = number
	}
}

func (l *life) settle(t *rapid.T) {
	c := &Commit{}
	for _, e := range l.draw(t, l.pushed) {
		status := rapid.SampledFrom([]job.Status{job.Waiting, job.Succeeded, job.Dead}).Draw(t, "status")
		j := l.settled(e.Job, status, job.OutcomeFailed)
		answer := make([]byte, rapid.SampledFrom([]int{0, 10, 2000}).Draw(t, "answer"))
		last := &j.Attempts[len(j.Attempts)-1]
		last.Answer, last.AnswerSize = answer[:min(len(answer), job.MaxAnswerKept)], len(answer)
		c.Settle = append(c.Settle, Settle{Job: j, Was: e.Standing(), Answer: answer})
		number := l.claims[e.Job.ID]
		delete(l.pushed, e.Job.ID)
		delete(l.claims, e.Job.ID)
		if !slices.Contains(slices.Collect(values(l.claims)), number) {
			c.ClaimsDone = append(c.ClaimsDone, number)
		}
		l.ended(j)
	}
	l.try(t, c)
}

func values(m map[job.ID]uint64) func(func(uint64) bool) {
	return func(yield func(uint64) bool) {
		for _, v := range m {
			if !yield(v) {
				return
			}
		}
	}
}

func (l *life) ended(j *job.Job) {
	if j.Settled() {
		l.terminal[j.ID] = j
	} else {
		delete(l.terminal, j.ID)
	}
}

func (l *life) timers(t *rapid.T) {
	l.offer()
	now, err := l.Now(ctx())
	l.check(err)
	timers, _, err := l.owner.ReadTimers(ctx(), now, rapid.IntRange(1, 10).Draw(t, "limit"))
	l.check(err)
	c := &Commit{}
	for _, timer := range timers {
		switch {
		case settles(c, timer.ID): // expired just now
		case timer.Kind == TimerDue && !timer.due():
			l.Fatalf("a stale timer: %+v", timer)
		case timer.Kind == TimerDue && rapid.Bool().Draw(t, "promote"):
			c.Promote = append(c.Promote, timer.Entry)
		case timer.Kind == TimerDue:
			// Claimed from the timer.
			if l.window[timer.ID] == nil {
				l.window[timer.ID] = timer.Entry
			}
		default:
			c.TimersDone = append(c.TimersDone, timer)
			l.expire(c, timer)
		}
	}
	c.Promote = slices.DeleteFunc(c.Promote, func(e *Entry) bool { return l.window[e.Job.ID] != nil || settles(c, e.Job.ID) })
	l.try(t, c)
}

func (l *life) expire(c *Commit, timer Timer) {
	if timer.Kind != TimerExpire || timer.Entry == nil || timer.Entry.Job.Settled() || l.pushed[timer.ID] != nil {
		return
	}
	l.cancel(c, timer.Entry, job.Expired)
}

// cancel settles a job wherever it stands.
func (l *life) cancel(c *Commit, e *Entry, status job.Status) {
	if known := l.window[e.Job.ID]; known != nil {
		e = known
	}
	j := *e.Job
	j.Status, j.FinishedAt = status, l.clock.Now()
	c.Settle = append(c.Settle, Settle{Job: &j, Was: e.Standing()})
	delete(l.window, e.Job.ID)
	l.ended(&j)
}

func (l *life) command(t *rapid.T) {
	entries, err := l.engine.Scan(ctx(), 0, engine.Range{From: []byte{spaceJob}, To: []byte{spaceJob + 1}, Limit: 100, KeysOnly: true})
	l.check(err)
	if len(entries) == 0 {
		return
	}
	id, err := tailID(rapid.SampledFrom(entries).Draw(t, "job").Key)
	l.check(err)
	kind := CommandKind(rapid.IntRange(1, 4).Draw(t, "kind"))
	seq, err := l.Send(ctx(), Command{Kind: kind, ID: id})
	l.check(err)
	pending, err := l.InboxPending(ctx(), 0, seq)
	l.check(err)
	if !pending {
		l.Fatalf("command %d is not in the inbox", seq)
	}
}

// inbox answers commands; each in a commit of its own, since several may be
// about one job.
func (l *life) inbox() {
	l.offer() // what arrived is known before a command about it
	for {
		commands, _, err := l.owner.ReadInbox(ctx(), 1)
		l.check(err)
		if len(commands) == 0 {
			return
		}
		c := &Commit{Consumed: []uint64{commands[0].Seq}}
		e := commands[0].Entry
		free := e != nil && l.pushed[e.Job.ID] == nil
		switch {
		case commands[0].Kind == CommandReplace && free && commands[0].Holds && e.Job.Status == job.Waiting:
			l.cancel(c, e, job.Cancelled)
			c.Replace = []*job.Job{commands[0].New}
		case commands[0].Kind == CommandReplace:
			c.Refuse = []*job.Job{commands[0].New}
		case free:
			l.answer(c, commands[0].Kind, e)
		}
		l.commit(c)
	}
}

func (l *life) answer(c *Commit, kind CommandKind, e *Entry) {
	switch j := *e.Job; {
	case kind == CommandCancel && j.Status == job.Waiting:
		l.cancel(c, e, job.Cancelled)
	case kind == CommandRetry && j.Settled():
		j.Status, j.Incarnation, j.Due, j.FinishedAt = job.Waiting, j.Incarnation+1, l.clock.Now(), time.Time{}
		c.Settle = append(c.Settle, Settle{Job: &j, Was: e.Standing()})
		l.ended(&j)
	case kind == CommandRunNow && j.Status == job.Waiting:
		if known := l.window[j.ID]; known != nil {
			return // it is about to run
		}
		j.Due = l.clock.Now()
		c.Settle = append(c.Settle, Settle{Job: &j, Was: e.Standing()})
	case kind == CommandDelete && j.Settled():
		c.Delete = append(c.Delete, &j)
		delete(l.terminal, j.ID)
	}
}

func (l *life) remove(t *rapid.T) {
	keep := time.Duration(rapid.IntRange(0, 3).Draw(t, "keep")) * time.Second
	trims, _, err := l.owner.ReadFinished(ctx(), keepAll(keep), l.clock.Now(), rapid.IntRange(1, 10).Draw(t, "limit"))
	l.check(err)
	for _, trim := range trims {
		j := trim.Job
		if !j.Settled() || j.FinishedAt.Add(keep).After(l.clock.Now()) {
			l.Fatalf("%s finished at %s", j.ID, j.FinishedAt)
		}
		delete(l.terminal, j.ID)
	}
	l.try(t, &Commit{Trim: trims})
}

// restart is a new owner, as after a crash: it books what was being pushed as
// lost.
func (l *life) restart() {
	l.lives++
	o, err := l.Own(ctx(), 0, engine.Nonce{1}, time.Minute)
	l.check(err)
	l.owner = o
	l.window, l.pushed, l.claims = map[job.ID]*Entry{}, map[job.ID]*Entry{}, map[job.ID]uint64{}
	l.lastSeq, l.behind = map[laneKey]uint64{}, map[laneKey]bool{}
	claims, err := o.Recover(ctx())
	l.check(err)
	for _, claim := range claims {
		c := &Commit{ClaimsDone: []uint64{claim.Number}}
		for _, e := range claim.Entries {
			if e.Entry.Place != InClaim || e.Attempt != e.Entry.Job.Attempt+1 || string(e.Entry.Payload[:8]) != "payload " {
				l.Fatalf("recovered %+v", e)
			}
			c.Settle = append(c.Settle, Settle{Job: l.settled(e.Entry.Job, job.Waiting, job.OutcomeLost), Was: e.Entry.Standing()})
		}
		l.commit(c)
	}
}

// drain ends all jobs: none may have been forgotten, and all can be removed.
func (l *life) drain() {
	for range 3 {
		l.inbox()
		l.offer()
		for _, lane := range l.lanes() {
			for _, e := range l.readLane(lane) {
				l.handedOut(e)
			}
		}
		for at := range l.behind {
			l.readKey(at, 1_000)
		}
		l.clock.advance(time.Hour)
		for _, id := range sortedKeys(l.pushed) {
			e := l.pushed[id]
			l.commit(&Commit{
				Settle:     []Settle{{Job: l.settled(e.Job, job.Succeeded, job.OutcomeSucceeded), Was: e.Standing()}},
				ClaimsDone: []uint64{l.claims[id]},
			})
		}
		l.pushed = map[job.ID]*Entry{}
		l.drainTimers()
		c := &Commit{}
		for _, id := range sortedKeys(l.window) {
			l.cancel(c, l.window[id], job.Cancelled)
		}
		l.commit(c)
	}
	counts, err := l.ListQueues(ctx(), "", 100)
	l.check(err)
	for _, q := range counts {
		if q.Waiting+q.Scheduled+q.Retrying != 0 {
			l.Fatalf("jobs were forgotten: %+v", q)
		}
	}
	l.audit(0)
	l.drainFinished()
}

func (l *life) drainTimers() {
	for {
		timers, _, err := l.owner.ReadTimers(ctx(), l.clock.Now(), 100)
		l.check(err)
		c := &Commit{}
		for _, timer := range timers {
			if timer.due() {
				if l.window[timer.ID] == nil {
					l.window[timer.ID] = timer.Entry
				}
				l.cancel(c, timer.Entry, job.Cancelled)
				continue
			}
			c.TimersDone = append(c.TimersDone, timer)
		}
		l.commit(c)
		if len(timers) < 100 {
			return
		}
	}
}

func (l *life) drainFinished() {
	l.clock.advance(48 * time.Hour)
	l.drainTimers()
	l.trim(keepAll(0), 50)
	l.clock.advance(passEvery) // what ended behind a walk that was under way is for the next one
	l.trim(keepAll(0), 50)
	page, err := l.ListJobs(ctx(), JobFilter{}, job.ID{}, 100)
	l.check(err)
	if len(page.Jobs) > 0 {
		l.Fatalf("%d jobs are left", len(page.Jobs))
	}
	l.audit(0)
	u := 0
	for _, space := range []byte{spaceTimer, spaceClaim, spaceInbox, spaceIdempotency, spaceUnique, spaceResult} {
		entries, err := l.engine.Scan(ctx(), 0, engine.Range{From: []byte{space}, To: []byte{space + 1}, Limit: 10})
		l.check(err)
		u += len(entries)
	}
	if u > 0 {
		l.Fatalf("%d entries are left", u)
	}
}
