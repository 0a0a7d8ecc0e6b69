package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/cmd/orchestrix/internal/terminal"
)

const applyLong = `Store the schedules of a file: those that are not there are created, those that
differ are changed, and the others left alone. To apply a file again changes
nothing. Schedules that are not in the file stay; --prune deletes them, all that
the API key may see.

All are checked before the first is changed; with --dry-run nothing is. An edit
never fires a slot that is over, and whether a schedule is paused stays.

` + fileHelp + `

"orchestrix schedules plan" shows when they will fire; its help has what a cron
expression can be.`

// applyFlags say how a file is applied.
type applyFlags struct {
	file               string
	prune, yes, dryRun bool
}

func (c *cli) schedulesApplyCommand() *cobra.Command {
	var f applyFlags
	cmd := &cobra.Command{
		Use: "apply -f <file>", Short: "Store the schedules of a file; to repeat it changes nothing", Args: cobra.NoArgs, Long: applyLong,
		Example: indent("orchestrix schedules apply -f schedules.yaml --dry-run\norchestrix schedules apply -f schedules.yaml\norchestrix schedules apply -f schedules.yaml --prune --yes"),
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.apply(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.file, "file", "f", "", "a YAML or JSON `file` with schedules")
	flags.BoolVar(&f.prune, "prune", false, "delete the schedules that are not in the file; needs --yes")
	flags.BoolVar(&f.yes, "yes", false, "do delete what --prune says")
	flags.BoolVar(&f.dryRun, "dry-run", false, "check all, show what would be done, and change nothing")
	return cmd
}

// What becomes of a schedule.
const (
	changeCreated   = "created"
	changeChanged   = "changed"
	changeUnchanged = "unchanged"
	changeDeleted   = "deleted"
)

// applied is what became of one schedule.
type applied struct {
	Schedule string    `json:"schedule"`
	Change   string    `json:"change"`
	Version  uint64    `json:"version,omitempty"`
	NextAt   time.Time `json:"next_at,omitzero"`
}

func (c *cli) apply(ctx context.Context, f applyFlags) error {
	switch {
	case f.file == "":
		return usagef("give the file: -f schedules.yaml")
	case f.prune && !f.yes && !f.dryRun:
		return usagef("--prune deletes schedules, with their history: give --yes too, or --dry-run to see which")
	}
	schedules, err := readSchedules(f.file)
	if err != nil {
		return err
	}
	for i := range schedules {
		if !schedules[i].job {
			return usagef("%s: %q: job is missing", f.file, schedules[i].name)
		}
	}
	api, err := c.client()
	if err != nil {
		return err
	}
	plan, err := c.checkSchedules(ctx, api, schedules, f.prune)
	if err == nil && !f.dryRun {
		err = c.carryOut(ctx, api, schedules, plan)
	}
	if err != nil {
		return err
	}
	if f.dryRun {
		defer c.term.Note("nothing was changed: --dry-run")
	}
	return c.showApplied(plan)
}

// checkSchedules asks the server what would become of each, in the order of the file, and
// behind them of those that are to be deleted.
func (c *cli) checkSchedules(ctx context.Context, api *client.Client, schedules []fileSchedule, prune bool) ([]applied, error) {
	versions := map[string]uint64{}
	for s, err := range api.Schedules(ctx) {
		if err != nil {
			return nil, err
		}
		versions[s.Name] = s.Version
	}
	progress := c.term.Progress()
	defer progress.Done()
	var wrong []client.FieldError
	plan := make([]applied, 0, len(schedules))
	for i := range schedules {
		s := &schedules[i]
		progress.Update("%d of %d schedules checked", i, len(schedules))
		would, err := api.CheckSchedule(ctx, s.name, s.config)
		var problem *client.Problem
		switch {
		case errors.As(err, &problem) && len(problem.Errors) > 0:
			for _, e := range problem.Errors {
				wrong = append(wrong, client.FieldError{Field: s.name + ": " + e.Field, Message: e.Message})
			}
		case err != nil:
			return nil, err
		default:
			plan = append(plan, applied{s.name, changeOf(versions, would), would.Version, would.NextAt})
		}
		delete(versions, s.name)
	}
	if wrong != nil {
		return nil, &client.Problem{Status: http.StatusUnprocessableEntity, Detail: "nothing was changed", Errors: wrong}
	}
	if prune {
		for _, name := range slices.Sorted(maps.Keys(versions)) {
			plan = append(plan, applied{Schedule: name, Change: changeDeleted})
		}
	}
	return plan, nil
}

func changeOf(versions map[string]uint64, would *client.Schedule) string {
	switch versions[would.Name] {
	case 0:
		return changeCreated
	case would.Version:
		return changeUnchanged
	}
	return changeChanged
}

func (c *cli) carryOut(ctx context.Context, api *client.Client, schedules []fileSchedule, plan []applied) error {
	progress := c.term.Progress()
	defer progress.Done()
	for i := range plan {
		p := &plan[i]
		progress.Update("%d of %d schedules applied", i, len(plan))
		switch p.Change {
		case changeCreated, changeChanged:
			s, err := api.PutSchedule(ctx, p.Schedule, schedules[i].config)
			if err != nil {
				return err
			}
			p.Version, p.NextAt = s.Version, s.NextAt
		case changeDeleted:
			if err := api.DeleteSchedule(ctx, p.Schedule); err != nil && !client.HasStatus(err, http.StatusNotFound) {
				return err
			}
		}
	}
	return nil
}

func (c *cli) showApplied(done []applied) error {
	if c.term.JSON {
		return c.term.WriteJSON(done)
	}
	counts := map[string]int{}
	t := terminal.Table{Header: []string{"change", "schedule", "next"}, Status: -1}
	now := time.Now()
	for _, a := range done {
		counts[a.Change]++
		t.Rows = append(t.Rows, []string{a.Change, a.Schedule, ago(a.NextAt, now)})
	}
	if len(done) == 0 {
		return nil
	}
	var words []string
	for _, change := range []string{changeCreated, changeChanged, changeUnchanged, changeDeleted} {
		if n := counts[change]; n > 0 {
			words = append(words, fmt.Sprintf("%d %s", n, change))
		}
	}
	defer c.term.Note("%s", strings.Join(words, ", "))
	return c.term.WriteTable(t)
}
