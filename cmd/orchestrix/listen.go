package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/cmd/orchestrix/internal/receiver"
	"github.com/orchestrix/orchestrix/webhook"
)

// listenFlags are those of the listen command.
type listenFlags struct {
	addr     string
	name     string
	url      string
	queues   []string
	secret   string
	public   []string
	status   int
	failRate float64
	delay    time.Duration
	count    int
}

const listenLong = `Run a local worker that verifies each push and prints it, one line each.

With --queue it registers itself at the server and unregisters at its end. For
that the server must allow pushes to this address: start it with
--allow-cidr 127.0.0.0/8. Without --queue it only listens, and prints the secret
to register it with.

--status, --fail-rate and --delay let it play a bad worker.`

const listenExample = `
orchestrix listen --queue emails
orchestrix listen --queue emails --fail-rate 0.3 --delay 200ms
orchestrix listen --queue emails --status 410
orchestrix listen --addr 127.0.0.1:9000 --secret whsec_...`

func (c *cli) listenCommand() *cobra.Command {
	var f listenFlags
	cmd := &cobra.Command{
		Use: "listen", Short: "Run a local worker that prints verified pushes", Long: listenLong, Example: indent(listenExample),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.failRate < 0 || f.failRate > 1 {
				return usagef("--fail-rate must be from 0 to 1")
			}
			if f.status < 200 || f.status > 599 {
				return usagef("--status must be an HTTP status from 200 to 599")
			}
			if len(f.public) > 0 && (f.secret != "" || len(f.queues) > 0) {
				return usagef("--public-key is for a worker that is registered already: it goes with neither --secret nor --queue")
			}
			return c.listen(cmd.Context(), f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.addr, "addr", "127.0.0.1:0", "the `address` to listen on; port 0 takes a free one")
	flags.StringSliceVar(&f.queues, "queue", nil, "register as a worker of this `queue`; may be repeated")
	flags.StringVar(&f.name, "name", "", "the worker's `name`; listen-<port> otherwise")
	flags.StringVar(&f.url, "url", "", "the `URL` the server reaches this worker by; http://<address> otherwise")
	flags.StringVar(&f.secret, "secret", "", "the signing `secret`, whsec_...; one is made otherwise")
	flags.StringSliceVar(&f.public, "public-key", nil, "verify by this public `key`, whpk_..., and no secret; may be repeated")
	flags.IntVar(&f.status, "status", http.StatusOK, "the HTTP `status` to answer with")
	flags.Float64Var(&f.failRate, "fail-rate", 0, "answer 500 to this `share` of the pushes, from 0 to 1")
	flags.DurationVar(&f.delay, "delay", 0, "wait this `long` before each answer")
	flags.IntVar(&f.count, "count", 0, "end after this `many` pushes; 0 is without end")
	return cmd
}

// listener is the worker of the listen command.
type listener struct {
	c *cli
	f listenFlags
	// done is closed after f.count pushes.
	done func()

	mu   sync.Mutex // of the output and the count
	seen int
}

func (c *cli) listen(ctx context.Context, f listenFlags) error {
	secret, err := secretOf(f.secret)
	if err != nil {
		return usageError{err}
	}
	verifier, err := verifierOf(secret, f.public)
	if err != nil {
		return usageError{err}
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	l := &listener{c: c, f: f, done: stop}
	server, err := receiver.Listen(ctx, f.addr, &receiver.Receiver{
		Verifier: verifier, Handle: l.handle, Refused: l.refused,
	})
	if err != nil {
		return fmt.Errorf("listen: %w; choose another --addr, port 0 takes a free one", err)
	}
	unregister, err := l.register(ctx, server, secret)
	if err != nil {
		return errors.Join(err, server.Close(ctx, 0))
	}
	<-ctx.Done()
	unregister()
	return server.Close(ctx, 5*time.Second)
}

// verifierOf verifies by the public keys where there are some, else by the secret.
func verifierOf(secret webhook.Secret, public []string) (*webhook.Verifier, error) {
	if len(public) == 0 {
		return &webhook.Verifier{Secrets: []webhook.Secret{secret}}, nil
	}
	v := &webhook.Verifier{}
	for _, text := range public {
		key, err := webhook.ParsePublicKey(text)
		if err != nil {
			return nil, err
		}
		v.PublicKeys = append(v.PublicKeys, key)
	}
	return v, nil
}

func secretOf(text string) (webhook.Secret, error) {
	if text == "" {
		return webhook.NewSecret(), nil
	}
	return webhook.ParseSecret(text)
}

// registerTimeout bounds how long the server may take to register the worker,
// and to forget it.
const registerTimeout = 10 * time.Second

// register tells the server of this worker, where a queue is named, and returns
// what takes that back.
func (l *listener) register(ctx context.Context, server *receiver.Server, secret webhook.Secret) (func(), error) {
	_, port, _ := net.SplitHostPort(server.Addr())
	name, url := cmp.Or(l.f.name, "listen-"+port), cmp.Or(l.f.url, server.URL())
	if len(l.f.public) > 0 {
		l.c.term.Note("listening on %s for pushes signed with the private key", server.URL())
		return func() {}, nil
	}
	if len(l.f.queues) == 0 {
		l.c.term.Note("listening on %s; register it with:\n  orchestrix workers set %s --url %s --queue default --signing-secret %s", server.URL(), name, url, secret.Reveal())
		return func() {}, nil
	}
	api, err := l.c.client()
	if err != nil {
		return nil, err
	}
	config := client.WorkerConfig{URL: url, Queues: l.f.queues, SigningSecret: secret.Reveal()}
	// Not cut short by Ctrl-C, nor by a push that is faster than the answer: what
	// is registered must be known to be, so that it can be taken back.
	registering, cancel := context.WithTimeout(context.WithoutCancel(ctx), registerTimeout)
	defer cancel()
	if _, err := api.PutWorker(registering, name, config); err != nil {
		return nil, err
	}
	l.c.term.Note("worker %s listens on %s for %s; Ctrl-C ends and unregisters it", name, server.URL(), strings.Join(l.f.queues, ", "))
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), registerTimeout)
		defer cancel()
		if err := api.DeleteWorker(ctx, name); err != nil && !client.HasStatus(err, http.StatusNotFound) {
			l.c.term.Note("worker %s is still registered: %v; remove it with: orchestrix workers delete %s", name, err, name)
		}
	}, nil
}

