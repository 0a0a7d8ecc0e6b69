package main

import (
	"cmp"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/orchestrix/orchestrix/cmd/orchestrix/internal/terminal"
	"github.com/orchestrix/orchestrix/scheduler"
)

const planExample = `
orchestrix schedules plan --cron "30 2 * * *" --timezone Europe/Berlin
orchestrix schedules plan --file schedules.yaml --from 2027-03-01 --to 2027-04-01
orchestrix schedules plan --file schedules.yaml --diff edited.yaml -o json`

const planLong = `Show every firing of schedules in a range of time, by a clock that runs at
will: also where clocks are set forward or back. No server is needed.

--file is a file as "orchestrix schedules apply" takes it; job may be left out.

` + fileHelp + `

A cron expression has five fields, or six with the second first:

  minute  hour  day of month  month  day of week
  0-59    0-23  1-31          1-12   0-7, 0 and 7 are Sunday

A field is * or a list of values, ranges (1-5), steps (*/5, 10-50/10) and names
(JAN, MON). Days of the month: L is the last, LW the last weekday, 15W the
weekday next to the 15th. Days of the week: 5#3 is the third Friday, 5L the
last. H is a value by the hash of the schedule's name, which spreads many
schedules. @hourly, @daily, @weekly, @monthly and @yearly are what they say. A
day must match both day fields where one begins with *, and else either.

Where the minute or the hour begins with *, elapsed time is followed. Any other
expression means times of the day: each once, also on the day on which the clock
is set; one that the clock never shows fires at the end of the gap, or not at
all with dst_gap: skip.

--diff shows what another file would change: firings that are added, and such
that are removed.`

// planFlags are what a plan is made of.
type planFlags struct {
	file, diff, from, to string
	cron, every, zone    string
	name                 string
	limit                int
}

func (c *cli) schedulesPlanCommand() *cobra.Command {
	var f planFlags
	cmd := &cobra.Command{
		Use: "plan", Short: "Show every firing in a range of time, without a server", Args: cobra.NoArgs, Long: planLong,
		Example: indent(planExample),
		RunE:    func(*cobra.Command, []string) error { return c.plan(&f, time.Now()) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.file, "file", "", "a YAML `file` with schedules")
	flags.StringVar(&f.diff, "diff", "", "another such `file`, of which the difference is shown")
	flags.StringVar(&f.from, "from", "", "the first `time`, such as 2027-03-01 or 2027-03-01T06:00:00Z; now by default")
	flags.StringVar(&f.to, "to", "", "the `time` before which it ends; 31 days later by default")
	flags.StringVar(&f.cron, "cron", "", "a cron `expression`, instead of a file")
	flags.StringVar(&f.every, "every", "", "an interval as a `duration`, instead of a file")
	flags.StringVar(&f.zone, "timezone", "", "the time `zone` of --cron or --every")
	flags.StringVar(&f.name, "name", "schedule", "the schedule's `name` with --cron or --every, by which H is")
	flags.IntVar(&f.limit, "limit", 1000, "how many firings are shown at most")
	return cmd
}

func (c *cli) plan(f *planFlags, now time.Time) error {
	from, to, err := f.span(now)
	if err != nil {
		return err
	}
	tables, err := f.tables()
	if err != nil {
		return err
	}
	firings := []planned{}
	more := 0
	keep := func(p planned) {
		if len(firings) < f.limit {
			firings = append(firings, p)
		} else {
			more++
		}
	}
	if f.diff == "" {
		for firing := range scheduler.Plan(tables, from, to) {
			keep(planned{Firing: firing})
		}
	} else {
		edited, err := readSchedules(f.diff)
		if err != nil {
			return err
		}
		difference(tables, timetables(edited), from, to, keep)
	}
	return c.showPlan(firings, more, f.diff != "")
}

// localLayout shows a slot by its schedule's clock.
const localLayout = "Mon 2006-01-02 15:04:05 -07:00"

// planned is a firing of a plan, or of the difference of two.
type planned struct {
	// Change is added or removed; empty in a plan.
	Change string `json:"change,omitempty"`
	scheduler.Firing
}

func (c *cli) showPlan(firings []planned, more int, isDiff bool) error {
	if more > 0 {
		defer c.term.Note("%d more are not shown; see --limit", more)
	}
	if c.term.JSON {
		return c.term.WriteJSON(firings)
	}
	if len(firings) == 0 {
		c.term.Note("%s", map[bool]string{false: "nothing fires in that time", true: "both fire alike in that time"}[isDiff])
		return nil
	}
	t := terminal.Table{Header: []string{"at", "local", "schedule", "note"}, Status: -1}
	if isDiff {
		t.Header = append([]string{"change"}, t.Header...)
	}
	for _, p := range firings {
		row := []string{p.At.Format(time.RFC3339), p.Local.Format(localLayout), p.Schedule, p.Note}
		if isDiff {
			row = append([]string{p.Change}, row...)
		}
		t.Rows = append(t.Rows, row)
	}
	return c.term.WriteTable(t)
}

// difference goes through what only one of two plans has, in order of time.
func difference(old, edited []*scheduler.Timetable, from, to time.Time, each func(planned)) {
	type place struct {
		at   int64
		name string
	}
	placeOf := func(f *scheduler.Firing) place { return place{f.At.UnixMilli(), f.Schedule} }
	before := make(map[place]bool)
	for f := range scheduler.Plan(old, from, to) {
		before[placeOf(&f)] = true
	}
	both := make(map[place]bool)
	var changes []planned
	for f := range scheduler.Plan(edited, from, to) {
		if p := placeOf(&f); before[p] {
			both[p] = true
		} else {
			changes = append(changes, planned{"added", f})
		}
	}
	for f := range scheduler.Plan(old, from, to) {
		if !both[placeOf(&f)] {
			changes = append(changes, planned{"removed", f})
		}
	}
	slices.SortStableFunc(changes, func(a, b planned) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Schedule, b.Schedule))
	})
	for _, change := range changes {
		each(change)
	}
}

