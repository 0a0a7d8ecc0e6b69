package dispatcher

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/scheduler"
	"github.com/orchestrix/orchestrix/store"
)

// simSchedule is what the people know who keep a schedule.
type simSchedule struct {
	name     string
	tables   map[uint64]*scheduler.Timetable // by version
	slots    map[time.Time]job.ID            // that have fired
	asked    map[job.ID]scheduler.Trigger    // runs that somebody has asked for
	filled   map[scheduler.Trigger]job.ID    // those of backfills
	times    *scheduler.Timetable            // as they are now, without max_runs
	begun    time.Time                       // after which these count
	expected int64                           // slots before that
}

// keepSchedules has people change schedules.
func (s *sim) keepSchedules() {
	if len(s.schedules) < s.planned {
		k := &simSchedule{
			name: fmt.Sprintf("s%d", len(s.schedules)), slots: make(map[time.Time]job.ID), asked: make(map[job.ID]scheduler.Trigger), filled: make(map[scheduler.Trigger]job.ID),
			tables: make(map[uint64]*scheduler.Timetable),
		}
		s.schedules = append(s.schedules, k)
	}
	if len(s.schedules) == 0 {
		return
	}
	k := s.schedules[s.rng.IntN(len(s.schedules))]
	switch s.rng.IntN(6) {
	case 0:
		s.change(k, func(state *scheduler.State) { state.Pause(scheduler.PausedByRequest, s.now) }, nil)
	case 1:
		s.change(k, func(state *scheduler.State) { state.Resume(s.now) }, nil)
	case 2, 3:
		d := s.someDefinition()
		s.change(k, func(state *scheduler.State) { state.Skip(s.now) }, &d)
	default:
		s.trigger(k)
	}
}

func (s *sim) someDefinition() (d scheduler.Definition) {
	d.Every = job.Duration(time.Duration(1+s.rng.IntN(90)) * time.Minute)
	if s.chance(4) {
		d.Every = job.Duration(time.Duration(1+s.rng.IntN(20)) * time.Second)
	}
	d.CatchUp = []string{scheduler.CatchUpLatest, scheduler.CatchUpSkip}[s.rng.IntN(2)]
	if d.Every > job.Duration(10*time.Minute) && s.chance(2) {
		d.CatchUp = scheduler.CatchUpAll
	}
	if s.chance(4) {
		d.Cron, d.Every = "H/20 * * * *", 0
	}
	if s.chance(3) {
		d.Jitter = job.Duration(time.Minute)
	}
	if s.chance(4) {
		d.MaxRuns = 1 + s.rng.IntN(6)
	}
	d.Overlap = []string{"", scheduler.OverlapSkip, scheduler.OverlapQueue, scheduler.OverlapCancel}[s.rng.IntN(4)]
	d.PauseOnFailure = s.rng.IntN(3)
	if d.CatchUp != scheduler.CatchUpSkip && s.chance(3) {
		d.CatchUpWindow = job.Duration(time.Hour)
	}
	return d
}

// change changes a schedule, as a node does that is asked to: its state, and its
// definition where there is one. One that does not exist yet is created.
func (s *sim) change(k *simSchedule, change func(*scheduler.State), d *scheduler.Definition) {
	stored, err := s.store.ChangeSchedule(context.Background(), k.name, func(old *store.Schedule, now time.Time) (*store.Schedule, error) {
		next, state := old, scheduler.Begin(now)
		var def scheduler.Definition
		if old == nil {
			def = s.someDefinition()
			next = &store.Schedule{Name: k.name, Job: &job.Job{Queue: queueName(s.rng.IntN(3)), Type: "t", Status: job.Waiting, Priority: job.Normal, ContentType: "application/json", PayloadSize: 2}, Payload: []byte("{}")}
		} else {
			s.must(json.Unmarshal(old.State, &state))
			s.must(json.Unmarshal(old.Spec, &def))
			k.expected += k.count(state.Cursor)
			change(&state)
		}
		if d != nil {
			def = *d
		}
		table := k.table(def.Spec)
		next.Spec, next.State = encoded(&def), encoded(&state)
		next.Next, next.Awaits = table.NextLook(&state, now), def.Awaits() || !state.Waiting.IsZero()
		plain := def.Spec
		plain.MaxRuns = 0
		k.times, k.begun = k.table(plain), state.Cursor
		return next, nil
	})
	s.must(err)
	k.tables[stored.Version] = k.table(definitionOf(stored).Spec)
	s.logf("%s schedule %s version %d: %s %s next %s", s.now.Format(time.DateTime), k.name, stored.Version, stored.Spec, stored.State, stored.Next)
}

