package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/cmd/orchestrix/internal/terminal"
)

// cli is what all commands of one run share.
type cli struct {
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	server string
	apiKey string
	output string
	term   *terminal.Terminal
}

// run carries out one command line and returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	c := &cli{stdin: stdin, stdout: stdout, stderr: stderr}
	root := c.root() //nolint:contextcheck // cobra hands the context to each command
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	code := exitCode(ctx, err)
	if text := c.complaint(cmd, err, code); text != "" {
		fmt.Fprintln(stderr, text)
	}
	return code
}

// complaint is what is written of an error, "" where all has been said.
func (c *cli) complaint(cmd *cobra.Command, err error, code int) string {
	switch {
	case err == nil, errors.Is(err, errSilent), code == exitInterrupted:
		return ""
	case code == exitUsage:
		return fmt.Sprintf("orchestrix: %v\nSee: %s --help", err, cmd.CommandPath())
	}
	return "orchestrix: " + explain(err, c.server)
}

const rootLong = `Orchestrix pushes jobs to webhooks. A client enqueues a job over REST; the
server pushes it to a worker as a signed HTTP request, retries it until it
succeeds or is dead, and shows all of it.

Start here:
  orchestrix dev                     a server, a sample worker and sample jobs
  orchestrix serve                   the server alone, on http://127.0.0.1:8080
  orchestrix listen --queue emails   a local worker that prints what it receives
  orchestrix enqueue --queue emails '{"to":"ada@example.com"}'
  orchestrix jobs list

Every global flag can be set in the environment: ORCHESTRIX_URL for --server,
ORCHESTRIX_KEY for --api-key, ORCHESTRIX_OUTPUT for --output. The flags of serve
are ORCHESTRIX_<FLAG> too, and keys of the YAML file named by --config; flags
win over the environment, and the environment over the file.

Exit codes: 0 done, 1 something failed, 2 wrong usage, 3 server unreachable,
4 server refused, 130 interrupted.`

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:               "orchestrix",
		Short:             "A self-hosted HTTP push dispatcher",
		Long:              rootLong,
		SilenceErrors:     true,
		SilenceUsage:      true,
		Args:              cobra.NoArgs,
		PersistentPreRunE: c.prepare,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	flags := root.PersistentFlags()
	flags.StringVar(&c.server, "server", client.DefaultURL, "the server's `URL` (ORCHESTRIX_URL)")
	flags.StringVar(&c.apiKey, "api-key", "", "the API `key`; not needed on loopback (ORCHESTRIX_KEY)")
	flags.StringVarP(&c.output, "output", "o", "table", "`format` of the output: table or json")
	flags.String("config", "", "a YAML `file` with settings (ORCHESTRIX_CONFIG)")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(
		c.serveCommand(), c.devCommand(), c.enqueueCommand(), c.jobsCommand(), c.workersCommand(),
		c.queuesCommand(), c.operationsCommand(), c.apiKeysCommand(), c.nodesCommand(), c.schedulesCommand(), c.secretsCommand(),
		c.storeCommand(), c.listenCommand(), c.benchCommand(), c.doctorCommand(),
		c.versionCommand(),
	)
	root.CompletionOptions.HiddenDefaultCmd = true
	checkArguments(root)
	return root
}

// checkArguments turns the complaints of cobra about arguments into usage
// errors, for the exit code and the hint.
func checkArguments(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usageError{err}
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		checkArguments(sub)
	}
}

func (c *cli) prepare(cmd *cobra.Command, _ []string) error {
	if err := applySettings(cmd); err != nil {
		return err
	}
	if c.output != "table" && c.output != "json" {
		return usagef("--output must be table or json, not %q", c.output)
	}
	c.term = terminal.New(c.stdout, c.stderr, c.output == "json")
	return nil
}

// cliRetries rides out a moment without making a person wait for what will not
// come: less than a second in all.
const cliRetries = 2

// client returns a client for the server that the flags name.
func (c *cli) client(options ...client.Option) (*client.Client, error) {
	own := []client.Option{client.WithKey(c.apiKey), client.WithUserAgent("orchestrix-cli/" + version()), client.WithRetries(cliRetries)}
	options = append(own, options...)
	api, err := client.New(c.server, options...)
	if err != nil {
		return nil, usageError{err}
	}
	return api, nil
}

// group returns a command that only holds others; called by itself it shows
// them, and a word that is none of them is an error.
func group(use, short, long, example string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long, Example: indent(example),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("there is no command %q in %q", args[0], cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(commands...)
	return cmd
}

// indent sets examples two spaces in, as cobra shows them.
func indent(example string) string {
	lines := strings.Split(strings.Trim(example, "\n"), "\n")
	for i, line := range lines {
		if line != "" {
			lines[i] = "  " + line
		}
	}
	return strings.Join(lines, "\n")
}
