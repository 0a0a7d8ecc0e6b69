package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/orchestrix/orchestrix/job"
)

// Node is a coordinator as the server shows it.
type Node struct {
	ID string `json:"id"`
	// Address is the base URL of its API.
	Address string `json:"address"`
	Version string `json:"version"`
	// Roles are api, dispatch or both.
	Roles []string `json:"roles"`
	// State is alive, draining, drained, leaving or dead.
	State string `json:"state"`
	// Leader says that it leads, in the term of that number.
	Leader bool   `json:"leader"`
	Term   uint64 `json:"term"`
	// Weight is its share of the shards.
	Weight    int       `json:"weight"`
	StartedAt time.Time `json:"started_at"`
	// HeartbeatAge is how long ago it was heard of.
	HeartbeatAge job.Duration `json:"heartbeat_age"`
	// Shards are those that it serves.
	Shards []int `json:"shards"`
	// InFlight counts its pushes, CPU the CPUs that it uses, MemoryBytes what it has of
	// the system.
	InFlight    int     `json:"in_flight"`
	CPU         float64 `json:"cpu"`
	MemoryBytes int64   `json:"memory_bytes"`
}

// Nodes returns the nodes that use the server's store, by id.
func (c *Client) Nodes(ctx context.Context) ([]Node, error) {
	out, err := list[Node](ctx, c, "/v1/nodes", nil)
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	return out.Items, nil
}

// DrainNode has a node give up its shards and stay, and returns it as it was. It is
// done when the node's State is drained.
func (c *Client) DrainNode(ctx context.Context, id string) (*Node, error) {
	return c.nodeVerb(ctx, "drain", id)
}

// ResumeNode lets a node take shards again that was drained.
func (c *Client) ResumeNode(ctx context.Context, id string) (*Node, error) {
	return c.nodeVerb(ctx, "resume", id)
}

func (c *Client) nodeVerb(ctx context.Context, verb, id string) (*Node, error) {
	var n Node
	if err := c.do(ctx, call{method: http.MethodPost, path: "/v1/nodes/" + url.PathEscape(id) + "/" + verb}, &n); err != nil {
		return nil, fmt.Errorf("%s node %s: %w", verb, id, err)
	}
	return &n, nil
}
