package client

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/orchestrix/orchestrix/job"
)

// ScheduleConfig is a schedule: when it fires, by Cron or Every, one of them, and the
// job that it enqueues then.
type ScheduleConfig struct {
	// Cron is an expression of five fields, or six with the second first.
	Cron string `json:"cron,omitempty"`
	// Every is an interval of elapsed time, counted from StartsAt.
	Every job.Duration `json:"every,omitempty"`
	// Timezone is an IANA name; empty means UTC.
	Timezone string `json:"timezone,omitempty"`
	// DSTGap is fire, the default, or skip: what becomes of a time that a clock, set
	// forward, never shows.
	DSTGap string `json:"dst_gap,omitempty"`
	// Jitter delays each firing by a part of it.
	Jitter   job.Duration `json:"jitter,omitempty"`
	StartsAt time.Time    `json:"starts_at,omitzero"`
	EndsAt   time.Time    `json:"ends_at,omitzero"`
	// MaxRuns is how often it fires in all; 0 bounds nothing.
	MaxRuns int `json:"max_runs,omitempty"`
	// Overlap is what happens while the last run has not ended: allow, the default, skip,
	// queue_one or cancel_running.
	Overlap string `json:"overlap,omitempty"`
	// CatchUp is what becomes of slots that were not fired in time: latest, the default,
	// skip or all; CatchUpWindow how late they may fire then.
	CatchUp       string       `json:"catch_up,omitempty"`
	CatchUpWindow job.Duration `json:"catch_up_window,omitempty"`
	// PauseOnFailure is after how many dead runs in a row it is paused; 0 is never.
	PauseOnFailure int `json:"pause_on_failure,omitempty"`
	// Job is what is enqueued.
	Job ScheduledJob `json:"job"`
}

