package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/orchestrix/orchestrix/cmd/orchestrix/internal/bench"
)

const benchLimitsLong = `Measure what keeping account of limits costs. The queue of one server is limited
by nothing but its concurrency; that of another one has every limit there is, for
the queue, its keys and its worker, all too high to be reached. In turn on both,
--rounds times, --jobs jobs are enqueued while the worker is paused, and
dispatched once it is resumed. 1.00 means that limits cost nothing.`

func (c *cli) benchLimitsCommand() *cobra.Command {
	o := bench.LimitsOptions{}
	cmd := &cobra.Command{
		Use: "limits", Short: "Measure what limits cost", Long: benchLimitsLong,
		Example: indent("orchestrix bench limits\norchestrix bench limits --jobs 50000 --keys 1000 -o json"),
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.benchLimits(cmd.Context(), o) },
	}
	c.benchPairFlags(cmd, &o.PairOptions, 100_000, 5)
	flags := cmd.Flags()
	flags.IntVar(&o.Keys, "keys", 100, "keys that the jobs have, on both servers")
	flags.IntVar(&o.Concurrency, "concurrency", 256, "pushes at once, on both servers")
	return cmd
}

func (c *cli) benchLimits(ctx context.Context, o bench.LimitsOptions) error {
	if err := badPair(o.PairOptions); err != nil {
		return err
	}
	if o.Keys < 1 || o.Concurrency < 2 {
		return usagef("--keys must be at least 1, --concurrency at least 2")
	}
	progress, err := c.benchProgress(&o.Executable, &o.Progress)
	if err != nil {
		return err
	}
	report, err := bench.RunLimits(ctx, o)
	progress.Done()
	if err != nil {
		return fmt.Errorf("bench limits: %w", err)
	}
	if c.term.JSON {
		return c.term.WriteJSON(report)
	}
	fmt.Fprintf(c.stdout, "%d jobs of %d bytes with %d keys, a queue of concurrency %d, batches of %d; %d CPUs, %s\n\n",
		report.Jobs, report.Payload, report.Keys, report.Concurrency, report.Batch, report.CPUs, report.Go)
	return c.showSeries(report.Phases)
}
