package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/orchestrix/orchestrix/client"
)

const jobsExample = `
orchestrix jobs list --status dead
orchestrix jobs get job_01kwersrg009d020g30g2gc1r8
orchestrix jobs explain job_01kwersrg009d020g30g2gc1r8
orchestrix jobs retry job_01kwersrg009d020g30g2gc1r8
orchestrix jobs retry --queue emails --status dead --wait
orchestrix jobs watch job_01kwersrg009d020g30g2gc1r8`

func (c *cli) jobsCommand() *cobra.Command {
	return group("jobs", "See and change jobs", "See what became of jobs, and change what becomes of them.", jobsExample,
		c.jobsListCommand(), c.jobsGetCommand(), c.jobsExplainCommand(), c.jobsPayloadCommand(), c.jobsLogsCommand(), c.jobsWatchCommand(),
		c.bulk(c.jobsDeleteCommand(), "delete", (*client.Client).DeleteJobs),
		c.bulk(c.jobVerb("cancel", "Cancel waiting jobs; a push under way is aborted", (*client.Client).CancelJob), "cancel", (*client.Client).CancelJobs),
		c.bulk(c.jobVerb("retry", "Run ended jobs again, with a fresh count of attempts", (*client.Client).RetryJob), "retry", (*client.Client).RetryJobs),
		c.bulk(c.jobVerb("run-now", "Make delayed or retrying jobs due at once", (*client.Client).RunJobNow), "run-now", (*client.Client).RunJobsNow),
	)
}

func (c *cli) jobsListCommand() *cobra.Command {
	var f filterFlags
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "List jobs, newest first", Args: cobra.NoArgs,
		Example: indent("orchestrix jobs list --queue emails --status retrying\norchestrix jobs list --since 1h --label customer:42 -o json"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, err := f.read()
			if err != nil {
				return err
			}
			return c.listJobs(cmd.Context(), filter, limit)
		},
	}
	f.add(cmd)
	cmd.Flags().IntVar(&limit, "limit", 50, "how many at most")
	return cmd
}

func (c *cli) listJobs(ctx context.Context, filter client.JobFilter, limit int) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	progress := c.term.Progress()
	defer progress.Done()
	jobs := []client.Job{}
	for j, err := range api.Jobs(ctx, filter) {
		if err != nil {
			return err
		}
		if jobs = append(jobs, j); len(jobs) >= limit {
			break
		}
		progress.Update("%d jobs read", len(jobs))
	}
	progress.Done()
	if c.term.JSON {
		return c.term.WriteJSON(jobs)
	}
	if len(jobs) == 0 {
		c.term.Note("no such jobs")
		return nil
	}
	return c.term.WriteTable(jobTable(jobs, time.Now()))
}

func (c *cli) jobsGetCommand() *cobra.Command {
	return &cobra.Command{
		Use: "get <id>", Short: "Show a job with its attempts", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := c.client()
			if err != nil {
				return err
			}
			j, err := api.Job(cmd.Context(), args[0], 0)
			if err != nil {
				return err
			}
			if c.term.JSON {
				return c.showJob(j, "")
			}
			return c.showJob(j, waitingFor(cmd.Context(), api, j))
		},
	}
}

// showJob shows one job with all that is known of it; waiting is why it waits,
// where that is known.
func (c *cli) showJob(j *client.Job, waiting string) error {
	if c.term.JSON {
		return c.term.WriteJSON(j)
	}
	if err := c.showFields(jobFields(j, waiting, time.Now())); err != nil || len(j.Attempts) == 0 {
		return err
	}
	fmt.Fprintln(c.stdout)
	return c.term.WriteTable(attemptTable(j.Attempts))
}

