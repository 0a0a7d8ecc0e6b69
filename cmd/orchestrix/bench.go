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

const benchLong = `Measure, in one run on this machine: a bare net/http POST loop to a worker, then
the whole pipeline to the same worker. Jobs go over REST, in batches and then one
by one, are fsynced, pushed with signatures, and recorded; a phase ends when all
of its jobs are succeeded.

Worker and server are processes of their own. CPU is that of client, server,
worker and, with --redis, redis-server together, in microseconds per job. The
ratios compare with the bare loop: 1.00 is as fast, or as cheap, as not having a
dispatcher at all.`

func (c *cli) benchCommand() *cobra.Command {
	o := bench.Options{}
	cmd := &cobra.Command{
		Use: "bench", Short: "Measure the pipeline against a bare POST loop", Long: benchLong,
		Example: indent("orchestrix bench\norchestrix bench --redis\norchestrix bench --jobs 100000 --payload 4096 -o json"),
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.bench(cmd.Context(), o) },
	}
	flags := cmd.Flags()
	flags.IntVar(&o.Jobs, "jobs", 20_000, "jobs of each phase")
	flags.IntVar(&o.Payload, "payload", 1024, "payload in `bytes`")
	flags.IntVar(&o.Concurrency, "concurrency", 256, "pushes at once, of the bare loop and of the queue")
	flags.IntVar(&o.Batch, "batch", 500, "jobs in one POST of the batch phase")
	flags.IntVar(&o.Singles, "clients", 64, "clients that send single POSTs")
	flags.BoolVar(&o.Redis, "redis", false, "keep the jobs in a redis-server of its own, started from the PATH (append-only file, synced once a second)")
	flags.StringVar(&o.Dir, "dir", os.TempDir(), "make the server's temporary directory in this `directory`")
	cmd.AddCommand(c.benchBacklogCommand(), c.benchIsolationCommand(), c.benchSpreadCommand(), c.benchLimitsCommand(), c.benchSchedulesCommand(), c.benchWorkerCommand())
	return cmd
}

// benchWorkerCommand is the benchmark's worker, which it starts by itself.
func (c *cli) benchWorkerCommand() *cobra.Command {
	var secret string
	cmd := &cobra.Command{
		Use: "worker", Short: "The worker of the benchmark", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return bench.ServeWorker(cmd.Context(), secret, c.stdout)
		},
	}
	cmd.Flags().StringVar(&secret, "secret", "", "the signing secret")
	return cmd
}

func (c *cli) bench(ctx context.Context, o bench.Options) error {
	if o.Jobs < 1 || o.Concurrency < 1 || o.Batch < 1 || o.Singles < 1 || o.Payload < 16 {
		return usagef("--jobs, --concurrency, --batch and --clients must be at least 1, --payload at least 16")
	}
	progress, err := c.benchProgress(&o.Executable, &o.Progress)
	if err != nil {
		return err
	}
	report, err := bench.Run(ctx, o)
	progress.Done()
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	if c.term.JSON {
		return c.term.WriteJSON(report)
	}
	return c.showReport(report)
}

func (c *cli) showReport(r *bench.Report) error {
	fmt.Fprintf(c.stdout, "%d jobs a phase, %d byte payloads, concurrency %d, batches of %d, %d single clients; %d CPUs, %s\n\n",
		r.Jobs, r.Payload, r.Concurrency, r.Batch, r.Singles, r.CPUs, r.Go)
	t := terminal.Table{
		Header: []string{"phase", "wall", "jobs/s", "cpu µs/job", "client", "server", "store", "worker", "wall ratio", "cpu ratio", "post p50", "post p99"},
		Right:  []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, Status: -1,
	}
	for _, p := range r.Phases {
		t.Rows = append(t.Rows, []string{
			p.Name, p.Wall.Round(time.Millisecond).String(), strconv.FormatFloat(p.Rate, 'f', 0, 64),
			micros(p.CPU), micros(p.ClientCPU), micros(p.ServerCPU), micros(p.StoreCPU), micros(p.WorkerCPU),
			ratio(p.WallRatio), ratio(p.CPURatio), latency(p.P50), latency(p.P99),
		})
	}
	if err := c.term.WriteTable(t); err != nil {
		return err
	}
	_, err := fmt.Fprintf(c.stdout, "\nThe worker received %d distinct jobs in %d signed pushes, and verified %d of them in full.\n",
		r.Worker.Distinct, r.Worker.Signed, r.Worker.Verified)
	return err
}

func micros(v float64) string {
	if v == 0 {
		return "-"
	}
	return strconv.FormatFloat(v, 'f', 1, 64)
}

func ratio(v float64) string {
	if v == 0 {
		return "-"
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

func latency(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return d.Round(10 * time.Microsecond).String()
}
