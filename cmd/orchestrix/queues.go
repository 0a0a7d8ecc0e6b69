package main

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/cmd/orchestrix/internal/terminal"
	"github.com/orchestrix/orchestrix/job"
)

const queuesExample = `
orchestrix queues list
orchestrix queues set emails --concurrency 20 --retry-max-attempts 5
orchestrix queues pause emails`

func (c *cli) queuesCommand() *cobra.Command {
	return group("queues", "Configure and see queues", "A queue is where jobs wait. It is there from its first mention.", queuesExample,
		c.queuesListCommand(), c.queuesSetCommand(),
		c.queueVerb("get", "Show a queue with its counts", (*client.Client).Queue),
		c.queueKeysCommand(),
		c.queuesPauseCommand(),
		c.queueVerb("resume", "Let pushes of a queue go on", (*client.Client).ResumeQueue),
		c.queuesPurgeCommand(),
	)
}

func (c *cli) queuesListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List all queues with their counts", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := c.client()
			if err != nil {
				return err
			}
			queues, err := collect(c, "queues", api.Queues(cmd.Context()))
			if err != nil {
				return err
			}
			if c.term.JSON {
				return c.term.WriteJSON(queues)
			}
			if len(queues) == 0 {
				c.term.Note("no queues yet; a queue is there from its first job: orchestrix enqueue --queue <queue> '{}'")
				return nil
			}
			return c.term.WriteTable(queueTable(queues))
		},
	}
}

