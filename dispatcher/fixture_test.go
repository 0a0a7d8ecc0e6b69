package dispatcher

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/webhook/push"
)

// fixture is a machine in a world made by hand: a store of a few slices, a node
// with so many slots, and workers that answer when the test says so.
type fixture struct {
	t   testing.TB
	m   *machine
	now time.Time

	lanes    map[store.Lane][]*store.Entry
	behind   map[laneKey]bool // keys that are read by themselves
	timers   []store.Timer
	inbox    []store.Command
	finished []*job.Job
	slots    int  // free on the node
	token    bool // free on the node
	refuse   bool // the feed hands out nothing without its being read
	seq      uint64

	commit  *store.Commit // under way
	commits []*store.Commit
	pushes  []pushOrder // in flight, in the order of their starts
	aborts  []attemptKey
	settled []*job.Job
	gone    []string
	failing []Failing
	free    want
	wake    time.Time
	dropped []*store.Entry
	steps   int
	reads   int

	together []int // how many lanes were read at once

	beats     map[job.ID]time.Time // until when accepted attempts go on
	cancels   []cancelNotice
	concluded []job.Outcome
}

func (f *fixture) Take(store.Lane, *store.Entry) bool { return !f.refuse }
func (f *fixture) Grew(store.Lane)                    {}
func (f *fixture) SetTimer(time.Time)                 {}
func (f *fixture) ShardOf(string) int                 { return 0 }

// ReleaseTime is a day after the job's end, where it has an idempotency key.
func (f *fixture) ReleaseTime(j *job.Job) (at time.Time) {
	if j.IdempotencyKey != "" {
		at = j.FinishedAt.Add(24 * time.Hour)
	}
	return at
}

func (f *fixture) Drop(e *store.Entry) { f.dropped = append(f.dropped, e) }

// Pass keeps what the window has no room for.
func (f *fixture) Pass(l store.Lane, e *store.Entry) { f.lanes[l] = append(f.lanes[l], e) }

func (f *fixture) PassKey(l store.Lane, e *store.Entry) {
	f.setBehind(l, e.Job.Key, true)
	f.Pass(l, e)
}

func (f *fixture) Return(l store.Lane, entries []*store.Entry) {
	f.setBehind(l, entries[0].Job.Key, true)
	f.lanes[l] = slices.Concat(entries, f.lanes[l])
}

func (f *fixture) setBehind(l store.Lane, key string, behind bool) {
	if f.behind == nil {
		f.behind = make(map[laneKey]bool)
	}
	f.behind[laneKey{l, key}] = behind
}

type laneKey struct {
	store.Lane
	key string
}

// readLane takes out of a lane what a read of it, or of one of its keys, hands
// out.
func (f *fixture) readLane(r laneRequest) (read laneRead) {
	read.Lane, read.Key = r.Lane, r.Key
	var left []*store.Entry
	bytes := 0
	skips := f.m.skips(r.Lane)
	for _, e := range f.lanes[r.Lane] {
		key := e.Job.Key
		behind := f.behind[laneKey{r.Lane, key}]
		switch {
		case r.Key != nil && r.Key.name != key, r.Key == nil && behind:
			left = append(left, e)
			continue
		case r.Key == nil && skips(key):
			read.Skipped = append(read.Skipped, key)
			f.setBehind(r.Lane, key, true)
			left = append(left, e)
			continue
		}
		if bytes += len(e.Payload); len(read.Entries) == r.Limit || (bytes > r.Bytes && len(read.Entries) > 0) {
			left, read.More = append(left, e), true
			continue
		}
		read.Entries = append(read.Entries, e)
	}
	f.lanes[r.Lane] = left
	if r.Key != nil {
		f.setBehind(r.Lane, r.Key.name, read.More)
	}
	return read
}

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// plainPolicy has no chance in it.
var plainPolicy = job.Policy{
	MaxAttempts: 3, MaxDuration: job.Duration(time.Hour), Backoff: job.BackoffFixed,
	InitialDelay: job.Duration(10 * time.Second), Jitter: job.JitterNone,
}.Over(job.DefaultPolicy())

