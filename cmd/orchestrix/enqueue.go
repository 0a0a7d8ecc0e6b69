package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/job"
)

// enqueueFlags are those of the enqueue command as they were typed.
type enqueueFlags struct {
	job            client.NewJob
	body, bodyFile string
	delay, timeout string
	runAt, expires string
	headers        []string
	labels         []string
	retry          job.Policy
	initialDelay   string
	maxDelay       string
	maxDuration    string
	backoff        string
	unique         uniqueFlags
	count          int
	wait           bool
	waitTimeout    time.Duration
}

const enqueueLong = `Enqueue a job. The payload is the argument, the content of a file named as @file,
or standard input where it is "-"; it must be JSON, and is what the worker
receives as the body of its request. Without a payload the worker receives null.
--body and --body-file send a text or the bytes of a file instead, of any type.

With --wait the command ends when the job has: with exit code 0 where it
succeeded, and 1 where it is dead, cancelled or expired.`

const enqueueExample = `
orchestrix enqueue '{"to":"ada@example.com"}'
orchestrix enqueue --queue emails --type email.send --priority high @mail.json
orchestrix enqueue --queue reports --delay 10m --label customer:42 '{"id":7}'
orchestrix enqueue --type ping --url http://127.0.0.1:9000/hook --wait '{}'
orchestrix enqueue --body-file report.pdf --content-type application/pdf
orchestrix enqueue --url https://example.com/items/7 --method DELETE
orchestrix enqueue --type sync --key customer-42 --unique-by type,key
echo '{"n":1}' | orchestrix enqueue --count 100 -`

