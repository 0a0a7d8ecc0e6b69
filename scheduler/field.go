package scheduler

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
)

// unit is what a field counts.
type unit struct {
	name        string
	least, most int
	names       []string // of least, least+1 and so on
}

var units = [6]unit{
	{name: "second", most: 59},
	{name: "minute", most: 59},
	{name: "hour", most: 23},
	{name: "day of month", least: 1, most: 31},
	{name: "month", least: 1, most: 12, names: []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
	{name: "day of week", most: 7, names: []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}},
}

const (
	dayOfMonth = "day of month"
	dayOfWeek  = "day of week"
)

// fieldParser reads one field of an expression.
type fieldParser struct {
	unit unit
	text string
	at   int    // where the field begins in the expression
	name string // of the schedule
	days dayRule
}

// parse returns the values of the field, bit n for value n; what is said of days
// in another way is in p.days.
func (p *fieldParser) parse() (values uint64, err error) {
	at := 0
	for part := range strings.SplitSeq(p.text, ",") {
		more, err := p.part(strings.ToLower(part), at)
		if err != nil {
			return 0, err
		}
		values |= more
		at += len(part) + 1
	}
	return values, nil
}

func (p *fieldParser) wrong(at int, format string, args ...any) error {
	return &CronError{Field: p.unit.name, Position: p.at + at, Message: fmt.Sprintf(format, args...)}
}

// part reads one entry of the list, in lower case, that begins at a byte of the
// field.
func (p *fieldParser) part(part string, at int) (uint64, error) {
	if part == "" {
		return 0, p.wrong(at, "a value is missing")
	}
	if found, err := p.dayPart(part, at); found || err != nil {
		return 0, err
	}
	head, step, stepped := strings.Cut(part, "/")
	every := 1
	if stepped {
		var ok bool
		if every, ok = number(step); !ok || every < 1 || every > p.most() {
			return 0, p.wrong(at+len(head)+1, "the step must be 1 to %d", p.most())
		}
	}
	if head[:min(1, len(head))] == "h" {
		return p.hashed(head, at, every, stepped)
	}
	from, to, err := p.span(head, at, stepped)
	if err != nil {
		return 0, err
	}
	return bitsOf(from, to, every), nil
}

// most is the greatest value that is not another name of the least.
func (p *fieldParser) most() int {
	if p.unit.name == dayOfWeek {
		return 6
	}
	return p.unit.most
}

// span reads *, a value or a range.
func (p *fieldParser) span(head string, at int, stepped bool) (from, to int, err error) {
	if head == "*" || head == "?" && !stepped && (p.unit.name == dayOfMonth || p.unit.name == dayOfWeek) {
		return p.unit.least, p.most(), nil
	}
	low, high, isRange := strings.Cut(head, "-")
	if from, err = p.value(low, at); err != nil {
		return 0, 0, err
	}
	switch {
	case !isRange && stepped:
		return from, max(from, p.most()), nil
	case !isRange:
		return from, from, nil
	}
	if to, err = p.value(high, at+len(low)+1); err != nil {
		return 0, 0, err
	}
	if to == 0 && from > 0 && p.unit.name == dayOfWeek {
		to = 7 // sat-sun
	}
	if to < from {
		return 0, 0, p.wrong(at, "the range must rise: write it as two, up to %d and from %d on", p.most(), p.unit.least)
	}
	return from, to, nil
}

func (p *fieldParser) value(text string, at int) (int, error) {
	for i, name := range p.unit.names {
		if text == name {
			return p.unit.least + i, nil
		}
	}
	if n, ok := number(text); ok && n >= p.unit.least && n <= p.unit.most {
		return n, nil
	}
	return 0, p.wrong(at, "%s", p.wanted())
}

func (p *fieldParser) wanted() string {
	msg := fmt.Sprintf("must be %d to %d", p.unit.least, p.unit.most)
	if n := len(p.unit.names); n > 0 {
		msg += fmt.Sprintf(", or %s to %s", strings.ToUpper(p.unit.names[0]), strings.ToUpper(p.unit.names[n-1]))
	}
	return msg
}

