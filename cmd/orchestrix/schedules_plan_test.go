package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func writePlan(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "schedules.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const someSchedules = `
schedules:
  nightly: {cron: "30 2 * * *", timezone: America/New_York}
  beat:
    every: 12h
    starts_at: 2027-03-13T01:00:00Z
    max_runs: 2
`

func TestPlan(t *testing.T) {
	t.Parallel()
	r := command(t, "", "schedules", "plan", "--file", writePlan(t, someSchedules), "--from", "2027-03-13", "--to", "2027-03-15")
	var got []string
	for line := range strings.Lines(r.out) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	want := []string{
		"AT LOCAL SCHEDULE NOTE",
		"2027-03-13T01:00:00Z Sat 2027-03-13 01:00:00 +00:00 beat",
		"2027-03-13T07:30:00Z Sat 2027-03-13 02:30:00 -05:00 nightly",
		"2027-03-13T13:00:00Z Sat 2027-03-13 13:00:00 +00:00 beat",
		"2027-03-14T07:00:00Z Sun 2027-03-14 03:00:00 -04:00 nightly 02:30 does not exist on 2027-03-14: fires 03:00",
	}
	if r.code != exitOK || strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("code %d\n%s\n%s", r.code, strings.Join(got, "\n"), r.err)
	}
	r = command(t, "", "schedules", "plan", "--cron", "*/5 * * * *", "--from", "2027-03-13", "--to", "2027-03-14", "--limit", "3")
	if r.code != exitOK || strings.Count(r.out, "2027-03-13T") != 3 || !strings.Contains(r.err, "285 more are not shown") {
		t.Errorf("code %d\n%s%s", r.code, r.out, r.err)
	}
	r = command(t, "", "schedules", "plan", "--every", "400d", "--from", "2027-03-13", "--to", "2027-03-14")
	if r.code != exitOK || r.out != "" || !strings.Contains(r.err, "nothing fires") {
		t.Errorf("code %d\n%s%s", r.code, r.out, r.err)
	}
}

func TestPlanDifference(t *testing.T) {
	t.Parallel()
	edited := strings.Replace(someSchedules, "30 2", "30 3", 1)
	r := command(t, "", "schedules", "plan", "--file", writePlan(t, someSchedules), "--diff", writePlan(t, edited), "--from", "2027-03-13", "--to", "2027-03-14", "-o", "json")
	var got []struct{ Change, Schedule, At string }
	if err := json.Unmarshal([]byte(r.out), &got); err != nil || r.code != exitOK {
		t.Fatalf("code %d, %v\n%s%s", r.code, err, r.out, r.err)
	}
	if len(got) != 2 || got[0].Change != "removed" || got[0].At != "2027-03-13T07:30:00Z" || got[1].Change != "added" || got[1].At != "2027-03-13T08:30:00Z" {
		t.Errorf("difference: %+v", got)
	}
	same := writePlan(t, someSchedules)
	if r := command(t, "", "schedules", "plan", "--file", same, "--diff", same); r.out != "" || !strings.Contains(r.err, "both fire alike") {
		t.Errorf("no difference: %s%s", r.out, r.err)
	}
}

func TestPlanSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"schedules: {a: {cron: '61 * * * *'}}":              `"a": cron minute field, position 1: must be 0 to 59`,
		"schedules: {a: {cron: '0 0 30 2 *'}}":              `"a": cron never fires`,
		"schedules: {a: {every: 5}}":                        `"a": schedule not a duration`,
		"schedules: {a: {crom: '@hourly'}}":                 `"a": schedule unknown field "crom"`,
		"schedules: {A: {cron: '@hourly'}}":                 `"A": name must be`,
		"schedules: {a: {cron: '@hourly', timezone: Mars}}": `"a": timezone must be a time zone`,
		"jobs: {}":              "must have schedules:",
		"schedules: [":          "yaml",
		"schedules: {a: 3}":     `"a": schedule`,
		"schedules: {a: , a: }": "already defined",
	} {
		r := command(t, "", "schedules", "plan", "--file", writePlan(t, text))
		if r.code != exitUsage || !strings.Contains(r.err, want) {
			t.Errorf("%s: code %d, %s; want %s", text, r.code, r.err, want)
		}
	}
	for args, want := range map[string]string{
		"":                               "give --file, or --cron or --every",
		"--cron @hourly --file x":        "give either --file",
		"--file /nowhere/x":              "/nowhere/x",
		"--file x --timezone UTC":        "--timezone goes with",
		"--cron @hourly --from noon":     `--from "noon" is not a time`,
		"--cron @hourly --to 2020-01-01": "--to must be after --from",
		"--cron @hourly --to 2920-01-01": "at most 20 years",
		"--cron @hourly --limit 0":       "--limit must be at least 1",
		"--cron @sometimes":              "--cron must be @yearly",
		"--every soon":                   `--every "soon" is not a duration`,
	} {
		r := command(t, "", append([]string{"schedules", "plan"}, strings.Fields(args)...)...)
		if r.code != exitUsage || !strings.Contains(r.err, want) {
			t.Errorf("%s: code %d, %s; want %s", args, r.code, r.err, want)
		}
	}
}
