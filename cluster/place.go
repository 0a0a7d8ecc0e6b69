package cluster

import (
	"hash/fnv"
	"maps"
	"math"
	"slices"
)

// Place returns for each shard the id of the node that is to serve it, by
// rendezvous hashing weighted by the nodes' weights: every node computes the same
// from the same nodes, whatever their order. Where a node leaves, only its shards
// move; where one comes, shards only move to it. Without a node all ids are "".
func Place(shards int, nodes []Node) []string {
	placement := make([]string, shards)
	for shard := range placement {
		best := math.Inf(-1)
		for i := range nodes {
			n := &nodes[i]
			score := score(shard, n)
			if score > best || score == best && n.ID < placement[shard] {
				best, placement[shard] = score, n.ID
			}
		}
	}
	return placement
}

// score is how well a shard is placed on a node: -w/ln(u) of a number u between
// 0 and 1 that looks random and depends on the two alone. (Schindelhauer and
// Schomaker, Weighted Distributed Hash Tables, SPAA 2005.)
func score(shard int, n *Node) float64 {
	h := fnv.New64a()
	h.Write([]byte{byte(shard >> 8), byte(shard)})
	h.Write([]byte(n.ID))
	u := (float64(mix(h.Sum64())>>11) + 0.5) / (1 << 53)
	return -float64(max(n.Weight, 1)) / math.Log(u)
}

// mix spreads what FNV leaves close together: the finalizer of MurmurHash3.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// limit returns the shards that a node is to serve from now on: those that are
// placed on it and, of those that it serves and that are to move, all but the
// moving ones and as many more as moves, which become moving.
func limit(placed, owned []int, moving map[int]bool, moves int) []int {
	maps.DeleteFunc(moving, func(shard int, _ bool) bool {
		return slices.Contains(placed, shard) || !slices.Contains(owned, shard)
	})
	serve := slices.Clone(placed)
	for _, shard := range owned {
		switch {
		case slices.Contains(placed, shard) || moving[shard]:
		case moves > 0:
			moves--
			moving[shard] = true
		default:
			serve = append(serve, shard)
		}
	}
	slices.Sort(serve)
	return serve
}
