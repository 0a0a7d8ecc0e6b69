package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"time"

	"github.com/orchestrix/orchestrix/job"
)

// Selection chooses the jobs of an operation: those that the filter allows,
// which must set something, or All of them.
type Selection struct {
	JobFilter
	// All, which stands alone, means every job that can be changed so.
	All bool `json:"all,omitempty"`
}

// Operation is work on many jobs, or slots of a schedule, that goes on after the call that began it, also
// over a restart of the server.
type Operation struct {
	ID string `json:"id,omitempty"`
	// Kind is cancel, retry, run-now, delete, purge or backfill.
	Kind   string    `json:"kind"`
	Filter Selection `json:"filter"`
	// Backfill is what a backfill is about, nil of any other: then Matched are all the
	// slots of its range, Done those that got a run, Skipped those that did not because of
	// its overlap.
	Backfill *Backfill `json:"backfill,omitempty"`
	// Status is running, succeeded, failed or cancelled; of a count dry_run.
	Status string `json:"status"`
	// Matched are the jobs found so far, of which Done were changed, and Skipped
	// left alone since they had changed before their turn.
	Matched int64 `json:"matched"`
	Done    int64 `json:"done"`
	Skipped int64 `json:"skipped"`
	// More says of a count that there may be more.
	More bool `json:"more,omitempty"`

	CreatedAt  time.Time `json:"created_at,omitzero"`
	UpdatedAt  time.Time `json:"updated_at,omitzero"`
	FinishedAt time.Time `json:"finished_at,omitzero"`
	// Error is why it failed.
	Error string `json:"error,omitempty"`
	// By names the API key that began it.
	By string `json:"by,omitempty"`
}

// Backfill is the slots of which schedule get runs.
type Backfill struct {
	Schedule string    `json:"schedule"`
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	Overlap  string    `json:"overlap,omitempty"`
}

// Over reports whether nothing more will be done.
func (o *Operation) Over() bool { return o.Status != "running" }

// CancelJobs begins to cancel all jobs that are chosen and have not ended.
func (c *Client) CancelJobs(ctx context.Context, s Selection) (*Operation, error) {
	return c.bulk(ctx, "cancel", s, false)
}

// RetryJobs begins to run all jobs again that are chosen and have ended: those
// that are dead where no status is chosen.
func (c *Client) RetryJobs(ctx context.Context, s Selection) (*Operation, error) {
	return c.bulk(ctx, "retry", s, false)
}

// RunJobsNow begins to make all jobs due at once that are chosen and wait for a time
// to come: those that are scheduled, and those that wait for their next attempt.
func (c *Client) RunJobsNow(ctx context.Context, s Selection) (*Operation, error) {
	return c.bulk(ctx, "run-now", s, false)
}

// DeleteJobs begins to remove all jobs that are chosen and have ended.
func (c *Client) DeleteJobs(ctx context.Context, s Selection) (*Operation, error) {
	return c.bulk(ctx, "delete", s, false)
}

// CountJobs counts the jobs that an operation of that kind (cancel, retry, run-now
// or delete) would be about, in Matched, and changes nothing.
func (c *Client) CountJobs(ctx context.Context, kind string, s Selection) (*Operation, error) {
	return c.bulk(ctx, kind, s, true)
}

func (c *Client) bulk(ctx context.Context, kind string, s Selection, dryRun bool) (*Operation, error) {
	body := struct {
		Filter Selection `json:"filter"`
		DryRun bool      `json:"dry_run,omitempty"`
	}{s, dryRun}
	return get[Operation](ctx, c, call{method: http.MethodPost, path: "/v1/jobs/" + kind, body: body, once: !dryRun}, kind+" jobs")
}

// PurgeQueue begins to cancel all jobs that wait in a queue, with the reason
// purged. Those that are being pushed go on.
func (c *Client) PurgeQueue(ctx context.Context, name string) (*Operation, error) {
	return c.purge(ctx, name, false)
}

// CountPurge counts the jobs that wait in a queue, in Matched, and changes
// nothing.
func (c *Client) CountPurge(ctx context.Context, name string) (*Operation, error) {
	return c.purge(ctx, name, true)
}

func (c *Client) purge(ctx context.Context, name string, dryRun bool) (*Operation, error) {
	body := struct {
		DryRun bool `json:"dry_run,omitempty"`
	}{dryRun}
	return get[Operation](ctx, c, call{method: http.MethodPost, path: queuePath(name) + "/purge", body: body, once: !dryRun}, "purge queue "+name)
}

// Operation returns an operation. With wait it is returned when it is over or
// that time is, whichever is first; the server bounds the wait.
func (c *Client) Operation(ctx context.Context, id string, wait time.Duration) (*Operation, error) {
	query := url.Values{}
	if wait > 0 {
		query.Set("wait", job.Duration(wait).String())
	}
	return get[Operation](ctx, c, call{method: http.MethodGet, path: operationPath(id), query: query}, "get operation "+id)
}

// WaitOperation returns the operation when it is over, however long that takes:
// bound it with ctx.
func (c *Client) WaitOperation(ctx context.Context, id string) (*Operation, error) {
	for {
		o, err := c.Operation(ctx, id, pollWait)
		if err != nil || o.Over() {
			return o, err
		}
	}
}

// Operations walks all operations that are kept, newest first.
func (c *Client) Operations(ctx context.Context) iter.Seq2[Operation, error] {
	return walk[Operation](ctx, c, "/v1/operations", "list operations")
}

// CancelOperation ends an operation; what it has done stays done. It is still
// running where it has not stopped within two seconds, and will.
func (c *Client) CancelOperation(ctx context.Context, id string) (*Operation, error) {
	return get[Operation](ctx, c, call{method: http.MethodPost, path: operationPath(id) + "/cancel", once: true}, "cancel operation "+id)
}

func operationPath(id string) string { return "/v1/operations/" + url.PathEscape(id) }