// config is a configuration with those workers, of weight 1, on queue "q".
func config(workers ...string) *Config {
	c := &Config{DefaultQueue: Queue{Concurrency: 100}, Timeout: time.Minute, Retry: plainPolicy}
	for _, name := range workers {
		c.Workers = append(c.Workers, &Worker{Name: name, URL: "http://" + name, Queues: []string{"q"}, Weight: 1})
	}
	return c
}

// reconfigure changes a copy of the configuration.
func (f *fixture) reconfigure(change func(*Config)) {
	c := *f.m.cfg
	c.Workers = nil
	for _, w := range f.m.cfg.Workers {
		w := *w
		c.Workers = append(c.Workers, &w)
	}
	change(&c)
	f.step(configured{&c})
}

func newFixture(t testing.TB, c *Config) *fixture { return newFixtureOf(t, c, defaultLimits()) }

func newFixtureOf(t testing.TB, c *Config, l limits) *fixture {
	f := &fixture{t: t, now: noon, lanes: make(map[store.Lane][]*store.Entry), slots: 1000, token: true}
	f.m = newMachine(c, l, 1, 7, f)
	return f
}

// started is a machine that has recovered from an empty shard.
func started(t testing.TB, c *Config) *fixture {
	f := newFixture(t, c)
	f.step(recovered{})
	return f
}

// step steps the machine until it has nothing more to read or to ask.
func (f *fixture) step(events ...event) {
	f.t.Helper()
	for {
		if f.steps++; f.steps > 1_000_000 {
			f.t.Fatal("the machine never comes to rest")
		}
		out := f.m.step(f.now, events...)
		events = f.carry(out)
		if len(events) == 0 {
			return
		}
	}
}

func (f *fixture) carry(out *effects) (events []event) {
	f.wake = out.Wake
	f.free.Slots += out.Free.Slots
	f.slots += out.Free.Slots
	f.token = f.token || out.Free.Suspect
	if out.Want != (want{}) {
		g := granted{min(f.slots, out.Want.Slots), f.token && out.Want.Suspect}
		f.slots -= g.Slots
		f.token = f.token && !g.Suspect
		events = append(events, g)
	}
	f.pushes = append(f.pushes, out.Push...)
	f.aborts = append(f.aborts, out.Abort...)
	f.settled = append(f.settled, out.Settled...)
	f.gone = append(f.gone, out.Gone...)
	f.failing = append(f.failing, out.Failing...)
	if out.Commit != nil {
		if f.commit != nil {
			f.t.Fatal("two commits at a time")
		}
		c := *out.Commit
		f.commit = &c
		f.commits = append(f.commits, &c)
	}
	if out.reads() {
		f.reads++
	}
	return append(events, f.read(out)...)
}

func (f *fixture) read(out *effects) (events []event) {
	if len(out.ReadLanes) > 0 {
		f.together = append(f.together, len(out.ReadLanes))
	}
	for _, r := range slices.Concat(out.ReadKeys, out.ReadLanes) {
		events = append(events, f.readLane(r))
	}
	if out.ReadTimers > 0 {
		slices.SortStableFunc(f.timers, func(a, b store.Timer) int { return a.At.Compare(b.At) })
		n := 0
		for n < min(out.ReadTimers, len(f.timers)) && !f.timers[n].At.After(f.now) {
			n++
		}
		var next time.Time
		if n < len(f.timers) {
			next = f.timers[n].At
		}
		events = append(events, timersRead{slices.Clone(f.timers[:n]), next})
	}
	if out.ReadInbox > 0 {
		n := min(out.ReadInbox, len(f.inbox))
		events = append(events, inboxRead{slices.Clone(f.inbox[:n]), n == out.ReadInbox})
	}
	if len(out.ReadBeats) > 0 {
		events = append(events, beatsRead{slices.Clone(out.ReadBeats), maps.Clone(f.beats)})
	}
	f.cancels = append(f.cancels, out.Cancel...)
	for _, c := range out.Concluded {
		f.concluded = append(f.concluded, c.Outcome)
	}
	if out.ReadFinished > 0 {
		n := min(out.ReadFinished, len(f.finished))
		answer := finishedRead{Next: f.now.Add(time.Hour)}
		if n < len(f.finished) {
			answer.Next = f.now
		}
		for _, j := range f.finished[:n] {
			answer.Trims = append(answer.Trims, store.Trim{Job: j})
		}
		events = append(events, answer)
	}
	return events
}

