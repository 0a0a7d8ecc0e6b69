package store

import (
	"cmp"
	"context"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
)

// keepAll keeps every finished job of every queue for so long.
func keepAll(age time.Duration) *RetentionRules { return &RetentionRules{Ages: ages(age)} }

func ages(age time.Duration) map[job.Status]time.Duration {
	all := map[job.Status]time.Duration{}
	for _, s := range trimOrder {
		all[s] = age
	}
	return all
}

// trim removes what the rules keep no longer, and returns the ids in the order in
// which they were found. It goes on as long as it is asked to within a minute.
func (f *fixture) trim(rules *RetentionRules, limit int) (removed []job.ID) {
	f.Helper()
	for {
		trims, next, err := f.owner.ReadFinished(ctx(), rules, f.clock.Now(), limit)
		f.check(err)
		if len(trims) > limit {
			f.Fatalf("%d jobs were read, asked were %d", len(trims), limit)
		}
		for _, t := range trims {
			removed = append(removed, t.Job.ID)
		}
		f.commit(&Commit{Trim: trims})
		f.audit(f.owner.shard)
		wait := next.Sub(f.clock.Now())
		if wait >= passEvery {
			return removed
		}
		f.clock.advance(max(wait, 0))
	}
}

// settleAs ends a job that nothing has touched yet.
func (f *fixture) settleAs(j *job.Job, status job.Status) {
	f.Helper()
	s := Settle{Job: f.settled(j, status, job.OutcomeFailed), Was: (&Entry{Job: j, Place: InLane}).Standing()}
	f.commit(&Commit{Settle: []Settle{s}})
}

// What takes more than its queue allows goes oldest first, the dead last, and
// what an earlier version stored goes with it.
func TestRetentionByBytes(t *testing.T) {
	t.Parallel()
	overEngines(t, 1, func(t *testing.T, f *fixture) {
		f.own(0)
		var byStatus [6][]job.ID
		for range 3 {
			for _, s := range []job.Status{job.Dead, job.Expired, job.Succeeded, job.Cancelled} {
				byStatus[s] = append(byStatus[s], f.finish(1, s)...)
			}
		}
		counts, err := f.Counts(ctx(), "q")
		f.check(err)
		each := counts.Kept / 12 // they differ by a byte at most
		rules := func(bytes int64) *RetentionRules {
			return &RetentionRules{Own: map[string]Retention{"q": {MaxBytes: bytes}}}
		}
		f.equal("nothing is over", len(f.trim(rules(counts.Kept), 5)), 0)
		f.equal("two are over", f.trim(rules(counts.Kept-2*each+9), 5), byStatus[job.Succeeded][:2])
		f.equal("dead ones go last", f.trim(rules(2*each+9), 5),
			slices.Concat(byStatus[job.Succeeded][2:], byStatus[job.Cancelled], byStatus[job.Expired], byStatus[job.Dead][:1]))
		if counts, err = f.Counts(ctx(), "q"); err != nil || counts.Trimmed != 1 || counts.Dead != 2 {
			t.Errorf("counts %+v, %v", counts, err)
		}
	})
}

// A queue with a retention of its own follows it alone, and the others theirs,
// also after it was given one or has lost it.
func TestRetentionOfAQueue(t *testing.T) {
	t.Parallel()
	overEngines(t, 1, func(t *testing.T, f *fixture) {
		f.own(0)
		finish := func(queue string) job.ID {
			j := f.one(queue, nil)
			f.settleAs(j, job.Succeeded)
			f.clock.advance(time.Millisecond)
			return j.ID
		}
		var long, short, other []job.ID
		for range 20 {
			long, short, other = append(long, finish("long")), append(short, finish("short")), append(other, finish("other"))
		}
		rules := &RetentionRules{Ages: ages(2 * time.Hour), Own: map[string]Retention{
			"long": {Ages: ages(50 * time.Hour)}, "short": {Ages: ages(time.Hour)}, "unused": {Ages: ages(0)},
		}}
		f.equal("at first", len(f.trim(rules, 7)), 0)
		f.clock.advance(time.Hour)
		f.equal("after an hour", f.trim(rules, 7), short)
		f.clock.advance(time.Hour)
		f.equal("after two", f.trim(rules, 7), other)
		f.clock.advance(time.Hour)
		f.equal("after three", len(f.trim(rules, 7)), 0)
		f.equal("without its own", f.trim(keepAll(2*time.Hour), 7), long)
	})
}

// TestRetentionModel: random jobs, ages, bounds and owners. Nothing goes before
// its time or out of its order, and what is over goes.
func TestRetentionModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		f, _ := modelFixture(t, 1)
		f.own(0)
		m := retentionModel{fixture: f, t: rt, finished: map[job.ID]*job.Job{}, trimmed: map[string]int64{}}
		m.rules = m.drawRules()
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			m.step()
		}
		m.end()
	})
}

type retentionModel struct {
	*fixture
	t        *rapid.T
	rules    *RetentionRules
	waiting  []*job.Job
	finished map[job.ID]*job.Job
	trimmed  map[string]int64
}

