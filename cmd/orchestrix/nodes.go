package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/cmd/orchestrix/internal/terminal"
)

const nodesLong = `See the nodes that use the server's store. A shard is a fixed slice of all
queues; each is served by one node at a time. A node that is drained hands its
shards over with the pushes in flight, stays, and takes none until it is resumed
or restarted: "draining" becomes "drained" when its last push has ended.`

func (c *cli) nodesCommand() *cobra.Command {
	return group("nodes", "See and drain the nodes", nodesLong, "\norchestrix nodes list\norchestrix nodes drain host-1-5f3a09c2",
		c.nodesListCommand(),
		c.nodeVerb("drain", "Have a node give up its shards and stay", (*client.Client).DrainNode),
		c.nodeVerb("resume", "Let a drained node take shards again", (*client.Client).ResumeNode),
	)
}

func (c *cli) nodeVerb(verb, short string, do func(*client.Client, context.Context, string) (*client.Node, error)) *cobra.Command {
	return &cobra.Command{
		Use: verb + " <node>", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := c.client()
			if err != nil {
				return err
			}
			n, err := do(api, cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if c.term.JSON {
				return c.term.WriteJSON(n)
			}
			return c.term.WriteTable(nodeTable([]client.Node{*n}, time.Now()))
		},
	}
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
		Header: []string{"node", "state", "leads", "address", "version", "roles", "shards", "in flight", "cpus", "memory", "heard of", "started"},
		Right:  []int{6, 7, 8, 9}, Status: 1,
	}
	for _, n := range nodes {
		leads := ""
		if n.Leader {
			leads = fmt.Sprintf("term %d", n.Term)
		}
		t.Rows = append(t.Rows, []string{
			n.ID, n.State, leads, n.Address, n.Version, strings.Join(n.Roles, ","), strconv.Itoa(len(n.Shards)), strconv.Itoa(n.InFlight),
			strconv.FormatFloat(n.CPU, 'f', 2, 64), fmt.Sprintf("%d MiB", n.MemoryBytes>>20), ago(now.Add(-n.HeartbeatAge.Std()), now), ago(n.StartedAt, now),
		})
	}
	return t
}
