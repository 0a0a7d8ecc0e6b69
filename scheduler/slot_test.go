package scheduler

import (
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/job"
)

func TestNotes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		spec            Spec
		after           string
		at, local, note string
	}{
		{
			Spec{Cron: "30 2 * * *", Timezone: "America/New_York"},
			"2027-03-13T12:00:00Z",
			"2027-03-14T07:00:00Z", "2027-03-14T03:00:00-04:00", "02:30 does not exist on 2027-03-14: fires 03:00",
		},
		{
			Spec{Cron: "0,30 2 * * *", Timezone: "Europe/Berlin"},
			"2027-03-27T12:00:00Z",
			"2027-03-28T01:00:00Z", "2027-03-28T03:00:00+02:00", "02:00 and other times until 03:00 do not exist on 2027-03-28: fires 03:00",
		},
		{
			Spec{Cron: "30 2 * * *", Timezone: "Europe/Berlin", DSTGap: GapSkip},
			"2027-03-27T12:00:00Z",
			"2027-03-29T00:30:00Z", "2027-03-29T02:30:00+02:00", "02:30 does not exist on 2027-03-28: skipped",
		},
		{
			Spec{Cron: "15 2 * * *", Timezone: "Australia/Lord_Howe"},
			"2027-10-02T12:00:00Z",
			"2027-10-02T15:30:00Z", "2027-10-03T02:30:00+11:00", "02:15 does not exist on 2027-10-03: fires 02:30",
		},
		{
			Spec{Cron: "0 12 30 12 *", Timezone: "Pacific/Apia"},
			"2011-12-01T00:00:00Z",
			"2011-12-30T10:00:00Z", "2011-12-31T00:00:00+14:00", "12:00 does not exist on 2011-12-30: fires 2011-12-31 00:00",
		},
		{
			Spec{Cron: "30 1 * * *", Timezone: "America/New_York"},
			"2027-11-06T12:00:00Z",
			"2027-11-07T05:30:00Z", "2027-11-07T01:30:00-04:00", "01:30 happens twice on 2027-11-07: fires the first time",
		},
		{
			Spec{Cron: "*/30 * * * *", Timezone: "Europe/Berlin"},
			"2027-10-31T00:30:00Z",
			"2027-10-31T01:00:00Z", "2027-10-31T02:00:00+01:00", "the clock was set back 1h0m0s, to 02:00",
		},
		{
			Spec{Cron: "*/30 * * * *", Timezone: "Europe/Berlin"},
			"2027-03-28T00:30:00Z",
			"2027-03-28T01:00:00Z", "2027-03-28T03:00:00+02:00", "the clock was set forward 1h0m0s, to 03:00",
		},
		{Spec{Cron: "30 2 * * *", Timezone: "Asia/Kolkata"}, "2027-03-14T00:00:00Z", "2027-03-14T21:00:00Z", "2027-03-15T02:30:00+05:30", ""},
		{Spec{Every: job.Duration(90 * time.Second)}, "2027-03-14T00:00:00Z", "2027-03-14T00:01:30Z", "2027-03-14T00:01:30Z", ""},
	}
	for _, tt := range tests {
		table, errs := New("n", tt.spec)
		if errs != nil {
			t.Fatal(errs)
		}
		s := table.Upcoming(utc(tt.after), 0, 1)[0]
		if !s.At.Equal(utc(tt.at)) || s.Local.Format(time.RFC3339) != tt.local || s.Note != tt.note {
			t.Errorf("%+v: got %s, %s, %q; want %s, %s, %q", tt.spec, s.At.Format(time.RFC3339), s.Local.Format(time.RFC3339), s.Note, tt.at, tt.local, tt.note)
		}
	}
}

