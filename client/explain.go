package client

import (
	"context"
	"net/http"
	"time"

	"github.com/orchestrix/orchestrix/job"
)

// Explanation is why a job is not running, or the push of it.
type Explanation struct {
	ID     string `json:"id"`
	Queue  string `json:"queue"`
	Key    string `json:"key,omitempty"`
	Status string `json:"status"`
	// Reasons are all that hold at once; the first decides. Of a job that is due
	// later they are those that will hold then too.
	Reasons []Reason `json:"reasons"`
	// Running is the attempt under way; nil where there is none.
	Running *RunningPush `json:"running,omitempty"`
	// Position is its place among the jobs of its key in its lane, from 1; 0 where it
	// stands in none, or too far back to be counted: then PositionAtLeast is set.
	Position        int `json:"position,omitempty"`
	PositionAtLeast int `json:"position_at_least,omitempty"`
	// EstimatedStart is a guess from the queue's pace of the last minute; zero where
	// there is nothing to guess from.
	EstimatedStart time.Time `json:"estimated_start,omitzero"`
}

// RunningPush is the push of a job that is running.
type RunningPush struct {
	Attempt   int       `json:"attempt"`
	Worker    string    `json:"worker,omitempty"`
	StartedAt time.Time `json:"started_at,omitzero"`
	Deadline  time.Time `json:"deadline,omitzero"`
}

// Reason is one cause for which a job is not running.
type Reason struct {
	// Code is a stable word, Message a sentence for people.
	Code    string `json:"code"`
	Message string `json:"message"`
	// Until is when time alone ends it; zero where it does not.
	Until  time.Time `json:"until,omitzero"`
	Worker string    `json:"worker,omitempty"`
	// InFlight and Limit are how many pushes there are and may be.
	InFlight int `json:"in_flight,omitempty"`
	Limit    int `json:"limit,omitempty"`
	// Rate is the one that is used up, and Tokens how many pushes it allows now.
	Rate   *job.Rate `json:"rate,omitempty"`
	Tokens *int      `json:"tokens,omitempty"`
	// Jobs hold the key.
	Jobs []KeyHolder `json:"jobs,omitempty"`
}

// KeyHolder is a job that holds a key which another one needs.
type KeyHolder struct {
	ID            string    `json:"id"`
	Status        string    `json:"status"`
	NextAttemptAt time.Time `json:"next_attempt_at,omitzero"`
}

// ExplainJob returns why a job is not running.
func (c *Client) ExplainJob(ctx context.Context, id string) (*Explanation, error) {
	return get[Explanation](ctx, c, call{method: http.MethodGet, path: jobPath(id) + "/explain"}, "explain job "+id)
}