func (c *cli) enqueueCommand() *cobra.Command {
	var f enqueueFlags
	cmd := &cobra.Command{
		Use: "enqueue [payload|@file|-]", Short: "Enqueue a job", Long: enqueueLong, Example: indent(enqueueExample),
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			newJob, err := f.newJob(args, cmd.Flags().Changed("body"), c.stdin)
			if err != nil {
				return usageError{err}
			}
			return c.enqueue(cmd.Context(), newJob, f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.job.Queue, "queue", "default", "the `queue` where the job waits")
	flags.StringVar(&f.job.Type, "type", "job", "what the worker is to do")
	flags.StringVar(&f.job.Key, "key", "", "a label such as a tenant or an order id")
	flags.StringVar(&f.job.Priority, "priority", "", "critical, high, normal (default) or low")
	flags.StringVar(&f.delay, "delay", "", "put the first attempt off by a `duration` such as 90s or 2d")
	flags.StringVar(&f.runAt, "run-at", "", "put the first attempt off until a `time` (RFC 3339)")
	flags.StringVar(&f.expires, "expires-at", "", "start no attempt from this `time` on (RFC 3339)")
	flags.StringVar(&f.timeout, "timeout", "", "the longest `duration` of one attempt")
	flags.StringVar(&f.job.URL, "url", "", "push to this `URL` rather than to a worker of the queue")
	flags.StringVar(&f.job.Method, "method", "", "the `method` for --url: GET, POST (default), PUT, PATCH or DELETE")
	flags.StringVar(&f.body, "body", "", "send this `text` to the byte, instead of a payload")
	flags.StringVar(&f.bodyFile, "body-file", "", "send the content of this `file`, or of standard input where it is -, instead of a payload")
	flags.StringVar(&f.job.ContentType, "content-type", "", "the `type` of what is sent: application/json, text/plain or application/octet-stream by default")
	flags.StringArrayVar(&f.headers, "header", nil, "a `name:value` to add to the push; may be repeated")
	flags.StringArrayVar(&f.labels, "label", nil, "a `name:value` to find the job by; may be repeated")
	flags.StringVar(&f.job.IdempotencyKey, "idempotency-key", "", "enqueue once under this `key`, however often it is asked")
	f.unique.add(flags)
	flags.IntVar(&f.retry.MaxAttempts, "retry-max-attempts", 0, "how many attempts may fail")
	flags.StringVar(&f.maxDuration, "retry-max-duration", "", "no attempt begins later than this `duration` after the first")
	flags.StringVar(&f.backoff, "retry-backoff", "", "exponential, linear or fixed")
	flags.StringVar(&f.initialDelay, "retry-initial-delay", "", "the `duration` before the second attempt")
	flags.StringVar(&f.maxDelay, "retry-max-delay", "", "the longest `duration` between two attempts")
	flags.IntVar(&f.count, "count", 1, "how many such jobs to enqueue")
	flags.BoolVar(&f.wait, "wait", false, "wait for the job's end")
	flags.DurationVar(&f.waitTimeout, "wait-timeout", 0, "how long to wait at most; 0 is without end")
	return cmd
}

// newJob reads the flags and the payload. withBody says that --body was given.
func (f *enqueueFlags) newJob(args []string, withBody bool, stdin io.Reader) (client.NewJob, error) {
	j := f.job
	var err error
	if j.Unique, err = f.unique.read(); err != nil {
		return j, err
	}
	if f.count < 1 || (f.count > 1 && (f.wait || j.IdempotencyKey != "" || j.Unique != nil)) {
		return j, fmt.Errorf("--count must be at least 1, and 1 with --wait, --idempotency-key or --unique")
	}
	if err := f.readTimes(&j); err != nil {
		return j, err
	}
	if j.Headers, err = pairs("header", f.headers); err != nil {
		return j, err
	}
	if j.Labels, err = pairs("label", f.labels); err != nil {
		return j, err
	}
	f.retry.Backoff = job.Backoff(f.backoff)
	if !f.retry.IsZero() {
		j.Retry = &f.retry
	}
	if withBody || f.bodyFile != "" {
		return j, f.readBody(&j, args, withBody, stdin)
	}
	j.Payload, err = payload(args, stdin)
	return j, err
}

// readBody reads what is sent instead of a payload.
func (f *enqueueFlags) readBody(j *client.NewJob, args []string, withBody bool, stdin io.Reader) (err error) {
	if len(args) > 0 || withBody && f.bodyFile != "" {
		return errors.New("give one of a payload, --body and --body-file")
	}
	switch {
	case withBody:
		j.Body = []byte(f.body)
		if j.ContentType == "" {
			j.ContentType = job.ContentTypeText
		}
	case f.bodyFile == "-":
		j.Body, err = io.ReadAll(stdin)
	default:
		j.Body, err = os.ReadFile(f.bodyFile)
	}
	if err != nil {
		return fmt.Errorf("--body-file: %w", err)
	}
	return nil
}

func (f *enqueueFlags) readTimes(j *client.NewJob) error {
	if err := readDurations([]durationFlag{
		{"delay", f.delay, &j.Delay},
		{"timeout", f.timeout, &j.Timeout},
		{"retry-initial-delay", f.initialDelay, &f.retry.InitialDelay},
		{"retry-max-delay", f.maxDelay, &f.retry.MaxDelay},
		{"retry-max-duration", f.maxDuration, &f.retry.MaxDuration},
	}); err != nil {
		return err
	}
	for _, at := range []struct {
		flag, text string
		into       *time.Time
	}{{"run-at", f.runAt, &j.RunAt}, {"expires-at", f.expires, &j.ExpiresAt}} {
		if at.text == "" {
			continue
		}
		v, err := time.Parse(time.RFC3339, at.text)
		if err != nil {
			return fmt.Errorf("--%s %q is not a time such as %s", at.flag, at.text, "2026-07-01T12:00:00Z")
		}
		*at.into = v
	}
	return nil
}

// durationFlag is a flag whose text is a duration of the API, days included.
type durationFlag struct {
	flag, text string
	into       *job.Duration
}

func readDurations(flags []durationFlag) error {
	for _, d := range flags {
		if d.text == "" {
			continue
		}
		v, err := job.ParseDuration(d.text)
		if err != nil {
			return fmt.Errorf("--%s %q is %w", d.flag, d.text, err)
		}
		*d.into = v
	}
	return nil
}

// pairs reads flags of the form name:value.
func pairs(flag string, texts []string) (map[string]string, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	out := make(map[string]string, len(texts))
	for _, text := range texts {
		name, value, ok := strings.Cut(text, ":")
		if !ok || name == "" {
			return nil, fmt.Errorf("--%s %q must be name:value", flag, text)
		}
		out[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return out, nil
}

// payload reads the payload from where the argument says.
func payload(args []string, stdin io.Reader) (any, error) {
	if len(args) == 0 {
		return nil, nil
	}
	data, err := []byte(args[0]), error(nil)
	switch name, isFile := strings.CutPrefix(args[0], "@"); {
	case args[0] == "-":
		data, err = io.ReadAll(stdin)
	case isFile:
		data, err = os.ReadFile(name)
	}
	if err != nil {
		return nil, fmt.Errorf("payload: %w", err)
	}
	if !json.Valid(data) {
		return nil, fmt.Errorf(`the payload is not JSON; a text is written '"like this"', a file is named @file`)
	}
	return json.RawMessage(data), nil
}

func (c *cli) enqueue(ctx context.Context, newJob client.NewJob, f enqueueFlags) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	if f.count > 1 {
		return c.enqueueMany(ctx, api, newJob, f.count)
	}
	j, err := api.Enqueue(ctx, newJob)
	if err != nil {
		return err
	}
	if f.wait {
		return c.awaitJob(ctx, api, j.ID, f.waitTimeout)
	}
	if c.term.JSON {
		return c.term.WriteJSON(j)
	}
	_, err = fmt.Fprintf(c.stdout, "%s  %s\n", j.ID, c.term.Paint(j.Status))
	return err
}

// cliBatch is small enough to show progress and to stay below the server's
// bound on a request, whatever the payload.
const cliBatch = 500

func (c *cli) enqueueMany(ctx context.Context, api *client.Client, newJob client.NewJob, count int) error {
	progress := c.term.Progress()
	defer progress.Done()
	ids := make([]string, 0, count)
	for len(ids) < count {
		jobs := make([]client.NewJob, min(cliBatch, count-len(ids)))
		for i := range jobs {
			jobs[i] = newJob
		}
		results, err := api.EnqueueBatch(ctx, jobs)
		if err != nil {
			return err
		}
		for _, r := range results {
			if r.Error != nil {
				return fmt.Errorf("job %d of %d: %w", len(ids)+1, count, r.Error)
			}
			ids = append(ids, r.ID)
		}
		progress.Update("%d of %d jobs enqueued", len(ids), count)
	}
	progress.Done()
	if c.term.JSON {
		return c.term.WriteJSON(struct {
			IDs []string `json:"ids"`
		}{ids})
	}
	_, err := fmt.Fprintf(c.stdout, "%d jobs enqueued in queue %s\n", count, newJob.Queue)
	return err
}

// awaitJob waits for the job's end and shows it.
func (c *cli) awaitJob(ctx context.Context, api *client.Client, id string, timeout time.Duration) error {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	progress := c.term.Progress()
	defer progress.Done()
	j, err := api.Job(ctx, id, firstLook)
	for began := time.Now(); err == nil && !j.Terminal(); j, err = api.Job(ctx, id, firstLook) {
		progress.Update("%s  %s, %d attempts, %s", id, j.Status, j.Attempt, brief(time.Since(began)))
	}
	progress.Done()
	if err != nil && ctx.Err() == context.DeadlineExceeded {
		return failure{fmt.Sprintf("%s has not ended within %s; see: orchestrix jobs get %s", id, timeout, id)}
	}
	if err != nil {
		return err
	}
	if err := c.showJob(j, ""); err != nil {
		return err
	}
	if j.Status != job.Succeeded.String() {
		return errSilent
	}
	return nil
}

// firstLook is how long one call waits for a job: short enough that the
// progress line moves.
const firstLook = 2 * time.Second
