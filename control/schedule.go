package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/scheduler"
	"github.com/orchestrix/orchestrix/store"
)

// ScheduleTimes says when a schedule fires.
type ScheduleTimes = scheduler.Spec

// ScheduleSlot is one time at which a schedule fires, for people.
type ScheduleSlot = scheduler.Slot

// ScheduleSpec is what a schedule is stored with: when it fires, what becomes of slots
// that cannot simply fire, and the job that it makes.
type ScheduleSpec struct {
	scheduler.Definition
	// Job is enqueued at each slot. It has no time, idempotency key and unique content
	// of its own, and at most store.MaxSchedulePayload bytes of payload.
	Job NewJob
}

// Schedule is a stored schedule with what is known of it.
type Schedule struct {
	Name string
	// Definition has the defaults filled in.
	scheduler.Definition
	// Job is what its runs are copies of, with the values of headers that may be
	// credentials masked. Payload is nil in a list.
	Job     *job.Job
	Payload []byte
	// State is how far it has come.
	State            scheduler.State
	Version          uint64
	Created, Updated time.Time
	// NextAt is when it fires next, zero where it does not.
	NextAt time.Time
	// Last is the job of its last run, zero before the first.
	Last job.ID
}

// PutSchedule creates a schedule or replaces its specification; what it has done, and
// whether it is paused, stays. A change of its times leaves out the slots up to now, so
// that none fires twice. With dryRun nothing is stored, and the schedule is returned as
// it would be. It wants the right to write jobs of the job's queue, the one before and
// the one after.
func (c *Control) PutSchedule(ctx context.Context, name string, m Match, spec ScheduleSpec, dryRun bool) (s Schedule, created bool, err error) {
	return c.editSchedule(ctx, name, m, dryRun, func(*store.Schedule) (ScheduleSpec, error) { return spec, nil })
}

// PatchSchedule changes the specification of a schedule, as patch does with a copy. patch
// may be called more than once.
func (c *Control) PatchSchedule(ctx context.Context, name string, m Match, patch func(*ScheduleSpec) error) (Schedule, error) {
	s, _, err := c.editSchedule(ctx, name, m, false, func(old *store.Schedule) (ScheduleSpec, error) {
		if old == nil {
			return ScheduleSpec{}, notFound("schedule", name)
		}
		spec, err := specOf(old)
		if err == nil {
			err = patch(&spec)
		}
		return spec, err
	})
	return s, err
}

// errDryRun ends a change that is not to be made.
var errDryRun = errors.New("dry run")

func (c *Control) editSchedule(ctx context.Context, name string, m Match, dryRun bool, edit func(old *store.Schedule) (ScheduleSpec, error)) (Schedule, bool, error) {
	if message := job.CheckName(name); message != "" {
		return Schedule{}, false, invalidField("name", "%s", message)
	}
	created := false
	var would *store.Schedule
	s, err := c.store.ChangeSchedule(ctx, name, func(old *store.Schedule, now time.Time) (*store.Schedule, error) {
		if err := checkScheduleMatch(ctx, old, m); err != nil {
			return nil, err
		}
		spec, err := edit(old)
		if err != nil {
			return nil, err
		}
		next, err := c.specified(ctx, name, old, &spec, now)
		if err == nil && old == nil {
			err = c.schedules.room(ctx, c)
		}
		if err != nil {
			return nil, err
		}
		if created = old == nil; dryRun {
			would = stampDryRun(next, old, now)
			return nil, errDryRun
		}
		return next, nil
	})
	switch {
	case errors.Is(err, errDryRun):
		s = would
	case err != nil:
		return Schedule{}, false, scheduleError("store the schedule", name, err)
	case created:
		c.schedules.changed(1)
	}
	shown, err := showSchedule(s)
	return shown, created, err
}

// checkScheduleMatch checks the condition of a change and the right to it.
func checkScheduleMatch(ctx context.Context, old *store.Schedule, m Match) error {
	version := uint64(0)
	if old != nil {
		version = old.Version
		if err := allow(ctx, ActionWriteJobs, old.Job.Queue); err != nil {
			return err
		}
	}
	if !m.met(version) {
		return stale()
	}
	return nil
}

// stampDryRun gives a schedule that is not stored the version and times that it would
// have.
func stampDryRun(next, old *store.Schedule, now time.Time) *store.Schedule {
	switch {
	case old == nil:
		next.Version, next.Created, next.Updated = 1, now, now
	case next.Differs(old):
		next.Version, next.Updated = old.Version+1, now
	}
	return next
}

