package dispatcher

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/scheduler"
	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/store/engine/model"
	"github.com/orchestrix/orchestrix/webhook/push"
)

// hourly is a schedule, as the store would return it.
func hourly(change ...func(*scheduler.Definition, *scheduler.State)) *store.Schedule {
	d := scheduler.Definition{Spec: scheduler.Spec{Every: job.Duration(time.Hour)}}
	state := scheduler.Begin(noon.Add(-time.Hour))
	for _, c := range change {
		c(&d, &state)
	}
	return &store.Schedule{
		Name: "s", Version: 1, Spec: encoded(&d), State: encoded(&state), Next: noon,
		Job: &job.Job{Queue: "q", Type: "t", Status: job.Waiting, Priority: job.High, PayloadSize: 2}, Payload: []byte("{}"),
	}
}

// due is a fixture with schedules that are due.
func due(t testing.TB, c *Config, schedules ...*store.Schedule) *fixture {
	f := newFixture(t, c)
	for _, s := range schedules {
		f.timers = append(f.timers, store.Timer{Kind: store.TimerFire, At: noon, Schedule: s})
	}
	f.step(recovered{})
	return f
}

func TestScheduleFires(t *testing.T) {
	t.Parallel()
	c := config("w")
	c.Queues = map[string]Queue{"q": {Concurrency: 1, KeyConcurrency: 1}}
	s := hourly()
	s.Job.Key = "k"
	f := due(t, c, s)
	if f.commit == nil || len(f.commit.Fire) != 1 || len(f.commit.Fire[0].Send) != 1 {
		t.Fatalf("commit: %+v", f.commit)
	}
	j := f.commit.Fire[0].Send[0].Job
	if j.Schedule != "s" || !j.ScheduledFor.Equal(noon) || !j.CreatedAt.Equal(noon) || !j.Ordered || j.Awaited || j.Priority != job.High || s.Job.Schedule != "" {
		t.Errorf("its job: %+v", j)
	}
	if s.Last != j.ID || !s.Next.Equal(noon.Add(time.Hour)) || s.Awaits {
		t.Errorf("the schedule: %+v", s)
	}
	want := fmt.Sprintf(`{"kind":"fired","slot":"2026-01-01T12:00:00Z","at":"2026-01-01T12:00:00Z","job":%q}`, j.ID)
	if got := string(f.commit.Fire[0].Runs[0]); got != want {
		t.Errorf("its history: %s", got)
	}
}

// What a commit left out is looked at again: the timers, and a command that it would
// have answered.
func TestFiringThatWasLeftOut(t *testing.T) {
	t.Parallel()
	for applied, reads := range map[bool]int{true: 0, false: 1} {
		f := started(t, config("w"))
		f.inbox = []store.Command{{Kind: store.CommandTrigger, Name: "s", Schedule: hourly(), Seq: 9, Report: []byte("{}"), Run: job.MakeID(noon, 0, [9]byte{8: 1})}}
		f.step(inboxGrew{})
		if len(f.commit.Fire) != 1 || len(f.commit.Consumed) != 0 || !cmp.Equal(f.commit.Fire[0].Consumed, []uint64{9}) {
			t.Fatalf("commit: %+v", f.commit)
		}
		if got := f.commit.Fire[0].Send[0].Job; got.ID != f.inbox[0].Run || !got.ScheduledFor.Equal(noon) {
			t.Errorf("the run that was asked for: %+v", got)
		}
		f.m.current.commit.Fire[0].Applied = applied
		f.inbox = nil
		if applied {
			f.durable()
		} else {
			out := f.m.step(f.now, committed{})
			if truth(out.ReadInbox > 0) != int64(reads) || out.ReadTimers == 0 {
				t.Errorf("applied %v: reads %d commands and %d timers", applied, out.ReadInbox, out.ReadTimers)
			}
		}
	}
}

func TestSchedulesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*store.Schedule{
		"changed": nil,
		"spec":    {Name: "s", Spec: []byte("?"), State: []byte("{}"), Job: &job.Job{Queue: "q"}, Next: noon},
		"cron":    {Name: "s", Spec: []byte(`{"cron": "@never"}`), State: []byte("{}"), Job: &job.Job{Queue: "q"}, Next: noon},
		"state":   {Name: "s", Spec: []byte(`{"every": "1h"}`), State: []byte("?"), Job: &job.Job{Queue: "q"}, Next: noon},
	} {
		f := due(t, config("w"), s)
		wait := unreadable
		if s == nil {
			wait = time.Second
		}
		if f.commit != nil || !f.wake.Equal(noon.Add(wait)) {
			t.Errorf("%s: commit %+v, wakes at %s", name, f.commit, f.wake)
		}
		f.timers = nil
		f.inbox = []store.Command{{Kind: store.CommandEnded, Name: "s", Schedule: s, Seq: 9}}
		f.step(inboxGrew{})
		if f.commit == nil || !cmp.Equal(f.commit.Consumed, []uint64{9}) {
			t.Errorf("%s: its command is answered by %+v", name, f.commit)
		}
	}
}

