package store

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/job"
)

// schedule returns a new schedule of that name whose runs go to a queue.
func (f *fixture) schedule(name, queue string, next time.Time) *Schedule {
	nj := f.job(queue, nil)
	template := *nj.Job
	template.ID, template.CreatedAt = job.ID{}, time.Time{}
	return &Schedule{Name: name, Spec: []byte("spec"), State: []byte("state"), Job: &template, Payload: nj.Payload, Next: next}
}

func (f *fixture) put(s *Schedule) *Schedule {
	f.Helper()
	stored, err := f.ChangeSchedule(ctx(), s.Name, func(*Schedule, time.Time) (*Schedule, error) { return s, nil })
	f.check(err)
	return stored
}

// named returns a name in a shard.
func (f *fixture) named(shard int) string {
	for n := 0; ; n++ {
		if name := fmt.Sprintf("schedule-%d", n); f.ShardOf(name) == shard {
			return name
		}
	}
}

// fire returns the schedules that are due.
func (f *fixture) due(o *Owner) (due []*Schedule, next time.Time) {
	f.Helper()
	timers, next, err := o.ReadTimers(ctx(), f.clock.Now(), 100)
	f.check(err)
	for _, t := range timers {
		if t.Kind != TimerFire || t.Schedule == nil {
			f.Fatalf("a timer of another kind, or of no schedule: %+v", t)
		}
		due = append(due, t.Schedule)
	}
	return due, next
}

// run is a firing's job.
func (f *fixture) run(s *Schedule, awaited bool) Outgoing {
	j := *s.Job
	j.ID, j.CreatedAt = job.NewID(f.clock.Now(), f.ShardOf(j.Queue)), f.clock.Now()
	j.Schedule, j.ScheduledFor, j.Awaited = s.Name, f.clock.Now(), awaited
	return Outgoing{Job: &j, Payload: s.Payload}
}

func TestSchedulesAreChanged(t *testing.T) {
	t.Parallel()
	overEngines(t, 4, func(_ *testing.T, f *fixture) {
		name := f.named(1)
		o := f.own(1)
		if _, err := f.GetSchedule(ctx(), name); !errors.Is(err, ErrNotFound) {
			f.Fatalf("before: %v", err)
		}
		s := f.put(f.schedule(name, "q", start.Add(time.Minute)))
		f.equal("version", s.Version, uint64(1))
		f.equal("told to the owner", f.offered[len(f.offered)-1], Arrivals{Shard: 1, NextDue: start.Add(time.Minute)})
		if due, next := f.due(o); len(due) != 0 || !next.Equal(start.Add(time.Minute)) {
			f.Fatalf("%d are due, the next at %s", len(due), next)
		}
		f.clock.advance(time.Second)
		change := func(change func(*Schedule)) *Schedule {
			s, err := f.ChangeSchedule(ctx(), name, func(s *Schedule, _ time.Time) (*Schedule, error) {
				change(s)
				return s, nil
			})
			f.check(err)
			return s
		}
		f.equal("a version without a change", change(func(s *Schedule) { s.State, s.Next = []byte("other"), start.Add(2*time.Second) }).Version, uint64(1))
		f.equal("a changed spec", change(func(s *Schedule) { s.Spec = []byte("other") }).Version, uint64(2))
		f.equal("a changed job", change(func(s *Schedule) { s.Job.Type = "other" }).Version, uint64(3))
		f.equal("a changed payload", change(func(s *Schedule) { s.Payload = []byte("other") }).Version, uint64(4))
		got, err := f.GetSchedule(ctx(), name)
		f.check(err)
		if string(got.State) != "other" || got.Job.Type != "other" || !got.Created.Equal(start) || !got.Updated.Equal(start.Add(time.Second)) {
			f.Errorf("stored: %+v", got)
		}
		if due, next := f.due(o); len(due) != 0 || !next.Equal(start.Add(2*time.Second)) {
			f.Errorf("%d are due, the next at %s", len(due), next)
		}
		refused := errors.New("refused")
		if _, err := f.ChangeSchedule(ctx(), name, func(*Schedule, time.Time) (*Schedule, error) { return nil, refused }); !errors.Is(err, refused) {
			f.Errorf("refused: %v", err)
		}
		_, err = f.ChangeSchedule(ctx(), name, func(*Schedule, time.Time) (*Schedule, error) { return nil, nil })
		f.check(err)
		f.clock.advance(time.Hour)
		if due, next := f.due(o); len(due) != 0 || !next.IsZero() {
			f.Errorf("deleted: %d are due, the next at %s", len(due), next)
		}
		if _, err := f.ChangeSchedule(ctx(), name, func(*Schedule, time.Time) (*Schedule, error) { return nil, nil }); !errors.Is(err, ErrNotFound) {
			f.Errorf("deleted twice: %v", err)
		}
	})
}

