package cluster

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func drawNodes(t *rapid.T) []Node {
	ids := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z]{1,3}-[0-9a-f]{4}`), 1, 12, rapid.ID[string]).Draw(t, "ids")
	nodes := make([]Node, len(ids))
	for i, id := range ids {
		nodes[i] = Node{ID: id, Weight: rapid.IntRange(0, 8).Draw(t, "weight")}
	}
	return nodes
}

// Who computes the same gets the same, and where a node leaves nothing moves but
// what it had.
func TestPlaceMovesLittle(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		nodes := drawNodes(t)
		shards := rapid.IntRange(1, 128).Draw(t, "shards")
		before := Place(shards, nodes)
		if again := Place(shards, rapid.Permutation(nodes).Draw(t, "order")); !slices.Equal(before, again) {
			t.Fatalf("in another order: %v, then %v", before, again)
		}
		gone := rapid.IntRange(0, len(nodes)-1).Draw(t, "gone")
		id := nodes[gone].ID
		after := Place(shards, slices.Delete(slices.Clone(nodes), gone, gone+1))
		for shard := range before {
			switch {
			case len(nodes) == 1 && after[shard] != "":
				t.Fatalf("shard %d is placed on %q, where there is no node", shard, after[shard])
			case before[shard] == id && after[shard] == id:
				t.Fatalf("shard %d is placed on the node that has gone", shard)
			case before[shard] != id && after[shard] != before[shard]:
				t.Fatalf("shard %d has moved from %s to %s without need", shard, before[shard], after[shard])
			}
		}
	})
}

func TestPlaceIsBalanced(t *testing.T) {
	t.Parallel()
	const shards = 4096
	for n := 1; n <= 7; n++ {
		nodes := make([]Node, n)
		total := 0
		for i := range nodes {
			nodes[i] = Node{ID: fmt.Sprintf("host-%d", i), Weight: 1 + i%2}
			total += nodes[i].Weight
		}
		counts := map[string]int{}
		for _, id := range Place(shards, nodes) {
			counts[id]++
		}
		for _, node := range nodes {
			if want := shards * node.Weight / total; counts[node.ID] < want*4/5 || counts[node.ID] > want*6/5 {
				t.Errorf("%d nodes: %s of weight %d has %d shards, want about %d", n, node.ID, node.Weight, counts[node.ID], want)
			}
		}
	}
}

func TestLimit(t *testing.T) {
	t.Parallel()
	moving := map[int]bool{}
	step := func(placed, owned []int, moves int, want ...int) {
		t.Helper()
		if got := limit(placed, owned, moving, moves); !slices.Equal(got, want) {
			t.Errorf("placed %v, owned %v, moving %v: %v, want %v", placed, owned, moving, got, want)
		}
	}
	step([]int{3}, []int{0, 1, 2, 3}, 2, 2, 3)
	step([]int{3}, []int{0, 1, 2, 3}, 0, 2, 3) // both are still on their way
	step([]int{3}, []int{1, 2, 3}, 1, 3)       // one takes its time: the next begins all the same
	step([]int{1, 3}, []int{1, 2, 3}, 0, 1, 3) // one is placed here again
	step([]int{3}, []int{1, 2, 3}, 0, 1, 3)    // and is to move anew
	step(nil, nil, 1)
	if len(moving) != 0 {
		t.Errorf("%v are moving that are not there", moving)
	}
}
