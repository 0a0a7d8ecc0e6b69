package main

import (
	"bufio"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/job"
)

// filterFlags choose jobs.
type filterFlags struct {
	filter client.JobFilter
	labels []string
	since  string
}

func (f *filterFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.filter.Status, "status", "", "scheduled, pending, retrying, running, succeeded, dead, cancelled or expired")
	flags.StringVar(&f.filter.Queue, "queue", "", "of this `queue` only")
	flags.StringVar(&f.filter.Type, "type", "", "of this `type` only")
	flags.StringVar(&f.filter.Key, "key", "", "with this `key` only")
	flags.StringArrayVar(&f.labels, "label", nil, "with this `name:value` only; may be repeated")
	flags.StringVar(&f.since, "since", "", "created within this `duration` only, such as 1h")
}

// read returns the filter that the flags say.
func (f *filterFlags) read() (filter client.JobFilter, err error) {
	filter = f.filter
	if filter.Labels, err = pairs("label", f.labels); err != nil {
		return filter, usageError{err}
	}
	if f.since != "" {
		d, err := job.ParseDuration(f.since)
		if err != nil {
			return filter, usagef("--since %q is %w", f.since, err)
		}
		filter.CreatedAfter = time.Now().Add(-d.Std())
	}
	return filter, nil
}

// bulkFlags choose many jobs to be changed, and say how.
type bulkFlags struct {
	filterFlags
	selection client.Selection
	yes, wait bool
}

// bulk gives a command that takes ids the flags to take a filter instead.
func (c *cli) bulk(cmd *cobra.Command, kind string, do func(*client.Client, context.Context, client.Selection) (*client.Operation, error)) *cobra.Command {
	var f bulkFlags
	each := cmd.RunE
	cmd.Use = kind + " (<id>... | --queue ... | --all)"
	cmd.Long = cmd.Short + ".\n\nWith flags that choose jobs, all that are there now and match are meant. That is\nan operation of the server, which goes on after the command has ended; see\norchestrix operations."
	cmd.Example = indent("orchestrix jobs " + kind + " job_01kwersrg009d020g30g2gc1r8\norchestrix jobs " + kind + " --queue emails --since 1h --wait")
	cmd.Args = func(_ *cobra.Command, args []string) error {
		var err error
		if f.selection.JobFilter, err = f.read(); err != nil {
			return err
		}
		switch chosen := f.chosen(); {
		case chosen && len(args) > 0:
			return fmt.Errorf("give either ids or flags that choose jobs")
		case !chosen && len(args) == 0:
			return fmt.Errorf("give ids, or choose jobs by --queue, --status, --type, --key, --label, --since or --all")
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return each(cmd, args)
		}
		api, err := c.client()
		if err != nil {
			return err
		}
		count := func() (*client.Operation, error) { return api.CountJobs(cmd.Context(), kind, f.selection) }
		if ok, err := c.confirmed(f.yes, kind, count); err != nil || !ok {
			return err
		}
		o, err := do(api, cmd.Context(), f.selection)
		return c.operation(cmd.Context(), api, o, err, f.wait)
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&f.selection.All, "all", false, "every job that can be changed so")
	f.addAnswers(cmd)
	return cmd
}

func (f *bulkFlags) addAnswers(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.yes, "yes", false, "do not ask before jobs are changed")
	cmd.Flags().BoolVar(&f.wait, "wait", false, "wait for the operation's end")
}

// chosen reports whether any flag chooses jobs.
func (f *bulkFlags) chosen() bool {
	s := &f.selection
	return s.All || s.Status != "" || s.Queue != "" || s.Type != "" || s.Key != "" || len(s.Labels) > 0 || !s.CreatedAfter.IsZero()
}

func (c *cli) queuesPurgeCommand() *cobra.Command {
	var f bulkFlags
	cmd := &cobra.Command{
		Use: "purge <name>", Short: "Cancel all jobs that wait in a queue; those being pushed go on", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := c.client()
			if err != nil {
				return err
			}
			count := func() (*client.Operation, error) { return api.CountPurge(cmd.Context(), args[0]) }
			if ok, err := c.confirmed(f.yes, "purge", count); err != nil || !ok {
				return err
			}
			o, err := api.PurgeQueue(cmd.Context(), args[0])
			return c.operation(cmd.Context(), api, o, err, f.wait)
		},
	}
	f.addAnswers(cmd)
	return cmd
}

// confirmed asks whether as many jobs as there are shall be changed. It is false
// where there are none.
func (c *cli) confirmed(yes bool, verb string, count func() (*client.Operation, error)) (bool, error) {
	question := func(n *client.Operation) string { return fmt.Sprintf("%s; type yes to %s them: ", matches(n), verb) }
	return c.ask(yes, "no such jobs", question, count)
}

// ask asks a question about what is counted, unless the answer is known to be yes or
// there is none; then it says so.
func (c *cli) ask(yes bool, none string, question func(*client.Operation) string, count func() (*client.Operation, error)) (bool, error) {
	if yes {
		return true, nil
	}
	n, err := count()
	if err != nil {
		return false, err
	}
	if n.Matched == 0 && !n.More {
		c.term.Note("%s", none)
		return false, nil
	}
	fmt.Fprint(c.stderr, question(n))
	answer, _ := bufio.NewReader(c.stdin).ReadString('\n')
	if strings.TrimSpace(answer) != "yes" {
		return false, failure{"nothing was changed"}
	}
	return true, nil
}

func matches(n *client.Operation) string {
	switch {
	case n.More:
		return fmt.Sprintf("%d jobs match, and perhaps more", n.Matched)
	case n.Matched == 1:
		return "1 job matches"
	}
	return fmt.Sprintf("%d jobs match", n.Matched)
}

// operation shows an operation that was begun, with wait when it is over.
func (c *cli) operation(ctx context.Context, api *client.Client, o *client.Operation, err error, wait bool) error {
	if err == nil && wait {
		o, err = c.awaitOperation(ctx, api, o.ID)
	}
	if err != nil {
		return err
	}
	if !o.Over() && !c.term.JSON {
		c.term.Note("the operation goes on in the server: orchestrix operations get --wait %s", o.ID)
	}
	return c.showOperation(o)
}

// awaitOperation waits for an operation's end, and shows how far it is.
func (c *cli) awaitOperation(ctx context.Context, api *client.Client, id string) (*client.Operation, error) {
	const step = 2 * time.Second
	progress := c.term.Progress()
	defer progress.Done()
	for {
		o, err := api.Operation(ctx, id, step)
		if err != nil || o.Over() {
			return o, err
		}
		what := "at least %d jobs"
		if o.Backfill != nil {
			what = "%d slots"
		}
		progress.Update("%s: %d of "+what, o.Kind, o.Done+o.Skipped, o.Matched)
	}
}
