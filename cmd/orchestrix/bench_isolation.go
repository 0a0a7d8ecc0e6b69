package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/orchestrix/orchestrix/cmd/orchestrix/internal/bench"
	"github.com/orchestrix/orchestrix/cmd/orchestrix/internal/terminal"
)

const benchIsolationLong = `Measure what a worker that hangs costs the jobs of other queues: their time from
enqueue to delivery, alone, beside a hanging queue in another shard than the
first of them, and beside one in the same shard. Each setting has a server of
its own. All are measured at once, their jobs by turns, so that what else the
machine does disturbs all alike.

The hanging queue has the default concurrency, so that 100 pushes hang at once;
each times out after --hang and is retried; its circuit breaker is off. Jobs of
the quick queues, whose workers are one process, arrive at --rate whatever
becomes of those before. A ratio of 1.00 means that hanging pushes cost nothing.`

func (c *cli) benchIsolationCommand() *cobra.Command {
	o := bench.IsolationOptions{}
	cmd := &cobra.Command{
		Use: "isolation", Short: "Measure what a hanging worker costs another queue", Long: benchIsolationLong,
		Example: indent("orchestrix bench isolation\norchestrix bench isolation --rate 500 --phase 15s -o json"),
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.benchIsolation(cmd.Context(), o) },
	}
	flags := cmd.Flags()
	flags.IntVar(&o.Rate, "rate", 200, "jobs per second of the quick queues together")
	flags.IntVar(&o.Queues, "queues", 99, "quick queues, each with a worker of its own")
	flags.DurationVar(&o.Phase, "phase", 5*time.Second, "length of each round")
	flags.IntVar(&o.Rounds, "rounds", 12, "rounds of that length")
	flags.DurationVar(&o.Hang, "hang", 30*time.Second, "timeout of the worker that never answers")
	flags.IntVar(&o.Jobs, "jobs", 5_000, "jobs of the hanging queue")
	flags.StringVar(&o.Dir, "dir", os.TempDir(), "make the servers' temporary directories in this `directory`")
	return cmd
}

func (c *cli) benchIsolation(ctx context.Context, o bench.IsolationOptions) error {
	if o.Rate < 1 || o.Rounds < 1 || o.Jobs < 1 || o.Queues < 1 || o.Phase < time.Second || o.Hang < time.Second {
		return usagef("--rate, --rounds, --jobs and --queues must be at least 1, --phase and --hang at least 1s")
	}
	progress, err := c.benchProgress(&o.Executable, &o.Progress)
	if err != nil {
		return err
	}
	report, err := bench.RunIsolation(ctx, o)
	progress.Done()
	if err != nil {
		return fmt.Errorf("bench isolation: %w", err)
	}
	if c.term.JSON {
		return c.term.WriteJSON(report)
	}
	return c.showIsolation(report)
}

func (c *cli) showIsolation(r *bench.IsolationReport) error {
	fmt.Fprintf(c.stdout, "%d jobs/s over %d queues for %s, %d jobs whose pushes hang for %s; %d CPUs, %s\n\n",
		r.Rate, r.Queues, r.Phase, r.Jobs, r.Hang, r.CPUs, r.Go)
	t := terminal.Table{
		Header: []string{"setting", "round", "jobs", "hanging", "timed out", "p50", "p99", "max", "p50 ratio", "p99 ratio"},
		Right:  []int{1, 2, 3, 4, 5, 6, 7, 8, 9}, Status: -1,
	}
	for _, s := range r.Settings {
		for i, l := range s.Rounds {
			t.Rows = append(t.Rows, []string{
				s.Name, strconv.Itoa(i + 1), strconv.Itoa(l.Jobs), strconv.Itoa(l.Hanging), strconv.FormatInt(l.TimedOut, 10),
				latency(l.P50), latency(l.P99), latency(l.Max),
			})
		}
	}
	for _, s := range r.Settings {
		t.Rows = append(t.Rows, []string{
			s.Name, "all", "", "", "", latency(s.P50), latency(s.P99), "", ratio(s.P50Ratio), ratio(s.P99Ratio),
		})
	}
	return c.term.WriteTable(t)
}