// ScheduledJob is the job of a schedule. Only Type is needed; the fields are those of
// NewJob. Written back as it was read, it changes nothing but white space.
type ScheduledJob struct {
	Queue string `json:"queue,omitempty"`
	Type  string `json:"type"`
	// Payload, Body and BodyBase64 exclude each other: a JSON value, sent as it is but for
	// white space, a text, or bytes.
	Payload     json.RawMessage   `json:"payload,omitempty"`
	Body        string            `json:"body,omitempty"`
	BodyBase64  []byte            `json:"body_base64,omitzero"`
	ContentType string            `json:"content_type,omitempty"`
	Key         string            `json:"key,omitempty"`
	Priority    string            `json:"priority,omitempty"`
	Timeout     job.Duration      `json:"timeout,omitempty"`
	Retry       *job.Policy       `json:"retry,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Headers     map[string]string `json:"headers,omitempty"`
	URL         string            `json:"url,omitempty"`
	Method      string            `json:"method,omitempty"`
}

// Schedule is a schedule as the server shows it. In a list its job has no payload.
type Schedule struct {
	ScheduleConfig
	Name string `json:"name"`
	// Version rises with each change of the configuration.
	Version uint64 `json:"version"`
	// Paused is why it does not fire: requested, or failures; empty where it does.
	Paused   string    `json:"paused"`
	PausedAt time.Time `json:"paused_at,omitzero"`
	// NextAt is when it fires next; zero where it does not.
	NextAt time.Time `json:"next_at,omitzero"`
	// Last is its newest run; nil before the first.
	Last *LastRun `json:"last,omitempty"`
	// Fired, Missed and Skipped count slots by what became of them.
	Fired   int   `json:"fired"`
	Missed  int64 `json:"missed"`
	Skipped int64 `json:"skipped"`
	// Waiting is the slot that waits for the last run to end; zero where none does.
	Waiting time.Time `json:"waiting,omitzero"`
	// Failures is how many of the last runs ended dead, in a row.
	Failures  int       `json:"failures"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// LastRun is the newest run of a schedule.
type LastRun struct {
	Slot time.Time `json:"slot"`
	Job  string    `json:"job"`
	At   time.Time `json:"at"`
}

// Slot is one time at which a schedule fires. Local is the same instant by the
// schedule's clock; Note says what is odd about it.
type Slot struct {
	At    time.Time `json:"at"`
	Local time.Time `json:"local"`
	Note  string    `json:"note"`
}

// ScheduleRun is an entry of a schedule's history.
type ScheduleRun struct {
	// Kind is fired or missed. Of several slots that were missed, Slot is the first,
	// LastSlot the last, and Count how many they are.
	Kind     string    `json:"kind"`
	Slot     time.Time `json:"slot"`
	LastSlot time.Time `json:"last_slot,omitzero"`
	Count    int       `json:"count"`
	// At is when it happened.
	At time.Time `json:"at"`
	// By is what asked for it: slot, trigger or backfill.
	By  string `json:"by"`
	Job string `json:"job,omitempty"`
	// Lateness is how long after its time a slot fired.
	Lateness job.Duration `json:"lateness,omitempty"`
	// Outcome is the status of the job; removed where it is not kept any more.
	Outcome string `json:"outcome,omitempty"`
}

// BackfillRequest says which slots get runs: from From, inclusive, to To, exclusive and not
// later than now, which it is where it is zero.
type BackfillRequest struct {
	From    time.Time `json:"from"`
	To      time.Time `json:"to,omitzero"`
	Overlap string    `json:"overlap,omitempty"`
}

// PutSchedule creates a schedule or replaces its configuration. What it has done stays,
// and no slot that is over fires again.
func (c *Client) PutSchedule(ctx context.Context, name string, config ScheduleConfig) (*Schedule, error) {
	return c.putSchedule(ctx, name, config, nil)
}

// CheckSchedule returns what PutSchedule would make, and stores nothing.
func (c *Client) CheckSchedule(ctx context.Context, name string, config ScheduleConfig) (*Schedule, error) {
	return c.putSchedule(ctx, name, config, url.Values{"dry_run": {"true"}})
}

func (c *Client) putSchedule(ctx context.Context, name string, config ScheduleConfig, query url.Values) (*Schedule, error) {
	body, err := encode(config)
	if err != nil {
		return nil, fmt.Errorf("put schedule %s: %w", name, err)
	}
	return c.schedule(ctx, "put", call{method: http.MethodPut, path: schedulePath(name), query: query, body: body}, name)
}

// PatchSchedule merges patch into a schedule's configuration (RFC 7396).
func (c *Client) PatchSchedule(ctx context.Context, name string, patch map[string]any) (*Schedule, error) {
	return c.schedule(ctx, "patch", call{method: http.MethodPatch, path: schedulePath(name), body: patch, contentType: mergePatch}, name)
}

// Schedule returns a schedule.
func (c *Client) Schedule(ctx context.Context, name string) (*Schedule, error) {
	return c.schedule(ctx, "get", call{method: http.MethodGet, path: schedulePath(name)}, name)
}

// Schedules walks all schedules, by name.
func (c *Client) Schedules(ctx context.Context) iter.Seq2[Schedule, error] {
	return walk[Schedule](ctx, c, "/v1/schedules", "list schedules")
}

// DeleteSchedule removes a schedule with its history. Jobs that it has made stay.
func (c *Client) DeleteSchedule(ctx context.Context, name string) error {
	if err := c.do(ctx, call{method: http.MethodDelete, path: schedulePath(name)}, nil); err != nil {
		return fmt.Errorf("delete schedule %s: %w", name, err)
	}
	return nil
}

// PauseSchedule stops a schedule from firing. Its slots until it is resumed are left
// out.
func (c *Client) PauseSchedule(ctx context.Context, name string) (*Schedule, error) {
	return c.schedule(ctx, "pause", call{method: http.MethodPost, path: schedulePath(name) + "/pause"}, name)
}

// ResumeSchedule lets a paused schedule fire again.
func (c *Client) ResumeSchedule(ctx context.Context, name string) (*Schedule, error) {
	return c.schedule(ctx, "resume", call{method: http.MethodPost, path: schedulePath(name) + "/resume"}, name)
}

// TriggerSchedule makes a run now, beside the slots, and returns the id of its job, which
// is there unless that takes longer than two seconds.
func (c *Client) TriggerSchedule(ctx context.Context, name string) (job string, err error) {
	var out struct {
		Job string `json:"job"`
	}
	if err := c.do(ctx, call{method: http.MethodPost, path: schedulePath(name) + "/trigger", once: true}, &out); err != nil {
		return "", fmt.Errorf("trigger schedule %s: %w", name, err)
	}
	return out.Job, nil
}

// NextSlots returns when a schedule fires next, at most count slots; 0 leaves it to the
// server.
func (c *Client) NextSlots(ctx context.Context, name string, count int) ([]Slot, error) {
	query := url.Values{}
	if count > 0 {
		query.Set("count", strconv.Itoa(count))
	}
	page, err := list[Slot](ctx, c, schedulePath(name)+"/next", query)
	if err != nil {
		return nil, fmt.Errorf("next slots of schedule %s: %w", name, err)
	}
	return page.Items, nil
}

// ScheduleRuns walks the history of a schedule, newest first: its last 100 entries.
func (c *Client) ScheduleRuns(ctx context.Context, name string) iter.Seq2[ScheduleRun, error] {
	return walk[ScheduleRun](ctx, c, schedulePath(name)+"/runs", "runs of schedule "+name)
}

// BackfillSchedule begins to make runs of the slots in a range that is over, each once.
func (c *Client) BackfillSchedule(ctx context.Context, name string, b BackfillRequest) (*Operation, error) {
	return c.backfill(ctx, name, b, false)
}

// CountBackfill counts the slots of a range, in Matched, and changes nothing.
func (c *Client) CountBackfill(ctx context.Context, name string, b BackfillRequest) (*Operation, error) {
	return c.backfill(ctx, name, b, true)
}

func (c *Client) backfill(ctx context.Context, name string, b BackfillRequest, dryRun bool) (*Operation, error) {
	body := struct {
		BackfillRequest
		DryRun bool `json:"dry_run,omitempty"`
	}{b, dryRun}
	return get[Operation](ctx, c, call{method: http.MethodPost, path: schedulePath(name) + "/backfill", body: body, once: !dryRun}, "backfill schedule "+name)
}

func (c *Client) schedule(ctx context.Context, verb string, call call, name string) (*Schedule, error) {
	return get[Schedule](ctx, c, call, verb+" schedule "+name)
}

func schedulePath(name string) string { return "/v1/schedules/" + url.PathEscape(name) }