func definitionOf(c *store.Schedule) (d scheduler.Definition) {
	if err := json.Unmarshal(c.Spec, &d); err != nil {
		panic(err)
	}
	return d
}

func stateOf(c *store.Schedule) (state scheduler.State) {
	if err := json.Unmarshal(c.State, &state); err != nil {
		panic(err)
	}
	return state
}

func (k *simSchedule) table(spec scheduler.Spec) *scheduler.Timetable {
	table, errs := scheduler.New(k.name, spec)
	if errs != nil {
		panic(fmt.Sprint(errs))
	}
	return table
}

// count returns how many slots there are by the definition as it is up to an instant.
func (k *simSchedule) count(upTo time.Time) (n int64) {
	for range scheduler.Plan([]*scheduler.Timetable{k.times}, k.begun.Add(time.Millisecond), upTo.Add(time.Millisecond)) {
		n++
	}
	return n
}

// trigger asks for a run, or for those of a backfill, some of them more than once.
func (s *sim) trigger(k *simSchedule) {
	var commands []store.Command
	ask := func(t scheduler.Trigger) {
		var random [9]byte
		binary.BigEndian.PutUint64(random[1:], s.rng.Uint64())
		c := s.store.ScheduleCommand(store.CommandTrigger, k.name, random)
		c.Run, c.Report = job.MakeID(s.now, 0, random), encoded(&t)
		k.asked[c.Run] = t
		commands = append(commands, c)
	}
	if s.chance(2) {
		ask(scheduler.Trigger{})
	} else {
		id := fmt.Sprint("b", s.rng.IntN(3))
		for i := range 1 + s.rng.IntN(5) {
			t := scheduler.Trigger{Slot: time.Date(2025, 1, 1, s.rng.IntN(2), i, 0, 0, time.UTC), Backfill: id}
			for again := true; again; again = s.chance(4) {
				ask(t)
			}
		}
	}
	_, err := s.store.SendAll(context.Background(), 0, commands)
	s.must(err)
	if s.chance(2) {
		s.post(inboxGrew{})
	} else if s.healing || s.chance(2) {
		s.post(foreign{})
	}
}

// bookFired notes what the durable commit has fired: each slot once, and only when it
// was due.
func (s *sim) bookFired() {
	for i := range s.commit.Fire {
		f := &s.commit.Fire[i]
		k := s.schedule(f.Schedule.Name)
		stored, err := s.store.GetSchedule(context.Background(), k.name)
		s.must(err)
		if stored.Runs != f.Schedule.Runs+uint64(len(f.Runs)) || stored.Last != f.Schedule.Last || !bytes.Equal(stored.State, f.Schedule.State) || f.Schedule.Version != stored.Version {
			if f.Applied {
				s.fail("schedule %s was changed by a commit, but is another", k.name)
			}
			continue
		}
		s.logf("  schedule %s: %s next %s", k.name, stored.State, stored.Next)
		for _, out := range f.Send {
			if out.Job != nil && s.known[out.Job.ID] == nil {
				s.bookRun(k, f, out.Job)
			}
		}
	}
}

func (s *sim) bookRun(k *simSchedule, f *store.Firing, j *job.Job) {
	s.logf("  fired %s of %s for %s", j.ID, k.name, j.ScheduledFor)
	s.known[j.ID] = &simJob{job: j, terminal: make(map[int]int)}
	s.ids = append(s.ids, j.ID)
	if t, asked := k.asked[j.ID]; asked {
		if other, filled := k.filled[t]; filled && t.Backfill != "" {
			s.fail("slot %s of backfill %s of %s has fired as %s and %s", t.Slot, t.Backfill, k.name, other, j.ID)
		}
		k.filled[t] = j.ID
		return
	}
	if other, fired := k.slots[j.ScheduledFor]; fired {
		s.fail("slot %s of %s has fired as %s and %s", j.ScheduledFor, k.name, other, j.ID)
	}
	k.slots[j.ScheduledFor] = j.ID
	if fires := k.tables[f.Schedule.Version].Fires(j.ScheduledFor); fires.After(j.CreatedAt) {
		// A slot that waited may be one of an earlier version.
		if !slices.ContainsFunc(values(k.tables), func(t *scheduler.Timetable) bool { return !t.Fires(j.ScheduledFor).After(j.CreatedAt) }) {
			s.fail("slot %s of %s, which fires at %s, has fired at %s", j.ScheduledFor, k.name, fires, j.CreatedAt)
		}
	}
}

