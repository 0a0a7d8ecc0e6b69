package scheduler

import (
	"errors"
	"strings"
	"time"
)

// zone is the clock of a place, as stretches of time with one offset.
type zone struct{ loc *time.Location }

// stretch is a time during which a zone's clock is only counted on: the local time
// is the instant's seconds and offset. It begins at from; without an end, to is
// endless.
type stretch struct{ from, to, offset int64 }

const (
	// endless is behind every time that can be written.
	endless = 1 << 60
	// widest bounds how far any clock has ever been from UTC, in seconds (16 h; local
	// mean times before 1900 were up to 15:14 away).
	widest = 16 * 60 * 60
	// horizon is how far is looked for a slot, in seconds: 100 years. Days that match
	// are at most 40 years apart (the 29th of February, on one day of the week), but all
	// of them may be such that the clock is set on them.
	horizon = 36525 * daySeconds
)

// ErrTimezone is returned for a name that is not in the IANA database.
var ErrTimezone = errors.New(`must be a time zone of the IANA database, such as "Europe/Berlin", or "UTC"`)

// LoadZone returns the time zone of an IANA name; an empty one is UTC. The rules are the
// system's where it has some, else those in the binary. The error is
// ErrTimezone.
func LoadZone(name string) (*time.Location, error) {
	if name == "" || name == "UTC" {
		return time.UTC, nil
	}
	// What is there beside the zones by their names: the server's own zone, and trees
	// that count leap seconds.
	if name == "Local" || strings.HasPrefix(name, "right/") || strings.HasPrefix(name, "posix/") || len(name) > 64 {
		return nil, ErrTimezone
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, ErrTimezone
	}
	return loc, nil
}

// at returns the stretch of an instant.
func (z zone) at(instant int64) stretch {
	t := time.Unix(instant, 0).In(z.loc)
	_, offset := t.Zone()
	s := stretch{from: -endless, to: endless, offset: int64(offset)}
	from, to := t.ZoneBounds()
	if !from.IsZero() {
		s.from = from.Unix()
	}
	if !to.IsZero() {
		// Of the last day of a leap year ZoneBounds says that its zone has ended the day
		// before (Go 1.26, time.tzset).
		s.to = max(to.Unix(), instant+15*60)
	}
	return s
}

// first returns the first instant at which the clock shows a local time or,
// where it never does, a later one; shown says which.
func (z zone) first(local int64) (instant int64, shown bool) {
	s := z.at(local - widest)
	for {
		instant = local - s.offset
		if instant < s.from {
			return s.from, false
		}
		if instant < s.to {
			return instant, true
		}
		s = z.at(s.to)
	}
}

// next returns the first instant after one at which the clock shows a time that
// c has, whether for the first time or again; none where that takes longer than
// the horizon.
func (z zone) next(c *Cron, after int64) (int64, bool) {
	var asked, local int64
	var ok bool
	s := z.at(after + 1)
	for from := after + 1; from < after+horizon; from = s.from {
		// Of a clock that is set, most times are those found before.
		if from := from + s.offset; !ok || from < asked || from > local {
			if local, ok = c.nextLocal(from); !ok {
				return 0, false
			}
			asked = from
		}
		if instant := local - s.offset; instant < s.to {
			return instant, true
		}
		s = z.at(s.to)
	}
	return 0, false
}

// nextFixed returns the instant of the next time of the day that c has, after one,
// each at the first instant at which the clock shows it; none where that takes
// longer than the horizon. With skip, those that it never shows are left out.
func (z zone) nextFixed(c *Cron, after int64, skip bool) (int64, bool) {
	for from, instant := z.unseen(after), after; instant < after+horizon; {
		local, ok := c.nextLocal(from)
		if !ok {
			break
		}
		var shown bool
		if instant, shown = z.first(local); shown || !skip {
			return instant, true
		}
		from = instant + z.at(instant).offset // where the gap ends
	}
	return 0, false
}

// unseen returns the least local time that the clock had not reached by an
// instant, nor passed.
func (z zone) unseen(instant int64) int64 {
	s := z.at(instant)
	local := instant + s.offset + 1
	for s.from > instant-2*widest { // what was shown longer ago is past on every clock
		s2 := z.at(s.from - 1)
		local = max(local, s.from+s2.offset)
		s = s2
	}
	return local
}
