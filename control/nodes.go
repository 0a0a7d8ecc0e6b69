package control

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/orchestrix/orchestrix/cluster"
	"github.com/orchestrix/orchestrix/store"
)

// Node is one of the coordinators that use the store.
type Node = cluster.Node

// Nodes returns the nodes that use the store, by id, those that were heard of in
// the last minutes among them. It wants the right to read all queues.
func (c *Control) Nodes(ctx context.Context) ([]Node, error) {
	if err := allow(ctx, ActionRead); err != nil {
		return nil, err
	}
	if c.o.Nodes == nil {
		return nil, nil
	}
	nodes, err := c.o.Nodes(ctx)
	if err != nil {
		return nil, storeError("read the nodes", err)
	}
	slices.SortFunc(nodes, func(a, b Node) int { return cmp.Compare(a.ID, b.ID) })
	return nodes, nil
}

// DrainNode has a node give up its shards and stay, and returns it as it was. It
// returns at once; a node that drains already is no error. It wants the right to
// everything.
func (c *Control) DrainNode(ctx context.Context, id string) (Node, error) {
	return c.drainNode(ctx, id, true)
}

// ResumeNode lets a node take shards again that was drained, and returns it as it was.
// It wants the right to everything.
func (c *Control) ResumeNode(ctx context.Context, id string) (Node, error) {
	return c.drainNode(ctx, id, false)
}

func (c *Control) drainNode(ctx context.Context, id string, on bool) (Node, error) {
	if err := allow(ctx, ActionAdmin); err != nil {
		return Node{}, err
	}
	nodes, err := c.Nodes(ctx)
	if err != nil {
		return Node{}, err
	}
	i := slices.IndexFunc(nodes, func(n Node) bool { return n.ID == id })
	if i < 0 {
		return Node{}, notFound("node", id)
	}
	n := nodes[i]
	switch others := slices.Delete(nodes, i, i+1); {
	case c.o.Drain == nil:
		return Node{}, conflict("single_node", "the server has its store for itself: there is no other node to take its shards")
	case !n.Alive:
		return Node{}, conflict("node_dead", "the node is dead, and others have taken its shards")
	case n.Leaving:
		return Node{}, conflict("node_leaving", "the node leaves, and gives up its shards anyway")
	case on && n.Serves() && !slices.ContainsFunc(others, func(o Node) bool { return o.Serves() }):
		return Node{}, conflict("last_node", "no other node would serve the shards: start one first")
	}
	switch err := c.o.Drain(ctx, id, on); {
	case errors.Is(err, store.ErrNotFound):
		return Node{}, notFound("node", id)
	case err != nil:
		return Node{}, storeError("drain a node", err)
	}
	n.Draining = on
	return n, nil
}
