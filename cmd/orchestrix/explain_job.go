package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/job"
)

func (c *cli) jobsExplainCommand() *cobra.Command {
	return &cobra.Command{
		Use: "explain <id>", Short: "Say why a job is not running", Args: cobra.ExactArgs(1),
		Long:    "Say why a job is not running: all that holds it up at once, the deciding\nreason first, with what to do about it.",
		Example: indent("orchestrix jobs explain job_01kwersrg009d020g30g2gc1r8"),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := c.client()
			if err != nil {
				return err
			}
			e, err := api.ExplainJob(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if c.term.JSON {
				return c.term.WriteJSON(e)
			}
			return c.showExplanation(e, time.Now())
		},
	}
}

// showExplanation shows the reasons as a list rather than a table: their
// sentences are what is to be read, whatever the terminal's width.
func (c *cli) showExplanation(e *client.Explanation, now time.Time) error {
	if err := c.showFields(explanationFields(e, now)); err != nil {
		return err
	}
	for i := range e.Reasons {
		r := &e.Reasons[i]
		if _, err := fmt.Fprintf(c.stdout, "\n%s%s\n  %s\n", c.term.Bold(r.Code), untilText(r.Until, now), oneLine(r.Message, 500)); err != nil {
			return err
		}
		for _, h := range r.Jobs {
			if _, err := fmt.Fprintf(c.stdout, "  - %s  %s%s\n", h.ID, c.term.Paint(h.Status), untilText(h.NextAttemptAt, now)); err != nil {
				return err
			}
		}
	}
	return nil
}

func explanationFields(e *client.Explanation, now time.Time) fields {
	var f fields
	f.add("id", e.ID)
	f.add("status", e.Status)
	f.add("queue", e.Queue)
	f.add("key", oneLine(e.Key, 80))
	if p := e.Running; p != nil {
		f.add("attempt", strconv.Itoa(p.Attempt))
		f.add("worker", p.Worker)
		if !p.StartedAt.IsZero() {
			f.add("since", ago(p.StartedAt, now))
		}
		f.add("until", strings.TrimSpace(strings.TrimPrefix(untilText(p.Deadline, now), " until")))
	}
	among := ""
	if e.Key != "" {
		among = ", among the jobs of its key"
	}
	switch {
	case e.Position > 0:
		f.add("position", strconv.Itoa(e.Position)+among)
	case e.PositionAtLeast > 0:
		f.add("position", strconv.Itoa(e.PositionAtLeast)+" or further back"+among)
	}
	if !e.EstimatedStart.IsZero() {
		f.add("starts", "about "+at(e.EstimatedStart, now)+", if the pace stays")
	}
	return f
}

// untilText says until when, where that is known.
func untilText(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	return " until " + at(t, now)
}

// at shows a time of the day with how far away it is.
func at(t, now time.Time) string {
	layout := time.RFC3339
	if t.Sub(now).Abs() < 12*time.Hour {
		layout = "15:04:05"
	}
	return t.Local().Format(layout) + " (" + ago(t, now) + ")"
}

// waitingFor returns why a job waits that could run, in a sentence; empty where
// that is not known.
func waitingFor(ctx context.Context, api *client.Client, j *client.Job) string {
	if j.Status != job.ShownPending {
		return ""
	}
	e, err := api.ExplainJob(ctx, j.ID)
	if err != nil || len(e.Reasons) == 0 {
		return "" // it is only an addition
	}
	return oneLine(e.Reasons[0].Message, 200)
}
