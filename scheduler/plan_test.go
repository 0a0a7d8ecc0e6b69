package scheduler

import (
	"strings"
	"testing"

	"github.com/orchestrix/orchestrix/job"
)

func TestPlan(t *testing.T) {
	t.Parallel()
	var tables []*Timetable
	for name, s := range map[string]Spec{
		"b": {Cron: "0 0 * * *"},
		"a": {Every: 12 * job.Duration(3600e9), MaxRuns: 3},
		"c": {Cron: "0 6 1 1 *"},
	} {
		table, errs := New(name, s)
		if errs != nil {
			t.Fatal(errs)
		}
		tables = append(tables, table)
	}
	var got []string
	for f := range Plan(tables, utc("2027-03-01T00:00:00Z"), utc("2027-03-03T00:00:00Z")) {
		got = append(got, f.Schedule+f.At.Format("2T15"))
	}
	if s := strings.Join(got, " "); s != "a1T00 b1T00 a1T12 a2T00 b2T00" {
		t.Errorf("plan: %s", s)
	}
	for f := range Plan(tables, utc("2027-03-01T00:00:00Z"), utc("2037-03-03T00:00:00Z")) {
		if f.Schedule != "a" {
			t.Errorf("the first is %v", f)
		}
		break
	}
}