// hashed reads H, H(0-29) and their steps: with a step, the first value is one of
// the first step's.
func (p *fieldParser) hashed(head string, at, every int, stepped bool) (uint64, error) {
	from, to := p.unit.least, p.most()
	if p.unit.name == dayOfMonth {
		to = 28 // every month has it
	}
	if head != "h" {
		inner, ok := strings.CutPrefix(head, "h(")
		inner, closed := strings.CutSuffix(inner, ")")
		if !ok || !closed || !strings.Contains(inner, "-") {
			return 0, p.wrong(at, "must be H, or H with a range such as H(%d-%d)", from, to)
		}
		var err error
		if from, to, err = p.span(inner, at+2, false); err != nil {
			return 0, err
		}
	}
	h := hash(p.name, p.unit.name)
	if !stepped {
		n := from + int(h%uint64(to-from+1))
		return bitsOf(n, n, 1), nil
	}
	first := from + int(h%uint64(min(every, to-from+1)))
	return bitsOf(first, to, every), nil
}

// dayPart reads what there is for days only. It reports whether it was that.
func (p *fieldParser) dayPart(part string, at int) (bool, error) {
	switch p.unit.name {
	case dayOfMonth:
		return p.monthDay(part, at)
	case dayOfWeek:
		return p.weekDay(part, at)
	}
	return false, nil
}

func (p *fieldParser) monthDay(part string, at int) (bool, error) {
	if part == "l" {
		p.days.fromLast |= 1
		return true, nil
	}
	if part == "lw" || part == "wl" {
		p.days.lastWeek = true
		return true, nil
	}
	if rest, ok := strings.CutPrefix(part, "l-"); ok {
		n, ok := number(rest)
		if !ok || n < 1 || n > 30 {
			return true, p.wrong(at+2, "must be 1 to 30 days before the last")
		}
		p.days.fromLast |= 1 << n
		return true, nil
	}
	if rest, ok := strings.CutSuffix(part, "w"); ok {
		n, ok := number(rest)
		if !ok || n < 1 || n > 31 {
			return true, p.wrong(at, "must be LW or a day of 1 to 31 before W, such as 15W")
		}
		p.days.nearest |= 1 << n
		return true, nil
	}
	return false, nil
}

func (p *fieldParser) weekDay(part string, at int) (bool, error) {
	if day, count, ok := strings.Cut(part, "#"); ok {
		w, err := p.value(day, at)
		if err != nil {
			return true, err
		}
		n, ok := number(count)
		if !ok || n < 1 || n > 5 {
			return true, p.wrong(at+len(day)+1, "must be the 1st to 5th of the month, such as 5#3")
		}
		p.days.nth[w%7] |= 1 << n
		return true, nil
	}
	if day, ok := strings.CutSuffix(part, "l"); ok {
		if day == "" {
			return true, p.wrong(at, "must say which day is the last, such as 5L")
		}
		w, err := p.value(day, at)
		if err != nil {
			return true, err
		}
		p.days.last |= 1 << (w % 7)
		return true, nil
	}
	return false, nil
}

// number reads a number of at most three digits.
func number(text string) (int, bool) {
	if len(text) == 0 || len(text) > 3 {
		return 0, false
	}
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.Atoi(text)
	return n, err == nil
}

func bitsOf(from, to, every int) (values uint64) {
	for n := from; n <= to; n += every {
		values |= 1 << n
	}
	return values
}

// hash is a number by a schedule's name, another one for each use. It must not
// change: it would move what schedules do.
func hash(name, use string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name + "\x00" + use))
	// FNV leaves the high bits of near names alike; a multiplication and shifts mix
	// them (the finaliser of SplitMix64, Steele and others, 2014).
	x := h.Sum64()
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
