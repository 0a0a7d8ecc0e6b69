package dispatcher

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/store/engine"
	"github.com/orchestrix/orchestrix/webhook/push"
)

// Options configures a Dispatcher.
type Options struct {
	Store *store.Store
	Push  *push.Client
	// Config is the first configuration; see Configure.
	Config Config
	Logger *slog.Logger
	// MaxInFlight bounds the pushes in flight of this node; 0 means
	// DefaultMaxInFlight.
	MaxInFlight int
	// WindowBytes bounds the ready jobs in memory; 0 means DefaultWindowBytes.
	// The shards share it; each may hold a little beyond it.
	WindowBytes int
	// Shared says that other nodes use the store too: then only those shards are
	// served that Serve names, what other nodes write is looked for, and a shard is
	// left alone while another holds it. Otherwise every shard is served.
	Shared bool
	// Node is this node's name among those that use a Shared store, as they know it
	// by Living; a random one by default.
	Node string
	// Lease is how long a shard is held without being renewed, which happens three
	// times as often; 0 means DefaultLease.
	Lease time.Duration
	// Callback returns where a worker may report on an attempt, and by what token; nil
	// where nothing can be reported. It may be called concurrently.
	Callback func(id job.ID, attempt int) (url, token string)
	// OnGone is called when a worker has answered 410 and is to be paused: once
	// for each such answer, perhaps concurrently. It may block; Stop waits for it.
	OnGone func(worker string)
	// OnFailing is called when a worker is to be paused since it only fails: about
	// once a minute while that is so, perhaps concurrently. It may block; Stop waits
	// for it.
	OnFailing func(Failing)
	// Meter is told what the dispatcher does; nil where nobody is.
	Meter Meter
}

// The defaults of Options.
const (
	DefaultMaxInFlight = 2048
	DefaultWindowBytes = 128 << 20

	// DefaultConcurrency is that of a queue for which none is configured.
	DefaultConcurrency = 100
	// DefaultTimeout bounds an attempt for which none is configured.
	DefaultTimeout = 30 * time.Second

	// DefaultLease suits a node that has the store for itself. It renews its shards
	// all the same, so that there is one way.
	DefaultLease = 10 * time.Second
)

// Dispatcher runs a loop for each shard of its node. All methods may be called
// concurrently.
type Dispatcher struct {
	store     *store.Store
	client    *push.Client
	log       *slog.Logger
	limits    limits
	shared    bool
	node      string
	living    atomic.Pointer[[]string]
	lease     time.Duration
	callback  func(job.ID, int) (url, token string)
	gate      gate
	onGone    func(string)
	onFailing func(Failing)
	meter     Meter
	nonce     engine.Nonce
	slots     *slots
	window    budget
	away      away
	loops     []*loop
	config    atomic.Pointer[Config]
	// configuring serialises Configure.
	configuring sync.Mutex
	totals      totals
	watchers    watchers
	elsewhere   told
	runners     *runners
	draining    atomic.Bool
	background  sync.WaitGroup // loops
	callbacks   sync.WaitGroup // calls of onGone and onFailing

	mu   sync.Mutex // guards life and what is in it
	life *life
}

// New returns a dispatcher that does nothing before Start. It takes the store's
// notices of new jobs (store.OnEnqueued), so a store has one dispatcher.
func New(o Options) *Dispatcher {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Meter == nil {
		o.Meter = noMeter{}
	}
	if o.MaxInFlight <= 0 {
		o.MaxInFlight = DefaultMaxInFlight
	}
	if o.WindowBytes <= 0 {
		o.WindowBytes = DefaultWindowBytes
	}
	d := &Dispatcher{
		store: o.Store, client: o.Push, log: o.Logger, callback: o.Callback, gate: newGate(), onGone: o.OnGone, onFailing: o.OnFailing, meter: o.Meter,
		limits: defaultLimits(), slots: newSlots(o.MaxInFlight), shared: o.Shared, lease: cmp.Or(o.Lease, DefaultLease),
	}
	d.limits.QueueInFlight = max(1, o.MaxInFlight/2)
	d.window.init(o.WindowBytes, o.Store.Shards())
	d.limits.WindowBytes, d.limits.EvenBytes = d.window.allow(0), o.WindowBytes/o.Store.Shards()
	d.limits.Lease = d.lease
	rand.Read(d.nonce[:])
	d.node = cmp.Or(o.Node, hex.EncodeToString(d.nonce[:]))
	for shard := range o.Store.Shards() {
		d.loops = append(d.loops, newLoop(d, shard))
	}
	d.config.Store(d.prepare(o.Config))
	o.Store.OnEnqueued(func(a store.Arrivals) { d.loops[a.Shard].arrived(a) })
	return d
}

// Configure replaces the configuration. It is live on all shards when it
// returns: no push that is claimed later follows the old one.
func (d *Dispatcher) Configure(c Config) {
	d.configuring.Lock()
	defer d.configuring.Unlock()
	cfg := d.prepare(c)
	d.config.Store(cfg)
	var wait sync.WaitGroup
	for _, l := range d.loops {
		wait.Add(1)
		l.query(func(*machine) { wait.Done() }, configured{cfg})
	}
	wait.Wait()
}

// prepare completes a configuration: defaults, and a destination for each
// worker. What is the same as in the current configuration is taken from there.
func (d *Dispatcher) prepare(c Config) *Config {
	if c.DefaultQueue.Concurrency <= 0 {
		c.DefaultQueue.Concurrency = DefaultConcurrency
	}
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	c.Retry = c.Retry.Over(job.DefaultPolicy())
	old := make(map[string]*Worker)
	if current := d.config.Load(); current != nil {
		for _, w := range current.Workers {
			old[w.Name] = w
		}
	}
	workers := make([]*Worker, 0, len(c.Workers))
	for _, given := range c.Workers {
		if o := old[given.Name]; o != nil && o.Version == given.Version && o.Version != 0 {
			workers = append(workers, o)
			continue
		}
		w := *given
		w.Weight = max(w.Weight, 1)
		w.destination = d.destination(push.DestinationConfig{Name: w.Name, URL: w.URL, Headers: w.Headers}, &w)
		workers = append(workers, &w)
	}
	c.Workers, c.byQueue, c.rules = workers, nil, nil
	c.byQueue = c.serving()
	c.rules = c.retention()
	if current := d.config.Load(); current != nil && reflect.DeepEqual(current.rules, c.rules) {
		c.rules = current.rules
	}
	return &c
}

// destination returns where c leads, with what w signs and proves itself by; nil
// where that cannot be.
func (d *Dispatcher) destination(c push.DestinationConfig, w *Worker) *push.Destination {
	c.Secrets, c.Keys, c.Auth = w.Secrets, w.Keys, w.Auth
	dest, err := push.NewDestination(c)
	if err != nil {
		d.log.Error("worker cannot be pushed to", "worker", c.Name, "error", err)
		return nil
	}
	return dest
}

// Wake tells the shard's owner that its inbox has something.
func (d *Dispatcher) Wake(shard int) { d.loops[shard].post(inboxGrew{}) }

// lostShard reports whether an error means that the shard has to be taken anew.
func lostShard(err error) bool {
	return errors.Is(err, store.ErrFenced) || errors.Is(err, store.ErrHistory)
}
