package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/orchestrix/orchestrix/client"
)

func (c *cli) jobsLogsCommand() *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use: "logs <id>", Short: "Show what workers have logged of a job", Args: cobra.ExactArgs(1),
		Long:    "Show what workers have logged of a job, the oldest line first. With -o json\neach line is an object of its own.",
		Example: indent("orchestrix jobs logs --follow job_01kwersrg009d020g30g2gc1r8"),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := c.client()
			if err != nil {
				return err
			}
			if follow {
				return c.followLogs(cmd, api, args[0])
			}
			for line, err := range api.JobLogs(cmd.Context(), args[0]) {
				if err != nil {
					return err
				}
				if err := c.showLogLine(&line); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what comes, and with progress, until the job has ended")
	return cmd
}

func (c *cli) followLogs(cmd *cobra.Command, api *client.Client, id string) error {
	for e, err := range api.FollowLogs(cmd.Context(), id) {
		switch {
		case err != nil:
			return err
		case e.Line != nil:
			if err := c.showLogLine(e.Line); err != nil {
				return err
			}
		case e.Progress != nil:
			c.term.Note("%s", shownProgress(e.Progress))
		case e.Truncated:
			c.term.Note("the log is full: further lines are left out")
		case e.Ended != "":
			c.term.Note("the job is %s", e.Ended)
		}
	}
	return nil
}

// showLogLine writes a line. What a worker has written cannot reach the terminal as
// anything but text.
func (c *cli) showLogLine(l *client.LogLine) error {
	if c.term.JSON {
		return json.NewEncoder(c.stdout).Encode(l)
	}
	text := l.Time.Local().Format(time.DateTime) + " " + c.term.Paint(l.Level) + strings.Repeat(" ", max(0, len("critical")-len(l.Level))) + " " + escapeControls(l.Message)
	if len(l.Fields) > 0 {
		text += " " + escapeControls(string(l.Fields))
	}
	_, err := fmt.Fprintln(c.stdout, text)
	return err
}

// escapeControls returns a text with what a terminal could take for a command written
// out: control characters, and those that turn the direction of writing.
func escapeControls(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r == '\t' || strconv.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		quoted := strconv.QuoteRuneToASCII(r)
		b.WriteString(quoted[1 : len(quoted)-1])
	}
	return b.String()
}

func shownProgress(p *client.Progress) string {
	if p == nil {
		return ""
	}
	text := strconv.FormatFloat(p.Percent, 'f', -1, 64) + " %"
	if p.Message != "" {
		text += " " + escapeControls(p.Message)
	}
	return text
}