// Runs that end count against pause_on_failure, and the slot that waits for them fires.
func TestEndOfRuns(t *testing.T) {
	t.Parallel()
	s := hourly(func(d *scheduler.Definition, state *scheduler.State) {
		d.Overlap, d.PauseOnFailure = scheduler.OverlapQueue, 2
		state.Cursor, state.Waiting = noon, noon
	})
	s.Next = noon.Add(time.Hour)
	f := started(t, config("w"))
	f.inbox = []store.Command{{Kind: store.CommandEnded, Name: "s", Schedule: s, Seq: 8, Outcome: job.Dead}}
	f.step(inboxGrew{})
	j := f.commit.Fire[0].Send[0].Job
	if !j.ScheduledFor.Equal(noon) || !j.Awaited || !s.Awaits {
		t.Errorf("the slot that waited: %+v", j)
	}
	f.durable()
	f.inbox = []store.Command{{Kind: store.CommandEnded, Name: "s", Schedule: s, Seq: 9, Outcome: job.Dead}}
	f.step(inboxGrew{})
	if len(f.commit.Fire[0].Send) != 0 || !s.Next.IsZero() || string(s.State) != `{"cursor":"2026-01-01T12:00:00Z","fired":1,"last_slot":"2026-01-01T12:00:00Z","last_at":"2026-01-01T12:00:00Z","failures":2,"paused":"failures","paused_at":"2026-01-01T12:00:00Z"}` {
		t.Errorf("paused: %s, %+v", s.State, f.commit.Fire[0])
	}
}

// A trigger whose job would be in another shard than its queue is answered, and makes
// none.
func TestTriggerForAnotherShard(t *testing.T) {
	t.Parallel()
	s := hourly(func(_ *scheduler.Definition, state *scheduler.State) { state.Cursor = noon })
	f := started(t, config("w"))
	f.inbox = []store.Command{{Kind: store.CommandTrigger, Name: "s", Schedule: s, Seq: 8, Report: []byte("{}"), Run: job.MakeID(noon, 1, [9]byte{8: 1})}}
	f.step(inboxGrew{})
	if fire := f.commit.Fire; len(fire) != 1 || len(fire[0].Send)+len(fire[0].Runs) != 0 || !cmp.Equal(fire[0].Consumed, []uint64{8}) {
		t.Errorf("%+v", f.commit)
	}
}

// One commit makes jobs of some bytes, and leaves the other commands where they are.
func TestFiringsOfOneCommitAreBounded(t *testing.T) {
	t.Parallel()
	s := hourly()
	s.Payload = make([]byte, store.MaxSchedulePayload)
	f := started(t, config("w"))
	const n = 40
	for i := range n {
		f.inbox = append(f.inbox, store.Command{Kind: store.CommandTrigger, Name: "s", Schedule: s, Seq: uint64(i + 1), Report: []byte("{}"), Run: job.MakeID(noon, 0, [9]byte{8: byte(i + 1)})})
	}
	f.step(inboxGrew{})
	sent, commits := 0, 0
	for ; f.commit != nil; commits++ {
		c := f.commit
		if len(c.Fire) != 1 || len(c.Fire[0].Send) > maxFireBytes/store.MaxSchedulePayload+1 {
			t.Fatalf("%d jobs for %d commands", len(c.Fire[0].Send), len(c.Fire[0].Consumed))
		}
		sent += len(c.Fire[0].Send)
		f.inbox = f.inbox[len(c.Fire[0].Consumed):]
		f.durable()
	}
	if sent != n+1 || commits < 3 { // and the slot that was due
		t.Errorf("%d jobs in %d commits", sent, commits)
	}
}