// specified returns the record of a schedule after an edit, or what is wrong with that.
func (c *Control) specified(ctx context.Context, name string, old *store.Schedule, spec *ScheduleSpec, now time.Time) (*store.Schedule, error) {
	table, fields := scheduler.New(name, spec.Spec)
	fields = append(fields, spec.Policy.Validate()...)
	fields = append(fields, c.templateFaults(&spec.Job, old, now)...)
	if len(fields) > 0 {
		return nil, invalid(fields...)
	}
	if err := allow(ctx, ActionWriteJobs, spec.Job.Queue); err != nil {
		return nil, err
	}
	if err := c.checkTemplateSize(&spec.Job); err != nil {
		return nil, err
	}
	spec.Spec = table.Spec()
	next := &store.Schedule{Name: name}
	state := scheduler.Begin(now)
	if old != nil {
		*next = *old
	}
	definition := withoutDefaults(spec.Definition)
	next.Spec = encodeJSON(definition)
	next.Job, next.Payload = spec.Job.template(now)
	timed := true
	if old != nil {
		was, before, err := readSchedule(old)
		if err != nil {
			return nil, err
		}
		state = before
		if timed = string(encodeJSON(was.Spec)) != string(encodeJSON(definition.Spec)); timed {
			state.Skip(now)
		}
	}
	if _, err := table.Next(state.Cursor); err != nil && timed {
		return nil, neverFires(&definition.Spec)
	}
	settle(next, table, &definition.Policy, &state, now)
	return next, nil
}

// settle puts the state into the record, with what follows from it.
func settle(s *store.Schedule, table *scheduler.Timetable, p *scheduler.Policy, state *scheduler.State, now time.Time) {
	s.State = encodeJSON(state)
	s.Next = table.NextFire(state)
	s.Awaits = p.Awaits()
	if !state.Waiting.IsZero() && state.Paused == "" { // its owner looks for the end of the last run
		s.Next, s.Awaits = now, true
	}
}

// neverFires names the member that leaves no slot.
func neverFires(s *scheduler.Spec) *Error {
	switch {
	case !s.EndsAt.IsZero():
		return invalidField("ends_at", "leaves no slot: the schedule never fires from now on")
	case !s.StartsAt.IsZero():
		return invalidField("starts_at", "leaves no slot: the schedule never fires from then on")
	case s.Cron != "":
		return invalidField("cron", "never fires from now on")
	}
	return invalidField("every", "never fires from now on")
}

// readSchedule returns the definition and the state of a record.
func readSchedule(s *store.Schedule) (d scheduler.Definition, state scheduler.State, err error) {
	if err = errors.Join(json.Unmarshal(s.Spec, &d), json.Unmarshal(s.State, &state)); err != nil {
		err = fmt.Errorf("the record of schedule %s cannot be read, perhaps since a newer version has written it: %w", s.Name, err)
	}
	return d, state, err
}

// timetableOf returns the definition, the state and the timetable of a record.
func timetableOf(s *store.Schedule) (d scheduler.Definition, state scheduler.State, table *scheduler.Timetable, err error) {
	if d, state, err = readSchedule(s); err != nil {
		return d, state, nil, err
	}
	table, fields := scheduler.New(s.Name, d.Spec)
	if fields != nil {
		err = fmt.Errorf("the record of schedule %s cannot be read, perhaps since a newer version has written it: %w", s.Name, fields[0])
	}
	return d, state, table, err
}

// withoutDefaults returns the definition as it is stored: whether a default was written
// out makes no difference.
func withoutDefaults(d scheduler.Definition) scheduler.Definition {
	unset(&d.Timezone, "UTC")
	unset(&d.DSTGap, scheduler.GapFire)
	unset(&d.Overlap, scheduler.OverlapAllow)
	unset(&d.CatchUp, scheduler.CatchUpLatest)
	unset(&d.CatchUpWindow, scheduler.DefaultCatchUpWindow)
	d.StartsAt, d.EndsAt = d.StartsAt.UTC(), d.EndsAt.UTC()
	return d
}

func unset[T comparable](field *T, value T) {
	if *field == value {
		var zero T
		*field = zero
	}
}

