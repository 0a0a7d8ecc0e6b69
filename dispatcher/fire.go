package dispatcher

import (
	"encoding/binary"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/scheduler"
	"github.com/orchestrix/orchestrix/store"
)

// A schedule fires by the timer of its shard, so that it costs nothing until then. What
// becomes of its slots package scheduler decides, from the record of the schedule
// alone. The commit that moves the schedule on also sends the jobs, or none of that
// happens: so each slot makes one job, whatever becomes of this node. Where somebody
// has changed the schedule since it was read, its part of the commit is left out, and
// the schedule is read again.

// schedules is what a machine knows of schedules.
type schedules struct {
	tables map[string]*table  // parsed definitions
	moved  map[string]*moving // those that the next commit changes
	bytes  int                // of the payloads of their new jobs
	again  bool               // a command was left in the inbox
}

// maxFireBytes bounds the payloads and records of the jobs that one commit makes of schedules, but
// for the last schedule's.
const maxFireBytes = 4 << 20

// table is a definition as it was parsed.
type table struct {
	version uint64
	table   *scheduler.Timetable
	policy  scheduler.Policy
}

// maxTables bounds how many definitions are kept parsed.
const maxTables = 4096

// moving is a schedule that the next commit changes.
type moving struct {
	firing store.Firing
	table  *table
	state  scheduler.State
	lives  bool // the last run has not ended
	awaits bool // its runs' ends matter
}

// unreadable is how long a schedule is left alone that cannot be read, since a newer
// version has written it.
const unreadable = time.Minute

// move returns the schedule for the next commit to change; nil where it cannot be read.
func (m *machine) move(s *store.Schedule) *moving {
	if mv := m.schedules.moved[s.Name]; mv != nil {
		return mv
	}
	t := m.table(s)
	mv := &moving{firing: store.Firing{Schedule: s}, table: t, lives: s.LastLives}
	if t == nil || json.Unmarshal(s.State, &mv.state) != nil {
		return nil
	}
	mv.awaits = t.policy.Awaits()
	if m.schedules.moved == nil {
		m.schedules.moved = make(map[string]*moving)
	}
	m.schedules.moved[s.Name] = mv
	return mv
}

// table returns a schedule's definition; nil where it cannot be read.
func (m *machine) table(s *store.Schedule) *table {
	if t := m.schedules.tables[s.Name]; t != nil && t.version == s.Version {
		return t
	}
	var d scheduler.Definition
	if json.Unmarshal(s.Spec, &d) != nil {
		return nil
	}
	times, errs := scheduler.New(s.Name, d.Spec)
	if errs != nil {
		return nil
	}
	t := &table{s.Version, times, d.Policy}
	if m.schedules.tables == nil || len(m.schedules.tables) >= maxTables {
		m.schedules.tables = make(map[string]*table)
	}
	m.schedules.tables[s.Name] = t
	return t
}

// fireDue has the next commit deal with the slots of a schedule that are due.
func (m *machine) fireDue(now time.Time, t *store.Timer) {
	switch {
	case t.Schedule == nil: // it was changed while it was read
		m.setTimer(now.Add(time.Second))
	case m.move(t.Schedule) == nil:
		m.setTimer(now.Add(unreadable))
	}
}

// onTriggered carries out a command to a schedule, or hears of the end of a run.
func (m *machine) onTriggered(now time.Time, c *store.Command) {
	if m.schedules.bytes >= maxFireBytes {
		m.schedules.again = true // with those behind it, after the next commit
		return
	}
	var mv *moving
	if c.Schedule != nil {
		mv = m.move(c.Schedule)
	}
	if mv == nil {
		m.next.Consumed = append(m.next.Consumed, c.Seq) // there is none any more that could be read
		return
	}
	mv.firing.Consumed = append(mv.firing.Consumed, c.Seq)
	if c.Kind == store.CommandEnded {
		mv.state.Ended(&mv.table.policy, c.Outcome, now)
		return
	}
	var t scheduler.Trigger
	if json.Unmarshal(c.Report, &t) != nil {
		return
	}
	if !c.Run.IsZero() && c.Run.Shard() != m.feed.ShardOf(c.Schedule.Job.Queue) {
		return // its queue was changed meanwhile; who asked sees that there is no such run
	}
	mv.awaits = mv.awaits || t.Overlap == scheduler.OverlapQueue
	if step, ok := mv.state.Triggered(&t, mv.lives, now); ok {
		by := "trigger"
		if t.Backfill != "" {
			by = "backfill"
		}
		m.stepOf(now, mv, step, c.Run, by)
	}
}

