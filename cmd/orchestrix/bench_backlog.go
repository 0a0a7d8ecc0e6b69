package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/orchestrix/orchestrix/cmd/orchestrix/internal/bench"
	"github.com/orchestrix/orchestrix/cmd/orchestrix/internal/terminal"
)

const benchBacklogLong = `Measure what a long backlog costs. One server gets --jobs jobs while its queue is
paused; another one's queue stays empty. Then, in turn on both, --base jobs are
enqueued and as many are pushed, --rounds times: the ratios compare with and
without the backlog, and 1.00 means that it costs nothing.

The memory is that of the server with the backlog. A million jobs of 1 KiB take
about 2 GiB under --dir, which are removed at the end.`

func (c *cli) benchBacklogCommand() *cobra.Command {
	o := bench.BacklogOptions{}
	cmd := &cobra.Command{
		Use: "backlog", Short: "Measure what a long backlog costs", Long: benchBacklogLong,
		Example: indent("orchestrix bench backlog\norchestrix bench backlog --jobs 100000 --drain -o json"),
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.benchBacklog(cmd.Context(), o) },
	}
	flags := cmd.Flags()
	flags.IntVar(&o.Jobs, "jobs", 1_000_000, "jobs of the backlog")
	flags.IntVar(&o.Base, "base", 10_000, "jobs of each measurement, and of what the backlog is compared with")
	flags.IntVar(&o.Payload, "payload", 1024, "payload in `bytes`")
	flags.IntVar(&o.Concurrency, "concurrency", 256, "pushes at once of the queue")
	flags.IntVar(&o.Batch, "batch", 500, "jobs in one POST")
	flags.IntVar(&o.Rounds, "rounds", 10, "measurements of each rate")
	flags.BoolVar(&o.Drain, "drain", false, "push the whole backlog at the end")
	flags.StringVar(&o.Dir, "dir", os.TempDir(), "make the servers' temporary directories in this `directory`")
	return cmd
}

func (c *cli) benchBacklog(ctx context.Context, o bench.BacklogOptions) error {
	if o.Base < 1 || o.Jobs < o.Base || o.Concurrency < 1 || o.Batch < 1 || o.Rounds < 1 || o.Payload < 16 {
		return usagef("--base, --concurrency, --batch and --rounds must be at least 1, --jobs at least --base, --payload at least 16")
	}
	progress, err := c.benchProgress(&o.Executable, &o.Progress)
	if err != nil {
		return err
	}
	report, err := bench.RunBacklog(ctx, o)
	progress.Done()
	if err != nil {
		return fmt.Errorf("bench backlog: %w", err)
	}
	if c.term.JSON {
		return c.term.WriteJSON(report)
	}
	return c.showBacklog(report)
}

// benchProgress fills in what each benchmark needs of the program that it is
// started from.
func (c *cli) benchProgress(executable *string, show *func(phase string, done, all int)) (*terminal.Progress, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, failure{"this binary cannot find itself: " + err.Error()}
	}
	progress := c.term.Progress()
	*executable = path
	*show = func(phase string, done, all int) {
		progress.Update("%s: %d of %d (%d %%)", phase, done, all, 100*done/all)
	}
	return progress, nil
}

func (c *cli) showBacklog(r *bench.BacklogReport) error {
	fmt.Fprintf(c.stdout, "%d jobs of %d bytes beside %d, concurrency %d, batches of %d; %d CPUs, %s\n\n",
		r.Jobs, r.Payload, r.Base, r.Concurrency, r.Batch, r.CPUs, r.Go)
	if err := c.showSeries(r.Phases); err != nil {
		return err
	}
	return c.showMemory(r.Memory)
}

func (c *cli) showSeries(all []bench.Series) error {
	t := terminal.Table{
		Header: []string{"phase", "samples", "jobs/s", "slowest", "fastest", "server cpu µs/job", "wall ratio", "cpu ratio"},
		Right:  []int{1, 2, 3, 4, 5, 6, 7}, Status: -1,
	}
	for _, p := range all {
		least, most := rateRange(p.Samples)
		t.Rows = append(t.Rows, []string{
			p.Name, strconv.Itoa(len(p.Samples)), whole(p.Rate), whole(least), whole(most), micros(p.CPU),
			ratio(p.WallRatio), ratio(p.CPURatio),
		})
	}
	return c.term.WriteTable(t)
}

func (c *cli) showMemory(all []bench.Memory) error {
	if len(all) == 0 {
		return nil
	}
	fmt.Fprintln(c.stdout)
	t := terminal.Table{Header: []string{"server's memory after", "resident MiB", "peak MiB"}, Right: []int{1, 2}, Status: -1}
	for _, m := range all {
		t.Rows = append(t.Rows, []string{m.After, mebibytes(m.Resident), mebibytes(m.Peak)})
	}
	return c.term.WriteTable(t)
}

func rateRange(samples []bench.Sample) (least, most float64) {
	rates := make([]float64, len(samples))
	for i, s := range samples {
		rates[i] = s.Rate
	}
	return slices.Min(rates), slices.Max(rates)
}

func whole(v float64) string { return strconv.FormatFloat(v, 'f', 0, 64) }

func mebibytes(n int64) string { return strconv.FormatInt(n>>20, 10) }
