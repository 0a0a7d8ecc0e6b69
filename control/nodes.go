package control

import (
	"cmp"
	"context"
	"slices"

	"github.com/orchestrix/orchestrix/cluster"
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
