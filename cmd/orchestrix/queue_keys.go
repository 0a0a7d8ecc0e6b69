package main

import (
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/cmd/orchestrix/internal/terminal"
)

const queueKeysExample = `
orchestrix queues keys pin emails tenant-7 --concurrency 2
orchestrix queues keys pin emails tenant-8 --paused --reason "their server is down"
orchestrix queues keys get emails tenant-7
orchestrix queues keys unpin emails tenant-8`

func (c *cli) queueKeysCommand() *cobra.Command {
	return group("keys", "See keys of a queue, and set limits for one of them",
		"A job's key is a label such as a tenant. A queue may limit all its keys alike\n(queues set --key-concurrency, --key-rate); a pin sets other limits for one key.",
		queueKeysExample, c.keysListCommand(), c.keysGetCommand(), c.keysPinCommand(), c.keysUnpinCommand())
}

func (c *cli) keysListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list <queue>", Short: "List the keys that have limits of their own", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := c.client()
			if err != nil {
				return err
			}
			keys, err := collect(c, "keys", api.PinnedKeys(cmd.Context(), args[0]))
			if err != nil {
				return err
			}
			if c.term.JSON {
				return c.term.WriteJSON(keys)
			}
			if len(keys) == 0 {
				c.term.Note("no key of this queue has limits of its own: orchestrix queues keys pin " + args[0] + " <key> --concurrency 1")
				return nil
			}
			return c.term.WriteTable(keyTable(keys))
		},
	}
}

func keyTable(keys []client.QueueKey) terminal.Table {
	t := terminal.Table{Header: []string{"key", "concurrency", "rate", "paused", "ready", "in flight", "blocked by"}, Right: []int{1, 4, 5}}
	for i := range keys {
		k := &keys[i]
		t.Rows = append(t.Rows, []string{
			k.Key, optionalCount(k.Concurrency), rateText(k.Rate), yes(k.Paused), strconv.Itoa(k.Depth), strconv.Itoa(k.InFlight), k.BlockedBy,
		})
	}
	return t
}

func optionalCount(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

func (c *cli) keysGetCommand() *cobra.Command {
	return &cobra.Command{
		Use: "get <queue> <key>", Short: "Show a key: its limits, its depth, and what bars it", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := c.client()
			if err != nil {
				return err
			}
			k, err := api.QueueKey(cmd.Context(), args[0], args[1])
			if err != nil {
				return err
			}
			return c.showKey(k)
		},
	}
}

func (c *cli) keysPinCommand() *cobra.Command {
	var pin client.Pin
	var rate string
	var burst int
	cmd := &cobra.Command{
		Use: "pin <queue> <key>", Short: "Set limits for one key, or pause it, in place of what was set", Args: cobra.ExactArgs(2),
		Example: indent("orchestrix queues keys pin emails tenant-7 --concurrency 2 --rate 10/1m"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if pin.Rate, err = readRate("rate", rate, burst); err != nil {
				return err
			}
			if pin.Concurrency == 0 && pin.Rate == nil && !pin.Paused {
				return usagef("give at least one of --concurrency, --rate and --paused; \"queues keys unpin\" removes what was set")
			}
			api, err := c.client()
			if err != nil {
				return err
			}
			k, err := api.PinKey(cmd.Context(), args[0], args[1], pin)
			if err != nil {
				return err
			}
			return c.showKey(k)
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&pin.Concurrency, "concurrency", 0, "pushes of the key in flight at once; 0 means the queue's")
	flags.StringVar(&rate, "rate", "", "pushes of the key that may start, as `limit/period`, such as 10/1m")
	flags.IntVar(&burst, "rate-burst", 0, "pushes that may start at once after a rest; 0 means those of 100ms")
	flags.BoolVar(&pin.Paused, "paused", false, "start no push of the key; jobs are still accepted")
	flags.StringVar(&pin.Reason, "reason", "", "why, for people")
	return cmd
}

func (c *cli) keysUnpinCommand() *cobra.Command {
	return &cobra.Command{
		Use: "unpin <queue> <key>", Short: "Remove the limits of one key: those of the queue are in force again", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := c.client()
			if err != nil {
				return err
			}
			return api.UnpinKey(cmd.Context(), args[0], args[1])
		},
	}
}

func (c *cli) showKey(k *client.QueueKey) error {
	if c.term.JSON {
		return c.term.WriteJSON(k)
	}
	var f fields
	f.add("queue", k.Queue)
	f.add("key", k.Key)
	f.add("pinned", yes(k.Pinned))
	f.add("paused", yes(k.Paused))
	f.add("why", k.Reason)
	f.add("concurrency", optionalCount(k.Concurrency))
	f.add("rate", rateText(k.Rate))
	f.add("ready", strconv.Itoa(k.Depth))
	f.add("in flight", strconv.Itoa(k.InFlight))
	f.add("blocked by", k.BlockedBy)
	if k.Tokens != nil {
		f.add("may start now", strconv.Itoa(*k.Tokens))
	}
	if !k.NextStart.IsZero() {
		f.add("next start in", brief(time.Until(k.NextStart)))
	}
	for i, id := range k.Jobs {
		if i == 0 {
			f.add("being pushed", id)
		} else {
			f.add("", id)
		}
	}
	return c.showFields(f)
}
