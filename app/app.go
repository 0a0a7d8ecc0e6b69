package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/orchestrix/orchestrix/api/front"
	"github.com/orchestrix/orchestrix/cluster"
	"github.com/orchestrix/orchestrix/control"
	"github.com/orchestrix/orchestrix/dispatcher"
	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/observability"
	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/store/sealed"
	"github.com/orchestrix/orchestrix/webhook/push"
)

// App is an assembled coordinator. Run it once, or Close it.
type App struct {
	config   Config
	log      *slog.Logger
	listener net.Listener
	server   *http.Server
	front    *front.Listener // nil under TLS
	store    *store.Store
	dispatch *dispatcher.Dispatcher
	node     string
	member   *cluster.Member // nil where the store is this process's alone
	alone    *cluster.Alone  // nil where it is not
	lock     cluster.Lock    // by which a leader is elected
	control  *control.Control
	metrics  *observability.Metrics
	cleanups []cleanup
}

// cleanup is what one part leaves to be done; they are run in reverse order.
type cleanup struct {
	name string
	run  func(context.Context) error
}

// New opens the store, takes the address and assembles the rest. It serves
// nothing before Run. Where it fails, nothing is left open.
func New(ctx context.Context, config Config) (*App, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	a := &App{config: config.withDefaults(), node: cluster.NewID(), lock: cluster.Sole{}}
	a.log, a.metrics = a.config.Logger, observability.NewMetrics(a.config.Version)
	if err := a.assemble(ctx); err != nil {
		return nil, errors.Join(err, a.Close(ctx))
	}
	return a, nil
}

func (a *App) assemble(ctx context.Context) error {
	// The address first: to fail on it costs nothing.
	if err := a.listen(ctx); err != nil {
		return err
	}
	st, durability, err := a.openStore(ctx)
	if err != nil {
		return err
	}
	a.store = st
	prefixes, err := a.config.prefixes()
	if err != nil {
		return err
	}
	guard := push.NewGuard(prefixes, false)
	proxy, err := a.config.proxy()
	if err != nil {
		return err
	}
	pusher := push.New(push.Options{Guard: guard, Proxy: proxy, UserAgent: "Orchestrix/" + a.config.Version})
	a.onClose("push client", func(context.Context) error { pusher.Close(); return nil })
	a.dispatch = dispatcher.New(dispatcher.Options{
		Store: st, Push: pusher, Logger: a.log, MaxInFlight: a.config.MaxInFlight, WindowBytes: a.config.WindowBytes,
		Shared: a.config.shared(), Lease: a.lease(), Node: a.node,
		Callback:  a.callback(),
		OnGone:    func(worker string) { a.control.WorkerGone(worker, time.Now()) },
		OnFailing: func(f dispatcher.Failing) { a.control.WorkerFailing(f) },
		Meter:     a.metrics,
	})
	a.join(st)
	return a.assembleControl(ctx, st, guard, pusher, durability)
}

func (a *App) assembleControl(ctx context.Context, st *store.Store, guard *push.Guard, pusher *push.Client, durability string) error {
	key, err := a.config.rootKey()
	if err != nil {
		return err
	}
	documents, err := a.seal(ctx, st)
	if err != nil {
		return err
	}
	a.control = control.New(control.Options{
		Store: documents, Dispatcher: a.dispatch, Guard: guard, Pusher: pusher, Logger: a.log, RootKey: key,
		OnEnqueued: a.metrics.Enqueued,
		// A root key on loopback is asked for too: whoever sets one may have a
		// proxy in front, which makes the whole world a loopback client.
		Open:       key == "",
		MaxPayload: a.config.MaxPayload, Timeout: a.config.Timeout, QueueConcurrency: a.config.QueueConcurrency,
		MaxSchedules: a.config.MaxSchedules,
		Shared:       a.config.shared(), Ready: a.ready(), Nodes: a.nodes, Drain: a.drainNode(),
		Retention: a.retention(), Durability: durability, SecretsEncrypted: a.config.SecretKeyFile != "",
	})
	a.onClose("control", func(context.Context) error { a.control.Close(); return nil })
	if _, err := a.control.Load(control.As(ctx, control.Root())); err != nil {
		return fmt.Errorf("load the configuration from the store: %w", err)
	}
	a.watch()
	return a.assembleServer()
}

