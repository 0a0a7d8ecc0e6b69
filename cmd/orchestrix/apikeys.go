package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/cmd/orchestrix/internal/terminal"
	"github.com/orchestrix/orchestrix/control"
	"github.com/orchestrix/orchestrix/job"
)

const apiKeysLong = `Make, list and revoke API keys.

A key has scopes: read, jobs:write, workers:write and admin, each of which can be
narrowed to queues, as in jobs:write@billing.* or read@emails. The server keeps
only hashes: a key is shown once, when it is made.`

const apiKeysExample = `
orchestrix api-keys generate > root.key               # offline, for a server's root key
orchestrix api-keys create billing --scope jobs:write@billing.* --scope read
orchestrix api-keys list`

func (c *cli) apiKeysCommand() *cobra.Command {
	return group("api-keys", "Make, list and revoke API keys", apiKeysLong, apiKeysExample,
		c.apiKeysCreateCommand(), c.apiKeysListCommand(), c.apiKeysDeleteCommand(), c.apiKeysGenerateCommand())
}

func (c *cli) apiKeysGenerateCommand() *cobra.Command {
	return &cobra.Command{
		Use: "generate", Short: "Make a root key, offline", Args: cobra.NoArgs,
		Long:    "Make a root key, without a server. Give it to serve by ORCHESTRIX_ROOT_KEY or\n--root-key-file.",
		Example: indent("export ORCHESTRIX_ROOT_KEY=$(orchestrix api-keys generate)\norchestrix serve --listen 0.0.0.0:8080"),
		RunE: func(*cobra.Command, []string) error {
			key := control.GenerateAPIKey()
			if c.term.JSON {
				return c.term.WriteJSON(map[string]string{"key": key})
			}
			_, err := fmt.Fprintln(c.stdout, key)
			return err
		},
	}
}

func (c *cli) apiKeysCreateCommand() *cobra.Command {
	var key client.NewAPIKey
	var expires string
	cmd := &cobra.Command{
		Use: "create <name>", Short: "Make an API key", Args: cobra.ExactArgs(1),
		Example: indent("orchestrix api-keys create ci --scope jobs:write --expires-in 90d"),
		RunE: func(cmd *cobra.Command, args []string) error {
			key.Name = args[0]
			if expires != "" {
				d, err := job.ParseDuration(expires)
				if err != nil {
					return usagef("--expires-in %q is %w", expires, err)
				}
				key.ExpiresAt = time.Now().Add(d.Std())
			}
			api, err := c.client()
			if err != nil {
				return err
			}
			made, err := api.CreateAPIKey(cmd.Context(), key)
			if err != nil {
				return err
			}
			if c.term.JSON {
				return c.term.WriteJSON(made)
			}
			c.term.Note("key %s (%s); it is shown only now", made.ID, strings.Join(made.Scopes, ", "))
			_, err = fmt.Fprintln(c.stdout, made.Key)
			return err
		},
	}
	cmd.Flags().StringSliceVar(&key.Scopes, "scope", nil, "what it may do, such as read or jobs:write@billing.*; may be repeated")
	cmd.Flags().StringVar(&expires, "expires-in", "", "stop working after this `duration`, such as 90d")
	if err := cmd.MarkFlagRequired("scope"); err != nil {
		panic(err) // the flag is defined above
	}
	return cmd
}

func (c *cli) apiKeysListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List all API keys", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := c.client()
			if err != nil {
				return err
			}
			keys, err := collect(c, "keys", api.APIKeys(cmd.Context()))
			if err != nil {
				return err
			}
			if c.term.JSON {
				return c.term.WriteJSON(keys)
			}
			if len(keys) == 0 {
				c.term.Note("no API keys yet; make one with: orchestrix api-keys create <name> --scope <scope>")
				return nil
			}
			now := time.Now()
			t := terminal.Table{Header: []string{"id", "name", "scopes", "created", "expires"}, Status: -1}
			for _, k := range keys {
				t.Rows = append(t.Rows, []string{k.ID, k.Name, strings.Join(k.Scopes, ","), ago(k.CreatedAt, now), ago(k.ExpiresAt, now)})
			}
			return c.term.WriteTable(t)
		},
	}
}

func (c *cli) apiKeysDeleteCommand() *cobra.Command {
	return &cobra.Command{
		Use: "delete <id>", Short: "Revoke an API key at once", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := c.client()
			if err != nil {
				return err
			}
			if err := api.DeleteAPIKey(cmd.Context(), args[0]); err != nil {
				return err
			}
			return c.deleted("API key", args[0])
		},
	}
}
