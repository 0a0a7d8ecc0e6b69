package api_test

import (
	"context"
	"errors"
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
		{ID: "b", Age: 5 * time.Second, Shards: []int{1, 2}, Leaving: true},
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
	if n := got[1].(map[string]any); n["heartbeat_age"] != "5s" || len(n["shards"].([]any)) != 2 || len(n["roles"].([]any)) != 0 {
		t.Errorf("%v", n)
	}
	err = errors.Join(store.ErrUnavailable)
	s.want(503, "GET", "/v1/nodes", "")
}
