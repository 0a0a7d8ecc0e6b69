package control

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/scheduler"
	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/store/engine/model"
)

// turned is a clock that a test turns.
type turned struct {
	mu  sync.Mutex
	now time.Time
}

func (c *turned) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *turned) set(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now, _ = time.Parse("15:04:05", text)
	c.now = c.now.AddDate(2026, 0, 0)
}

// unowned is a control over a store whose schedules nobody fires.
type unowned struct {
	*testing.T
	*Control
	clock *turned
	store *store.Store
	ctx   context.Context
}

func newUnowned(t *testing.T, change ...func(*Options)) *unowned {
	clock := &turned{}
	clock.set("12:00:30")
	s := store.New(model.New(4, clock.Now))
	o := Options{Store: s, Dispatcher: newIdle()}
	for _, f := range change {
		f(&o)
	}
	return &unowned{t, New(o), clock, s, As(context.Background(), Root())}
}

func minutely() ScheduleSpec {
	spec := ScheduleSpec{Job: NewJob{Queue: "q", Type: "t"}}
	spec.Every = job.Duration(time.Minute)
	return spec
}

func (u *unowned) put(spec ScheduleSpec) Schedule {
	u.Helper()
	s, _, err := u.PutSchedule(u.ctx, "s", Match{}, spec, false)
	if err != nil {
		u.Fatal(err)
	}
	return s
}

// stands fails the test unless the record has that cursor and that time of its next
// firing.
func (u *unowned) stands(what, cursor, next string) {
	u.Helper()
	r, err := u.store.GetSchedule(u.ctx, "s")
	if err != nil {
		u.Fatal(err)
	}
	var state scheduler.State
	if err := json.Unmarshal(r.State, &state); err != nil {
		u.Fatal(err)
	}
	shown := ""
	if !r.Next.IsZero() {
		shown = r.Next.Format("15:04:05")
	}
	if got := state.Cursor.Format("15:04:05"); got != cursor || shown != next {
		u.Errorf("%s: slots from %s on, next at %q; want %s and %q", what, got, shown, cursor, next)
	}
}

// No edit fires a slot that is over, and only one of the times leaves out slots that
// are still to be caught up on.
func TestEditsOfSchedules(t *testing.T) {
	t.Parallel()
	u := newUnowned(t)
	u.put(minutely())
	u.stands("new", "12:00:30", "12:01:00")
	u.clock.set("12:05:10") // nobody has fired the slots since
	spec := minutely()
	spec.Job.Type, spec.Overlap = "u", scheduler.OverlapSkip
	u.put(spec)
	u.stands("after an edit of the job", "12:00:30", "12:01:00")
	spec.Job.Queue = "r"
	u.put(spec)
	u.stands("after an edit of the queue", "12:00:30", "12:01:00")
	if r, err := u.store.GetSchedule(u.ctx, "s"); err != nil || !r.Awaits || r.Job.Queue != "r" || r.Version != 3 {
		t.Errorf("%+v, %v", r, err)
	}
	u.clock.set("12:06:10")
	if _, err := u.ResumeSchedule(u.ctx, "s"); err != nil {
		t.Fatal(err)
	}
	u.stands("after a resume of what is not paused", "12:00:30", "12:01:00")
	spec.Every = job.Duration(2 * time.Minute)
	u.put(spec)
	u.stands("after an edit of the times", "12:06:10", "12:08:00")
	u.clock.set("12:05:00") // by the clock of another node
	spec.Every = job.Duration(time.Minute)
	u.put(spec)
	u.stands("the cursor never goes back", "12:06:10", "12:07:00")
	if _, err := u.PauseSchedule(u.ctx, "s"); err != nil {
		t.Fatal(err)
	}
	u.stands("paused", "12:06:10", "")
	u.clock.set("12:20:10")
	u.put(spec)
	u.stands("put while it is paused", "12:06:10", "")
	s, err := u.ResumeSchedule(u.ctx, "s")
	if err != nil || s.State.Paused != "" {
		t.Errorf("%+v, %v", s, err)
	}
	u.stands("resumed", "12:20:10", "12:21:00")
}

