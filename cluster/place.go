package cluster

import (
	"cmp"
	"encoding/json"
	"hash/fnv"
	"math"
	"slices"
)

// Place returns for each shard the id of the node that is to serve it, given the id
// of the one that did, be it one of the nodes or not. Every node gets its part by
// weight, rounded down or up, and no shard moves without need: those of a node that
// is none any more go to the node that rendezvous hashing names among those with room
// (consistent hashing with bounded loads: Mirrokni, Thorup and Zadimoghaddam, SODA
// 2018), and one that has more than its part gives up those that the hash places
// worst on it. The same nodes give the same in any order. Without a node all ids
// are "".
func Place(previous []string, nodes []Node) []string {
	placement := make([]string, len(previous))
	if len(nodes) == 0 {
		return placement
	}
	had := make(map[string][]int, len(nodes))
	for i := range nodes {
		had[nodes[i].ID] = nil
	}
	var homeless []int
	for shard, id := range previous {
		if _, ok := had[id]; ok {
			had[id] = append(had[id], shard)
		} else {
			homeless = append(homeless, shard)
		}
	}
	room := parts(len(previous), nodes, had)
	for i := range nodes {
		n := &nodes[i]
		keeps := had[n.ID]
		slices.SortFunc(keeps, func(a, b int) int { return cmp.Or(cmp.Compare(score(b, n), score(a, n)), a-b) })
		if part := room[n.ID]; len(keeps) > part {
			homeless = append(homeless, keeps[part:]...)
			keeps = keeps[:part]
		}
		room[n.ID] -= len(keeps)
		for _, shard := range keeps {
			placement[shard] = n.ID
		}
	}
	slices.Sort(homeless)
	for _, shard := range homeless {
		placement[shard] = named(shard, nodes, func(n *Node) bool { return room[n.ID] > 0 })
		room[placement[shard]]--
	}
	return placement
}

// parts returns how many shards each node is to have: its part by weight rounded
// down, and one more for as many as it takes, those first that have more already, then
// those whose part was cut most.
func parts(shards int, nodes []Node, had map[string][]int) map[string]int {
	total := 0
	for i := range nodes {
		total += nodes[i].weight()
	}
	type part struct {
		id        string
		floor     int
		remainder int
	}
	all := make([]part, len(nodes))
	left := shards
	for i := range nodes {
		n := &nodes[i]
		all[i] = part{n.ID, shards * n.weight() / total, shards * n.weight() % total}
		left -= all[i].floor
	}
	slices.SortFunc(all, func(a, b part) int {
		more := func(p part) int { return min(1, p.remainder) * min(1, max(0, len(had[p.id])-p.floor)) }
		return cmp.Or(more(b)-more(a), b.remainder-a.remainder, cmp.Compare(a.id, b.id))
	})
	parts := make(map[string]int, len(nodes))
	for i, p := range all {
		parts[p.id] = p.floor
		if i < left {
			parts[p.id]++
		}
	}
	return parts
}

// Follow returns where the shards are by a placement, while its nodes are there: those
// of a node that is not, and those that it does not place, are where the hash names.
// Every node computes the same from the same, with a leader or without.
func Follow(shards int, placement []string, nodes []Node) []string {
	now := make([]string, shards)
	for shard := range now {
		if shard < len(placement) && slices.ContainsFunc(nodes, func(n Node) bool { return n.ID == placement[shard] }) {
			now[shard] = placement[shard]
		} else {
			now[shard] = named(shard, nodes, func(*Node) bool { return true })
		}
	}
	return now
}

// approach returns a placement that is up to so many moves nearer to the target.
func approach(from, target []string, moves int) []string {
	next := slices.Clone(from)
	for shard := range next {
		if next[shard] != target[shard] && moves > 0 {
			next[shard] = target[shard]
			moves--
		}
	}
	return next
}

// named returns the node that rendezvous hashing, weighted by the nodes' weights,
// names for a shard among those that may have it; "" where none may.
func named(shard int, nodes []Node, may func(*Node) bool) (id string) {
	best := math.Inf(-1)
	for i := range nodes {
		n := &nodes[i]
		if !may(n) {
			continue
		}
		if s := score(shard, n); s > best || s == best && n.ID < id {
			best, id = s, n.ID
		}
	}
	return id
}

// score is how well a shard is placed on a node: -w/ln(u) of a number u between
// 0 and 1 that looks random and depends on the two alone. (Schindelhauer and
// Schomaker, Weighted Distributed Hash Tables, SPAA 2005.)
func score(shard int, n *Node) float64 {
	h := fnv.New64a()
	h.Write([]byte{byte(shard >> 8), byte(shard)})
	h.Write([]byte(n.ID))
	u := (float64(mix(h.Sum64())>>11) + 0.5) / (1 << 53)
	return -float64(n.weight()) / math.Log(u)
}

// mix spreads what FNV leaves close together: the finalizer of MurmurHash3.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// stored is a placement as it is stored: the nodes, and of each shard the place of its
// node among them.
type stored struct {
	Nodes  []string `json:"nodes"`
	Shards []int    `json:"shards"`
}

func encodePlacement(placement []string) []byte {
	s := stored{Nodes: slices.Compact(slices.Sorted(slices.Values(placement)))}
	for _, id := range placement {
		i, _ := slices.BinarySearch(s.Nodes, id)
		s.Shards = append(s.Shards, i)
	}
	data, err := json.Marshal(s)
	if err != nil {
		panic("cluster: a placement: " + err.Error()) // numbers and texts can be encoded
	}
	return data
}

// decodePlacement reads a placement; nil where there is none that can be read, which
// places nothing.
func decodePlacement(data []byte) []string {
	var s stored
	if json.Unmarshal(data, &s) != nil {
		return nil
	}
	placement := make([]string, len(s.Shards))
	for shard, i := range s.Shards {
		if i < 0 || i >= len(s.Nodes) {
			return nil
		}
		placement[shard] = s.Nodes[i]
	}
	return placement
}
