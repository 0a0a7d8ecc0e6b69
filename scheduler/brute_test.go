package scheduler

import (
	"flag"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The brute force is written from the documentation alone: it walks every minute
// and asks of each what the clock on the wall shows. It shares no code with what it
// checks.

var bruteZones = []string{
	"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca",
	"Asia/Kolkata", "America/Sao_Paulo", "Asia/Tehran", "Pacific/Chatham", "America/Havana", "Africa/Cairo", "Antarctica/Troll",
}

var bruteExpressions = []string{
	"*/15 * * * *", "30 * * * *", "0 */2 * * *", "*/20 2 * * *", "30 2 * * *", "0 0 * * *", "30 0 * * *", "15,45 1 * * *", "0 2,3 * * *",
	"30 1 * * *", "45 1 * * *", "5 2 * * 0", "0 12 30 12 *", "0 3 L * *", "0 4 LW * *", "15 5 15W * *", "10 2 * * 5#3", "0 0 1,15 * fri",
	"0-59 2 * 3 *", "59 23 31 * *", "0 1 */7 * sun", "0 2 29 2 *", "40 2 * 10,11 0L", "0 3 1-7 4 *",
}

// bruteField reads a field of the expressions above.
func bruteField(field string, least, most int, names string) []bool {
	set := make([]bool, 64)
	for part := range strings.SplitSeq(field, ",") {
		head, step, _ := strings.Cut(part, "/")
		every, from, to := 1, least, most
		if step != "" {
			every, _ = strconv.Atoi(step)
		}
		if head != "*" {
			low, high, isRange := strings.Cut(head, "-")
			value := func(s string) int {
				if i := strings.Index(names, s); names != "" && i >= 0 && len(s) == 3 {
					return i / 3
				}
				n, err := strconv.Atoi(s)
				if err != nil {
					return -1
				}
				return n
			}
			if from = value(low); from < 0 {
				continue
			}
			if to = from; isRange {
				to = value(high)
			}
		}
		for n := from; n <= to; n += every {
			set[n] = true
		}
	}
	return set
}

type brute struct {
	minute, hour, date, month, week []bool
	dates, weeks                    string
	elapsed                         bool
}

func newBrute(expression string) brute {
	f := strings.Fields(expression)
	return brute{
		bruteField(f[0], 0, 59, ""), bruteField(f[1], 0, 23, ""), bruteField(f[2], 1, 31, ""), bruteField(f[3], 1, 12, ""),
		bruteField(f[4], 0, 6, "sunmontuewedthufrisat"), f[2], f[4], f[0][0] == '*' || f[1][0] == '*',
	}
}

// shows reports whether a time on the wall, given as UTC, is one of the
// expression's.
func (b brute) shows(wall time.Time) bool {
	if minutes := wall.Unix() / 60; !b.minute[minutes%60] || !b.hour[minutes/60%24] || !b.month[wall.Month()] {
		return false
	}
	lastDay := wall.AddDate(0, 1, -wall.Day()).Day()
	weekend := func(day int) bool {
		w := wall.AddDate(0, 0, day-wall.Day()).Weekday()
		return w == time.Saturday || w == time.Sunday
	}
	byDate := b.date[wall.Day()]
	switch {
	case b.dates == "L":
		byDate = wall.Day() == lastDay
	case b.dates == "LW":
		last := lastDay
		for weekend(last) {
			last--
		}
		byDate = wall.Day() == last
	case strings.HasSuffix(b.dates, "W"):
		target, _ := strconv.Atoi(strings.TrimSuffix(b.dates, "W"))
		for _, d := range []int{0, -1, 1} { // Saturday's is the day before, Sunday's the day after
			if !weekend(target + d) {
				byDate = wall.Day() == target+d
				break
			}
		}
	}
	byWeek := b.week[int(wall.Weekday())]
	if day, nth, ok := strings.Cut(b.weeks, "#"); ok {
		byWeek = day == strconv.Itoa(int(wall.Weekday())) && nth == strconv.Itoa((wall.Day()-1)/7+1)
	}
	if day, ok := strings.CutSuffix(b.weeks, "L"); ok {
		byWeek = day == strconv.Itoa(int(wall.Weekday())) && wall.Day() > lastDay-7
	}
	if b.dates[0] == '*' || b.weeks[0] == '*' {
		return byDate && byWeek
	}
	return byDate || byWeek
}

// minute is an instant and what the clock on the wall shows at it, given as UTC.
type minute struct{ at, wall time.Time }

// minutesOf lists every minute, from three days before a span to its end.
func minutesOf(loc *time.Location, from, to time.Time) (minutes []minute) {
	for t := from.Add(-72 * time.Hour); t.Before(to); t = t.Add(time.Minute) {
		_, offset := t.In(loc).Zone()
		minutes = append(minutes, minute{t, t.Add(time.Duration(offset) * time.Second)})
	}
	return minutes
}

// walk lists the instants of an expression, in order, by looking at each minute.
func (b brute) walk(minutes []minute, from time.Time, skip bool) (slots []time.Time) {
	highest := minutes[0].wall // the greatest time that the clock has shown
	for _, m := range minutes[1:] {
		fires := b.elapsed && b.shows(m.wall)
		for wall := highest.Add(time.Minute); !b.elapsed && !wall.After(m.wall); wall = wall.Add(time.Minute) {
			if b.shows(wall) && (wall.Equal(m.wall) || !skip) {
				fires = true
			}
		}
		if m.wall.After(highest) {
			highest = m.wall
		}
		if fires && !m.at.Before(from) {
			slots = append(slots, m.at)
		}
	}
	return slots
}

var years = flag.Bool("years", false, "walk over every minute of seven years, which takes minutes")

func TestAgainstEveryMinute(t *testing.T) {
	t.Parallel()
	// Where clocks are set: Apia's missing day, and the springs and autumns of a year.
	zones, spans := bruteZones, [][2]string{
		{"2011-09-20T00:00:00Z", "2012-01-03T00:00:00Z"}, {"2027-02-20T00:00:00Z", "2027-04-10T00:00:00Z"}, {"2027-09-20T00:00:00Z", "2027-11-10T00:00:00Z"},
	}
	switch {
	case *years:
		spans = [][2]string{{"2010-01-01T00:00:00Z", "2014-01-01T00:00:00Z"}, {"2026-01-01T00:00:00Z", "2029-03-01T00:00:00Z"}}
	case testing.Short():
		zones = []string{"Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca"}
		spans = spans[:2]
	}
	for _, name := range zones {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			loc, err := LoadZone(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, span := range spans {
				from, to := utc(span[0]), utc(span[1])
				minutes := minutesOf(loc, from, to)
				for _, expression := range bruteExpressions {
					for _, gap := range []string{GapFire, GapSkip} {
						if gap == GapSkip && newBrute(expression).elapsed {
							continue
						}
						want := newBrute(expression).walk(minutes, from, gap == GapSkip)
						table, errs := New("n", Spec{Cron: expression, Timezone: name, DSTGap: gap, StartsAt: from, EndsAt: to})
						if errs != nil {
							t.Fatal(errs)
						}
						if diff := compareSlots(table, from, want); diff != "" {
							t.Errorf("%s, gaps %s, from %s: %s", expression, gap, span[0], diff)
						}
					}
				}
			}
		})
	}
}

func compareSlots(table *Timetable, from time.Time, want []time.Time) string {
	at := from.Add(-time.Hour)
	for i := 0; ; i++ {
		next, err := table.Next(at)
		switch {
		case err != nil && i == len(want):
			return ""
		case err != nil:
			return fmt.Sprintf("slot %d is missing, at %s", i, want[i])
		case i == len(want):
			return fmt.Sprintf("slot %d, at %s, is one too many", i, next)
		case !next.Equal(want[i]):
			return fmt.Sprintf("slot %d is at %s, and should be at %s", i, next, want[i])
		}
		at = next
	}
}
