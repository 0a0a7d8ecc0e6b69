package scheduler

import (
	"errors"
	"testing"
	"time"
)

func utc(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return t
}

func TestNextTimes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		cron, after string
		want        []string
	}{
		{"*/15 * * * *", "2026-01-01T00:00:00Z", []string{"2026-01-01T00:15:00Z", "2026-01-01T00:30:00Z"}},
		{"*/20 * * * * *", "2026-01-01T00:00:00Z", []string{"2026-01-01T00:00:20Z", "2026-01-01T00:00:40Z", "2026-01-01T00:01:00Z"}},
		{"0 9-17/4 * * mon-fri", "2026-01-02T14:00:00Z", []string{"2026-01-02T17:00:00Z", "2026-01-05T09:00:00Z"}},
		{"50/5 23 31 DEC *", "2026-01-01T00:00:00Z", []string{"2026-12-31T23:50:00Z", "2026-12-31T23:55:00Z", "2027-12-31T23:50:00Z"}},
		{"0 0 L * *", "2028-02-01T00:00:00Z", []string{"2028-02-29T00:00:00Z", "2028-03-31T00:00:00Z", "2028-04-30T00:00:00Z"}},
		{"0 0 L-3 * *", "2026-02-01T00:00:00Z", []string{"2026-02-25T00:00:00Z", "2026-03-28T00:00:00Z"}},
		{"0 0 L-30 * *", "2026-01-01T00:00:00Z", []string{"2026-03-01T00:00:00Z", "2026-05-01T00:00:00Z"}},
		{"0 0 LW * *", "2026-01-01T00:00:00Z", []string{"2026-01-30T00:00:00Z", "2026-02-27T00:00:00Z", "2026-03-31T00:00:00Z"}},
		{"0 0 15W * *", "2026-02-01T00:00:00Z", []string{"2026-02-16T00:00:00Z", "2026-03-16T00:00:00Z", "2026-04-15T00:00:00Z"}},
		{"0 0 1W * *", "2026-07-15T00:00:00Z", []string{"2026-08-03T00:00:00Z", "2026-09-01T00:00:00Z"}},
		{"0 0 31W * *", "2026-05-01T00:00:00Z", []string{"2026-05-29T00:00:00Z", "2026-07-31T00:00:00Z"}},
		{"0 0 * * 5#3", "2026-01-01T00:00:00Z", []string{"2026-01-16T00:00:00Z", "2026-02-20T00:00:00Z"}},
		{"0 0 * * fri#5", "2026-01-01T00:00:00Z", []string{"2026-01-30T00:00:00Z", "2026-05-29T00:00:00Z"}},
		{"0 0 * * 5L", "2026-01-01T00:00:00Z", []string{"2026-01-30T00:00:00Z", "2026-02-27T00:00:00Z"}},
		{"0 0 * * 7,sat-sun", "2026-01-01T00:00:00Z", []string{"2026-01-03T00:00:00Z", "2026-01-04T00:00:00Z", "2026-01-10T00:00:00Z"}},
		{"0 0 L,15 * *", "2026-01-01T00:00:00Z", []string{"2026-01-15T00:00:00Z", "2026-01-31T00:00:00Z"}},
		// Either of two day fields, or both where one begins with *.
		{"0 0 13 * fri", "2026-01-01T00:00:00Z", []string{"2026-01-02T00:00:00Z", "2026-01-09T00:00:00Z", "2026-01-13T00:00:00Z"}},
		{"0 0 */10 * mon", "2026-01-01T00:00:00Z", []string{"2026-05-11T00:00:00Z", "2026-06-01T00:00:00Z"}},
		{"0 0 ? * mon", "2026-01-01T00:00:00Z", []string{"2026-01-05T00:00:00Z"}},
		{"0 0 29 2 *", "2096-03-01T00:00:00Z", []string{"2104-02-29T00:00:00Z"}},
		{"0 0 */28 2 0", "2076-02-02T00:00:00Z", []string{"2082-02-01T00:00:00Z", "2088-02-01T00:00:00Z", "2088-02-29T00:00:00Z"}},
		{"@hourly", "2026-01-01T00:30:00Z", []string{"2026-01-01T01:00:00Z"}},
		{"@Daily", "2026-01-01T00:30:00Z", []string{"2026-01-02T00:00:00Z"}},
		{"@midnight", "2026-01-01T00:30:00Z", []string{"2026-01-02T00:00:00Z"}},
		{"@weekly", "2026-01-01T00:30:00Z", []string{"2026-01-04T00:00:00Z"}},
		{"@monthly", "2026-01-01T00:30:00Z", []string{"2026-02-01T00:00:00Z"}},
		{" @yearly ", "2026-01-01T00:30:00Z", []string{"2027-01-01T00:00:00Z"}},
		{"@annually", "2026-01-01T00:30:00Z", []string{"2027-01-01T00:00:00Z"}},
	}
	for _, tt := range tests {
		table, errs := New("n", Spec{Cron: tt.cron})
		if errs != nil {
			t.Errorf("%s: %v", tt.cron, errs)
			continue
		}
		at := utc(tt.after)
		for _, want := range tt.want {
			next, err := table.Next(at)
			if err != nil || !next.Equal(utc(want)) {
				t.Errorf("%s: after %s came %s, %v; want %s", tt.cron, at, next, err, want)
			}
			at = next
		}
	}
}

