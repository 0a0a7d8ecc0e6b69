package client

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"time"

	"github.com/orchestrix/orchestrix/job"
)

// Pin is what is set for one key of a queue. It wins over what the queue sets for
// all its keys. At least one of Concurrency, Rate and Paused has to be set.
type Pin struct {
	// Concurrency bounds the pushes of the key at once; 0 means the queue's.
	Concurrency int `json:"concurrency,omitempty"`
	// Rate bounds how many pushes start; nil means the queue's.
	Rate *job.Rate `json:"rate,omitempty"`
	// Paused stops new pushes of the key.
	Paused bool `json:"paused,omitempty"`
	// Reason says why, for people.
	Reason string `json:"reason,omitempty"`
}

// QueueKey is a key of a queue as the server shows it; the members of Pin are
// what is in force, by the pin or the queue.
type QueueKey struct {
	Pin
	Queue string `json:"queue"`
	Key   string `json:"key"`
	// Pinned says whether it has limits of its own.
	Pinned bool `json:"pinned"`
	// Depth counts its jobs that are ready, at most 10,000.
	Depth    int `json:"depth"`
	InFlight int `json:"in_flight"`
	// Tokens is how many pushes its rate allows at once; nil where it has none.
	Tokens *int `json:"tokens,omitempty"`
	// NextStart is when its rate allows the next push, where that is not now.
	NextStart time.Time `json:"next_start,omitzero"`
	// BlockedBy is paused, concurrency or rate where that bars the next push.
	BlockedBy string `json:"blocked_by,omitempty"`
	// Jobs are those that are being pushed, at most 100 of them.
	Jobs []string `json:"jobs"`
}

// PinKey sets limits for one key of a queue, in place of those it had.
func (c *Client) PinKey(ctx context.Context, queue, key string, pin Pin) (*QueueKey, error) {
	return c.queueKey(ctx, "pin", call{method: http.MethodPut, path: queueKeyPath(queue, key), body: pin}, queue, key)
}

// QueueKey returns a key of a queue, whether it is pinned or not.
func (c *Client) QueueKey(ctx context.Context, queue, key string) (*QueueKey, error) {
	return c.queueKey(ctx, "get", call{method: http.MethodGet, path: queueKeyPath(queue, key)}, queue, key)
}

// UnpinKey removes the limits of one key: those of the queue are in force again.
func (c *Client) UnpinKey(ctx context.Context, queue, key string) error {
	if err := c.do(ctx, call{method: http.MethodDelete, path: queueKeyPath(queue, key)}, nil); err != nil {
		return fmt.Errorf("unpin key %s of queue %s: %w", key, queue, err)
	}
	return nil
}

// PinnedKeys walks the keys of a queue that have limits of their own.
func (c *Client) PinnedKeys(ctx context.Context, queue string) iter.Seq2[QueueKey, error] {
	return all(func(PageOptions) (Page[QueueKey], error) {
		out, err := list[QueueKey](ctx, c, queuePath(queue)+"/keys", nil)
		if err != nil {
			err = fmt.Errorf("list keys of queue %s: %w", queue, err)
		}
		return out, err
	}, PageOptions{})
}

func (c *Client) queueKey(ctx context.Context, verb string, call call, queue, key string) (*QueueKey, error) {
	return get[QueueKey](ctx, c, call, verb+" key "+key+" of queue "+queue)
}

func queueKeyPath(queue, key string) string { return queuePath(queue) + "/keys/" + url.PathEscape(key) }
