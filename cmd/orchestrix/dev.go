package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/orchestrix/orchestrix/app"
	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/cmd/orchestrix/internal/dev"
)

const devLong = `Start a server, a sample worker and sample jobs at once, and show what happens.

The server keeps its jobs in a temporary directory, removed at the end, or in
--dir. The sample worker verifies each push; with URLs of your own the sample
jobs go there instead. Loopback addresses are allowed.

Some jobs succeed at once, some fail first and are retried, some are delayed, one
is cancelled, one expires and two die. Without --exit new jobs keep coming until
Ctrl-C; with it the command ends when the first ones have, and says whether each
ended as it should: exit code 0 if so, else 1.`

const devExample = `
orchestrix dev
orchestrix dev --exit
orchestrix dev http://127.0.0.1:3000/webhooks
orchestrix dev --dir ./data --listen 127.0.0.1:9090`

// devFlags are those of the dev command.
type devFlags struct {
	dir     string
	listen  string
	exit    bool
	timeout time.Duration
	allow   []string
	log     logFlags
}

func (c *cli) devCommand() *cobra.Command {
	var f devFlags
	cmd := &cobra.Command{
		Use: "dev [URL...]", Short: "Start a server with a sample worker and sample jobs", Long: devLong, Example: indent(devExample),
		RunE: func(cmd *cobra.Command, args []string) error { return c.dev(cmd.Context(), f, args) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.dir, "dir", "", "keep the jobs in this `directory`; a temporary one otherwise")
	flags.StringVar(&f.listen, "listen", "", "the `address` of the API; 127.0.0.1:8080 where it is free, else any")
	flags.BoolVar(&f.exit, "exit", false, "end when the sample jobs have ended")
	flags.DurationVar(&f.timeout, "timeout", dev.DefaultTimeout, "with --exit, how long the sample jobs may take")
	flags.StringSliceVar(&f.allow, "allow-cidr", nil, "a private `network` that pushes may go to beside loopback")
	f.log.addTo(flags, "warn")
	return cmd
}

// loopback is what dev allows pushes to by itself.
func loopback() []string { return []string{"127.0.0.0/8", "::1/128"} }

func (c *cli) dev(ctx context.Context, f devFlags, urls []string) error {
	logger, err := f.log.logger(c.stderr)
	if err != nil {
		return err
	}
	dir, remove, err := devDir(f.dir)
	if err != nil {
		return err
	}
	defer remove()
	config := app.Defaults()
	config.Store, config.Listen, config.Logger, config.Version = "embedded:"+dir, devListen(ctx, f), logger, version()
	config.AllowCIDR = append(loopback(), f.allow...)
	config.DrainGrace = 5 * time.Second // samples take at most 300 ms
	a, err := c.newApp(ctx, config)
	if err != nil {
		return err
	}
	return c.devRun(ctx, a, f, urls)
}

// devRun runs the server for as long as the samples do.
func (c *cli) devRun(ctx context.Context, a *app.App, f devFlags, urls []string) error {
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	served := make(chan error, 1)
	samples, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		err := a.Run(serving)
		if err != nil {
			cancel(err)
		}
		served <- err
	}()
	// The samples see the address as everybody else would; --server is not meant.
	c.server = a.URL()
	api, err := client.New(a.URL(), client.WithUserAgent("orchestrix-dev/"+version()))
	if err != nil {
		return err
	}
	summary, err := dev.Run(samples, dev.Options{API: api, Terminal: c.term, URLs: urls, Exit: f.exit, Timeout: f.timeout})
	stop()
	if runErr := <-served; runErr != nil {
		return failure{runErr.Error()}
	}
	if err != nil && !errors.Is(err, dev.ErrUnexpected) {
		return err
	}
	if !f.exit {
		c.term.Note("ended; nothing is left behind")
		return nil
	}
	return c.devSummary(summary, err)
}

func (c *cli) devSummary(s dev.Summary, unexpected error) error {
	if !c.term.JSON && c.term.Live {
		fmt.Fprintln(c.stdout)
	}
	if err := dev.WriteSummary(c.term, s); err != nil {
		return err
	}
	if unexpected != nil {
		return failure{unexpected.Error()}
	}
	return nil
}

// devDir returns the directory of the store, and what removes a temporary one.
func devDir(dir string) (string, func(), error) {
	if dir != "" {
		return dir, func() {}, nil
	}
	dir, err := os.MkdirTemp("", "orchestrix-dev-")
	if err != nil {
		return "", nil, fmt.Errorf("make a temporary directory: %w; name one with --dir", err)
	}
	return dir, func() { os.RemoveAll(dir) }, nil
}

// devListen is the usual address where it is free, so that the examples of the
// documentation work as they are; --exit is for scripts, and takes any.
func devListen(ctx context.Context, f devFlags) string {
	switch {
	case f.listen != "":
		return f.listen
	case f.exit:
		return "127.0.0.1:0"
	}
	usual := app.Defaults().Listen
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", usual)
	if err != nil || l.Close() != nil {
		return "127.0.0.1:0"
	}
	return usual
}
