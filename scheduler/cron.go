package scheduler

import (
	"fmt"
	"strings"
	"time"
)

// Cron is a cron expression that has been read: five fields (minute, hour, day of
// the month, month, day of the week), or six with the second first.
//
// A field is a list of values, ranges (1-5) and steps (*/5, 10-50/10, 5/15), with
// names for months and days of the week. As a day of the month there are also L
// (the last), L-3 (the third before it), LW (the last weekday) and 15W (the weekday
// next to the 15th, within the month); as a day of the week 5#3 (the third
// Friday) and 5L (the last). H is a value by the hash of the schedule's name, H(0-29)
// one of a range, H/15 a step from such a value. @yearly, @monthly, @weekly, @daily
// and @hourly stand for what cron has them stand for.
//
// As in cron (crontab(5) of Vixie's), a day must match both day fields where one
// of them begins with *, and else either of them.
type Cron struct {
	second, minute uint64 // a bit for each value
	hour           uint32
	month          uint16
	days           dayRule
	elapsed        bool
}

// dayRule is which days of a month match.
type dayRule struct {
	days     uint32   // bit n is day n
	nearest  uint32   // bit n is the weekday next to day n
	fromLast uint32   // bit n is the nth day before the last
	lastWeek bool     // the last weekday of the month
	weekdays uint8    // bit 0 is Sunday
	nth      [7]uint8 // by day of the week: bit n is its nth in the month
	last     uint8    // bit n is the last such day of the week
	both     bool     // of the two fields, both must match
}

// MaxCronLength bounds a cron expression, in bytes.
const MaxCronLength = 256

// CronError is what is wrong with a cron expression.
type CronError struct {
	// Field is the name of the field, empty where it is about all of them.
	Field string
	// Position is the byte at which it is, counted from 1.
	Position int
	// Message says what would be right, to stand behind "must" or alone.
	Message string
}

// Error says where and what.
func (e *CronError) Error() string {
	if e.Field == "" {
		return e.Message
	}
	return fmt.Sprintf("%s field, position %d: %s", e.Field, e.Position, e.Message)
}

// ErrNever is returned for an expression that no day matches.
var ErrNever = &CronError{Message: "never fires: no month has such a day"}