func (c *cli) queuesSetCommand() *cobra.Command {
	var config client.QueueConfig
	var retry job.Policy
	var backoff string
	var initialDelay, maxDelay, maxDuration, rate, keyRate string
	var burst, keyBurst int
	var keep retentionFlags
	cmd := &cobra.Command{
		Use: "set <name>", Short: "Configure a queue, replacing its configuration", Args: cobra.ExactArgs(1),
		Long:    "Configure a queue, replacing its configuration: what is not given is the\nserver's default again.",
		Example: indent("orchestrix queues set emails --concurrency 20 --retry-max-attempts 5 --retry-initial-delay 10s"),
		RunE: func(cmd *cobra.Command, args []string) error {
			retry.Backoff = job.Backoff(backoff)
			if err := readDurations([]durationFlag{
				{"retry-initial-delay", initialDelay, &retry.InitialDelay},
				{"retry-max-delay", maxDelay, &retry.MaxDelay},
				{"retry-max-duration", maxDuration, &retry.MaxDuration},
			}); err != nil {
				return usageError{err}
			}
			if !retry.IsZero() {
				config.Retry = &retry
			}
			if err := keep.read(&config); err != nil {
				return err
			}
			var err error
			if config.Rate, err = readRate("rate", rate, burst); err != nil {
				return err
			}
			if config.KeyRate, err = readRate("key-rate", keyRate, keyBurst); err != nil {
				return err
			}
			api, err := c.client()
			if err != nil {
				return err
			}
			q, err := api.PutQueue(cmd.Context(), args[0], config)
			if err != nil {
				return err
			}
			return c.showQueue(q)
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&config.Concurrency, "concurrency", 0, "pushes in flight at once; 0 means the server's default")
	flags.StringVar(&rate, "rate", "", "pushes that may start, as `limit/period`, such as 100/1m")
	flags.IntVar(&burst, "rate-burst", 0, "pushes that may start at once after a rest; 0 means those of 100ms")
	flags.StringVar(&config.PriorityMode, "priority-mode", "", "weighted or strict")
	flags.IntVar(&config.KeyConcurrency, "key-concurrency", 0, "pushes of one key in flight at once; 1 keeps their order; 0 means any number")
	flags.StringVar(&keyRate, "key-rate", "", "pushes of one key that may start, as `limit/period`, such as 10/1m")
	flags.IntVar(&keyBurst, "key-rate-burst", 0, "pushes of one key that may start at once after a rest")
	flags.StringVar(&config.OnDead, "on-dead", "", "with --key-concurrency 1, what a dead job does to those behind it: skip or block")
	flags.StringVar(&config.AfterLost, "after-lost", "", "a push whose node died is repeated at once (repush) or after its deadline (wait)")
	flags.IntVar(&config.MaxPending, "max-pending", 0, "jobs that may wait; more are refused; 0 means any number")
	flags.IntVar(&config.MaxBytes, "max-bytes", 0, "`bytes` that the payloads of waiting jobs may take; 0 means any number")
	flags.StringVar(&config.Ramp, "ramp", "", "after a resume, begin with a tenth of its concurrency (on, default) or with all of it (off)")
	keep.addTo(flags)
	flags.IntVar(&retry.MaxAttempts, "retry-max-attempts", 0, "how many attempts of a job may fail")
	flags.StringVar(&maxDuration, "retry-max-duration", "", "no attempt begins later than this `duration` after the first")
	flags.StringVar(&backoff, "retry-backoff", "", "exponential, linear or fixed")
	flags.StringVar(&initialDelay, "retry-initial-delay", "", "the `duration` before the second attempt")
	flags.StringVar(&maxDelay, "retry-max-delay", "", "the longest `duration` between two attempts")
	return cmd
}

// readRate reads a rate from the flags --flag and --flag-burst; nil where they
// are not given.
func readRate(flag, text string, burst int) (*job.Rate, error) {
	if text == "" {
		if burst != 0 {
			return nil, usagef("--%s-burst needs --%s", flag, flag)
		}
		return nil, nil
	}
	limit, period, _ := strings.Cut(text, "/")
	n, err := strconv.Atoi(limit)
	d, err2 := job.ParseDuration(period)
	if err != nil || err2 != nil {
		return nil, usagef("--%s must be a limit and a period, such as 100/1m, not %q", flag, text)
	}
	return &job.Rate{Limit: n, Period: d, Burst: burst}, nil
}

// rateText is a rate for people; empty where there is none.
func rateText(r *job.Rate) string {
	if r == nil {
		return ""
	}
	return fmt.Sprintf("%d in %s, %d at once", r.Limit, r.Period, r.Starts())
}

func (c *cli) queueVerb(verb, short string, do func(*client.Client, context.Context, string) (*client.Queue, error)) *cobra.Command {
	return &cobra.Command{
		Use: verb + " <name>", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := c.client()
			if err != nil {
				return err
			}
			q, err := do(api, cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return c.showQueue(q)
		},
	}
}

func (c *cli) queuesPauseCommand() *cobra.Command {
	var reason string
	cmd := c.queueVerb("pause", "Stop pushes of a queue; jobs are still accepted", func(api *client.Client, ctx context.Context, name string) (*client.Queue, error) {
		return api.PauseQueue(ctx, name, reason)
	})
	cmd.Flags().StringVar(&reason, "reason", "", "why, for people")
	return cmd
}

func (c *cli) showQueue(q *client.Queue) error {
	if c.term.JSON {
		return c.term.WriteJSON(q)
	}
	var f fields
	f.add("queue", q.Name)
	f.add("state", queueState(q))
	f.add("why", cmp.Or(q.PauseReason, q.WaitingReason))
	f.add("workers", strings.Join(q.Workers, ", "))
	f.add("concurrency", strconv.Itoa(q.Concurrency))
	f.add("rate", rateText(q.Rate))
	f.add("priorities", q.PriorityMode)
	f.add("key concurrency", optionalCount(q.KeyConcurrency))
	f.add("key rate", rateText(q.KeyRate))
	f.add("on dead", q.OnDead)
	f.add("after lost", q.AfterLost)
	f.add("in flight", strconv.Itoa(q.InFlight))
	f.add("throughput", strconv.FormatFloat(q.Throughput, 'f', 1, 64)+" attempts/s")
	f.add("waiting", backlogText(q))
	f.add("kept", keptText(q))
	if q.OldestPendingAge > 0 {
		f.add("oldest pending", brief(q.OldestPendingAge.Std()))
	}
	if err := c.showFields(f); err != nil {
		return err
	}
	counts := terminal.Table{Header: []string{"status", "jobs"}, Right: []int{1}, Status: 0}
	for _, status := range job.ShownStatuses() {
		counts.Rows = append(counts.Rows, []string{status, strconv.FormatInt(q.Counts[status], 10)})
	}
	return c.term.WriteTable(counts)
}
