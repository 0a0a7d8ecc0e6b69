package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/orchestrix/orchestrix/app"
	"github.com/orchestrix/orchestrix/observability"
	"github.com/orchestrix/orchestrix/store/engine"
)

const serveLong = `Run the server: the REST API, the store, and the dispatcher that pushes jobs.

On a loopback address no API key is needed. On any other the server wants a root
key, from ORCHESTRIX_ROOT_KEY or --root-key-file; make one with
"orchestrix api-keys generate".

Pushes only go to public addresses, so that nobody can reach your network through
the server; --allow-cidr names the private ones that are allowed.

Several servers may use one store on Redis: each serves the API and a part of the
queues, and takes over from one that dies within seconds. --roles has a server do
only one of the two.

SIGTERM or Ctrl-C drains: no new push, those under way are finished within
--drain-grace. A second signal ends the process at once; jobs are never lost by
that, but pushes under way are made again by the next start.`

const serveExample = `
orchestrix serve
orchestrix serve --store embedded:/var/lib/orchestrix --allow-cidr 10.0.0.0/8
orchestrix serve --allow-cidr 127.0.0.0/8,::1/128      # workers on this machine
ORCHESTRIX_ROOT_KEY=... orchestrix serve --listen 0.0.0.0:8080 --tls-cert cert.pem --tls-key key.pem`

// logFlags say how a server logs.
type logFlags struct{ level, format string }

func (c *cli) serveCommand() *cobra.Command {
	config := app.Defaults()
	var log logFlags
	cmd := &cobra.Command{
		Use: "serve", Short: "Run the server", Long: serveLong, Example: indent(serveExample),
		Args: cobra.NoArgs, Annotations: map[string]string{configures: "yes"},
		RunE: func(cmd *cobra.Command, _ []string) error { return c.serve(cmd.Context(), config, log) },
	}
	flags := cmd.Flags()
	serverFlags(flags, &config)
	log.addTo(flags, "info")
	return cmd
}

// serverFlags are those that make up an app.Config.
func serverFlags(flags *pflag.FlagSet, c *app.Config) {
	flags.StringVar(&c.Listen, "listen", c.Listen, "the `address` of the API")
	flags.StringVar(&c.Store, "store", c.Store, "where jobs are kept: embedded:<`directory`>, memory: or redis://<host>")
	flags.BoolVar(&c.StoreMustExist, "store-must-exist", false, "refuse to begin an empty store: one that is not there was lost")
	flags.StringVar(&c.Durability, "durability", "", "the `mode` of writes to Redis: memory, aof (where left out) or replicas=N")
	flags.IntVar(&c.Shards, "shards", c.Shards, "shards of a new store; 0 means 64, or what an existing one has")
	flags.StringSliceVar(&c.Roles, "roles", c.Roles, "what this `node` of several does: api, dispatch")
	flags.StringVar(&c.EgressProxy, "egress-proxy", "", "the `url` of a proxy that pushes go through, such as http://user:password@proxy:3128")
	flags.StringSliceVar(&c.AllowCIDR, "allow-cidr", nil, "a private `network` that pushes may go to; may be repeated")
	flags.StringVar(&c.RootKey, "root-key", "", "the `key` that may do everything; better given as ORCHESTRIX_ROOT_KEY")
	flags.StringVar(&c.RootKeyFile, "root-key-file", "", "a `file` that holds the root key")
	flags.StringVar(&c.SecretKeyFile, "secret-key-file", "", "a `file` of keys that encrypt secrets in the store, the one in use first")
	flags.StringVar(&c.TLSCert, "tls-cert", "", "serve HTTPS with the certificate in this PEM `file`")
	flags.StringVar(&c.TLSKey, "tls-key", "", "the certificate's private key, a PEM `file`")
	flags.StringVar(&c.PublicURL, "public-url", "", "the `url` at which workers report to this server; not needed on loopback")
	flags.Var((*durationValue)(&c.DrainGrace), "drain-grace", "how `long` pushes under way may take at the end")
	flags.IntVar(&c.MaxPayload, "max-payload", c.MaxPayload, "the largest payload in `bytes`")
	flags.IntVar(&c.MaxInFlight, "max-in-flight", c.MaxInFlight, "pushes under way at once, over all queues")
	flags.IntVar(&c.WindowBytes, "window-bytes", c.WindowBytes, "`bytes` of ready payloads kept in memory")
	flags.IntVar(&c.QueueConcurrency, "queue-concurrency", c.QueueConcurrency, "pushes at once of a queue that has none configured")
	flags.IntVar(&c.MaxSchedules, "max-schedules", c.MaxSchedules, "schedules that the store may have")
	flags.Var((*durationValue)(&c.Timeout), "timeout", "the longest `duration` of an attempt where nobody says otherwise")
	flags.Var((*durationValue)(&c.Retention), "retention", "how `long` an ended job is kept whose queue says nothing else, such as 12h or 30d")
	flags.Var((*durationValue)(&c.RetentionDead), "retention-dead", "how `long` a dead one is, if that is longer")
	flags.Var((*durationValue)(&c.IdempotencyTTL), "idempotency-ttl", "how `long` an idempotency key is held after its job's end")
	// It would show in the list of processes: there, but not advertised.
	if err := flags.MarkHidden("root-key"); err != nil {
		panic(err) // the flag is defined above
	}
}

