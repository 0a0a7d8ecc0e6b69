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

// drawPlacement places shards on the nodes, and on others, in any way.
func drawPlacement(t *rapid.T, nodes []Node) []string {
	ids := []string{"", "gone"}
	for _, n := range nodes {
		ids = append(ids, n.ID)
	}
	return rapid.SliceOfN(rapid.SampledFrom(ids), 1, 128).Draw(t, "previous")
}

func count(placement []string) map[string]int {
	counts := map[string]int{}
	for _, id := range placement {
		counts[id]++
	}
	return counts
}

// Each node gets its part by weight, within one, and only what has to moves.
func TestPlaceIsEvenAndMovesLittle(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		nodes := drawNodes(t)
		previous := drawPlacement(t, nodes)
		placement := Place(previous, nodes)
		if again := Place(previous, rapid.Permutation(nodes).Draw(t, "order")); !slices.Equal(placement, again) {
			t.Fatalf("in another order: %v, then %v", placement, again)
		}
		if again := Place(placement, nodes); !slices.Equal(placement, again) {
			t.Fatalf("placed anew: %v, then %v", placement, again)
		}
		had, has, total := count(previous), count(placement), 0
		for _, n := range nodes {
			total += n.weight()
		}
		// What has to move: all of nodes that are none, and what is over each part. Of
		// those that may keep one more, as many do as there are shards left.
		needed, left, over := len(previous), len(previous), 0
		for _, n := range nodes {
			fair := len(previous) * n.weight()
			floor, ceil := fair/total, (fair+total-1)/total
			if has[n.ID] < floor || has[n.ID] > ceil {
				t.Fatalf("%s has %d of %d shards, its part is %d/%d", n.ID, has[n.ID], len(previous), fair, total)
			}
			left -= floor
			needed -= min(had[n.ID], floor)
			if had[n.ID] > floor && ceil > floor {
				over++
			}
		}
		needed -= min(left, over)
		moved := 0
		for shard := range previous {
			if previous[shard] != placement[shard] {
				moved++
			}
		}
		if moved != needed {
			t.Fatalf("%d shards have moved, %d had to: from %v to %v", moved, needed, previous, placement)
		}
	})
	if got := Place(make([]string, 3), nil); !slices.Equal(got, make([]string, 3)) {
		t.Errorf("without a node: %v", got)
	}
}

// A placement is followed while its nodes are there; the others' shards go where the
// hash says, whatever the order of the nodes.
func TestFollow(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		nodes := drawNodes(t)
		placement := drawPlacement(t, nodes)
		shards := rapid.IntRange(1, 128).Draw(t, "shards")
		now := Follow(shards, placement, nodes)
		if again := Follow(shards, placement, rapid.Permutation(nodes).Draw(t, "order")); !slices.Equal(now, again) {
			t.Fatalf("in another order: %v, then %v", now, again)
		}
		gone := rapid.IntRange(0, len(nodes)-1).Draw(t, "gone")
		id := nodes[gone].ID
		after := Follow(shards, placement, slices.Delete(slices.Clone(nodes), gone, gone+1))
		for shard := range now {
			is := func(id string) bool { return slices.ContainsFunc(nodes, func(n Node) bool { return n.ID == id }) }
			switch {
			case shard < len(placement) && is(placement[shard]) && now[shard] != placement[shard]:
				t.Fatalf("shard %d is at %q, placed on %q", shard, now[shard], placement[shard])
			case !is(now[shard]):
				t.Fatalf("shard %d is at %q, which is none", shard, now[shard])
			case len(nodes) > 1 && now[shard] == id && (after[shard] == id || after[shard] == ""), len(nodes) == 1 && after[shard] != "":
				t.Fatalf("shard %d is at %q when its node has gone", shard, after[shard])
			case now[shard] != id && after[shard] != now[shard]:
				t.Fatalf("shard %d has moved from %s to %s without need", shard, now[shard], after[shard])
			}
		}
	})
}

func TestHashIsBalanced(t *testing.T) {
	t.Parallel()
	const shards = 4096
	for n := 1; n <= 7; n++ {
		nodes := make([]Node, n)
		total := 0
		for i := range nodes {
			nodes[i] = Node{ID: fmt.Sprintf("host-%d", i), Weight: 1 + i%2}
			total += nodes[i].Weight
		}
		counts := count(Follow(shards, nil, nodes))
		for _, node := range nodes {
			if want := shards * node.Weight / total; counts[node.ID] < want*4/5 || counts[node.ID] > want*6/5 {
				t.Errorf("%d nodes: %s of weight %d has %d shards, want about %d", n, node.ID, node.Weight, counts[node.ID], want)
			}
		}
	}
}

func TestApproach(t *testing.T) {
	t.Parallel()
	from, target := []string{"a", "a", "a", "b"}, []string{"b", "a", "c", "c"}
	for moves, want := range [][]string{from, {"b", "a", "a", "b"}, {"b", "a", "c", "b"}, target, target} {
		if got := approach(from, target, moves); !slices.Equal(got, want) {
			t.Errorf("%d moves: %v, want %v", moves, got, want)
		}
	}
}

func TestPlacementRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		placement := drawPlacement(t, drawNodes(t))
		if got := decodePlacement(encodePlacement(placement)); !slices.Equal(got, placement) {
			t.Fatalf("%v, then %v", placement, got)
		}
	})
	for _, bad := range []string{"", "x", `{"nodes":["a"],"shards":[1]}`, `{"nodes":["a"],"shards":[-1]}`} {
		if got := decodePlacement([]byte(bad)); got != nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}