var macros = map[string]string{
	"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
	"@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}

// ParseCron reads an expression. H is by the hash of name. The error is a
// *CronError, ErrNever where there is no day that matches.
func ParseCron(text, name string) (*Cron, error) {
	if len(text) > MaxCronLength {
		return nil, &CronError{Message: fmt.Sprintf("must be at most %d bytes long", MaxCronLength)}
	}
	fields, err := splitCron(text)
	if err != nil {
		return nil, err
	}
	c := &Cron{}
	var dayStar, weekStar bool
	for i, f := range fields {
		p := fieldParser{unit: units[i], text: f.text, at: f.at, name: name}
		values, err := p.parse()
		if err != nil {
			return nil, err
		}
		star := f.text[0] == '*' || f.text[0] == '?'
		switch i {
		case 0:
			c.second = values
		case 1:
			c.minute, c.elapsed = values, star
		case 2:
			c.hour, c.elapsed = uint32(values), c.elapsed || star
		case 3:
			c.days, dayStar = p.days, star
			c.days.days = uint32(values)
		case 4:
			c.month = uint16(values)
		case 5:
			c.days.nth, c.days.last, weekStar = p.days.nth, p.days.last, star
			c.days.weekdays = uint8(values | values>>7) // 7 is Sunday too
		}
	}
	c.days.both = dayStar || weekStar
	if _, ok := c.nextDay(0, cycle); !ok {
		return nil, ErrNever
	}
	return c, nil
}

// cronField is one field and where it begins in the expression.
type cronField struct {
	text string
	at   int
}

// splitCron returns the six fields; the second is 0 where there are five.
func splitCron(text string) ([]cronField, error) {
	var fields []cronField
	for i := 0; i < len(text); {
		if text[i] == ' ' || text[i] == '\t' {
			i++
			continue
		}
		end := i
		for end < len(text) && text[end] != ' ' && text[end] != '\t' {
			end++
		}
		fields = append(fields, cronField{text[i:end], i + 1})
		i = end
	}
	switch n := len(fields); {
	case n == 0:
		return nil, &CronError{Message: "must not be empty"}
	case fields[0].text[0] == '@':
		return macroFields(fields)
	case strings.Contains(fields[0].text, "="):
		return nil, &CronError{Message: "must have no setting such as TZ=: use timezone"}
	case n == 5:
		return append([]cronField{{"0", 1}}, fields...), nil
	case n == 6:
		return fields, nil
	default:
		return nil, &CronError{Message: fmt.Sprintf("must have 5 fields (minute, hour, day of month, month, day of week), or 6 with the second first, not %d", n)}
	}
}

func macroFields(fields []cronField) ([]cronField, error) {
	expression, ok := macros[strings.ToLower(fields[0].text)]
	switch {
	case strings.EqualFold(fields[0].text, "@every"):
		return nil, &CronError{Message: "must not be @every: use every instead of cron"}
	case !ok || len(fields) > 1:
		return nil, &CronError{Message: "must be @yearly, @monthly, @weekly, @daily or @hourly and nothing else where it begins with @"}
	}
	return splitCron(expression)
}

// Elapsed reports whether the expression follows elapsed time: its minute or hour
// field begins with *.
func (c *Cron) Elapsed() bool { return c.elapsed }

// Times of the zone's clock are numbered as the seconds since 1970 would be if
// the clock showed UTC.

const (
	daySeconds = 24 * 60 * 60
	// cycle is the months after which dates and days of the week repeat.
	cycle = 400 * 12
	// longest is the months in which a day that ever matches does: see horizon.
	longest = 100 * 12
)

// nextLocal returns the first time of the clock that matches, at or after one.
func (c *Cron) nextLocal(local int64) (int64, bool) {
	day, of := floorDiv(local, daySeconds)
	found, ok := c.nextDay(day, longest)
	if !ok {
		return 0, false
	}
	if found == day {
		if clock, ok := c.nextClock(int(of)); ok {
			return day*daySeconds + int64(clock), true
		}
		if found, ok = c.nextDay(day+1, longest); !ok {
			return 0, false
		}
	}
	clock, _ := c.nextClock(0)
	return found*daySeconds + int64(clock), true
}

// nextDay returns the first day that matches, at or after one that is counted
// from 1970; it looks at that many months.
func (c *Cron) nextDay(day int64, months int) (int64, bool) {
	year, month, date := time.Unix(day*daySeconds, 0).UTC().Date()
	least := date
	for range months {
		if c.month&(1<<month) != 0 {
			first := time.Date(year, month, 1, 0, 0, 0, 0, time.UTC)
			if d := nextBit(uint64(c.days.in(daysIn(year, month), first.Weekday())), least); d >= 0 {
				return first.Unix()/daySeconds + int64(d-1), true
			}
		}
		least = 1
		if month++; month > time.December {
			year, month = year+1, time.January
		}
	}
	return 0, false
}

// nextClock returns the first second of a day that matches, at or after one.
func (c *Cron) nextClock(of int) (int, bool) {
	hour, minute, second := of/3600, of/60%60, of%60
	if c.hour&(1<<hour) != 0 {
		if c.minute&(1<<minute) != 0 {
			if s := nextBit(c.second, second); s >= 0 {
				return hour*3600 + minute*60 + s, true
			}
		}
		if m := nextBit(c.minute, minute+1); m >= 0 {
			return hour*3600 + m*60 + nextBit(c.second, 0), true
		}
	}
	h := nextBit(uint64(c.hour), hour+1)
	if h < 0 {
		return 0, false
	}
	return h*3600 + nextBit(c.minute, 0)*60 + nextBit(c.second, 0), true
}
