package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/job"
)

const workersExample = `
orchestrix workers set mailer --url https://example.com/hook --queue emails,sms --concurrency 20
orchestrix workers list
orchestrix workers pause mailer
orchestrix workers rotate-secret mailer`

func (c *cli) workersCommand() *cobra.Command {
	return group("workers", "Register and see workers", "A worker is a webhook URL that serves queues.", workersExample,
		c.workersListCommand(), c.workersSetCommand(), c.workersDeleteCommand(),
		c.workerVerb("get", "Show a worker", (*client.Client).Worker),
		c.workersPauseCommand(), c.workersRotateCommand(), c.workersRotateKeyCommand(), c.workersTestCommand(),
		c.workerVerb("resume", "Let pushes go to a worker again", (*client.Client).ResumeWorker),
	)
}

// collect reads a whole list, with progress.
func collect[T any](c *cli, what string, seq iter.Seq2[T, error]) ([]T, error) {
	progress := c.term.Progress()
	defer progress.Done()
	items := []T{}
	for item, err := range seq {
		if err != nil {
			return nil, err
		}
		items = append(items, item)
		progress.Update("%d %s read", len(items), what)
	}
	return items, nil
}

func (c *cli) workersListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List all workers", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := c.client()
			if err != nil {
				return err
			}
			workers, err := collect(c, "workers", api.Workers(cmd.Context()))
			if err != nil {
				return err
			}
			if c.term.JSON {
				return c.term.WriteJSON(workers)
			}
			if len(workers) == 0 {
				c.term.Note("no workers yet; register one with: orchestrix workers set <name> --url <URL> --queue <queue>")
				return nil
			}
			return c.term.WriteTable(workerTable(workers, time.Now()))
		},
	}
}

func (c *cli) workersSetCommand() *cobra.Command {
	var config client.WorkerConfig
	var timeout, auth string
	var headers []string
	var protection protectionFlags
	cmd := &cobra.Command{
		Use: "set <name>", Short: "Register a worker, or replace its configuration", Args: cobra.ExactArgs(1),
		Long: `Register a worker, or replace its configuration: what is not given is reset.

The answer to a registration shows the signing secret, once. The worker needs it
to verify what it receives; the server never shows it again.`,
		Example: indent("orchestrix workers set mailer --url https://example.com/hook --queue emails,sms --concurrency 20"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if config.Headers, err = pairs("header", headers); err != nil {
				return usageError{err}
			}
			if timeout != "" {
				if config.Timeout, err = job.ParseDuration(timeout); err != nil {
					return usagef("--timeout %q is %w", timeout, err)
				}
			}
			if config.Auth, err = workerAuth(auth, c.stdin); err != nil {
				return usageError{err}
			}
			if err := protection.read(&config); err != nil {
				return err
			}
			api, err := c.client()
			if err != nil {
				return err
			}
			w, err := api.PutWorker(cmd.Context(), args[0], config)
			if err != nil {
				return err
			}
			return c.showWorker(w)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&config.URL, "url", "", "where pushes go")
	flags.StringSliceVar(&config.Queues, "queue", nil, "a `queue` it serves; may be repeated, or separated by commas")
	flags.IntVar(&config.Concurrency, "concurrency", 0, "pushes in flight at once on each queue; 0 leaves it to the queue")
	flags.StringVar(&timeout, "timeout", "", "the longest `duration` of one attempt")
	flags.StringArrayVar(&headers, "header", nil, "a `name:value` to add to each push; may be repeated")
	flags.StringVar(&auth, "auth", "", "how the worker is told who pushes, as JSON: `@file`, or - for standard input, keeps secrets out of the list of processes")
	flags.IntVar(&config.Weight, "weight", 0, "its share among the workers of a queue; 0 means 1")
	flags.StringVar(&config.OnGone, "on-gone", "", "what a 410 does to the worker: pause (default) or ignore")
	flags.StringVar(&config.SigningSecret, "signing-secret", "", "a `whsec_...` of yours; one is made otherwise")
	flags.StringVar(&config.SigningKey, "signing-key", "", "sign with an ed25519 key pair too: `generate`, whsk_... of yours, or none")
	protection.addTo(flags, &config)
	for _, name := range []string{"url", "queue"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the flag is defined above
		}
	}
	return cmd
}

// workerAuth reads the value of --auth; what is wrong with it is not repeated.
func workerAuth(text string, stdin io.Reader) (*client.WorkerAuth, error) {
	data := []byte(text)
	var err error
	switch {
	case text == "":
		return nil, nil
	case text == "-":
		data, err = io.ReadAll(stdin)
	case text[0] == '@':
		data, err = os.ReadFile(text[1:])
	}
	if err != nil {
		return nil, fmt.Errorf("--auth: %w", err)
	}
	auth := new(client.WorkerAuth)
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if decoder.Decode(auth) != nil || auth.Type == "" {
		return nil, errors.New(`--auth is not the JSON of an auth, such as {"type": "bearer", "token": "..."}`)
	}
	return auth, nil
}