func (l *listener) handle(w http.ResponseWriter, r *http.Request, p *receiver.Push) {
	if l.f.delay > 0 {
		select {
		case <-time.After(l.f.delay):
		case <-r.Context().Done(): // the server gave up: there is nobody to answer
		}
	}
	status := l.f.status
	if l.f.failRate > 0 && rand.Float64() < l.f.failRate {
		status = http.StatusInternalServerError
	}
	l.print(p, status)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if status != http.StatusNoContent && status != http.StatusNotModified {
		fmt.Fprintf(w, `{"received":%q}`, p.ID)
	}
}

// receivedLine is one push as JSON.
type receivedLine struct {
	At      time.Time `json:"at"`
	ID      string    `json:"id"`
	Queue   string    `json:"queue"`
	Type    string    `json:"type"`
	Key     string    `json:"key,omitempty"`
	Attempt int       `json:"attempt"`
	Status  int       `json:"status"`
	Body    string    `json:"body"`
}

func (l *listener) print(p *receiver.Push, status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.c.term.JSON {
		line := receivedLine{p.ReceivedAt.UTC(), p.ID, p.Queue, p.Type, p.Key, p.Attempt, status, string(p.Body)}
		if err := json.NewEncoder(l.c.stdout).Encode(line); err != nil {
			l.done() // nobody reads
		}
	} else {
		fmt.Fprintf(l.c.stdout, "%s  %s  %s/%s  attempt %d/%d  -> %s  %s\n", p.ReceivedAt.Format("15:04:05.000"),
			p.ID, p.Queue, p.Type, p.Attempt, p.MaxAttempts, l.c.term.Paint(fmt.Sprint(status)), oneLine(string(p.Body), 100))
	}
	if l.seen++; l.seen == l.f.count {
		l.done()
	}
}

func (l *listener) refused(h http.Header, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.c.term.Note("refused a request: %v (webhook-id %q)", err, oneLine(h.Get(webhook.HeaderID), 64))
}
