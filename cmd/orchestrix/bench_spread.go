package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/orchestrix/orchestrix/cmd/orchestrix/internal/bench"
)

const benchSpreadLong = `Measure what many queues and keys cost. One server gets --jobs jobs in one
queue, another one as many, spread over --queues queues and --keys keys; in
turn on both, --rounds times: they are enqueued while the worker is paused,
and dispatched once it is resumed. The ratios compare the second server with
the first, and 1.00 means that queues and keys cost nothing.

A million jobs of 256 bytes take about 2 GiB under --dir, which are removed at
the end.`

func (c *cli) benchSpreadCommand() *cobra.Command {
	o := bench.SpreadOptions{}
	cmd := &cobra.Command{
		Use: "spread", Short: "Measure what many queues and keys cost", Long: benchSpreadLong,
		Example: indent("orchestrix bench spread\norchestrix bench spread --jobs 100000 --queues 1000 --keys 100000 -o json"),
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.benchSpread(cmd.Context(), o) },
	}
	c.benchPairFlags(cmd, &o.PairOptions, 1_000_000, 2)
	flags := cmd.Flags()
	flags.IntVar(&o.Queues, "queues", 10_000, "queues of the second server")
	flags.IntVar(&o.Keys, "keys", 1_000_000, "keys of the second server, over all queues")
	flags.IntVar(&o.Concurrency, "concurrency", 1024, "pushes at once of the first server's queue")
	return cmd
}

// benchPairFlags defines what all comparisons of two servers have.
func (c *cli) benchPairFlags(cmd *cobra.Command, o *bench.PairOptions, jobs, rounds int) {
	flags := cmd.Flags()
	flags.IntVar(&o.Jobs, "jobs", jobs, "jobs of each measurement")
	flags.IntVar(&o.Payload, "payload", 256, "payload in `bytes`")
	flags.IntVar(&o.Batch, "batch", 500, "jobs in one POST")
	flags.IntVar(&o.Rounds, "rounds", rounds, "measurements of each server")
	flags.StringVar(&o.Dir, "dir", os.TempDir(), "make the servers' temporary directories in this `directory`")
}

func badPair(o bench.PairOptions) error {
	if o.Jobs < 1 || o.Batch < 1 || o.Rounds < 1 || o.Payload < 16 {
		return usagef("--jobs, --batch and --rounds must be at least 1, --payload at least 16")
	}
	return nil
}

func (c *cli) benchSpread(ctx context.Context, o bench.SpreadOptions) error {
	if err := badPair(o.PairOptions); err != nil {
		return err
	}
	if o.Queues < 1 || o.Keys < o.Queues || o.Concurrency < 1 {
		return usagef("--queues and --concurrency must be at least 1, --keys at least --queues")
	}
	progress, err := c.benchProgress(&o.Executable, &o.Progress)
	if err != nil {
		return err
	}
	report, err := bench.RunSpread(ctx, o)
	progress.Done()
	if err != nil {
		return fmt.Errorf("bench spread: %w", err)
	}
	if c.term.JSON {
		return c.term.WriteJSON(report)
	}
	fmt.Fprintf(c.stdout, "%d jobs of %d bytes, in one queue of concurrency %d and over %d queues and %d keys, batches of %d; %d CPUs, %s\n\n",
		report.Jobs, report.Payload, report.Concurrency, report.Queues, report.Keys, report.Batch, report.CPUs, report.Go)
	if err := c.showSeries(report.Phases); err != nil {
		return err
	}
	return c.showMemory(report.Memory)
}
