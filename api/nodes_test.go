package api_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/cluster"
	"github.com/orchestrix/orchestrix/control"
	"github.com/orchestrix/orchestrix/store"
)

func TestNodes(t *testing.T) {
	t.Parallel()
	var err error
	nodes := []control.Node{
		{ID: "c", Roles: []cluster.Role{cluster.RoleDispatch}, Alive: true, Leaving: true, Age: time.Second},
		{ID: "a", Roles: []cluster.Role{cluster.RoleAPI}, Alive: true},
		{ID: "b", Age: 5 * time.Second, Leader: true, Term: 3, Shards: []int{1, 2}, Leaving: true},
	}
	s := newServer(t, func(o *control.Options) {
		o.Nodes = func(context.Context) ([]control.Node, error) { return nodes, err }
	})
	got := s.want(200, "GET", "/v1/nodes", "").field("items").([]any)
	for i, want := range []struct{ id, state string }{{"a", "alive"}, {"b", "dead"}, {"c", "leaving"}} {
		if n := got[i].(map[string]any); n["id"] != want.id || n["state"] != want.state {
			t.Errorf("%v, want %+v", n, want)
		}
	}
	if n := got[1].(map[string]any); n["heartbeat_age"] != "5s" || n["leader"] != true || n["term"] != 3.0 || len(n["shards"].([]any)) != 2 || len(n["roles"].([]any)) != 0 {
		t.Errorf("%v", n)
	}
	err = errors.Join(store.ErrUnavailable)
	s.want(503, "GET", "/v1/nodes", "")
}

// A node is drained and resumed by its id, where another can take its shards.
func TestDrainNode(t *testing.T) {
	t.Parallel()
	roles := cluster.Roles()
	nodes := []control.Node{
		{ID: "a", Roles: roles, Alive: true, Shards: []int{1}},
		{ID: "b", Roles: roles, Alive: true, Shards: []int{0}},
		{ID: "dead", Roles: roles},
		{ID: "leaves", Roles: roles, Alive: true, Leaving: true},
	}
	var drainErr error
	s := newServer(t, func(o *control.Options) {
		o.Nodes = func(context.Context) ([]control.Node, error) { return slices.Clone(nodes), nil }
		o.Drain = func(_ context.Context, id string, on bool) error {
			i := slices.IndexFunc(nodes, func(n control.Node) bool { return n.ID == id })
			nodes[i].Draining = on
			return drainErr
		}
	})
	post := func(status int, path, field, want string) {
		t.Helper()
		if got := s.want(status, "POST", "/v1/nodes/"+path, "").field(field); got != want {
			t.Errorf("%s: %v, want %s", path, got, want)
		}
	}
	post(200, "a/drain", "state", "draining")
	post(409, "b/drain", "code", "last_node")
	nodes[0].Shards = nil
	post(200, "a/drain", "state", "drained")
	post(200, "a/resume", "state", "alive")
	post(200, "b/drain", "state", "draining")
	post(404, "x/drain", "code", "not_found")
	post(404, "x/resume", "code", "not_found")
	post(409, "dead/drain", "code", "node_dead")
	post(409, "leaves/resume", "code", "node_leaving")
	drainErr = store.ErrNotFound
	post(404, "b/resume", "code", "not_found")
	drainErr = store.ErrUnavailable
	post(503, "b/resume", "code", "unavailable")

	alone := newServer(t, func(o *control.Options) {
		o.Nodes = func(context.Context) ([]control.Node, error) { return nodes[:1], nil }
	})
	if code := alone.want(409, "POST", "/v1/nodes/a/drain", "").field("code"); code != "single_node" {
		t.Errorf("the only node: %v", code)
	}
}
