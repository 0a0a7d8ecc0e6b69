package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/orchestrix/orchestrix/client"
)

const fileOfTwo = `
schedules:
  nightly:
    cron: "30 2 * * *"
    timezone: Europe/Berlin
    overlap: skip
    job: {queue: reports, type: report, payload: {format: pdf, pages: 12345678901}, labels: {a: "1"}}
  weekly: {cron: "@weekly", job: {type: t, body: "text", url: "https://example.com", method: POST}}
`

// rows returns the lines of a table with single spaces.
func rows(out string) (lines []string) {
	for line := range strings.Lines(out) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return lines
}

// changes returns what apply says of each schedule.
func changes(t *testing.T, r result) string {
	t.Helper()
	if r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	var words []string
	for _, a := range decode[[]applied](t, r) {
		words = append(words, a.Schedule+" "+a.Change)
	}
	return strings.Join(words, ", ")
}

func TestSchedulesApply(t *testing.T) {
	t.Parallel()
	server := "--server=" + startServer(t)
	apply := func(text string, flags ...string) result {
		t.Helper()
		return command(t, "", append([]string{"schedules", "apply", server, "-o", "json", "-f", writePlan(t, text)}, flags...)...)
	}
	is := func(want string, r result) {
		t.Helper()
		if got := changes(t, r); got != want {
			t.Errorf("%s; want %s", got, want)
		}
	}
	if r := command(t, "", "schedules", "list", server); r.out != "" || !strings.Contains(r.err, "no schedules") {
		t.Errorf("an empty list: %+v", r)
	}
	is("nightly created, weekly created", apply(fileOfTwo, "--dry-run"))
	is("nightly created, weekly created", apply(fileOfTwo))
	is("nightly unchanged, weekly unchanged", apply(fileOfTwo))
	edited := strings.Replace(fileOfTwo, "pdf", "html", 1)
	is("nightly changed, weekly unchanged", apply(edited, "--dry-run"))
	is("nightly changed, weekly unchanged", apply(edited))
	is("nightly unchanged, weekly unchanged", apply(edited))
	other := "schedules: {other: {every: 1h, job: {type: t}}}"
	if r := apply(other, "--prune"); r.code != exitUsage || !strings.Contains(r.err, "--yes") {
		t.Errorf("pruned without --yes: %+v", r)
	}
	is("other created, nightly deleted, weekly deleted", apply(other, "--prune", "--dry-run"))
	is("other created", apply(other))
	is("other unchanged, nightly deleted, weekly deleted", apply(other, "--prune", "--yes"))
	// All that is wrong is said, and nothing is changed.
	wrong := strings.Replace(strings.Replace(fileOfTwo, "queue: reports", "queue: NO", 1), "body: \"text\"", "payload: 1, body: b", 1)
	if r := apply(wrong); r.code != exitRefused || !strings.Contains(r.err, "nothing was changed") || !strings.Contains(r.err, "nightly: job.queue:") || !strings.Contains(r.err, "weekly: job.body:") {
		t.Errorf("a file with faults: %+v", r)
	}
	if got := decode[[]client.Schedule](t, command(t, "", "schedules", "list", server, "-o", "json")); len(got) != 1 || got[0].Name != "other" {
		t.Errorf("listed: %+v", got)
	}
	for text, want := range map[string]string{
		"schedules: {a: {every: 1h}}":                                 "job is missing",
		"schedules: {a: {every: 1h, overlap: never, job: {type: t}}}": `"a": overlap must be allow`,
		"schedules: {a: {every: 1h, job: {type: t, delay: 1s}}}":      `unknown field "delay"`,
	} {
		if r := apply(text); r.code != exitUsage || !strings.Contains(r.err, want) {
			t.Errorf("%s: %+v; want %s", text, r, want)
		}
	}
}

func TestSchedulesFromTheShell(t *testing.T) {
	t.Parallel()
	server := "--server=" + startServer(t)
	if r := command(t, "", "schedules", "apply", server, "-f", writePlan(t, fileOfTwo)); r.code != exitOK || rows(r.out)[0] != "CHANGE SCHEDULE NEXT" || !strings.Contains(r.err, "2 created") {
		t.Fatalf("%+v", r)
	}
	list := rows(command(t, "", "schedules", "list", server).out)
	if len(list) != 3 || !strings.HasPrefix(list[1], "nightly 30 2 * * * Europe/Berlin reports active in ") || !strings.HasPrefix(list[2], "weekly @weekly UTC default active in ") {
		t.Errorf("%q", list)
	}
	if r := command(t, "", "schedules", "get", server, "nightly"); !regexp.MustCompile(`(?s)state: +active\n.*when: +30 2 \* \* \*, Europe/Berlin\n.*job: +report in queue reports\npayload: +\{"format":"pdf","pages":12345678901\}\n`).MatchString(r.out) {
		t.Errorf("get: %+v", r)
	}
	if r := command(t, "", "schedules", "pause", server, "nightly"); r.code != exitOK || !regexp.MustCompile(`state: +paused\n`).MatchString(r.out) {
		t.Errorf("pause: %+v", r)
	}
	if r := command(t, "", "schedules", "next", server, "nightly"); r.out != "" || !strings.Contains(r.err, "is paused") {
		t.Errorf("next of a paused one: %+v", r)
	}
	if r := command(t, "", "schedules", "resume", server, "nightly"); !regexp.MustCompile(`state: +active\n`).MatchString(r.out) {
		t.Errorf("resume: %+v", r)
	}
	if next := rows(command(t, "", "schedules", "next", server, "nightly", "--count", "2").out); len(next) != 3 || next[0] != "AT LOCAL NOTE" {
		t.Errorf("next: %q", next)
	}
	if r := command(t, "", "schedules", "runs", server, "nightly"); r.out != "" || !strings.Contains(r.err, "not fired yet") {
		t.Errorf("runs: %+v", r)
	}
	triggered := command(t, "", "schedules", "trigger", server, "nightly")
	if !regexp.MustCompile(`^job_\w{26}\n$`).MatchString(triggered.out) {
		t.Errorf("trigger: %+v", triggered)
	}
	runs := rows(command(t, "", "schedules", "runs", server, "nightly").out)
	if len(runs) != 2 || runs[0] != "SLOT OUTCOME BY MADE LATE JOB" || !strings.HasSuffix(runs[1], "- "+strings.TrimSpace(triggered.out)) {
		t.Errorf("runs: %q", runs)
	}
	if r := command(t, "no\n", "schedules", "backfill", server, "nightly", "--from", "2026-01-01", "--to", "2026-01-03"); r.code != exitFailed || !strings.Contains(r.err, "2 slots; type yes") {
		t.Errorf("a backfill that was refused: %+v", r)
	}
	if r := command(t, "yes\n", "schedules", "backfill", server, "nightly", "--from", "2026-01-01", "--to", "2026-01-03", "--wait"); r.code != exitOK ||
		!regexp.MustCompile(`(?s)filter: +schedule nightly, 2026-01-01T00:00:00Z to 2026-01-03T00:00:00Z\nstatus: +succeeded\nmatched: +2\ndone: +2\n`).MatchString(r.out) {
		t.Errorf("a backfill: %+v", r)
	}
	if r := command(t, "", "schedules", "backfill", server, "nightly", "--from", "noon"); r.code != exitUsage {
		t.Errorf("a backfill from noon: %+v", r)
	}
	if r := command(t, "", "schedules", "delete", server, "nightly", "nightly"); r.code != exitRefused || rows(r.out)[1] != "deleted nightly -" || !strings.Contains(r.err, "no schedule") {
		t.Errorf("delete: %+v", r)
	}
}