func jobFields(j *client.Job, waiting string, now time.Time) fields {
	var f fields
	f.add("id", j.ID)
	f.add("status", j.Status)
	f.add("waiting", waiting)
	f.add("reason", j.Reason)
	f.add("replaced by", j.ReplacedBy)
	f.add("queue", j.Queue)
	f.add("type", j.Type)
	f.add("key", j.Key)
	f.add("priority", j.Priority)
	f.add("schedule", j.Schedule)
	if !j.ScheduledFor.IsZero() {
		f.add("slot", j.ScheduledFor.Format(time.RFC3339))
	}
	f.add("unique", shownUnique(j))
	f.add("url", j.URL)
	f.add("method", j.Method)
	for _, name := range slices.Sorted(maps.Keys(j.Labels)) {
		f.add("label "+name, j.Labels[name])
	}
	f.add("created", j.CreatedAt.Local().Format(time.RFC3339)+" ("+ago(j.CreatedAt, now)+")")
	if !j.NextAttemptAt.IsZero() {
		f.add("next attempt", j.NextAttemptAt.Local().Format(time.RFC3339)+" ("+ago(j.NextAttemptAt, now)+")")
	}
	if !j.FinishedAt.IsZero() {
		f.add("finished", j.FinishedAt.Local().Format(time.RFC3339)+" ("+ago(j.FinishedAt, now)+")")
	}
	if j.Accepted {
		f.add("taken over", "last heard of "+ago(j.HeartbeatAt, now)+", to end by "+j.Deadline.Local().Format(time.RFC3339))
	}
	f.add("progress", shownProgress(j.Progress))
	f.add("attempts", strconv.Itoa(j.Attempt))
	f.add("payload", shownPayload(j))
	f.add("result", oneLine(string(j.Result), 200))
	return f
}

// shownPayload is the payload on one line; of bytes that are no text, how many.
func shownPayload(j *client.Job) string {
	switch {
	case j.BodyBase64 != nil:
		return fmt.Sprintf("%d bytes of %s; see: orchestrix jobs payload %s", len(j.BodyBase64), j.ContentType, j.ID)
	case j.Body != "":
		return oneLine(j.Body, 200)
	}
	return oneLine(string(j.Payload), 200)
}

func (c *cli) jobsPayloadCommand() *cobra.Command {
	return &cobra.Command{
		Use: "payload <id>", Short: "Write a job's payload, byte by byte", Args: cobra.ExactArgs(1),
		Example: indent("orchestrix jobs payload job_01kwersrg009d020g30g2gc1r8 > payload"),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := c.client()
			if err != nil {
				return err
			}
			data, _, err := api.JobPayload(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			_, err = c.stdout.Write(data)
			return err
		},
	}
}

// jobVerb returns a command that does the same to each of several jobs. It goes
// on after one was refused, and then ends with that refusal.
func (c *cli) jobVerb(verb, short string, do func(*client.Client, context.Context, string) (*client.Job, error)) *cobra.Command {
	return &cobra.Command{
		Use: verb + " <id>...", Short: short, Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.eachJob(args, func(api *client.Client, id string) (*client.Job, error) {
				return do(api, cmd.Context(), id)
			})
		},
	}
}

func (c *cli) jobsDeleteCommand() *cobra.Command {
	return &cobra.Command{
		Use: "delete <id>...", Short: "Delete ended jobs with all that is stored of them", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.eachJob(args, func(api *client.Client, id string) (*client.Job, error) {
				return &client.Job{ID: id, Status: "deleted"}, api.DeleteJob(cmd.Context(), id)
			})
		},
	}
}

func (c *cli) eachJob(ids []string, do func(api *client.Client, id string) (*client.Job, error)) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	var failed error
	done := []client.Job{}
	for _, id := range ids {
		j, err := do(api, id)
		switch {
		case err == nil:
			done = append(done, *j)
		case failed == nil:
			failed = err
		default:
			c.term.Note("orchestrix: %s", explain(err, c.server))
		}
	}
	if c.term.JSON {
		if err := c.term.WriteJSON(done); err != nil {
			return err
		}
		return failed
	}
	for i := range done {
		fmt.Fprintf(c.stdout, "%s  %s\n", done[i].ID, c.term.Paint(done[i].Status))
	}
	return failed
}

func (c *cli) jobsWatchCommand() *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "watch <id>", Short: "Wait for a job's end and show it", Args: cobra.ExactArgs(1),
		Long: "Wait for a job's end and show it. The exit code is 0 where it succeeded, else 1.",
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := c.client()
			if err != nil {
				return err
			}
			return c.awaitJob(cmd.Context(), api, args[0], timeout)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "how long to wait at most; 0 is without end")
	return cmd
}
