package api

import (
	"context"
	"time"

	"github.com/orchestrix/orchestrix/control"
	"github.com/orchestrix/orchestrix/job"
)

// Node is a coordinator as it is shown.
type Node struct {
	ID            string       `json:"id"`
	Address       string       `json:"address" doc:"The base URL of its API."`
	Version       string       `json:"version"`
	Roles         []string     `json:"roles" nullable:"false" doc:"api, dispatch or both."`
	State         string       `json:"state" enum:"alive,draining,drained,leaving,dead" doc:"draining: it was asked to give up its shards and stay; drained: it has, and none of its pushes goes on. dead: it was not heard of for too long, and others have taken its shards."`
	Leader        bool         `json:"leader" doc:"It leads: it balances the shards over the nodes."`
	Term          uint64       `json:"term,omitempty" doc:"The number of the term in which it leads."`
	Weight        int          `json:"weight" doc:"Its share of the shards: the CPUs that it may use."`
	StartedAt     time.Time    `json:"started_at"`
	HeartbeatAge  job.Duration `json:"heartbeat_age" doc:"How long ago it was heard of."`
	Shards        []int        `json:"shards" nullable:"false" doc:"Those that it serves."`
	InFlight      int          `json:"in_flight" doc:"Its pushes."`
	CPU           float64      `json:"cpu" doc:"How many CPUs it has used between its last heartbeats."`
	MemoryInBytes int64        `json:"memory_bytes" doc:"What it has of the system."`
}

func viewNode(n *control.Node) Node {
	v := Node{
		ID: n.ID, Address: n.Address, Version: n.Version, Roles: []string{}, State: "alive", Leader: n.Leader, Term: n.Term, Weight: n.Weight, StartedAt: n.Started,
		HeartbeatAge: job.Duration(n.Age), Shards: append([]int{}, n.Shards...), InFlight: n.InFlight, CPU: n.CPU, MemoryInBytes: n.Memory,
	}
	for _, r := range n.Roles {
		v.Roles = append(v.Roles, string(r))
	}
	switch {
	case !n.Alive:
		v.State = "dead"
	case n.Leaving:
		v.State = "leaving"
	case n.Drained():
		v.State = "drained"
	case n.Draining:
		v.State = "draining"
	}
	return v
}

func (a *api) nodeRoutes() {
	register(a, operation{
		method: "GET", path: "/v1/nodes", id: "list-nodes", tag: "nodes",
		summary: "List the nodes that use the store by id, with the shards that each serves",
	}, a.listNodes)
	register(a, operation{
		method: "POST", path: "/v1/nodes/{id}/drain", id: "drain-node", tag: "nodes", errors: []int{404, 409},
		summary: "Have a node give up its shards, with their pushes in flight, and stay without",
	}, a.drainNode)
	register(a, operation{
		method: "POST", path: "/v1/nodes/{id}/resume", id: "resume-node", tag: "nodes", errors: []int{404, 409},
		summary: "Let a node take shards again that was drained",
	}, a.resumeNode)
}

type nodePath struct {
	ID string `path:"id" doc:"The node's id." example:"host-1-5f3a09c2"`
}

type nodeOutput struct{ Body Node }

func (a *api) drainNode(ctx context.Context, in *nodePath) (*nodeOutput, error) {
	n, err := a.control.DrainNode(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &nodeOutput{viewNode(&n)}, nil
}

func (a *api) resumeNode(ctx context.Context, in *nodePath) (*nodeOutput, error) {
	n, err := a.control.ResumeNode(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &nodeOutput{viewNode(&n)}, nil
}

func (a *api) listNodes(ctx context.Context, _ *struct{}) (*listOutput[Node], error) {
	nodes, err := a.control.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	return newList(nodes, "", viewNode), nil
}