func (c *cli) workersDeleteCommand() *cobra.Command {
	return &cobra.Command{
		Use: "delete <name>", Short: "Remove a worker; its queues keep their jobs", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := c.client()
			if err != nil {
				return err
			}
			if err := api.DeleteWorker(cmd.Context(), args[0]); err != nil {
				return err
			}
			return c.deleted("worker", args[0])
		},
	}
}

// deleted confirms that something is gone.
func (c *cli) deleted(what, name string) error {
	if c.term.JSON {
		return c.term.WriteJSON(map[string]string{"deleted": name})
	}
	_, err := fmt.Fprintf(c.stdout, "%s %s deleted\n", what, name)
	return err
}

func (c *cli) workerVerb(verb, short string, do func(*client.Client, context.Context, string) (*client.Worker, error)) *cobra.Command {
	return &cobra.Command{
		Use: verb + " <name>", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := c.client()
			if err != nil {
				return err
			}
			w, err := do(api, cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return c.showWorker(w)
		},
	}
}

func (c *cli) workersPauseCommand() *cobra.Command {
	var reason string
	cmd := c.workerVerb("pause", "Stop pushes to a worker", func(api *client.Client, ctx context.Context, name string) (*client.Worker, error) {
		return api.PauseWorker(ctx, name, reason)
	})
	cmd.Flags().StringVar(&reason, "reason", "", "why, for people")
	return cmd
}

// graceOf reads the value of --grace; nil where it was not given.
func graceOf(text string) (*job.Duration, error) {
	if text == "" {
		return nil, nil
	}
	d, err := job.ParseDuration(text)
	if err != nil {
		return nil, usagef("--grace %q is %w", text, err)
	}
	return &d, nil
}

func (c *cli) workersRotateKeyCommand() *cobra.Command {
	var grace, key string
	cmd := c.workerVerb("rotate-key", "Give a worker a new ed25519 key pair", func(api *client.Client, ctx context.Context, name string) (*client.Worker, error) {
		d, err := graceOf(grace)
		if err != nil {
			return nil, err
		}
		return api.RotateKey(ctx, name, client.KeyRotation{Grace: d, SigningKey: key})
	})
	cmd.Long = `Give a worker that signs with a key pair a new one, and show its public key.
Pushes are signed with both until the grace is over.`
	cmd.Flags().StringVar(&grace, "grace", "", "how `long` the key before still signs; 24h otherwise")
	cmd.Flags().StringVar(&key, "signing-key", "", "a `whsk_...` of yours; one is made otherwise")
	return cmd
}

func (c *cli) workersRotateCommand() *cobra.Command {
	var grace, secret string
	cmd := c.workerVerb("rotate-secret", "Give a worker a new signing secret", func(api *client.Client, ctx context.Context, name string) (*client.Worker, error) {
		d, err := graceOf(grace)
		if err != nil {
			return nil, err
		}
		return api.RotateSecret(ctx, name, client.Rotation{Grace: d, Secret: secret})
	})
	cmd.Long = `Give a worker a new signing secret. Pushes are signed with both secrets until the
grace is over, so that the worker can take its time to learn the new one.`
	cmd.Flags().StringVar(&grace, "grace", "", "how `long` the secret before still signs; 24h otherwise")
	cmd.Flags().StringVar(&secret, "secret", "", "a `whsec_...` of yours; one is made otherwise")
	return cmd
}

func (c *cli) showWorker(w *client.Worker) error {
	if c.term.JSON {
		return c.term.WriteJSON(w)
	}
	now := time.Now()
	var f fields
	f.add("worker", w.Name)
	f.add("url", w.URL)
	f.add("queues", strings.Join(w.Queues, ", "))
	f.add("state", workerState(*w, now))
	if w.Auth != nil {
		f.add("auth", w.Auth.Type)
	}
	if at := w.CertificateExpiresAt; !at.IsZero() {
		f.add("certificate ends", ago(at, now))
	}
	f.add("paused because", w.PauseReason)
	f.add("circuits", circuitsText(w.Circuits, now))
	f.add("in flight", fmt.Sprint(w.InFlight))
	f.add("succeeded", fmt.Sprintf("%d (last %s)", w.Succeeded, ago(w.LastSuccessAt, now)))
	f.add("failed", fmt.Sprintf("%d (last %s)", w.Failed, ago(w.LastFailureAt, now)))
	for _, key := range w.PublicKeys {
		f.add("public key", key)
	}
	f.add("secret", w.Secret)
	if err := c.showFields(f); err != nil {
		return err
	}
	if w.Secret != "" {
		c.term.Note("Keep the secret: it is shown only now, and the worker needs it to verify what it receives.")
	}
	return nil
}