// durable carries out the commit under way on the store of slices, and tells
// the machine.
func (f *fixture) durable() {
	f.t.Helper()
	c := f.commit
	if c == nil {
		f.t.Fatal("no commit is under way")
	}
	f.commit = nil
	for i := range c.Claim {
		f.untime(c.Claim[i].Entry.Job.ID, store.TimerDue)
	}
	for i := range c.Settle {
		f.settle(&c.Settle[i])
	}
	for i := range c.Accept {
		if f.beats == nil {
			f.beats = make(map[job.ID]time.Time)
		}
		f.beats[c.Accept[i].Entry.Job.ID] = c.Accept[i].Until()
	}
	for _, e := range c.Promote {
		f.untime(e.Job.ID, store.TimerDue)
		e := *e
		e.Place = store.InLane
		f.lanes[store.LaneOf(e.Job)] = append(f.lanes[store.LaneOf(e.Job)], &e)
	}
	for i := range c.TimersDone {
		f.untime(c.TimersDone[i].ID, c.TimersDone[i].Kind)
	}
	f.inbox = slices.DeleteFunc(f.inbox, func(x store.Command) bool { return slices.Contains(c.Consumed, x.Seq) })
	for _, j := range removed(c) {
		f.finished = slices.DeleteFunc(f.finished, func(x *job.Job) bool { return x.ID == j.ID })
	}
	f.step(committed{})
}

func (f *fixture) settle(s *store.Settle) {
	f.untime(s.Job.ID, store.TimerDue)
	if s.Job.Status.Terminal() {
		return
	}
	e := &store.Entry{Job: s.Job, Payload: []byte("{}"), Place: store.InTimers}
	f.timers = append(f.timers, store.Timer{Kind: store.TimerDue, At: s.Job.Due, ID: s.Job.ID, Entry: e})
}

func (f *fixture) untime(id job.ID, kind store.TimerKind) {
	f.timers = slices.DeleteFunc(f.timers, func(t store.Timer) bool { return t.ID == id && t.Kind == kind })
}

// rest makes commits durable until there is none.
func (f *fixture) rest() {
	f.t.Helper()
	for f.commit != nil {
		f.durable()
	}
}

// pass lets time pass and the machine notice it.
func (f *fixture) pass(d time.Duration) {
	f.t.Helper()
	f.now = f.now.Add(d)
	f.step()
	f.rest()
}

// entry is a new ready job of queue "q".
func (f *fixture) entry(change ...func(*job.Job)) *store.Entry {
	f.seq++
	var random [9]byte
	binary.BigEndian.PutUint64(random[1:], f.seq)
	j := &job.Job{
		ID: job.MakeID(f.now, 0, random), Queue: "q", Type: "t", Status: job.Waiting, Priority: job.Normal,
		ContentType: "application/json", CreatedAt: f.now, PayloadSize: 2,
	}
	e := &store.Entry{Job: j, Payload: []byte("{}"), Place: store.InLane, Seq: f.seq}
	for _, c := range change {
		c(j)
	}
	return e
}