func (l *logFlags) addTo(flags *pflag.FlagSet, level string) {
	flags.StringVar(&l.level, "log-level", level, "debug, info, warn or error")
	flags.StringVar(&l.format, "log-format", "auto", "text, json, or auto: text on a terminal, else json")
}

// logger returns the log on w.
func (l logFlags) logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(l.level)); err != nil {
		return nil, usagef("--log-level must be debug, info, warn or error, not %q", l.level)
	}
	format, err := observability.ParseLogFormat(l.format)
	if err != nil {
		return nil, usagef("--log-format: %w", err)
	}
	return observability.NewLogger(w, level, format), nil
}

func (c *cli) serve(ctx context.Context, config app.Config, log logFlags) error {
	logger, err := log.logger(c.stderr)
	if err != nil {
		return err
	}
	tuneMemory()
	config.Logger, config.Version = logger, version()
	a, err := c.newApp(ctx, config)
	if err != nil {
		return err
	}
	if err := c.sayListening(a.URL()); err != nil {
		return errors.Join(err, a.Close(ctx))
	}
	return a.Run(ctx)
}

// newApp assembles a server and tells wrong configuration from other failures.
func (c *cli) newApp(ctx context.Context, config app.Config) (*app.App, error) {
	if err := config.Validate(); err != nil {
		return nil, usageError{err}
	}
	a, err := app.New(ctx, config)
	if errors.Is(err, engine.ErrLocked) || errors.Is(err, engine.ErrCorrupt) {
		return nil, failure{err.Error()}
	}
	if err != nil {
		return nil, failure{fmt.Sprintf("cannot start: %v", err)}
	}
	return a, nil
}

// sayListening writes one line to standard output, for whoever started the
// server and has to know its port.
func (c *cli) sayListening(url string) error {
	var err error
	if c.term.JSON {
		_, err = fmt.Fprintf(c.stdout, `{"url":%q}`+"\n", url)
	} else {
		_, err = fmt.Fprintf(c.stdout, "orchestrix %s is listening on %s\n", version(), url)
	}
	return err
}

// The memory of a server. What lives in its heap is small next to what it
// allocates for requests that last milliseconds: letting the heap grow fourfold
// between two collections took the collector from five percent of the CPU to
// one. The limit takes that back where the heap is large, so that a burst of
// large payloads does not multiply the process. Whoever sets GOGC or GOMEMLIMIT
// knows the machine better.
const (
	gcPercent   = 300
	memoryLimit = 384 << 20
)

func tuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
}
