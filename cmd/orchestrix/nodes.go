package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/cmd/orchestrix/internal/terminal"
)

const nodesLong = `See the nodes that use the server's store. A shard is a fixed slice of all
queues; each is served by one node at a time.`

func (c *cli) nodesCommand() *cobra.Command {
	return group("nodes", "See the nodes", nodesLong, "\norchestrix nodes list", c.nodesListCommand())
}

func (c *cli) nodesListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the nodes with their shards", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := c.client()
			if err != nil {
				return err
			}
			nodes, err := api.Nodes(cmd.Context())
			if err != nil {
				return err
			}
			if c.term.JSON {
				return c.term.WriteJSON(nodes)
			}
			return c.term.WriteTable(nodeTable(nodes, time.Now()))
		},
	}
}

func nodeTable(nodes []client.Node, now time.Time) terminal.Table {
	t := terminal.Table{
		Header: []string{"node", "state", "address", "version", "roles", "shards", "in flight", "cpus", "memory", "heard of", "started"},
		Right:  []int{5, 6, 7, 8}, Status: 1,
	}
	for _, n := range nodes {
		t.Rows = append(t.Rows, []string{
			n.ID, n.State, n.Address, n.Version, strings.Join(n.Roles, ","), strconv.Itoa(len(n.Shards)), strconv.Itoa(n.InFlight),
			strconv.FormatFloat(n.CPU, 'f', 2, 64), fmt.Sprintf("%d MiB", n.MemoryBytes>>20), ago(now.Add(-n.HeartbeatAge.Std()), now), ago(n.StartedAt, now),
		})
	}
	return t
}