func values[K comparable, V any](m map[K]V) (all []V) {
	for _, v := range m {
		all = append(all, v)
	}
	return all
}

// checkOverlap checks a commit when it is made: what is fired while the last run goes
// on.
func (s *sim) checkOverlap(c *store.Commit) {
	for i := range c.Fire {
		f := &c.Fire[i]
		stored, err := s.store.GetSchedule(context.Background(), f.Schedule.Name)
		if err != nil || stored.Version != f.Schedule.Version {
			continue // it will be left out
		}
		overlap, lives := definitionOf(stored).Overlap, s.goesOn(stored.Last)
		cancelled := false
		for _, out := range f.Send {
			if out.Command != nil {
				cancelled = true
				continue
			}
			k := s.schedule(f.Schedule.Name)
			_, asked := k.asked[out.Job.ID]
			switch {
			case asked || !lives:
			case overlap == scheduler.OverlapSkip || overlap == scheduler.OverlapQueue:
				s.fail("%s fires for %s while its last run goes on", f.Schedule.Name, out.Job.ScheduledFor)
			case overlap == scheduler.OverlapCancel && !cancelled:
				s.fail("%s fires for %s and does not cancel its last run", f.Schedule.Name, out.Job.ScheduledFor)
			}
			lives, cancelled = true, false
		}
	}
}

// goesOn reports whether a run has not ended, also where it is still in the outbox.
func (s *sim) goesOn(id job.ID) bool {
	if id.IsZero() {
		return false
	}
	j, err := s.store.Job(context.Background(), id)
	if errors.Is(err, store.ErrNotFound) {
		return s.known[id] != nil && !s.known[id].deleted
	}
	s.must(err)
	return !j.Settled() && j.Incarnation == 0
}

// stored goes through the schedules that exist, as the store has them.
func (s *sim) stored() iter.Seq2[*simSchedule, *store.Schedule] {
	return func(yield func(*simSchedule, *store.Schedule) bool) {
		for _, k := range s.schedules {
			stored, err := s.store.GetSchedule(context.Background(), k.name)
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			s.must(err)
			if !yield(k, stored) {
				return
			}
		}
	}
}

// schedule returns what people know of a schedule.
func (s *sim) schedule(name string) *simSchedule {
	return s.schedules[slices.IndexFunc(s.schedules, func(k *simSchedule) bool { return k.name == name })]
}

// checkDue checks, when all faults are over, that no schedule is due.
func (s *sim) checkDue() {
	for k, stored := range s.stored() {
		state := stateOf(stored)
		if next := k.tables[stored.Version].NextFire(&state); !next.IsZero() && !next.After(s.now) {
			s.fail("%s is due since %s at %s: %s, wakes %s", k.name, next, s.now, stored.State, s.wake)
		}
	}
}

// settleSchedules lets the schedules catch up, without faults, and ends them.
func (s *sim) settleSchedules() {
	if len(s.schedules) == 0 {
		return
	}
	for range 400 {
		s.finishCommit()
		s.lookAgain()
		s.deliver()
		s.step()
	}
	s.checkDue()
	s.endSchedules()
	s.post(foreign{})
}

// endSchedules ends the schedules, so that the run does.
func (s *sim) endSchedules() {
	for k, stored := range s.stored() {
		d := definitionOf(stored)
		d.EndsAt = s.now.Add(time.Millisecond)
		s.change(k, func(state *scheduler.State) { state.Skip(s.now) }, &d)
	}
}

// noneWaits reports whether no slot waits for a run to end. That a run has ended is not
// told of one that was asked for before its schedule had to know, but seen in a minute.
func (s *sim) noneWaits() bool {
	for _, stored := range s.stored() {
		if state := stateOf(stored); !state.Waiting.IsZero() {
			return false
		}
	}
	return true
}

// checkSchedules checks, at the end, that each slot has fired or is counted otherwise.
func (s *sim) checkSchedules() {
	for k, stored := range s.stored() {
		state := stateOf(stored)
		if !state.Waiting.IsZero() {
			s.fail("slot %s of %s still waits at the end: %s", state.Waiting, k.name, stored.State)
		}
		if want, got := k.expected+k.count(state.Cursor), int64(state.Fired)+state.Missed+state.Skipped; got != want || int64(len(k.slots)) != int64(state.Fired) {
			s.fail("%s counts %d slots, there were %d; %d have fired, %d are counted", k.name, got, want, len(k.slots), state.Fired)
		}
	}
}
