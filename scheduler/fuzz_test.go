package scheduler

import (
	"strings"
	"testing"
	"time"
)

// Whatever is written, it is read or refused, and its slots are found, without a
// panic, in order, each at a time that the expression has or with a note.
func FuzzCron(f *testing.F) {
	for _, e := range bruteExpressions {
		f.Add(e, uint8(2), int64(1_800_000_000))
	}
	for _, e := range []string{
		"* * */28 2 0", "*/5 2 * 3 0#2", "30 2 */7 3 0", "H H(1-5)/2 H L-3,LW 1L,2#5", "@weekly", "@every 5m", "TZ=UTC * * * * *",
		strings.Repeat("0-59/7,", 35) + "1 * * * *", "* * * * * *", "0 0 30 2 *", "\xff * * * *", "1-,-1,/ * * * *",
	} {
		f.Add(e, uint8(5), int64(1_300_000_000))
	}
	f.Fuzz(func(t *testing.T, text string, zone uint8, from int64) {
		after := time.Unix(from%253_402_300_799, 0)
		for _, gap := range []string{GapFire, GapSkip} {
			table, errs := New("n", Spec{Cron: text, Timezone: bruteZones[int(zone)%len(bruteZones)], DSTGap: gap})
			if errs != nil {
				for _, e := range errs {
					if e.Field != "cron" || e.Message == "" {
						t.Fatalf("%q: %+v", text, e)
					}
				}
				return
			}
			slots := table.Upcoming(after, 0, 2)
			for _, s := range slots {
				if !s.At.After(after) {
					t.Fatalf("%q: %s is not after %s", text, s.At, after)
				}
				_, offset := s.Local.Zone()
				local := s.At.Unix() + int64(offset)
				if match, _ := table.cron.nextLocal(local); match != local && s.Note == "" {
					t.Fatalf("%q: %s is not one of its times, and it says nothing", text, s.Local)
				}
				after = s.At
			}
		}
	})
}

// worst are the expressions that take the longest.
var worst = []string{
	"* * */28 2 0", "*/5 2 * 3 0#2", "30 2 */7 3 0", "0 0 30 2 *", "0 0 30W,31W,L-29,L-30 2 *", "0 0 29W 2 */6",
	strings.Repeat("H(0-59)/7,", 24) + "1 * * * *", "0 0 " + strings.Repeat("31W,", 60) + "L 2 */6",
}

// The least of several tries, since the machine may be busy with others.
func TestWorstExpressionsTakeLessThanTenMilliseconds(t *testing.T) {
	t.Parallel()
	for _, e := range worst {
		if len(e) > MaxCronLength {
			t.Fatalf("%q is too long to be tried", e)
		}
		least := time.Hour
		for range 20 {
			began := time.Now()
			find(e)
			least = min(least, time.Since(began))
		}
		if least > 10*time.Millisecond {
			t.Errorf("%q takes %s", e, least)
		}
	}
}

func find(expression string) {
	table, errs := New("n", Spec{Cron: expression, Timezone: "Africa/Casablanca", DSTGap: GapSkip})
	if errs == nil {
		table.Upcoming(firstTime, 0, 1)
	}
}

func BenchmarkWorst(b *testing.B) {
	for _, e := range worst {
		b.Run(e, func(b *testing.B) {
			for b.Loop() {
				find(e)
			}
		})
	}
}

func BenchmarkNext(b *testing.B) {
	for name, s := range map[string]Spec{
		"elapsed": {Cron: "*/5 * * * *", Timezone: "Europe/Berlin"}, "fixed": {Cron: "30 2 * * *", Timezone: "Europe/Berlin"}, "every": {Every: MinEvery},
	} {
		b.Run(name, func(b *testing.B) {
			table, _ := New("n", s)
			at := utc("2027-01-01T00:00:00Z")
			for b.Loop() {
				at, _ = table.Next(at)
				if at.Year() > 2100 {
					at = utc("2027-01-01T00:00:00Z")
				}
			}
		})
	}
}