func (f *fixture) entries(n int, change ...func(*job.Job)) []*store.Entry {
	entries := make([]*store.Entry, n)
	for i := range entries {
		entries[i] = f.entry(change...)
	}
	return entries
}

// arrive hands new jobs to the machine and lets it come to rest.
func (f *fixture) arrive(entries ...*store.Entry) {
	f.t.Helper()
	f.step(arrived{entries})
	f.rest()
}

// pushed returns the oldest push in flight and takes it out.
func (f *fixture) pushed() pushOrder {
	f.t.Helper()
	if len(f.pushes) == 0 {
		f.t.Fatal("nothing is being pushed")
	}
	p := f.pushes[0]
	f.pushes = f.pushes[1:]
	return p
}

// answer ends the oldest push in flight; the outcome is not yet committed.
func (f *fixture) answer(a push.Answer) pushOrder {
	f.t.Helper()
	p := f.pushed()
	f.step(pushed{[]result{{p.Entry.Job.ID, p.Attempt, a}}})
	return p
}

// answered is answer, and the outcome is durable.
func (f *fixture) answered(a push.Answer) pushOrder {
	f.t.Helper()
	p := f.answer(a)
	f.rest()
	return p
}

// send puts commands for jobs, as the store knows them, into the inbox.
func (f *fixture) send(kind store.CommandKind, entries ...*store.Entry) {
	f.t.Helper()
	for _, e := range entries {
		f.seq++
		f.inbox = append(f.inbox, store.Command{Seq: f.seq, Kind: kind, ID: e.Job.ID, At: f.now, Entry: e})
	}
	f.step(inboxGrew{})
}

// last returns the newest settled state of a job in any commit.
func (f *fixture) last(id job.ID) *job.Job {
	f.t.Helper()
	for _, c := range slices.Backward(f.commits) {
		for i := range c.Settle {
			if c.Settle[i].Job.ID == id {
				return c.Settle[i].Job
			}
		}
	}
	f.t.Fatalf("job %s was never settled", id)
	return nil
}

// empty checks that the machine has forgotten everything.
func (f *fixture) empty() {
	f.t.Helper()
	m := f.m
	got := fmt.Sprint(len(m.jobs), len(m.zombies), len(m.claims), m.ready, m.bytes, m.inFlight, m.slots, len(m.suspects), len(m.due))
	if got != "0 0 0 0 0 0 0 0 0" || !m.quiet() {
		f.t.Errorf("the machine is not empty: %s, quiet %v", got, m.quiet())
	}
	for _, q := range m.queues {
		for _, l := range q.lanes {
			if len(l.keys) != 0 || l.cur != nil || l.n != 0 {
				f.t.Errorf("%v of %s keeps %d keys, %d jobs", l.Lane, q.name, len(l.keys), l.n)
			}
		}
	}
}

// Answers.
var (
	succeeded = push.Answer{Outcome: job.OutcomeSucceeded, StatusCode: 200, Body: []byte("ok"), ContentType: "text/plain"}
	failed    = push.Answer{Outcome: job.OutcomeFailed, Reason: job.ReasonHTTPStatus, StatusCode: 500, Error: "answered 500"}
	timedOut  = push.Answer{Outcome: job.OutcomeTimedOut, Reason: job.ReasonTimeout, Error: "timed out"}
	aborted   = push.Answer{Outcome: job.OutcomeCancelled, Reason: job.ReasonCancelled}
)

func throttledFor(d time.Duration) push.Answer {
	return push.Answer{Outcome: job.OutcomeThrottled, Reason: job.ReasonThrottled, StatusCode: 429, RetryAfter: d}
}

func with(a push.Answer, change func(*push.Answer)) push.Answer {
	change(&a)
	return a
}

// removed are the jobs that a commit removes.
func removed(c *store.Commit) []*job.Job {
	all := slices.Clone(c.Delete)
	for _, t := range c.Trim {
		all = append(all, t.Job)
	}
	return all
}