// withDefaults is the reverse.
func withDefaults(d scheduler.Definition) scheduler.Definition {
	d.Timezone = cmp.Or(d.Timezone, "UTC")
	if d.Cron != "" {
		d.DSTGap = cmp.Or(d.DSTGap, scheduler.GapFire)
	}
	d.Overlap = cmp.Or(d.Overlap, scheduler.OverlapAllow)
	d.CatchUp = cmp.Or(d.CatchUp, scheduler.CatchUpLatest)
	if d.CatchUp != scheduler.CatchUpSkip {
		d.CatchUpWindow = cmp.Or(d.CatchUpWindow, scheduler.DefaultCatchUpWindow)
	}
	return d
}

// encodeJSON is the JSON of a value that has some.
func encodeJSON(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic("control: " + err.Error()) // texts, numbers and times can be encoded
	}
	return data
}

// showSchedule returns what is shown of a record.
func showSchedule(r *store.Schedule) (Schedule, error) {
	d, state, table, err := timetableOf(r)
	if err != nil {
		return Schedule{}, err
	}
	j := *r.Job
	j.Headers = MaskHeaders(j.Headers)
	return Schedule{
		Name: r.Name, Definition: withDefaults(d), Job: &j, Payload: r.Payload, State: state,
		Version: r.Version, Created: r.Created, Updated: r.Updated, NextAt: table.NextFire(&state), Last: r.Last,
	}, nil
}

// GetSchedule returns a schedule.
func (c *Control) GetSchedule(ctx context.Context, name string) (Schedule, error) {
	r, err := c.scheduleFor(ctx, ActionRead, name)
	if err != nil {
		return Schedule{}, err
	}
	return showSchedule(r)
}

// scheduleFor returns the record of a schedule for which the context's principal has
// the action. One that it may not read is not there.
func (c *Control) scheduleFor(ctx context.Context, a Action, name string) (*store.Schedule, error) {
	if !job.ValidName(name) {
		return nil, notFound("schedule", name)
	}
	r, err := c.store.GetSchedule(ctx, name)
	if err != nil {
		return nil, scheduleError("read the schedule", name, err)
	}
	return r, allowSchedule(ctx, a, r)
}

func allowSchedule(ctx context.Context, a Action, r *store.Schedule) error {
	switch {
	case allow(ctx, a, r.Job.Queue) == nil:
		return nil
	case allow(ctx, ActionRead, r.Job.Queue) == nil:
		return forbidden("the key has no %s scope for the queue of this schedule's job", a)
	}
	return notFound("schedule", r.Name)
}

// scheduleError is storeError for a call about one schedule.
func scheduleError(operation, name string, err error) error {
	if KindOf(err) != 0 {
		return err
	}
	if errors.Is(err, store.ErrNotFound) {
		return notFound("schedule", name)
	}
	return storeError(operation, err)
}

// ScheduleList is one page of schedules, by name.
type ScheduleList struct {
	Schedules []Schedule
	Cursor    string
}

// ListSchedules returns a page of the schedules that the context's principal may read,
// without payloads. A page may be short although another one follows.
func (c *Control) ListSchedules(ctx context.Context, cursor string, limit int) (ScheduleList, error) {
	see, err := visible(ctx)
	if err != nil {
		return ScheduleList{}, err
	}
	after, err := checkPage("schedules", cursor, &limit)
	if err != nil {
		return ScheduleList{}, err
	}
	records, next, err := c.store.ListSchedules(ctx, after, limit)
	if err != nil {
		return ScheduleList{}, storeError("list schedules", err)
	}
	var list ScheduleList
	for _, r := range records {
		if see != nil && !see(r.Job.Queue) {
			continue
		}
		s, err := showSchedule(r)
		if err != nil { // one that cannot be read must not hide the others
			c.log.WarnContext(ctx, "a schedule is left out of a list", "error", err)
			continue
		}
		list.Schedules = append(list.Schedules, s)
	}
	if next != "" {
		list.Cursor = encodeCursor(next, "schedules")
	}
	return list, nil
}

// DeleteSchedule ends a schedule, with its history. Jobs that it has made stay.
func (c *Control) DeleteSchedule(ctx context.Context, name string, m Match) error {
	if !job.ValidName(name) {
		return notFound("schedule", name)
	}
	_, err := c.store.ChangeSchedule(ctx, name, func(old *store.Schedule, _ time.Time) (*store.Schedule, error) {
		if old == nil {
			return nil, notFound("schedule", name)
		}
		if err := allowSchedule(ctx, ActionWriteJobs, old); err != nil {
			return nil, err
		}
		return nil, checkScheduleMatch(ctx, old, m)
	})
	if err != nil {
		return scheduleError("delete the schedule", name, err)
	}
	c.schedules.changed(-1)
	return nil
}