// seal puts the encryption of documents before the store.
func (a *App) seal(ctx context.Context, st *store.Store) (*sealed.Store, error) {
	ring, err := a.config.keyring()
	if err != nil {
		return nil, err
	}
	documents, changed, err := sealed.Open(ctx, st, ring, control.DocumentKinds()...)
	if err != nil {
		return nil, fmt.Errorf("read the configuration from the store: %w", err)
	}
	switch {
	case ring == nil:
		a.log.Info("secrets are not encrypted in the store; see --secret-key-file")
	case changed > 0:
		a.log.Info("documents are encrypted anew", "documents", changed, "key", ring.IDs()[0])
	}
	return documents, nil
}

// watch has the metrics read what the parts count.
func (a *App) watch() {
	a.metrics.Watch(observability.Sources{
		Enqueues: func() observability.Enqueues { return observability.Enqueues(a.control.Totals()) },
		Pushes:   func() observability.Pushes { return observability.Pushes(a.dispatch.Totals()) },
		Leader:   a.leads,
	})
}

// retention is the same for each terminal status but dead: those are kept longest.
func (a *App) retention() map[job.Status]time.Duration {
	out := map[job.Status]time.Duration{}
	for _, s := range job.Statuses() {
		if s.Terminal() {
			out[s] = a.config.Retention
		}
	}
	out[job.Dead] = max(a.config.Retention, a.config.RetentionDead)
	return out
}

// Addr returns the address that is listened on.
func (a *App) Addr() string { return a.listener.Addr().String() }

// URL returns the base URL of the API as this machine reaches it.
func (a *App) URL() string {
	scheme := "http"
	if a.config.TLSCert != "" {
		scheme = "https"
	}
	host, port, err := net.SplitHostPort(a.Addr())
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

// Run serves until ctx ends, then drains for at most the grace, and closes
// everything. It returns nil where it was ctx that ended it, also where pushes
// outlasted the grace.
func (a *App) Run(ctx context.Context) error {
	if err := a.dispatch.Start(ctx); err != nil {
		if ctx.Err() != nil { // told to end before it had begun
			err = nil
		}
		return errors.Join(err, a.Close(ctx))
	}
	a.onClose("dispatcher", a.drain)
	a.startSurvey(ctx)
	if a.member != nil {
		a.member.Start(ctx)
	}
	a.onClose("HTTP server", a.shutdown)
	a.stand()
	served := make(chan error, 1)
	go func() { served <- a.serve() }()
	a.log.Info("serving", "url", a.URL(), "store", a.config.StoreName(), "version", a.config.Version)
	var err error
	select {
	case <-ctx.Done():
		a.log.Info("draining", "grace", a.config.DrainGrace.String())
		a.leave(served)
	case err = <-served:
		err = fmt.Errorf("serve %s: %w", a.Addr(), err)
	}
	err = errors.Join(err, a.Close(ctx))
	a.log.Info("stopped")
	return err
}

// drain finishes the pushes under way. That some outlast the grace is no
// failure: they are booked as lost, and the next start makes them again.
func (a *App) drain(ctx context.Context) error {
	err := a.dispatch.Stop(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		a.log.Warn("pushes outlasted the grace; they were aborted and will be made again", "grace", a.config.DrainGrace.String())
		return nil
	}
	return err
}

func (a *App) onClose(name string, run func(context.Context) error) {
	a.cleanups = append(a.cleanups, cleanup{name, run})
}

// Close runs the clean-ups, the last one first, within the grace. It is what
// comes after the end of ctx, and does not end with it. It is for an App that is
// not run; Run does it at its end. A second Close does nothing.
func (a *App) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.config.DrainGrace)
	defer cancel()
	var errs []error
	for len(a.cleanups) > 0 {
		last := a.cleanups[len(a.cleanups)-1]
		a.cleanups = a.cleanups[:len(a.cleanups)-1]
		if err := last.run(ctx); err != nil {
			errs = append(errs, fmt.Errorf("close the %s: %w", last.name, err))
		}
		a.log.Debug("closed", "part", last.name)
	}
	return errors.Join(errs...)
}
