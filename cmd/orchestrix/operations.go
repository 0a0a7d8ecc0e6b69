package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/cmd/orchestrix/internal/terminal"
)

const operationsExample = `
orchestrix operations list
orchestrix operations get --wait op_01kwersrg009d020g30g2gc1r8
orchestrix operations cancel op_01kwersrg009d020g30g2gc1r8`

func (c *cli) operationsCommand() *cobra.Command {
	return group("operations", "See and cancel work on many jobs",
		"What was begun by jobs cancel, retry and delete with a filter, by queues purge\nand by schedules backfill, goes on in the server, also over a restart.", operationsExample,
		c.operationsListCommand(), c.operationsGetCommand(), c.operationsCancelCommand())
}

func (c *cli) operationsListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List operations, newest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := c.client()
			if err != nil {
				return err
			}
			operations, err := collect(c, "operations", api.Operations(cmd.Context()))
			if err != nil {
				return err
			}
			if c.term.JSON {
				return c.term.WriteJSON(operations)
			}
			if len(operations) == 0 {
				c.term.Note("no operations")
				return nil
			}
			return c.term.WriteTable(operationTable(operations, time.Now()))
		},
	}
}

func operationTable(operations []client.Operation, now time.Time) terminal.Table {
	t := terminal.Table{Header: []string{"id", "kind", "filter", "status", "done", "skipped", "began", "ended"}, Right: []int{4, 5}, Status: 3}
	for i := range operations {
		o := &operations[i]
		t.Rows = append(t.Rows, []string{
			o.ID, o.Kind, oneLine(aboutText(o), 40), o.Status, strconv.FormatInt(o.Done, 10), strconv.FormatInt(o.Skipped, 10),
			ago(o.CreatedAt, now), ago(o.FinishedAt, now),
		})
	}
	return t
}

// aboutText says what an operation is about.
func aboutText(o *client.Operation) string {
	if b := o.Backfill; b != nil {
		return fmt.Sprintf("schedule %s, %s to %s", b.Schedule, b.From.Format(time.RFC3339), b.To.Format(time.RFC3339))
	}
	return filterText(&o.Filter)
}

// filterText says a selection as flags do.
func filterText(s *client.Selection) string {
	if s.All {
		return "all"
	}
	var words []string
	for _, f := range [][2]string{{"queue", s.Queue}, {"status", s.Status}, {"type", s.Type}, {"key", s.Key}} {
		if f[1] != "" {
			words = append(words, f[0]+" "+f[1])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Labels)) {
		words = append(words, "label "+name+":"+s.Labels[name])
	}
	if !s.CreatedAfter.IsZero() {
		words = append(words, "created after "+s.CreatedAfter.Local().Format(time.RFC3339))
	}
	if !s.CreatedBefore.IsZero() {
		words = append(words, "created before "+s.CreatedBefore.Local().Format(time.RFC3339))
	}
	return strings.Join(words, ", ")
}

func (c *cli) operationsGetCommand() *cobra.Command {
	var wait bool
	cmd := &cobra.Command{
		Use: "get <id>", Short: "Show how far an operation is", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := c.client()
			if err != nil {
				return err
			}
			get := func() (*client.Operation, error) { return api.Operation(cmd.Context(), args[0], 0) }
			if wait {
				get = func() (*client.Operation, error) { return c.awaitOperation(cmd.Context(), api, args[0]) }
			}
			o, err := get()
			if err != nil {
				return err
			}
			return c.showOperation(o)
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "wait for the operation's end")
	return cmd
}

func (c *cli) operationsCancelCommand() *cobra.Command {
	return &cobra.Command{
		Use: "cancel <id>", Short: "End an operation; what it has done stays done", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := c.client()
			if err != nil {
				return err
			}
			o, err := api.CancelOperation(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return c.showOperation(o)
		},
	}
}

// showOperation shows an operation, and is an error where it failed.
func (c *cli) showOperation(o *client.Operation) error {
	err := c.writeOperation(o)
	if err == nil && o.Status == "failed" {
		return failure{"the operation failed: " + o.Error}
	}
	return err
}

func (c *cli) writeOperation(o *client.Operation) error {
	if c.term.JSON {
		return c.term.WriteJSON(o)
	}
	now := time.Now()
	var f fields
	f.add("operation", o.ID)
	f.add("kind", o.Kind)
	f.add("filter", aboutText(o))
	f.add("status", o.Status)
	f.add("matched", strconv.FormatInt(o.Matched, 10))
	f.add("done", strconv.FormatInt(o.Done, 10))
	f.add("skipped", strconv.FormatInt(o.Skipped, 10))
	f.add("began", o.CreatedAt.Local().Format(time.RFC3339)+" ("+ago(o.CreatedAt, now)+")")
	if !o.FinishedAt.IsZero() {
		f.add("ended", o.FinishedAt.Local().Format(time.RFC3339)+" ("+ago(o.FinishedAt, now)+")")
	}
	f.add("by", o.By)
	return c.showFields(f)
}
