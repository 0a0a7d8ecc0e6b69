package scheduler

import (
	"fmt"
	"time"
)

// Slot is one time at which a schedule fires, for people.
type Slot struct {
	// At is the slot, as UTC; Local is the same instant on the schedule's clock.
	At    time.Time `json:"at"`
	Local time.Time `json:"local"`
	// Note says what is odd about it: a clock that is set, or jitter. Mostly empty.
	Note string `json:"note"`
}

// Upcoming returns the next slots after an instant, at most count, of a schedule
// that has fired runs times.
func (t *Timetable) Upcoming(after time.Time, runs, count int) []Slot {
	if t.spec.MaxRuns > 0 {
		count = min(count, t.spec.MaxRuns-runs)
	}
	slots := make([]Slot, 0, max(0, min(count, 100)))
	for len(slots) < count {
		at, err := t.Next(after)
		if err != nil {
			break
		}
		slots = append(slots, Slot{At: at, Local: at.In(t.zone.loc), Note: t.note(at, after)})
		after = at
	}
	return slots
}

// note says what is odd about a slot that follows an instant.
func (t *Timetable) note(slot, after time.Time) string {
	note := ""
	switch {
	case t.cron == nil:
	case t.cron.Elapsed():
		note = t.clockSet(slot.Unix(), after.Unix())
	default:
		if note = t.gap(slot.Unix(), after.Unix()); note == "" {
			note = t.twice(slot.Unix())
		}
	}
	if late := t.Fires(slot).Sub(slot); late > 0 {
		if note != "" {
			note += "; "
		}
		note += fmt.Sprintf("fires %s later (jitter)", late)
	}
	return note
}

// gap tells of times of the day that the clock did not show, between an instant
// and the slot that follows it.
func (t *Timetable) gap(slot, after int64) string {
	for at, ok := t.zone.nextFixed(t.cron, after, false); ok && at <= slot; at, ok = t.zone.nextFixed(t.cron, at, false) {
		s := t.zone.at(at)
		if at != s.from {
			continue
		}
		begin, end := at+t.zone.at(at-1).offset, at+s.offset
		missed, _ := t.cron.nextLocal(begin)
		if missed >= end {
			continue
		}
		text := clockText(missed, 0) + " does not exist on " + dateText(missed)
		if more, _ := t.cron.nextLocal(missed + 1); more < end {
			text = fmt.Sprintf("%s and other times until %s do not exist on %s", clockText(missed, 0), clockText(end, missed), dateText(missed))
		}
		if t.spec.DSTGap == GapSkip {
			return text + ": skipped"
		}
		return text + ": fires " + clockText(end, missed)
	}
	return ""
}

// twice tells that the clock shows a slot's time again later.
func (t *Timetable) twice(slot int64) string {
	s := t.zone.at(slot)
	if s.to == endless {
		return ""
	}
	local, then := slot+s.offset, t.zone.at(s.to)
	if again := local - then.offset; again < then.from || again >= then.to {
		return ""
	}
	return fmt.Sprintf("%s happens twice on %s: fires the first time", clockText(local, 0), dateText(local))
}

// clockSet tells that the clock was set shortly before a slot of elapsed time.
func (t *Timetable) clockSet(slot, after int64) string {
	s := t.zone.at(slot)
	if s.from <= after || s.from <= slot-daySeconds {
		return ""
	}
	by := s.offset - t.zone.at(s.from-1).offset
	switch shown := clockText(s.from+s.offset, slot+s.offset); {
	case by > 0:
		return fmt.Sprintf("the clock was set forward %s, to %s", time.Duration(by)*time.Second, shown)
	case by < 0:
		return fmt.Sprintf("the clock was set back %s, to %s", time.Duration(-by)*time.Second, shown)
	}
	return ""
}

// clockText is a local time without its date, unless that is another than the
// one of beside, which is not 0.
func clockText(local, beside int64) string {
	t, layout := time.Unix(local, 0).UTC(), "15:04"
	if local%60 != 0 {
		layout = time.TimeOnly
	}
	if beside != 0 && dateText(beside) != dateText(local) {
		layout = time.DateOnly + " " + layout
	}
	return t.Format(layout)
}

func dateText(local int64) string { return time.Unix(local, 0).UTC().Format(time.DateOnly) }
