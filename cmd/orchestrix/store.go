package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/orchestrix/orchestrix/app"
	"github.com/orchestrix/orchestrix/cmd/orchestrix/internal/terminal"
	"github.com/orchestrix/orchestrix/store/engine/redis"
)

const storeLong = `Look after a store on Redis, without a server. Each shard, a fixed slice of all
queues and of the configuration, has a record that is written when the store is
created. Where that is missing, Redis has lost data, and the shard is not served.`

const acceptLossLong = `Serve shards again whose data Redis has lost.

Servers stop serving such a shard, and say so in their log and by /readyz:
jobs that were accepted may be gone. Put the data back where you can: start
Redis on its backup, or promote the replica that has them. Servers go on within
half a minute, and nothing of this is needed.

Where the data are gone for good, this gives each such shard a new record. What
is left of it is kept where it is whole, and removed where it is not. Jobs that
are gone were accepted, and are never pushed; workers, queues and API keys that
are gone have to be made again.

Without --yes nothing is changed: it only shows which shards are missing, and
what is left of them. Servers may run meanwhile. Start them anew where
configuration was lost.`

func (c *cli) storeCommand() *cobra.Command {
	return group("store", "Look after a store on Redis", storeLong, `
orchestrix store accept-loss --store redis://localhost:6379
orchestrix store accept-loss --store redis://localhost:6379 --yes`, c.acceptLossCommand())
}

func (c *cli) acceptLossCommand() *cobra.Command {
	config := app.Defaults()
	var yes bool
	cmd := &cobra.Command{
		Use: "accept-loss", Short: "Serve shards again whose data are lost for good", Long: acceptLossLong,
		Args: cobra.NoArgs, Annotations: map[string]string{configures: "yes"},
		Example: indent("orchestrix store accept-loss --store redis://localhost:6379\norchestrix store accept-loss --store redis://localhost:6379 --yes"),
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.acceptLoss(cmd.Context(), config, yes) },
	}
	cmd.Flags().StringVar(&config.Store, "store", config.Store, "the store's `URL`, as that of serve")
	cmd.Flags().BoolVar(&yes, "yes", false, "do it; without, only show what would be done")
	return cmd
}

// lostShard is a line of what accept-loss shows.
type lostShard struct {
	Shard   int    `json:"shard"`
	Entries int64  `json:"entries"`
	Then    string `json:"then"` // kept, removed or empty
	Done    bool   `json:"done"`
}

func (c *cli) acceptLoss(ctx context.Context, config app.Config, yes bool) error {
	missing, err := config.MissingShards(ctx, yes)
	switch {
	case err != nil && config.StoreName() == "":
		return usageError{err}
	case err == nil, len(missing) > 0: // some were, before it failed
		if err := c.showLost(missing, yes); err != nil {
			return err
		}
	}
	if err != nil {
		return failure{err.Error()}
	}
	return nil
}

func (c *cli) showLost(missing []redis.Missing, done bool) error {
	lost := make([]lostShard, len(missing))
	t := terminal.Table{Header: []string{"shard", "entries left", "which are"}, Right: []int{0, 1}}
	for i, m := range missing {
		lost[i] = lostShard{Shard: m.Shard, Entries: m.Entries, Then: "empty", Done: done}
		switch {
		case !m.Whole:
			lost[i].Then = "removed"
		case m.Entries > 0:
			lost[i].Then = "kept"
		}
		t.Rows = append(t.Rows, []string{strconv.Itoa(m.Shard), strconv.FormatInt(m.Entries, 10), lost[i].Then})
	}
	if c.term.JSON {
		return c.term.WriteJSON(lost)
	}
	switch {
	case len(lost) == 0:
		_, err := fmt.Fprintln(c.stdout, "No shard is missing.")
		return err
	case done:
		fmt.Fprintf(c.stderr, "Shards that have a new record: %d. They are served within half a minute.\n", len(lost))
	default:
		fmt.Fprintf(c.stderr, "Shards that are missing: %d. Nothing was changed; with --yes they are served again.\n", len(lost))
	}
	return c.term.WriteTable(t)
}
