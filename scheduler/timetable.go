package scheduler

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/orchestrix/orchestrix/job"
)

// Spec says when a schedule fires: by Cron or Every, one of them.
type Spec struct {
	// Cron is an expression (see the type Cron), read in the Timezone.
	Cron string `json:"cron,omitempty"`
	// Every is an interval of elapsed time, MinEvery to MaxEvery, counted from
	// StartsAt, or from 1970-01-01T00:00:00Z where that is unset.
	Every job.Duration `json:"every,omitempty"`
	// Timezone is an IANA name; empty is UTC.
	Timezone string `json:"timezone,omitempty"`
	// DSTGap is GapFire (also where it is empty) or GapSkip; with Cron only.
	DSTGap string `json:"dst_gap,omitempty"`
	// Jitter delays each firing by a part of it, at most MaxJitter.
	Jitter job.Duration `json:"jitter,omitempty"`
	// StartsAt and EndsAt bound the slots: the first may be at StartsAt, the last is
	// before EndsAt. Zero is no bound.
	StartsAt time.Time `json:"starts_at,omitzero"`
	EndsAt   time.Time `json:"ends_at,omitzero"`
	// MaxRuns is how often the schedule fires in all, at most MaxMaxRuns; 0 is no
	// bound.
	MaxRuns int `json:"max_runs,omitempty"`
}

// What becomes of a time of the day that a clock, set forward, never shows.
const (
	GapFire = "fire" // it fires at the first instant after the gap
	GapSkip = "skip" // it is left out
)

// The bounds of a Spec.
const (
	MinEvery   = job.Duration(time.Second)
	MaxEvery   = job.Duration(3660 * 24 * time.Hour)
	MaxJitter  = job.Duration(24 * time.Hour)
	MaxMaxRuns = 1_000_000_000
)

// minApart is the least time between two firings of a schedule.
const minApart = time.Second

// The times that a schedule can have: those that RFC 3339 can write, and that the
// store can.
var (
	firstTime = time.Unix(0, 0).UTC()
	lastTime  = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

// Timetable is the slots of a schedule. It is never changed, and may be used
// concurrently.
type Timetable struct {
	name string
	spec Spec
	cron *Cron // nil with an interval
	zone zone
}

// New returns the timetable of the schedule of that name, or what is wrong with
// the spec. The name decides about H and jitter.
func New(name string, s Spec) (*Timetable, []job.FieldError) {
	t := &Timetable{name: name, spec: s, zone: zone{time.UTC}}
	var errs []job.FieldError
	wrong := func(field, format string, args ...any) {
		errs = append(errs, job.FieldError{Field: field, Message: fmt.Sprintf(format, args...)})
	}
	switch {
	case s.Cron == "" && s.Every == 0:
		wrong("cron", "must be given, or every")
	case s.Cron != "" && s.Every != 0:
		wrong("every", "must not be given together with cron")
	case s.Cron != "":
		c, err := ParseCron(s.Cron, name)
		if err != nil {
			wrong("cron", "%s", err)
		}
		t.cron = c
	case s.Every < MinEvery || s.Every > MaxEvery || s.Every%job.Duration(time.Millisecond) != 0:
		wrong("every", "must be from %s to %s, in whole milliseconds", MinEvery, MaxEvery)
	}
	var err error
	if t.zone.loc, err = LoadZone(s.Timezone); err != nil {
		wrong("timezone", "%s", err)
	}
	if s.DSTGap != "" && s.DSTGap != GapFire && s.DSTGap != GapSkip {
		wrong("dst_gap", "must be fire or skip")
	} else if s.DSTGap != "" && s.Every != 0 {
		wrong("dst_gap", "must not be given with every, which is elapsed time")
	}
	if s.Jitter < 0 || s.Jitter > MaxJitter {
		wrong("jitter", "must be from 0s to %s", MaxJitter)
	}
	for _, at := range []struct {
		field string
		time  time.Time
	}{{"starts_at", s.StartsAt}, {"ends_at", s.EndsAt}} {
		if !at.time.IsZero() && (at.time.Before(firstTime) || at.time.After(lastTime)) {
			wrong(at.field, "must be from 1970 to 9999")
		}
	}
	if !s.EndsAt.IsZero() && !s.EndsAt.After(s.StartsAt) {
		wrong("ends_at", "must be after starts_at")
	}
	if s.MaxRuns < 0 || s.MaxRuns > MaxMaxRuns {
		wrong("max_runs", "must be from 0 to %d", MaxMaxRuns)
	}
	if errs != nil {
		return nil, errs
	}
	t.spec.StartsAt, t.spec.EndsAt = ceilMilli(s.StartsAt), ceilMilli(s.EndsAt)
	return t, nil
}

// ceilMilli rounds up to the precision of the store, so that a bound is never
// wider than it was asked for.
func ceilMilli(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.Add(time.Millisecond - 1).Truncate(time.Millisecond)
}

// ErrEnded is returned where there is no further slot.
var ErrEnded = errors.New("no further slot")

// Next returns the first slot after an instant, as UTC, in whole milliseconds. It
// returns ErrEnded where there is none up to EndsAt, in the next 100 years, or up to the
// year 9999. Two slots are at least a second apart. MaxRuns is for the caller to
// count.
func (t *Timetable) Next(after time.Time) (time.Time, error) {
	if start := t.spec.StartsAt; !start.IsZero() && after.Before(start) {
		after = start.Add(-1)
	}
	if after.Before(firstTime) {
		after = firstTime.Add(-1)
	}
	if !after.Before(lastTime) {
		return time.Time{}, ErrEnded
	}
	slot, ok := t.following(after)
	if !ok || slot.After(lastTime) || !t.spec.EndsAt.IsZero() && !slot.Before(t.spec.EndsAt) {
		return time.Time{}, ErrEnded
	}
	return slot, nil
}

// following is Next without the bounds.
func (t *Timetable) following(after time.Time) (time.Time, bool) {
	if t.cron == nil {
		anchor, every := int64(0), t.spec.Every.Std().Milliseconds()
		if !t.spec.StartsAt.IsZero() {
			anchor = t.spec.StartsAt.UnixMilli()
		}
		periods, _ := floorDiv(after.UnixMilli()-anchor, every)
		return time.UnixMilli(anchor + (periods+1)*every).UTC(), true
	}
	var slot int64
	var ok bool
	if t.cron.Elapsed() {
		slot, ok = t.zone.next(t.cron, after.Unix())
	} else {
		slot, ok = t.zone.nextFixed(t.cron, after.Unix(), t.spec.DSTGap == GapSkip)
	}
	return time.Unix(slot, 0).UTC(), ok
}

// Fires returns when a slot fires: up to Jitter later, always the same for one
// name and slot, but always at least a second before the next slot, so that jitter
// changes neither their order nor how many there are.
func (t *Timetable) Fires(slot time.Time) time.Time {
	limit := t.spec.Jitter.Std()
	if limit == 0 {
		return slot
	}
	if next, ok := t.following(slot); ok {
		limit = min(limit, next.Sub(slot)-minApart)
	}
	late := hash(t.name, "jitter "+strconv.FormatInt(slot.UnixMilli(), 10)) % uint64(limit.Milliseconds()+1)
	return slot.Add(time.Duration(late) * time.Millisecond)
}

// Location returns the schedule's time zone.
func (t *Timetable) Location() *time.Location { return t.zone.loc }

// Spec returns what the timetable was made of.
func (t *Timetable) Spec() Spec { return t.spec }
