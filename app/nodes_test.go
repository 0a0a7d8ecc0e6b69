package app_test

import (
	"slices"
	"testing"
	"time"
)

// A server that has its store for itself is one node with all shards.
func TestOneNode(t *testing.T) {
	t.Parallel()
	s := start(t, config(t.TempDir()))
	nodes, err := s.Nodes(deadline(t))
	if err != nil || len(nodes) != 1 {
		t.Fatalf("%+v, %v", nodes, err)
	}
	n := nodes[0]
	if n.ID == "" || n.State != "alive" || !n.Leader || n.Term != 1 || n.Address != s.app.URL() || !slices.Equal(n.Roles, []string{"api", "dispatch"}) ||
		!slices.Equal(n.Shards, []int{0, 1, 2, 3}) || n.MemoryBytes <= 0 || n.Weight < 1 || time.Since(n.StartedAt) > time.Hour {
		t.Errorf("shown as %+v", n)
	}
}
