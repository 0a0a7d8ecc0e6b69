package cluster

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/orchestrix/orchestrix/store"
)

// Role is what a node does.
type Role string

// The roles.
const (
	RoleAPI      Role = "api"      // it answers the REST API
	RoleDispatch Role = "dispatch" // it serves shards
)

// Roles lists the roles.
func Roles() []Role { return []Role{RoleAPI, RoleDispatch} }

// Node is what a coordinator tells of itself with each heartbeat.
type Node struct {
	ID      string `json:"-"`
	Address string `json:"address"` // the base URL of its API
	Version string `json:"version"`
	Roles   []Role `json:"roles"`
	// Weight is its share of the shards, at least 1: the CPUs that it may use.
	Weight  int       `json:"weight"`
	Started time.Time `json:"started"`
	// Leaving says that it drains and takes no shards any more.
	Leaving bool `json:"leaving,omitempty"`
	// Shards are those that it serves, in their order.
	Shards []int `json:"shards"`
	// InFlight counts its pushes.
	InFlight int `json:"in_flight"`
	// CPU is how many CPUs it has used since the last heartbeat, Memory the bytes
	// that it has of the system.
	CPU    float64 `json:"cpu"`
	Memory int64   `json:"memory"`

	// Draining says that it was asked to give up its shards and stay.
	Draining bool `json:"-"`
	// Leader says that it leads, in the term of that number.
	Leader bool   `json:"-"`
	Term   uint64 `json:"-"`
	// Age is how old its heartbeat was when it was read, by the store's time. Alive
	// says that it is not too old.
	Age   time.Duration `json:"-"`
	Alive bool          `json:"-"`
}

// weight is its Weight, at least 1.
func (n *Node) weight() int { return max(n.Weight, 1) }

func (n *Node) has(r Role) bool {
	for _, role := range n.Roles {
		if role == r {
			return true
		}
	}
	return false
}

// Serves reports whether shards are placed on the node.
func (n *Node) Serves() bool { return n.Alive && !n.Leaving && !n.Draining && n.has(RoleDispatch) }

// Drained reports whether a node that was asked to drain has done so, by its last
// heartbeat: it serves no shard, and no push of it goes on.
func (n *Node) Drained() bool { return n.Draining && len(n.Shards) == 0 && n.InFlight == 0 }

// parse reads a record at the time now.
func parse(r store.NodeRecord, now time.Time, deadAfter time.Duration) (Node, error) {
	n := Node{ID: r.ID, Draining: r.Drain}
	if err := json.Unmarshal(r.Data, &n); err != nil {
		return n, fmt.Errorf("record of node %s: %w", r.ID, err)
	}
	n.Age = max(0, now.Sub(r.At))
	n.Alive = n.Age < deadAfter
	return n, nil
}
