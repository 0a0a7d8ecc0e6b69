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

const benchSchedulesLong = `Measure many schedules that are due at one instant. They are created on a new
server; then its idle use of the processor is measured, and how long after the
instant the last of their jobs is stored. From --quiet before the instant until
then another client enqueues jobs at --rate: a ratio of 1.00 means that it did
not notice.`

func (c *cli) benchSchedulesCommand() *cobra.Command {
	o := bench.SchedulesOptions{}
	cmd := &cobra.Command{
		Use: "schedules", Short: "Measure many schedules that are due at once", Long: benchSchedulesLong,
		Example: indent("orchestrix bench schedules\norchestrix bench schedules --schedules 10000 -o json"),
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.benchSchedules(cmd.Context(), o) },
	}
	flags := cmd.Flags()
	flags.IntVar(&o.Schedules, "schedules", 100_000, "schedules that are due at one instant")
	flags.IntVar(&o.Queues, "queues", 100, "queues that their jobs are spread over")
	flags.IntVar(&o.Rate, "rate", 100, "jobs per second of the other client")
	flags.DurationVar(&o.Quiet, "quiet", 20*time.Second, "how long the server is measured before the instant")
	flags.StringVar(&o.Dir, "dir", os.TempDir(), "make the server's temporary directory in this `directory`")
	return cmd
}

func (c *cli) benchSchedules(ctx context.Context, o bench.SchedulesOptions) error {
	if o.Schedules < 1 || o.Queues < 1 || o.Rate < 1 || o.Quiet < time.Second {
		return usagef("--schedules, --queues and --rate must be at least 1, --quiet at least 1s")
	}
	progress, err := c.benchProgress(&o.Executable, &o.Progress)
	if err != nil {
		return err
	}
	r, err := bench.RunSchedules(ctx, o)
	progress.Done()
	if err != nil {
		return fmt.Errorf("bench schedules: %w", err)
	}
	if c.term.JSON {
		return c.term.WriteJSON(r)
	}
	fmt.Fprintf(c.stdout, "%d schedules over %d queues, all due at one instant, beside %d enqueues/s of another client; %d CPUs, %s\n\n",
		r.Schedules, r.Queues, r.Rate, r.CPUs, r.Go)
	fmt.Fprintf(c.stdout, "created in %s; waiting, the server used %.2f %% of a processor\nall enqueued %s after the instant, with %s of CPU\n\n",
		r.Created.Round(time.Millisecond), 100*r.Idle, r.Enqueued.Round(time.Millisecond), r.CPU.Round(time.Millisecond))
	t := terminal.Table{Header: []string{"the other client", "calls", "p50", "p99", "max", "p99 ratio"}, Right: []int{1, 2, 3, 4, 5}, Status: -1}
	for _, row := range []struct {
		name  string
		calls bench.Calls
		ratio string
	}{{"before", r.Before, ""}, {"until all were enqueued", r.During, ratio(r.P99Ratio)}} {
		t.Rows = append(t.Rows, []string{row.name, strconv.Itoa(row.calls.Calls), latency(row.calls.P50), latency(row.calls.P99), latency(row.calls.Max), row.ratio})
	}
	if err := c.term.WriteTable(t); err != nil {
		return err
	}
	return c.showMemory(r.Memory)
}
