// Command scale simulates many nodes on Redis, which one machine cannot show: how many
// jobs a second a number of nodes and Redis primaries carry, and what stands in the way
// of more.
//
// It is a simulation of queues, not of the program: clients enqueue at random times into
// random shards by random nodes; each node sends one enqueue of a shard at a time and
// gathers what comes meanwhile; the owner of a shard reads what other nodes have enqueued,
// and has one commit under way, which claims what has come and settles what has ended; a
// primary does one thing at a time, and takes for each a part that is always the same and a
// part for each job. These parts are measured (BenchmarkRedisCycle in package store) and
// are its only assumptions about Redis, with the time of a round trip.
//
//	go run ./tools/scale
//
// The output is the tables of docs/scale.md. Equal flags give equal output.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"
)

func main() {
	m := defaults()
	flag.DurationVar(&m.RoundTrip, "round-trip", m.RoundTrip, "between a node and Redis")
	flag.DurationVar(&m.Push, "push", m.Push, "how long a worker takes for a push, on average")
	flag.IntVar(&m.Batch, "batch", m.Batch, "jobs of a queue that a client enqueues at once")
	flag.IntVar(&m.Cores, "cores", m.Cores, "of each node")
	flag.DurationVar(&m.Length, "length", m.Length, "simulated time of each run")
	flag.Parse()
	report(os.Stdout, m, setups)
}

// setup is one row of the report.
type setup struct{ nodes, shards, primaries int }

var setups = []setup{
	{1, 64, 1}, {3, 64, 1}, {10, 64, 1}, {10, 256, 1}, {10, 256, 4}, {100, 256, 4}, {100, 1024, 16}, {100, 4096, 16}, {1000, 4096, 64},
}

// report prints the table.
func report(w io.Writer, m model, setups []setup) {
	fmt.Fprintf(w, "Nodes of %d cores, a round trip of %s, pushes of %s, %d jobs at once.\n\n", m.Cores, m.RoundTrip, m.Push, m.Batch)
	fmt.Fprintln(w, "| nodes | shards | Redis primaries | jobs/s | by primary | first primary busy | nodes busy | jobs in a commit | calls/job | Redis µs/job | start latency p50, p99 | bound by |")
	fmt.Fprintln(w, "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |")
	for _, c := range setups {
		m.Nodes, m.Shards, m.Primaries = c.nodes, c.shards, c.primaries
		r := m.ceiling()
		fmt.Fprintf(w, "| %d | %d | %d | %s | %s | %.0f %% | %.0f %% | %.1f | %.2f | %.0f | %s, %s | %s |\n",
			c.nodes, c.shards, c.primaries, thousands(r.Rate), thousands(r.Rate/float64(c.primaries)), 100*min(r.RedisBusy, 1), 100*r.NodesBusy,
			r.JobsPerCommit, r.CallsPerJob, r.RedisPerJob.Seconds()*1e6, short(r.P50), short(r.P99), r.Bound)
	}
}

// thousands writes a whole number with a comma before each three digits.
func thousands(n float64) string {
	digits := strconv.Itoa(int(n))
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

func short(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1e3) }