var retentionQueues = []string{"a", "b", "c"}

func (m *retentionModel) drawRules() *RetentionRules {
	hours := func(name string) map[job.Status]time.Duration {
		all := map[job.Status]time.Duration{}
		for _, s := range trimOrder {
			if h := rapid.IntRange(-1, 5).Draw(m.t, name); h >= 0 {
				all[s] = time.Duration(h) * time.Hour
			}
		}
		return all
	}
	rules := &RetentionRules{Ages: hours("age"), Own: map[string]Retention{}}
	for _, queue := range retentionQueues[:2] {
		if rapid.Bool().Draw(m.t, "own") {
			rules.Own[queue] = Retention{Ages: hours(queue), MaxBytes: int64(rapid.SampledFrom([]int{0, 1, 500, 1500, 1e6}).Draw(m.t, "bytes"))}
		}
	}
	return rules
}

func (m *retentionModel) step() {
	switch rapid.IntRange(0, 11).Draw(m.t, "action") {
	case 0, 1, 2:
		for range rapid.IntRange(1, 30).Draw(m.t, "new") {
			m.waiting = append(m.waiting, m.one(rapid.SampledFrom(retentionQueues).Draw(m.t, "queue"), nil))
			m.clock.advance(time.Duration(rapid.IntRange(0, 60).Draw(m.t, "between")) * time.Second)
		}
	case 3, 4, 5:
		for range min(len(m.waiting), rapid.IntRange(1, 30).Draw(m.t, "ended")) {
			i := rapid.IntRange(0, len(m.waiting)-1).Draw(m.t, "which")
			j := m.waiting[i]
			m.waiting = slices.Delete(m.waiting, i, i+1)
			m.settleAs(j, rapid.SampledFrom(trimOrder[:]).Draw(m.t, "status"))
			m.read(j.ID)
		}
	case 6:
		m.own(0) // positions are forgotten
	case 7:
		m.rules = m.drawRules()
	case 8:
		for id, j := range m.finished {
			m.commit(&Commit{Delete: []*job.Job{j}})
			delete(m.finished, id)
			break
		}
	default:
		m.look()
		m.clock.advance(time.Duration(rapid.IntRange(0, 90).Draw(m.t, "minutes")) * time.Minute)
	}
}

func (m *retentionModel) read(id job.ID) {
	j, err := m.Job(ctx(), id)
	m.check(err)
	m.finished[id] = j
}

// rule returns what a queue follows.
func (m *retentionModel) rule(queue string) Retention {
	if own, ok := m.rules.Own[queue]; ok {
		return own
	}
	return Retention{Ages: m.rules.Ages}
}

// look reads once, checks what was found, and removes it.
func (m *retentionModel) look() (next time.Time) {
	now := m.clock.Now()
	trims, next, err := m.owner.ReadFinished(ctx(), m.rules, now, rapid.IntRange(1, 20).Draw(m.t, "limit"))
	m.check(err)
	over := map[string][]job.ID{}
	for _, trim := range trims {
		j := m.finished[trim.Job.ID]
		if j == nil {
			m.t.Fatalf("%s is not finished, or was handed out twice", trim.Job.ID)
		}
		if age, ok := m.rule(j.Queue).Ages[j.Status]; trim.Why == TrimAge && (!ok || j.FinishedAt.Add(age).After(now)) {
			m.t.Fatalf("%s, which is %s since %s, goes before its time", j.ID, j.Status, j.FinishedAt)
		}
		if trim.Why == TrimBytes {
			over[j.Queue] = append(over[j.Queue], j.ID)
		}
	}
	for queue, ids := range over {
		m.checkOver(queue, ids)
	}
	for _, trim := range trims {
		if trim.Job.Status == job.Dead {
			m.trimmed[trim.Job.Queue]++
		}
		delete(m.finished, trim.Job.ID)
	}
	m.commit(&Commit{Trim: trims})
	return next
}

// checkOver checks that just those jobs go first, and that without the last of
// them the queue takes too much.
func (m *retentionModel) checkOver(queue string, ids []job.ID) {
	var all []*job.Job
	var kept int64
	for _, j := range m.finished {
		if j.Queue == queue {
			all = append(all, j)
			kept += int64(j.Counted)
		}
	}
	slices.SortFunc(all, func(a, b *job.Job) int {
		return cmp.Or(cmp.Compare(slices.Index(trimOrder[:], a.Status), slices.Index(trimOrder[:], b.Status)), compareIDs(a.ID, b.ID))
	})
	for i, id := range ids {
		if all[i].ID != id || kept <= m.rule(queue).MaxBytes {
			m.t.Fatalf("queue %s of %d bytes gives up %s, where %s is next and %d are allowed", queue, kept, id, all[i].ID, m.rule(queue).MaxBytes)
		}
		kept -= int64(all[i].Counted)
	}
}

