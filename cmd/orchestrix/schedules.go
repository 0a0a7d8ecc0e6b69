package main

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/cmd/orchestrix/internal/terminal"
)

const schedulesExample = `
orchestrix schedules apply -f schedules.yaml
orchestrix schedules list
orchestrix schedules runs nightly-report
orchestrix schedules plan --file schedules.yaml --from 2027-03-01 --to 2027-04-01`

const schedulesLong = `A schedule enqueues a job at each of its slots: the times of a cron expression,
or of an interval. Write schedules into a file, see by "plan" when they fire,
which needs no server, and store them by "apply".`

func (c *cli) schedulesCommand() *cobra.Command {
	return group("schedules", "Store schedules, and see when they fire and what became of it", schedulesLong, schedulesExample,
		c.schedulesListCommand(), c.scheduleVerb("get", "Show a schedule", (*client.Client).Schedule),
		c.schedulesApplyCommand(), c.schedulesDeleteCommand(),
		c.scheduleVerb("pause", "Stop a schedule from firing; its slots until it is resumed are left out", (*client.Client).PauseSchedule),
		c.scheduleVerb("resume", "Let a paused schedule fire again, from its next slot on", (*client.Client).ResumeSchedule),
		c.schedulesTriggerCommand(), c.schedulesNextCommand(), c.schedulesRunsCommand(), c.schedulesBackfillCommand(),
		c.schedulesPlanCommand())
}

func (c *cli) schedulesListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List all schedules by name", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := c.client()
			if err != nil {
				return err
			}
			schedules, err := collect(c, "schedules", api.Schedules(cmd.Context()))
			if err != nil {
				return err
			}
			if c.term.JSON {
				return c.term.WriteJSON(schedules)
			}
			if len(schedules) == 0 {
				c.term.Note("no schedules; store some with: orchestrix schedules apply -f schedules.yaml")
				return nil
			}
			return c.term.WriteTable(scheduleTable(schedules, time.Now()))
		},
	}
}

func scheduleTable(schedules []client.Schedule, now time.Time) terminal.Table {
	t := terminal.Table{
		Header: []string{"name", "when", "timezone", "queue", "state", "next", "last", "fired", "missed", "skipped"},
		Right:  []int{7, 8, 9}, Status: 4,
	}
	for i := range schedules {
		s := &schedules[i]
		last := time.Time{}
		if s.Last != nil {
			last = s.Last.At
		}
		t.Rows = append(t.Rows, []string{
			s.Name, scheduleWhen(s), s.Timezone, s.Job.Queue, scheduleState(s), ago(s.NextAt, now), ago(last, now),
			strconv.Itoa(s.Fired), strconv.FormatInt(s.Missed, 10), strconv.FormatInt(s.Skipped, 10),
		})
	}
	return t
}

// scheduleWhen says by what a schedule fires.
func scheduleWhen(s *client.Schedule) string {
	if s.Cron != "" {
		return s.Cron
	}
	return "every " + s.Every.String()
}

func scheduleState(s *client.Schedule) string {
	switch {
	case s.Paused != "":
		return "paused"
	case s.NextAt.IsZero():
		return "ended"
	}
	return "active"
}

// scheduleVerb returns a command that shows the schedule after it.
func (c *cli) scheduleVerb(verb, short string, do func(*client.Client, context.Context, string) (*client.Schedule, error)) *cobra.Command {
	return &cobra.Command{
		Use: verb + " <name>", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := c.client()
			if err != nil {
				return err
			}
			s, err := do(api, cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return c.showSchedule(s)
		},
	}
}

var pauseReasons = map[string]string{"requested": "paused", "failures": "paused, since its runs only failed"}