func TestChangesOfAScheduleAtOnce(t *testing.T) {
	t.Parallel()
	overEngines(t, 2, func(_ *testing.T, f *fixture) {
		s := f.schedule("s", "q", time.Time{})
		s.State = nil
		f.put(s)
		var wait sync.WaitGroup
		for range 8 {
			wait.Go(func() {
				for range 5 {
					_, err := f.ChangeSchedule(ctx(), "s", func(s *Schedule, _ time.Time) (*Schedule, error) {
						s.State = append(bytes.Clone(s.State), 'x')
						return s, nil
					})
					if err != nil {
						f.Error(err)
					}
				}
			})
		}
		wait.Wait()
		got, err := f.GetSchedule(ctx(), "s")
		f.check(err)
		f.equal("changes", len(got.State), 40)
	})
}

func TestSchedulesThatAreWrong(t *testing.T) {
	t.Parallel()
	f, _ := modelFixture(t, 2)
	for name, change := range map[string]func(*Schedule){
		"no job":           func(s *Schedule) { s.Job = nil },
		"another name":     func(s *Schedule) { s.Name = "other" },
		"idempotency key":  func(s *Schedule) { s.Job.IdempotencyKey = "k" },
		"an ended job":     func(s *Schedule) { s.Job.Status = job.Dead },
		"a large payload":  func(s *Schedule) { s.Payload = make([]byte, MaxSchedulePayload+1) },
		"a large spec":     func(s *Schedule) { s.Spec = make([]byte, MaxScheduleSpec+1) },
		"a large state":    func(s *Schedule) { s.State = make([]byte, MaxScheduleSpec+1) },
		"a unique payload": func(s *Schedule) { s.Job.Unique = &job.Unique{} },
	} {
		s := f.schedule("s", "q", start)
		change(s)
		if _, err := f.ChangeSchedule(ctx(), "s", func(*Schedule, time.Time) (*Schedule, error) { return s, nil }); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	o := f.own(f.ShardOf("s"))
	if err := o.Commit(ctx(), &Commit{Fire: []Firing{{Schedule: f.schedule("s", "q", start)}}}); !errors.Is(err, ErrInvalid) {
		t.Errorf("one that was not read: %v", err)
	}
}

// A firing moves the schedule on and sends its jobs, or does nothing where the schedule
// was changed since it was read.
func TestFiring(t *testing.T) {
	t.Parallel()
	overEngines(t, 4, func(_ *testing.T, f *fixture) {
		names := []string{f.named(1), ""}
		names[1] = names[0] + "-"
		for f.ShardOf(names[1]) != 1 {
			names[1] += "-"
		}
		queue := f.queuesOf()[2]
		o := f.own(1)
		for _, name := range names {
			f.put(f.schedule(name, queue, start.Add(time.Minute)))
		}
		f.clock.advance(time.Minute)
		due, _ := f.due(o)
		f.equal("due", len(due), 2)
		c := &Commit{}
		for i, s := range due {
			s.State, s.Next = []byte("moved"), start.Add(time.Hour)
			c.Fire = append(c.Fire, Firing{Schedule: s, Runs: [][]byte{fmt.Append(nil, "run of ", i)}, Send: []Outgoing{f.run(s, false)}})
			s.Last = c.Fire[i].Send[0].Job.ID
		}
		if c.Empty() || !c.Sends() {
			f.Fatal("a commit that fires is not empty")
		}
		_, err := f.ChangeSchedule(ctx(), due[1].Name, func(s *Schedule, _ time.Time) (*Schedule, error) {
			s.Next = start.Add(2 * time.Hour)
			return s, nil
		})
		f.check(err)
		f.commit(c)
		f.equal("applied", []bool{c.Fire[0].Applied, c.Fire[1].Applied}, []bool{true, false})
		f.deliver(o, 10)
		f.equal("fired", f.inLanes(queue), []job.ID{due[0].Last})
		j, err := f.Job(ctx(), due[0].Last)
		f.check(err)
		if j.Schedule != due[0].Name || !j.ScheduledFor.Equal(start.Add(time.Minute)) || j.Awaited {
			f.Errorf("its job: %+v", j)
		}
		runs, numbers, err := f.ListRuns(ctx(), due[0].Name, 0, 10)
		f.check(err)
		f.equal("history", [2]any{runs, numbers}, [2]any{[][]byte{[]byte("run of 0")}, []uint64{1}})
		got, err := f.GetSchedule(ctx(), due[0].Name)
		f.check(err)
		if string(got.State) != "moved" || got.Last != due[0].Last || got.Runs != 1 || got.Version != 1 {
			f.Errorf("stored: %+v", got)
		}
		if due, next := f.due(o); len(due) != 0 || !next.Equal(start.Add(time.Hour)) {
			f.Errorf("%d are due, the next at %s", len(due), next)
		}
		f.audit(2)
	})
}

// A commit whose outcome is not known fires once, and does not say that it has.
func TestAmbiguousFiring(t *testing.T) {
	t.Parallel()
	for _, applied := range []bool{false, true} {
		f, e := modelFixture(t, 2)
		o := f.own(f.ShardOf("s"))
		f.put(f.schedule("s", "q", start))
		due, _ := f.due(o)
		due[0].Next = start.Add(time.Hour)
		c := &Commit{Fire: []Firing{{Schedule: due[0], Send: []Outgoing{f.run(due[0], false)}}}}
		if applied {
			e.Ambiguous = func(op string, _ int) bool { return op == "apply" }
		} else {
			e.Fail = func(string, int) error { return ErrUnavailable }
		}
		if err := o.Commit(ctx(), c); !errors.Is(err, ErrUnavailable) {
			t.Fatal(err)
		}
		e.Ambiguous, e.Fail = nil, nil
		f.check(o.Commit(ctx(), c))
		f.deliver(o, 10)
		if n := len(f.inLanes("q")); n != 1 || c.Fire[0].Applied == applied {
			t.Errorf("applied %v: %d jobs, said to be applied: %v", applied, n, c.Fire[0].Applied)
		}
	}
}

func TestRunsAreKept(t *testing.T) {
	t.Parallel()
	overEngines(t, 2, func(_ *testing.T, f *fixture) {
		o := f.own(f.ShardOf("s"))
		f.put(f.schedule("s", "q", start))
		for n := 0; n < KeptRuns+50; n += 10 {
			due, _ := f.due(o)
			firing := Firing{Schedule: due[0]}
			for k := range 10 {
				firing.Runs = append(firing.Runs, fmt.Append(nil, n+k+1))
			}
			f.commit(&Commit{Fire: []Firing{firing}})
		}
		var all []string
		for before, more := uint64(0), true; more; {
			runs, numbers, err := f.ListRuns(ctx(), "s", before, 30)
			f.check(err)
			for i := range runs {
				f.equal("number", fmt.Sprint(numbers[i]), string(runs[i]))
				all, before = append(all, string(runs[i])), numbers[i]
			}
			more = len(runs) == 30
		}
		if len(all) != KeptRuns || all[0] != "150" || all[KeptRuns-1] != "51" {
			f.Errorf("kept: %v", all)
		}
		_, err := f.ChangeSchedule(ctx(), "s", func(*Schedule, time.Time) (*Schedule, error) { return nil, nil })
		f.check(err)
		if runs, _, err := f.ListRuns(ctx(), "s", 0, 10); err != nil || len(runs) != 0 {
			f.Errorf("after it was deleted: %q, %v", runs, err)
		}
	})
}

// A schedule is told of the end of a run that it awaits, whatever shard that was in,
// and knows until then that it goes on.
func TestEndOfARunIsTold(t *testing.T) {
	t.Parallel()
	overEngines(t, 4, func(_ *testing.T, f *fixture) {
		name := f.named(1)
		queue := f.queuesOf()[2]
		o := f.own(1)
		f.put(f.schedule(name, queue, start))
		due, _ := f.due(o)
		s := due[0]
		out := f.run(s, true)
		s.Last, s.Awaits, s.State = out.Job.ID, true, []byte("fired")
		f.commit(&Commit{Fire: []Firing{{Schedule: s, Send: []Outgoing{out}}}})
		goesOn := func(when string, want bool) {
			f.Helper()
			due, _ := f.due(o)
			f.equal(when, due[0].LastLives, want)
		}
		goesOn("in the outbox", true)
		f.deliver(o, 10)
		goesOn("waiting", true)

		worker := f.own(2)
		j := out.Job
		entries := f.readLane(Lane{Queue: queue, Priority: j.Priority})
		f.equal("fired", ids(entries), []job.ID{j.ID})
		dead := f.settled(entries[0].Job, job.Dead, job.OutcomeFailed)
		c := &Commit{Settle: []Settle{{Job: dead, Was: entries[0].Standing()}}}
		if !c.Sends() {
			f.Error("a commit that tells a schedule sends")
		}
		f.commit(c)
		goesOn("ended", false)
		told := len(f.offered)
		f.deliver(worker, 10)
		f.equal("the owner is told", f.offered[told], Arrivals{Shard: 1, Inbox: true})
		commands, more, err := o.ReadInbox(ctx(), 10)
		f.check(err)
		if len(commands) != 1 || more {
			f.Fatalf("inbox: %+v, %v", commands, more)
		}
		e := commands[0]
		if e.Kind != CommandEnded || e.Name != name || e.Run != j.ID || e.Outcome != job.Dead || string(e.Schedule.State) != "fired" || e.Schedule.LastLives {
			f.Errorf("told: %+v", e)
		}
		e.Schedule.State = []byte("heard")
		f.own(1) // another owner, which reads the same
		o = f.owner
		commands, _, err = o.ReadInbox(ctx(), 10)
		f.check(err)
		f.commit(&Commit{Fire: []Firing{{Schedule: commands[0].Schedule, Consumed: []uint64{commands[0].Seq}}}})
		if commands, _, err := o.ReadInbox(ctx(), 10); err != nil || len(commands) != 0 {
			f.Errorf("answered: %+v, %v", commands, err)
		}
		for shard := range f.Shards() {
			f.audit(shard)
		}
	})
}

// A run that was removed has ended.
func TestLastRunThatIsGone(t *testing.T) {
	t.Parallel()
	f, _ := modelFixture(t, 2)
	o := f.own(f.ShardOf("s"))
	s := f.schedule("s", "q", start)
	s.Last, s.Awaits = job.NewID(start, f.ShardOf("q")), true
	f.put(s)
	if due, _ := f.due(o); due[0].LastLives {
		t.Error("a job that is not there goes on")
	}
}

// Large schedules are read in parts.
func TestLargeSchedulesAreReadInParts(t *testing.T) {
	t.Parallel()
	f, _ := modelFixture(t, 1)
	o := f.own(0)
	const n = 3 * fireChunk
	var commands []Command
	for i := range n {
		s := f.schedule(fmt.Sprintf("s%02d", i), "q", start.Add(time.Duration(i)*time.Millisecond))
		s.Payload = []byte(strings.Repeat("x", MaxSchedulePayload))
		f.put(s)
		commands = append(commands, f.ScheduleCommand(CommandTrigger, s.Name, [9]byte{8: byte(i)}))
	}
	_, err := f.SendAll(ctx(), 0, commands)
	f.check(err)
	f.clock.advance(time.Second)
	timers, next, err := o.ReadTimers(ctx(), f.clock.Now(), 100)
	f.check(err)
	if len(timers) != fireChunk || !next.Equal(start.Add(fireChunk*time.Millisecond)) {
		t.Errorf("%d schedules at once, the next at %s", len(timers), next)
	}
	read, more, err := o.ReadInbox(ctx(), 100)
	f.check(err)
	if len(read) != fireChunk || !more || read[3].Schedule.Name != "s03" {
		t.Errorf("%d commands at once, more %v", len(read), more)
	}
}

// A record is read as it was written, and what is none is refused.
func FuzzSchedule(f *testing.F) {
	s := Schedule{Version: 3, Created: start, Spec: []byte("spec"), State: []byte("state"), Job: &job.Job{Queue: "q", Status: job.Waiting}, Payload: []byte("{}"), Next: start, Awaits: true, Runs: 9}
	f.Add(appendSchedule(nil, &s))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseSchedule("s", data)
		if err != nil {
			return
		}
		again, err := parseSchedule("s", appendSchedule(nil, s))
		if err != nil || again.Next != s.Next || again.Runs != s.Runs || !bytes.Equal(again.Spec, s.Spec) || again.Job.Queue != s.Job.Queue {
			t.Errorf("%+v, %+v, %v", s, again, err)
		}
	})
}
