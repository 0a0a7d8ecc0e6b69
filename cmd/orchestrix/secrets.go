package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/orchestrix/orchestrix/store/sealed"
)

const secretsLong = `Keys that encrypt the secrets in the store: what pushes are signed with, and what
workers are shown. A server is given them by serve --secret-key-file, a file with
one key a line: the first one encrypts, all of them decrypt.

To rotate, put a new key on the first line and restart the server: it brings all
secrets under it and says so. The old line can then go.`

func (c *cli) secretsCommand() *cobra.Command {
	generate := &cobra.Command{
		Use: "generate-key", Short: "Make a key for --secret-key-file, offline", Args: cobra.NoArgs,
		Example: indent("orchestrix secrets generate-key > secret.keys"),
		RunE: func(*cobra.Command, []string) error {
			key := sealed.GenerateKey()
			if c.term.JSON {
				return c.term.WriteJSON(map[string]string{"key": key})
			}
			_, err := fmt.Fprintln(c.stdout, key)
			return err
		},
	}
	return group("secrets", "Make keys that encrypt secrets at rest", secretsLong, `
(umask 077 && orchestrix secrets generate-key > secret.keys)
orchestrix serve --secret-key-file secret.keys`, generate)
}