// moveSchedules puts into the next commit what becomes of schedules.
func (m *machine) moveSchedules(now time.Time) {
	for _, name := range slices.Sorted(maps.Keys(m.schedules.moved)) {
		mv := m.schedules.moved[name]
		if m.schedules.bytes >= maxFireBytes && !mv.asked() {
			continue // its timer is read again
		}
		steps, next := mv.table.table.Advance(&mv.table.policy, &mv.state, mv.lives, now)
		for _, step := range steps {
			m.stepOf(now, mv, step, job.ID{}, "")
		}
		s := mv.firing.Schedule
		s.State = encoded(&mv.state)
		s.Next, s.Awaits = next, mv.awaits || !mv.state.Waiting.IsZero()
		m.next.Fire = append(m.next.Fire, mv.firing)
	}
	clear(m.schedules.moved)
	m.inbox = m.inbox || m.schedules.again
	m.schedules.bytes, m.schedules.again = 0, false
}

// asked reports whether a command has moved the schedule.
func (mv *moving) asked() bool { return len(mv.firing.Consumed) > 0 }

// stepOf notes what becomes of slots, and makes the job where one fires: with the id, or
// a new one.
func (m *machine) stepOf(now time.Time, mv *moving, step scheduler.Step, id job.ID, by string) {
	s := mv.firing.Schedule
	run := scheduler.Run{Kind: step.Kind, Slot: step.Slot, At: now, By: by}
	if step.Count > 1 {
		run.Last, run.Count = step.Last, step.Count
	}
	switch step.Kind {
	case scheduler.Fired:
		if step.Cancel {
			mv.firing.Send = append(mv.firing.Send, store.Outgoing{Command: &store.Command{Kind: store.CommandCancel, ID: s.Last}})
		}
		j := m.run(now, mv, step.Slot, id)
		mv.firing.Send = append(mv.firing.Send, store.Outgoing{Job: j, Payload: s.Payload})
		m.schedules.bytes += len(s.Payload) + entryCost
		s.Last, mv.lives = j.ID, true
		mv.state.LastSlot, mv.state.LastAt = step.Slot, now
		run.Job = j.ID.String()
		if by == "" && !step.Waited {
			m.out.Fired = append(m.out.Fired, now.Sub(mv.table.table.Fires(step.Slot)))
		}
	case scheduler.Missed:
		m.out.Missed += step.Count
	case scheduler.Skipped:
		m.out.Skipped += step.Count
		return
	case scheduler.Queued:
		return
	}
	mv.firing.Runs = append(mv.firing.Runs, encoded(&run))
}

// run returns the job of a slot.
func (m *machine) run(now time.Time, mv *moving, slot time.Time, id job.ID) *job.Job {
	s := mv.firing.Schedule
	j := *s.Job
	if j.ID = id; id.IsZero() {
		var random [9]byte
		binary.BigEndian.PutUint64(random[1:], m.rng.Uint64())
		j.ID = job.MakeID(now, m.feed.ShardOf(j.Queue), random)
	}
	j.CreatedAt, j.Schedule, j.ScheduledFor = now, s.Name, slot
	j.Awaited = mv.awaits
	j.Ordered = j.Key != "" && m.cfg.queue(j.Queue).KeyConcurrency == 1
	return &j
}

// onFired looks again at schedules after a commit that changed some: what it left out,
// and what is due by now.
func (m *machine) onFired(now time.Time, fired []store.Firing) {
	for i := range fired {
		m.inbox = m.inbox || !fired[i].Applied && len(fired[i].Consumed) > 0
	}
	if len(fired) > 0 {
		m.setTimer(now)
	}
}

// encoded is the JSON of a value that has some.
func encoded(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic("dispatcher: " + err.Error()) // texts, numbers and times can be encoded
	}
	return data
}
