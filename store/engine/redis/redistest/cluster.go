package redistest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Cluster is a Redis Cluster of three primaries that share the slots.
type Cluster struct{ Nodes []*Server }

const primaries, slots = 3, 16384

// StartCluster starts a cluster, which ends with the test; not in the
// short form of the tests. The lines of configuration are every node's.
func StartCluster(t testing.TB, config ...string) *Cluster {
	t.Helper()
	c, err := startCluster(findSeveral(t), t.TempDir(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Kill)
	return c
}

func startCluster(program, dir string, config []string) (*Cluster, error) {
	c := &Cluster{}
	for i := range primaries {
		n, err := startNode(program, filepath.Join(dir, fmt.Sprint(i)), config)
		if err != nil {
			c.Kill()
			return nil, err
		}
		c.Nodes = append(c.Nodes, n)
	}
	if err := c.join(); err != nil {
		c.Kill()
		return nil, err
	}
	return c, nil
}

func startNode(program, dir string, config []string) (*Server, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	bus, err := freePort()
	if err != nil {
		return nil, err
	}
	own := []string{"cluster-enabled yes", fmt.Sprintf("cluster-port %d", bus), "cluster-node-timeout 2000"}
	if slices.Contains(config, TLS) {
		own = append(own, "tls-cluster yes")
	}
	return start(program, dir, append(own, config...))
}

// join hands the slots out and has the nodes know each other.
func (c *Cluster) join() error {
	ctx := context.Background()
	for i, n := range c.Nodes {
		from, to := i*slots/primaries, (i+1)*slots/primaries-1
		if err := n.Client().Do(ctx, "CLUSTER", "ADDSLOTSRANGE", from, to).Err(); err != nil {
			return err
		}
		if err := n.Client().Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err(); err != nil {
			return err
		}
		if err := c.meet(ctx, n); err != nil {
			return err
		}
	}
	return Eventually(func() error {
		for _, n := range c.Nodes {
			info, err := n.Client().ClusterInfo(ctx).Result()
			if err != nil {
				return err
			}
			if !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d", primaries)) {
				return errors.New("the cluster does not come about:\n" + info)
			}
		}
		return nil
	})
}

func (c *Cluster) meet(ctx context.Context, n *Server) error {
	first := c.Nodes[0]
	if n == first {
		return nil
	}
	bus, err := first.Client().ConfigGet(ctx, "cluster-port").Result()
	if err != nil {
		return err
	}
	return n.Client().Do(ctx, "CLUSTER", "MEET", "127.0.0.1", first.Port, bus["cluster-port"]).Err()
}

// URL is where an engine finds the cluster: by one of its nodes.
func (c *Cluster) URL(query string) string {
	return c.Nodes[0].url("-cluster", "/", query)
}

// Kill ends all nodes.
func (c *Cluster) Kill() {
	if c == nil {
		return
	}
	for _, n := range c.Nodes {
		n.Kill()
	}
}