func (c *cli) showSchedule(s *client.Schedule) error {
	if c.term.JSON {
		return c.term.WriteJSON(s)
	}
	now := time.Now()
	at := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.Local().Format(time.RFC3339) + " (" + ago(t, now) + ")"
	}
	var f fields
	f.add("schedule", s.Name)
	f.add("state", cmp.Or(pauseReasons[s.Paused], scheduleState(s)))
	f.add("since", at(s.PausedAt))
	f.add("when", scheduleWhen(s)+", "+s.Timezone)
	if s.Jitter > 0 {
		f.add("jitter", "up to "+s.Jitter.String())
	}
	f.add("starts", at(s.StartsAt))
	f.add("ends", at(s.EndsAt))
	f.add("at most", optionalCount(s.MaxRuns))
	f.add("overlap", s.Overlap)
	f.add("catch up", catchUpText(s))
	if s.PauseOnFailure > 0 {
		f.add("pause on", fmt.Sprintf("%d failures in a row; %d now", s.PauseOnFailure, s.Failures))
	}
	f.add("job", s.Job.Type+" in queue "+s.Job.Queue)
	f.add("payload", schedulePayload(&s.Job))
	f.add("next", at(s.NextAt))
	f.add("waiting", at(s.Waiting))
	if s.Last != nil {
		f.add("last", at(s.Last.At)+", "+s.Last.Job)
	}
	f.add("fired", strconv.Itoa(s.Fired))
	f.add("missed", optionalCount(int(s.Missed)))
	f.add("skipped", optionalCount(int(s.Skipped)))
	return c.showFields(f)
}

func catchUpText(s *client.Schedule) string {
	if s.CatchUpWindow == 0 {
		return s.CatchUp
	}
	return s.CatchUp + ", within " + s.CatchUpWindow.String()
}

func schedulePayload(j *client.ScheduledJob) string {
	switch {
	case j.BodyBase64 != nil:
		return fmt.Sprintf("%d bytes of %s", len(j.BodyBase64), j.ContentType)
	case j.Body != "":
		return oneLine(j.Body, 200)
	}
	return oneLine(string(j.Payload), 200)
}

func (c *cli) schedulesDeleteCommand() *cobra.Command {
	return &cobra.Command{
		Use: "delete <name>...", Short: "Delete schedules with their history; jobs that they have made stay", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := c.client()
			if err != nil {
				return err
			}
			done := []applied{}
			for _, name := range args {
				if err = api.DeleteSchedule(cmd.Context(), name); err != nil {
					break
				}
				done = append(done, applied{Schedule: name, Change: changeDeleted})
			}
			if shown := c.showApplied(done); shown != nil {
				return shown
			}
			return err
		},
	}
}

func (c *cli) schedulesTriggerCommand() *cobra.Command {
	return &cobra.Command{
		Use: "trigger <name>", Short: "Make a run now, beside the slots, and write the id of its job", Args: cobra.ExactArgs(1),
		Example: indent("orchestrix schedules trigger nightly-report\norchestrix jobs watch $(orchestrix schedules trigger nightly-report)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := c.client()
			if err != nil {
				return err
			}
			id, err := api.TriggerSchedule(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if c.term.JSON {
				return c.term.WriteJSON(struct {
					Job string `json:"job"`
				}{id})
			}
			_, err = fmt.Fprintln(c.stdout, id)
			return err
		},
	}
}

func (c *cli) schedulesNextCommand() *cobra.Command {
	var count int
	cmd := &cobra.Command{
		Use: "next <name>", Short: "Show when a schedule fires next", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := c.client()
			if err != nil {
				return err
			}
			slots, err := api.NextSlots(cmd.Context(), args[0], count)
			if err != nil {
				return err
			}
			if c.term.JSON {
				return c.term.WriteJSON(slots)
			}
			if len(slots) == 0 {
				c.term.Note("it does not fire any more, or is paused: orchestrix schedules get %s", args[0])
				return nil
			}
			t := terminal.Table{Header: []string{"at", "local", "note"}, Status: -1}
			for _, s := range slots {
				t.Rows = append(t.Rows, []string{s.At.Format(time.RFC3339), s.Local.Format(localLayout), s.Note})
			}
			return c.term.WriteTable(t)
		},
	}
	cmd.Flags().IntVar(&count, "count", 10, "how many slots at most, up to 1000")
	return cmd
}

