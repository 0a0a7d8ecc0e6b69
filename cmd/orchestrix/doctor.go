package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/orchestrix/orchestrix/app"
	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/cmd/orchestrix/internal/doctor"
	"github.com/orchestrix/orchestrix/cmd/orchestrix/internal/terminal"
)

const doctorLong = `Look for what most often keeps a server from working well: its configuration, the
directory and how fast its disk is, the port, the limit on open files, and, where
a server is running, whether it is ready, the clocks agree, the API key works and
the workers can be connected to.

It takes the flags of serve, so that it checks what serve would use. The exit
code is 1 where a check failed.`

func (c *cli) doctorCommand() *cobra.Command {
	config := app.Defaults()
	cmd := &cobra.Command{
		Use: "doctor", Short: "Check configuration, disk, port, server and workers", Long: doctorLong,
		Example: indent("orchestrix doctor\norchestrix doctor --store embedded:/var/lib/orchestrix --listen 0.0.0.0:8080"),
		Args:    cobra.NoArgs, Annotations: map[string]string{configures: "yes"},
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.doctor(cmd.Context(), config, cmd.Flags().Changed("server"))
		},
	}
	serverFlags(cmd.Flags(), &config)
	return cmd
}

func (c *cli) doctor(ctx context.Context, config app.Config, expected bool) error {
	// A check-up that repeats calls would hide what it is for.
	api, err := c.client(client.WithRetries(0))
	if err != nil {
		return err
	}
	progress := c.term.Progress()
	checks := doctor.Run(ctx, doctor.Options{
		Config: config, API: api, Expected: expected,
		Step: func(name string) { progress.Update("checking: %s", name) },
	})
	progress.Done()
	if err := c.showChecks(checks); err != nil {
		return err
	}
	if doctor.AnyFailed(checks) {
		return errSilent
	}
	return nil
}

func (c *cli) showChecks(checks []doctor.Check) error {
	if c.term.JSON {
		return c.term.WriteJSON(checks)
	}
	t := terminal.Table{Header: []string{"check", "result", "found", "what to do"}, Status: 1}
	for _, check := range checks {
		t.Rows = append(t.Rows, []string{check.Name, string(check.Result), check.Found, check.Advice})
	}
	return c.term.WriteTable(t)
}