// A slot that waits is looked after whatever is edited.
func TestEditOfAScheduleThatWaits(t *testing.T) {
	t.Parallel()
	u := newUnowned(t)
	spec := minutely()
	spec.Overlap = scheduler.OverlapQueue
	u.put(spec)
	_, err := u.store.ChangeSchedule(u.ctx, "s", func(s *store.Schedule, now time.Time) (*store.Schedule, error) {
		state := scheduler.Begin(now)
		state.Waiting = now
		s.State = encodeJSON(&state)
		return s, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	spec.Overlap = ""
	u.put(spec)
	u.stands("while a slot waits", "12:00:30", "12:00:30")
	if r, err := u.store.GetSchedule(u.ctx, "s"); err != nil || !r.Awaits {
		t.Errorf("%+v, %v", r, err)
	}
	if slots, err := u.NextSlots(u.ctx, "s", 2); err != nil || len(slots) != 2 {
		t.Errorf("next %v, %v", slots, err)
	}
	spec.MaxRuns = 2
	u.put(spec)
	if slots, err := u.NextSlots(u.ctx, "s", 2); err != nil || len(slots) != 1 {
		t.Errorf("next, where one waits of two: %v, %v", slots, err)
	}
}

// What would never fire is refused, but what has come to its end stays as it is.
func TestScheduleThatEnds(t *testing.T) {
	t.Parallel()
	u := newUnowned(t)
	spec := minutely()
	spec.EndsAt = u.clock.Now().Add(time.Hour)
	u.put(spec)
	u.clock.set("14:00:00")
	if s := u.put(spec); !s.State.Cursor.Equal(u.clock.Now().Add(-2*time.Hour+30*time.Second)) || s.Version != 1 {
		t.Errorf("the same again: %+v", s)
	}
	spec.Job.Type = "u"
	u.put(spec)
	spec.Jitter = job.Duration(time.Second)
	if _, _, err := u.PutSchedule(u.ctx, "s", Match{}, spec, false); KindOf(err) != Invalid {
		t.Errorf("other times, all of which are over: %v", err)
	}
}

func TestTriggerThatTheOwnerIsSlowToTake(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := newUnowned(t)
		u.put(minutely())
		began := time.Now()
		done, err := u.TriggerSchedule(u.ctx, "s")
		if err != nil || !done.Requested || time.Since(began) != commandWait {
			t.Errorf("%+v after %v, %v", done, time.Since(began), err)
		}
	})
}

// A count is not read for each schedule, and is right where it matters.
func TestSchedulesAreCounted(t *testing.T) {
	t.Parallel()
	u := newUnowned(t, func(o *Options) { o.MaxSchedules = 10 })
	put := func(name string) error {
		_, _, err := u.PutSchedule(u.ctx, name, Match{}, minutely(), false)
		return err
	}
	for i := range 10 {
		if err := put(string(rune('a' + i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := put("x"); KindOf(err) != Conflict {
		t.Errorf("an eleventh: %v", err)
	}
	// Another node deletes one, of which this one hears nothing.
	if _, err := u.store.ChangeSchedule(u.ctx, "a", func(*store.Schedule, time.Time) (*store.Schedule, error) { return nil, nil }); err != nil {
		t.Fatal(err)
	}
	if err := put("x"); err != nil {
		t.Errorf("after one was deleted elsewhere: %v", err)
	}
	if _, _, err := u.PutSchedule(u.ctx, "y", Match{}, minutely(), true); KindOf(err) != Conflict {
		t.Errorf("a dry run of one too many: %v", err)
	}
}

// A record that cannot be read is an error for who asks for it, and does not hide the
// others.
func TestScheduleOfANewerVersion(t *testing.T) {
	t.Parallel()
	u := newUnowned(t)
	u.put(minutely())
	_, err := u.store.ChangeSchedule(u.ctx, "t", func(*store.Schedule, time.Time) (*store.Schedule, error) {
		j, payload := (&NewJob{Queue: "q", Type: "t"}).template(u.clock.Now())
		return &store.Schedule{Name: "t", Spec: []byte(`{"moon":"full"}`), State: []byte("{}"), Job: j, Payload: payload}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if list, err := u.ListSchedules(u.ctx, "", 10); err != nil || len(list.Schedules) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	if _, err := u.GetSchedule(u.ctx, "t"); err == nil || KindOf(err) != 0 {
		t.Errorf("read: %v", err)
	}
	if err := u.DeleteSchedule(u.ctx, "t", Match{}); err != nil {
		t.Errorf("deleted: %v", err)
	}
}

func TestSchedulesAreForNobodyWithoutAKey(t *testing.T) {
	t.Parallel()
	u := newUnowned(t)
	u.put(minutely())
	ctx := t.Context() // without a principal
	_, _, put := u.PutSchedule(ctx, "s", Match{}, minutely(), false)
	_, _, create := u.PutSchedule(ctx, "new", Match{}, minutely(), false)
	_, patch := u.PatchSchedule(ctx, "s", Match{}, func(*ScheduleSpec) error { return nil })
	_, get := u.GetSchedule(ctx, "s")
	_, list := u.ListSchedules(ctx, "", 10)
	_, pause := u.PauseSchedule(ctx, "s")
	_, resume := u.ResumeSchedule(ctx, "s")
	_, trigger := u.TriggerSchedule(ctx, "s")
	_, next := u.NextSlots(ctx, "s", 1)
	_, runs := u.ScheduleRuns(ctx, "s", "", 1)
	_, backfill := u.StartBackfill(ctx, Backfill{Schedule: "s", From: u.clock.Now().Add(-time.Hour)})
	for name, err := range map[string]error{
		"put": put, "create": create, "patch": patch, "get": get, "list": list, "pause": pause, "resume": resume, "trigger": trigger,
		"next": next, "runs": runs, "backfill": backfill, "delete": u.DeleteSchedule(ctx, "s", Match{}),
	} {
		if k := KindOf(err); k != Forbidden && k != NotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
	u.stands("after all of that", "12:00:30", "12:01:00")
}