func TestBoundsOfSlots(t *testing.T) {
	t.Parallel()
	day := Spec{Cron: "0 12 * * *", StartsAt: utc("2027-01-02T12:00:00Z"), EndsAt: utc("2027-01-05T12:00:00Z")}
	table, _ := New("n", day)
	if got := table.Upcoming(utc("2026-01-01T00:00:00Z"), 0, 10); len(got) != 3 || !got[0].At.Equal(day.StartsAt) {
		t.Errorf("from the 2nd to before the 5th: %v", got)
	}
	day.MaxRuns = 5
	table, _ = New("n", day)
	if got := table.Upcoming(utc("2026-01-01T00:00:00Z"), 3, 10); len(got) != 2 {
		t.Errorf("two runs are left, got %v", got)
	}
	if got := table.Upcoming(utc("2026-01-01T00:00:00Z"), 6, 10); len(got) != 0 {
		t.Errorf("no run is left, got %v", got)
	}
	every, _ := New("n", Spec{Every: job.Duration(7 * time.Second), StartsAt: utc("2027-01-02T12:00:00.25Z")})
	want := "2027-01-02T12:00:00.25Z"
	for range 3 {
		at := utc(want)
		for _, after := range []time.Time{at.Add(-1), at.Add(-6 * time.Second)} {
			if got, err := every.Next(after); err != nil || !got.Equal(at) {
				t.Errorf("every 7s after %s: %s, %v, want %s", after, got, err, want)
			}
		}
		want = at.Add(7 * time.Second).Format(time.RFC3339Nano)
	}
	if got, err := every.Next(lastTime.Add(-time.Second)); err == nil {
		t.Errorf("the year 9999 does not end: %s", got)
	}
	// All its times are in the gap of the day on which the clock is set.
	for _, s := range []Spec{
		{Cron: "30 2 * 3 0#2", Timezone: "America/New_York", DSTGap: GapSkip},
		{Cron: "*/5 2 * 3 0#2", Timezone: "America/New_York"},
	} {
		table, errs := New("n", s)
		if errs != nil {
			t.Fatal(errs)
		}
		if got, err := table.Next(utc("2027-01-01T00:00:00Z")); err == nil {
			t.Errorf("%+v fires at %s", s, got)
		}
	}
}

func TestBadSpecs(t *testing.T) {
	t.Parallel()
	hourly := "@hourly"
	for field, s := range map[string]Spec{
		"cron":      {},
		"every":     {Cron: hourly, Every: MinEvery},
		"timezone":  {Cron: hourly, Timezone: "Europe/Atlantis"},
		"dst_gap":   {Cron: hourly, DSTGap: "maybe"},
		"jitter":    {Cron: hourly, Jitter: MaxJitter + 1},
		"ends_at":   {Cron: hourly, StartsAt: utc("2027-01-01T00:00:00Z"), EndsAt: utc("2027-01-01T00:00:00Z")},
		"starts_at": {Cron: hourly, StartsAt: utc("1969-01-01T00:00:00Z")},
		"max_runs":  {Cron: hourly, MaxRuns: -1},
	} {
		if _, errs := New("n", s); len(errs) != 1 || errs[0].Field != field {
			t.Errorf("%+v: want an error of %s alone, got %v", s, field, errs)
		}
	}
	for _, every := range []job.Duration{MinEvery - 1, MaxEvery + 1, job.Duration(time.Second + 1)} {
		if _, errs := New("n", Spec{Every: every}); len(errs) != 1 || errs[0].Field != "every" {
			t.Errorf("every %s: %v", every, errs)
		}
	}
	for _, zone := range []string{"Local", "right/UTC", "posix/UTC", "../etc/passwd", "\x00"} {
		if _, err := LoadZone(zone); err == nil {
			t.Errorf("%q is a zone", zone)
		}
	}
	if _, errs := New("n", Spec{Every: MinEvery, DSTGap: GapSkip}); len(errs) != 1 || errs[0].Field != "dst_gap" {
		t.Errorf("dst_gap with every: %v", errs)
	}
}

// Jitter keeps the order, a second between firings, and always gives the same.
func TestJitter(t *testing.T) {
	t.Parallel()
	table, _ := New("a", Spec{Cron: "0,1,30 * * * * *", Jitter: job.Duration(time.Minute)})
	other, _ := New("b", Spec{Cron: "0,1,30 * * * * *", Jitter: job.Duration(time.Minute)})
	at, last, differ := utc("2027-01-01T00:00:00Z"), time.Time{}, 0
	var most time.Duration
	for range 3000 {
		at, _ = table.Next(at)
		fires := table.Fires(at)
		late := fires.Sub(at)
		if late < 0 || late > time.Minute || fires.Sub(last) < time.Second || !fires.Equal(table.Fires(at)) {
			t.Fatalf("slot %s fires at %s, the one before at %s", at, fires, last)
		}
		if !fires.Equal(other.Fires(at)) {
			differ++
		}
		last, most = fires, max(most, late)
	}
	if most < 25*time.Second || differ < 1500 {
		t.Errorf("at most %s late, and %d of 3000 differ by name: jitter does not spread", most, differ)
	}
}
