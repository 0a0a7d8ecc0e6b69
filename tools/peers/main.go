// Command peers measures what people use today beside Orchestrix, in one run on
// one machine: asynq on Redis and River on PostgreSQL, each with a handler that
// signs its payload and posts it to a worker, which is what Orchestrix does with a
// job. The same worker receives all of them, and the bare loop of
// "orchestrix bench" is the measure.
//
// It starts its own redis-server and PostgreSQL from the installed binaries, on free
// loopback ports with directories of their own.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"text/tabwriter"
)

type options struct {
	orchestrix          string
	jobs, payload       int
	concurrency, rounds int
}

func main() {
	var o options
	flag.StringVar(&o.orchestrix, "orchestrix", "bin/orchestrix", "the `binary` that is measured")
	flag.IntVar(&o.jobs, "jobs", 20_000, "jobs of each measurement")
	flag.IntVar(&o.payload, "payload", 1024, "their size in `bytes`")
	flag.IntVar(&o.concurrency, "concurrency", 256, "pushes at once")
	flag.IntVar(&o.rounds, "rounds", 3, "measurements of each; the middle one is shown")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// row is what was measured of one system.
type row struct {
	name string
	rate float64 // jobs per second
	cpu  float64 // microseconds per job, of all processes
}

func run(ctx context.Context, o options) error {
	measurements := []func(context.Context, options) ([]row, error){
		orchestrix("Orchestrix, embedded"), orchestrix("Orchestrix, Redis", "--redis"), single(asynqOnRedis), single(riverOnPostgreSQL),
	}
	all := map[string][]row{}
	var names []string
	for round := range o.rounds {
		for _, measure := range measurements {
			rows, err := measure(ctx, o)
			if err != nil {
				return err
			}
			for _, r := range rows {
				if round == 0 && all[r.name] == nil {
					names = append(names, r.name)
				}
				all[r.name] = append(all[r.name], r)
				fmt.Fprintf(os.Stderr, "round %d of %d: %s: %.0f jobs/s, %.0f µs\n", round+1, o.rounds, r.name, r.rate, r.cpu)
			}
		}
	}
	return show(o, names, all)
}

func show(o options, names []string, all map[string][]row) error {
	fmt.Printf("%d jobs of %d bytes, %d pushes at once, the middle one of %d rounds\n\n", o.jobs, o.payload, o.concurrency, o.rounds)
	bare := median(all[bareLoop])
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "system\tjobs/s\tCPU µs/job\twall ratio\tCPU ratio\t")
	for _, name := range names {
		r := median(all[name])
		fmt.Fprintf(w, "%s\t%.0f\t%.0f\t%.2f\t%.2f\t\n", name, r.rate, r.cpu, r.rate/bare.rate, bare.cpu/r.cpu)
	}
	return w.Flush()
}

const bareLoop = "bare POST loop"

func single(measure func(context.Context, options) (row, error)) func(context.Context, options) ([]row, error) {
	return func(ctx context.Context, o options) ([]row, error) {
		r, err := measure(ctx, o)
		return []row{r}, err
	}
}

// orchestrix runs the benchmark of the binary. The bare loop is that of its first
// one alone, or it would count twice.
func orchestrix(name string, flags ...string) func(context.Context, options) ([]row, error) {
	return func(ctx context.Context, o options) ([]row, error) {
		args := append([]string{
			"bench", "-o", "json", "--jobs", fmt.Sprint(o.jobs), "--payload", fmt.Sprint(o.payload), "--concurrency", fmt.Sprint(o.concurrency),
		}, flags...)
		cmd := exec.CommandContext(ctx, o.orchestrix, args...)
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("%s: %w: %s", name, err, complaint(err))
		}
		var report struct {
			Phases []struct {
				Name string
				Rate float64 `json:"jobs_per_second"`
				CPU  float64 `json:"cpu_us_per_job"`
			}
		}
		if err := json.Unmarshal(out, &report); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		var rows []row
		for _, p := range report.Phases {
			switch {
			case p.Name == "bare" && len(flags) == 0:
				rows = append(rows, row{bareLoop, p.Rate, p.CPU})
			case p.Name == "batches":
				rows = append(rows, row{name + ", batches of 500", p.Rate, p.CPU})
			case p.Name == "singles":
				rows = append(rows, row{name + ", single POSTs", p.Rate, p.CPU})
			}
		}
		return rows, nil
	}
}

func complaint(err error) string {
	if e, ok := err.(*exec.ExitError); ok {
		return string(e.Stderr)
	}
	return ""
}

// median returns the measurement with the middle rate.
func median(rows []row) row {
	sorted := slices.Clone(rows)
	slices.SortFunc(sorted, func(a, b row) int { return cmp.Compare(a.rate, b.rate) })
	return sorted[len(sorted)/2]
}