// end lets some hours pass as the reads ask for it. Then nothing is left that has
// been due for longer than a walk waits for more.
func (m *retentionModel) end() {
	for end := m.clock.Now().Add(4 * time.Hour); m.clock.Now().Before(end); {
		if wait := m.look().Sub(m.clock.Now()); wait > 0 {
			m.clock.advance(wait)
		}
	}
	now := m.clock.Now()
	kept := map[string]int64{}
	for _, j := range m.finished {
		kept[j.Queue] += int64(j.Counted)
		if age, ok := m.rule(j.Queue).Ages[j.Status]; ok && now.Sub(j.FinishedAt.Add(age)) > 3*passEvery {
			m.t.Fatalf("%s of queue %s, %s since %s, is left at %s", j.ID, j.Queue, j.Status, j.FinishedAt, now)
		}
	}
	for _, queue := range retentionQueues {
		if most := m.rule(queue).MaxBytes; most > 0 && kept[queue] > most {
			m.t.Fatalf("queue %s keeps %d bytes, allowed are %d", queue, kept[queue], most)
		}
		counts, err := m.Counts(ctx(), queue)
		m.check(err)
		if counts.Trimmed != m.trimmed[queue] || counts.Kept != kept[queue] {
			m.t.Fatalf("queue %s counts %+v; %d dead ones were trimmed, %d bytes are kept", queue, counts, m.trimmed[queue], kept[queue])
		}
	}
	m.audit(0)
}

// TestRetentionCostsWhatItRemoves: what a day of walks reads does not depend on
// how much is kept, be it in front of the jobs that go or behind them.
func TestRetentionCostsWhatItRemoves(t *testing.T) {
	t.Parallel()
	read := func(kept int) int {
		f, e := modelFixture(t, 1)
		counted := &rowEngine{Engine: e}
		f.engine = counted
		f.own(0)
		f.finishMany("long", kept)
		f.finishMany("other", kept)
		f.clock.advance(time.Hour)
		f.finishMany("short", 100)
		rules := &RetentionRules{Ages: ages(100 * 24 * time.Hour), Own: map[string]Retention{
			"long": {Ages: ages(1000 * 24 * time.Hour), MaxBytes: 1 << 40}, "short": {Ages: ages(time.Hour)},
		}}
		counted.rows = 0
		removed := 0
		for end := f.clock.Now().Add(24 * time.Hour); f.clock.Now().Before(end); {
			trims, next, err := f.owner.ReadFinished(ctx(), rules, f.clock.Now(), 512)
			f.check(err)
			removed += len(trims)
			f.commit(&Commit{Trim: trims})
			f.clock.advance(max(next.Sub(f.clock.Now()), 0))
		}
		if removed != 100 {
			t.Fatalf("%d were removed, want 100", removed)
		}
		return counted.rows
	}
	few, many := read(100), read(3000)
	t.Logf("a day of walks reads %d rows with 200 kept jobs, %d with 6,000", few, many)
	if many > few {
		t.Errorf("a day of walks reads %d rows with 200 kept jobs, and %d with 6,000", few, many)
	}
}

// TestRetentionLooksInVainSlowly: jobs that were created long ago and ended a
// moment ago stand in the way of a walk. They are looked at again and again, but
// at a pace.
func TestRetentionLooksInVainSlowly(t *testing.T) {
	t.Parallel()
	f, _ := modelFixture(t, 1)
	f.own(0)
	var jobs []*job.Job
	for range 2000 {
		jobs = append(jobs, f.one("q", nil))
	}
	f.clock.advance(100 * time.Hour)
	for _, j := range jobs {
		f.settleAs(j, job.Dead)
		f.clock.advance(time.Millisecond)
	}
	began := f.clock.Now()
	if n := len(f.trim(keepAll(50*time.Hour), 500)); n != 0 {
		t.Fatalf("%d went before their time", n)
	}
	if took := f.clock.Now().Sub(began); took < 1500*vainPause || took > 3000*vainPause {
		t.Errorf("a walk over 2,000 jobs in vain took %s", took)
	}
}

// finishMany ends that many jobs of a queue, each in its moment.
func (f *fixture) finishMany(queue string, n int) {
	f.Helper()
	for n > 0 {
		var c Commit
		jobs := f.jobs(min(n, 500), queue, nil)
		f.enqueue(jobs...)
		for _, nj := range jobs {
			c.Settle = append(c.Settle, Settle{Job: f.settled(nj.Job, job.Succeeded, job.OutcomeSucceeded), Was: (&Entry{Job: nj.Job, Place: InLane}).Standing()})
		}
		f.commit(&c)
		f.clock.advance(time.Second)
		n -= len(jobs)
	}
}

// rowEngine counts the rows that are read.
type rowEngine struct {
	engine.Engine
	rows int
}

func (e *rowEngine) Get(c context.Context, shard int, keys ...[]byte) ([][]byte, error) {
	e.rows += len(keys)
	return e.Engine.Get(c, shard, keys...)
}

func (e *rowEngine) Scan(c context.Context, shard int, r engine.Range) ([]engine.Entry, error) {
	entries, err := e.Engine.Scan(c, shard, r)
	e.rows += 1 + len(entries)
	return entries, err
}