// Schedules cost nothing until they are due, and then fire at that instant, all of
// them, each once.
func TestSchedulesSleepAndFire(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n = 2000 // so that each shard has more than one commit's
		s := store.New(model.New(8, nil))
		d := New(Options{Store: s, Push: push.New(push.Options{})})
		if err := d.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		spec := encoded(&scheduler.Definition{Spec: scheduler.Spec{Every: job.Duration(24 * time.Hour), StartsAt: begun.Add(24 * time.Hour)}})
		for i := range n {
			_, err := s.ChangeSchedule(t.Context(), fmt.Sprintf("s%d", i), func(_ *store.Schedule, now time.Time) (*store.Schedule, error) {
				state := scheduler.Begin(now)
				return &store.Schedule{
					Name: fmt.Sprintf("s%d", i), Spec: spec, State: encoded(&state), Next: begun.Add(24 * time.Hour), Payload: []byte("{}"),
					Job: &job.Job{Queue: fmt.Sprintf("q%d", i%100), Type: "t", Status: job.Waiting, Priority: job.Normal, PayloadSize: 2},
				}, nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		turns := d.totals.turns.Load()
		time.Sleep(50 * time.Second)
		synctest.Wait()
		if got := d.totals.turns.Load() - turns; got != 0 {
			t.Errorf("%d turns for schedules that are a day away", got)
		}
		time.Sleep(time.Until(begun.Add(24*time.Hour - time.Millisecond)))
		synctest.Wait()
		if got := d.Totals().Fired; got != 0 {
			t.Errorf("%d fired early", got)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := d.Totals(); got.Fired != n || got.Lateness[0.005] != n || got.Missed != 0 {
			t.Errorf("fired %d, at once %d, missed %d", got.Fired, got.Lateness[0.005], got.Missed)
		}
		var jobs int64
		for i := range 100 {
			c, err := s.Counts(t.Context(), fmt.Sprintf("q%d", i))
			if err != nil {
				t.Fatal(err)
			}
			jobs += c.Waiting
		}
		if jobs != n {
			t.Errorf("%d jobs of %d schedules", jobs, n)
		}
		if err := d.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// The clock of the store is set forward and back by an hour, again and again, and the
// shards change hands: no slot fires twice, none is lost, and none fires early by the
// store's clock.
func TestSchedulesWhileTheClockIsSet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var set atomic.Int64
		s := store.New(model.New(2, func() time.Time { return time.Now().Add(time.Duration(set.Load())) }))
		begun, err := s.Now(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		spec := encoded(&scheduler.Definition{
			Spec:   scheduler.Spec{Every: job.Duration(7 * time.Minute)},
			Policy: scheduler.Policy{CatchUp: scheduler.CatchUpAll},
		})
		const n = 3
		for i := range n {
			name := fmt.Sprintf("s%d", i)
			if _, err := s.ChangeSchedule(t.Context(), name, func(_ *store.Schedule, now time.Time) (*store.Schedule, error) {
				state := scheduler.Begin(now)
				return &store.Schedule{
					Name: name, Spec: spec, State: encoded(&state), Next: now, Payload: []byte("{}"),
					Job: &job.Job{Queue: name, Type: "t", Status: job.Waiting, Priority: job.Normal, PayloadSize: 2},
				}, nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		for _, step := range []time.Duration{time.Hour, -time.Hour, -time.Hour, time.Hour, time.Hour, -time.Hour} {
			d := New(Options{Store: s, Push: push.New(push.Options{})})
			if err := d.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Minute)
			set.Add(int64(step))
			time.Sleep(2 * time.Hour)
			synctest.Wait()
			if n := d.totals.turns.Load(); n > 20_000 { // a look a second while the clock stands
				t.Errorf("%d turns while the clock was set by %s", n, step)
			}
			if err := d.Stop(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		now, err := s.Now(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		table, _ := scheduler.New("s", scheduler.Spec{Every: job.Duration(7 * time.Minute)})
		for i := range n {
			fired := make(map[time.Time]bool)
			page, err := s.ListJobs(t.Context(), store.JobFilter{Queue: fmt.Sprintf("s%d", i)}, job.ID{}, 1000)
			if err != nil {
				t.Fatal(err)
			}
			for _, j := range page.Jobs {
				if fired[j.ScheduledFor] {
					t.Errorf("slot %s has fired twice", j.ScheduledFor)
				}
				fired[j.ScheduledFor] = true
				if j.CreatedAt.Before(j.ScheduledFor) {
					t.Errorf("slot %s has fired at %s", j.ScheduledFor, j.CreatedAt)
				}
			}
			slots := 0
			for f := range scheduler.Plan([]*scheduler.Timetable{table}, begun.Add(time.Millisecond), now.Add(-time.Minute)) {
				if slots++; !fired[f.At] {
					t.Errorf("slot %s of %s has not fired", f.At, fmt.Sprintf("s%d", i))
				}
			}
			if slots < 100 {
				t.Errorf("%d slots until %s", slots, now)
			}
		}
	})
}