// longestPlan bounds a plan, so that a typing error in a year does not run for
// hours.
const longestPlan = 20 * 366 * 24 * time.Hour

func (f *planFlags) span(now time.Time) (from, to time.Time, err error) {
	from = now
	if f.from != "" {
		if from, err = planTime("from", f.from); err != nil {
			return from, to, err
		}
	}
	to = from.Add(31 * 24 * time.Hour)
	if f.to != "" {
		if to, err = planTime("to", f.to); err != nil {
			return from, to, err
		}
	}
	switch {
	case !to.After(from):
		return from, to, usagef("--to must be after --from")
	case to.Sub(from) > longestPlan:
		return from, to, usagef("--to must be at most 20 years after --from")
	case f.limit < 1:
		return from, to, usagef("--limit must be at least 1")
	}
	return from, to, nil
}

// planTime reads a time, or a date in UTC.
func planTime(flag, text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usagef("--%s %q is not a time such as 2027-03-01 or 2027-03-01T06:00:00Z", flag, text)
}

func (f *planFlags) tables() ([]*scheduler.Timetable, error) {
	single := f.cron != "" || f.every != ""
	switch {
	case single && (f.file != "" || f.diff != ""):
		return nil, usagef("give either --file or --cron or --every")
	case f.file != "":
		if f.zone != "" {
			return nil, usagef("--timezone goes with --cron or --every; in a file each schedule has its own")
		}
		schedules, err := readSchedules(f.file)
		return timetables(schedules), err
	case !single:
		return nil, usagef("give --file, or --cron or --every")
	}
	spec := scheduler.Spec{Cron: f.cron, Timezone: f.zone}
	if err := readDurations([]durationFlag{{"every", f.every, &spec.Every}}); err != nil {
		return nil, usageError{err}
	}
	table, errs := scheduler.New(f.name, spec)
	if errs != nil {
		return nil, usagef("--%s %s", errs[0].Field, errs[0].Message)
	}
	return []*scheduler.Timetable{table}, nil
}