func (c *cli) schedulesRunsCommand() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use: "runs <name>", Short: "Show what a schedule has done, newest first", Args: cobra.ExactArgs(1),
		Long: "Show what a schedule has done, newest first: the runs that it has made, what\nbecame of them, and slots that were missed. The last 100 entries are kept.",
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := c.client()
			if err != nil {
				return err
			}
			runs := []client.ScheduleRun{}
			for r, err := range api.ScheduleRuns(cmd.Context(), args[0]) {
				if err != nil {
					return err
				}
				if runs = append(runs, r); len(runs) >= limit {
					break
				}
			}
			if c.term.JSON {
				return c.term.WriteJSON(runs)
			}
			if len(runs) == 0 {
				c.term.Note("it has not fired yet")
				return nil
			}
			return c.term.WriteTable(runTable(runs, time.Now()))
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 20, "how many entries at most")
	return cmd
}

func runTable(runs []client.ScheduleRun, now time.Time) terminal.Table {
	t := terminal.Table{Header: []string{"slot", "outcome", "by", "made", "late", "job"}, Right: []int{4}, Status: 1}
	for _, r := range runs {
		slot, late, outcome := r.Slot.Format(time.RFC3339), "", cmp.Or(r.Outcome, r.Kind)
		if r.Count > 1 {
			slot = fmt.Sprintf("%s and %d more, to %s", slot, r.Count-1, r.LastSlot.Format(time.RFC3339))
		}
		if r.By == "slot" && r.Kind == "fired" {
			late = brief(max(r.Lateness.Std(), time.Millisecond))
		}
		t.Rows = append(t.Rows, []string{slot, outcome, r.By, ago(r.At, now), orDash(late), orDash(r.Job)})
	}
	return t
}

func (c *cli) schedulesBackfillCommand() *cobra.Command {
	var from, to string
	var b client.BackfillRequest
	var f bulkFlags
	cmd := &cobra.Command{
		Use: "backfill <name> --from <time>", Short: "Make runs of the slots in a range that is over, each once", Args: cobra.ExactArgs(1),
		Long: "Make runs of the slots in a range that is over, whether they fired then or not,\nthe oldest first and each once. That is an operation of the server, which goes\non after the command has ended; see orchestrix operations.",
		Example: indent("orchestrix schedules backfill nightly-report --from 2027-03-01 --to 2027-03-08 --wait\n" +
			"orchestrix schedules backfill nightly-report --from 2027-03-01 --overlap queue_one --yes"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if b.From, err = planTime("from", from); err != nil {
				return err
			}
			if to != "" {
				if b.To, err = planTime("to", to); err != nil {
					return err
				}
			}
			api, err := c.client()
			if err != nil {
				return err
			}
			count := func() (*client.Operation, error) { return api.CountBackfill(cmd.Context(), args[0], b) }
			ask := func(n *client.Operation) string {
				return fmt.Sprintf("%d slots; type yes to make a run of each: ", n.Matched)
			}
			if ok, err := c.ask(f.yes, "there is no slot in that time", ask, count); err != nil || !ok {
				return err
			}
			o, err := api.BackfillSchedule(cmd.Context(), args[0], b)
			return c.operation(cmd.Context(), api, o, err, f.wait)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&from, "from", "", "the first `time`, such as 2027-03-01 or 2027-03-01T06:00:00Z")
	flags.StringVar(&to, "to", "", "the `time` before which it ends; now by default")
	flags.StringVar(&b.Overlap, "overlap", "", "while the run before has not ended: allow (default), skip, queue_one or cancel_running")
	f.addAnswers(cmd)
	flags.Lookup("yes").Usage = "do not ask before runs are made"
	return cmd
}