func TestBadExpressions(t *testing.T) {
	t.Parallel()
	tests := []struct {
		cron, field string
		position    int
		message     string
	}{
		{"60 * * * *", "minute", 1, "must be 0 to 59"},
		{"0 24 * * *", "hour", 3, "must be 0 to 23"},
		{"0 0 0 * *", "day of month", 5, "must be 1 to 31"},
		{"0 0  1,32 * *", "day of month", 8, "must be 1 to 31"},
		{"0 0 1 FOO *", "month", 7, "must be 1 to 12, or JAN to DEC"},
		{"0 0 * * 8", "day of week", 9, "must be 0 to 7, or SUN to SAT"},
		{"99 0 0 * * *", "second", 1, "must be 0 to 59"},
		{"0 22-2 * * *", "hour", 3, "the range must rise: write it as two, up to 23 and from 0 on"},
		{"*/0 * * * *", "minute", 3, "the step must be 1 to 59"},
		{"*/90 * * * *", "minute", 3, "the step must be 1 to 59"},
		{"*/ * * * *", "minute", 3, "the step must be 1 to 59"},
		{"1,,2 * * * *", "minute", 3, "a value is missing"},
		{"1, * * * *", "minute", 3, "a value is missing"},
		{"? * * * *", "minute", 1, "must be 0 to 59"},
		{"0 0 L-31 * *", "day of month", 7, "must be 1 to 30 days before the last"},
		{"0 0 W * *", "day of month", 5, "must be LW or a day of 1 to 31 before W, such as 15W"},
		{"0 0 * * L", "day of week", 9, "must say which day is the last, such as 5L"},
		{"0 0 * * 5#6", "day of week", 11, "must be the 1st to 5th of the month, such as 5#3"},
		{"0 0 * * x#1", "day of week", 9, "must be 0 to 7, or SUN to SAT"},
		{"H( * * * *", "minute", 1, "must be H, or H with a range such as H(0-59)"},
		{"HH * * * *", "minute", 1, "must be H, or H with a range such as H(0-59)"},
		{"H(0-60) * * * *", "minute", 5, "must be 0 to 59"},
		{"+5 * * * *", "minute", 1, "must be 0 to 59"},
		{"1-2-3 * * * *", "minute", 3, "must be 0 to 59"},
		{"", "", 0, "must not be empty"},
		{"* * * *", "", 0, "must have 5 fields (minute, hour, day of month, month, day of week), or 6 with the second first, not 4"},
		{"0 0 12 1 1 ? 2027", "", 0, "must have 5 fields (minute, hour, day of month, month, day of week), or 6 with the second first, not 7"},
		{"TZ=UTC * * * * *", "", 0, "must have no setting such as TZ=: use timezone"},
		{"@every 5m", "", 0, "must not be @every: use every instead of cron"},
		{"@reboot", "", 0, "must be @yearly, @monthly, @weekly, @daily or @hourly and nothing else where it begins with @"},
		{"0 0 30 2 *", "", 0, "never fires: no month has such a day"},
		{"0 0 31 4,6,9,11 *", "", 0, "never fires: no month has such a day"},
		{"0 0 31W 2 *", "", 0, "never fires: no month has such a day"},
		{"0 0 L-30 2 *", "", 0, "never fires: no month has such a day"},
	}
	for _, tt := range tests {
		_, err := ParseCron(tt.cron, "n")
		var e *CronError
		if !errors.As(err, &e) || e.Field != tt.field || e.Position != tt.position || e.Message != tt.message {
			t.Errorf("%q: got %+v, want %s at %d: %s", tt.cron, err, tt.field, tt.position, tt.message)
		}
	}
}

// H spreads schedules over the period, keeps each where it is, and stays in
// its range.
func TestHashSpreads(t *testing.T) {
	t.Parallel()
	var minutes, hours uint64
	for i := range 2000 {
		name := "report-" + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676))
		c, err := ParseCron("H H(2-5) H * *", name)
		if err != nil {
			t.Fatal(err)
		}
		again, _ := ParseCron("H H(2-5) H * *", name)
		if *c != *again {
			t.Fatalf("%s was read as %+v and as %+v", name, c, again)
		}
		minutes |= c.minute
		hours |= uint64(c.hour)
		if c.days.days&^(1<<29-2) != 0 {
			t.Fatalf("%s has a day that not every month has: %b", name, c.days.days)
		}
	}
	if minutes != 1<<60-1 || hours != 0b111100 {
		t.Errorf("2000 schedules use the minutes %b and the hours %b", minutes, hours)
	}
	step, err := ParseCron("H/15 * * * *", "a")
	if err != nil || step.minute%(1<<15) == 0 || nextBit(step.minute, 15) != nextBit(step.minute, 0)+15 || nextBit(step.minute, 45) < 0 {
		t.Errorf("H/15: minutes %b, %v", step.minute, err)
	}
}
