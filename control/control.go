package control

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orchestrix/orchestrix/dispatcher"
	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
)

// Store is what control needs of a *store.Store.
type Store interface {
	Shards() int
	Now(ctx context.Context) (time.Time, error)
	Enqueue(ctx context.Context, shard int, jobs []store.NewJob) ([]store.Enqueued, error)
	Job(ctx context.Context, id job.ID) (*job.Job, error)
	Payload(ctx context.Context, id job.ID) ([]byte, error)
	Result(ctx context.Context, id job.ID) (body []byte, contentType string, err error)
	ListJobs(ctx context.Context, f store.JobFilter, before job.ID, limit int) (store.JobPage, error)
	Counts(ctx context.Context, queue string) (store.Counts, error)
	KeyDepth(ctx context.Context, queue, key string, limit int) (int, error)
	Position(ctx context.Context, j *job.Job, limit int) (store.Position, error)
	ListQueues(ctx context.Context, after string, limit int) ([]store.QueueCounts, error)
	OldestWaiting(ctx context.Context, queue string) (time.Time, error)
	Jobs(ctx context.Context, ids ...job.ID) (map[job.ID]*job.Job, error)
	Send(ctx context.Context, c store.Command) (seq uint64, err error)
	SendAll(ctx context.Context, shard int, commands []store.Command) (last uint64, err error)
	Replace(ctx context.Context, shard int, jobs []store.NewJob, holders []job.ID) (last uint64, err error)
	InboxPending(ctx context.Context, shard int, seq uint64) (bool, error)
	GetDocument(ctx context.Context, kind, name string) (store.Document, error)
	PutDocument(ctx context.Context, kind, name string, data []byte, e store.Expect) (store.Document, bool, error)
	DeleteDocument(ctx context.Context, kind, name string, e store.Expect) error
	ListDocuments(ctx context.Context, kind, after string, limit int) ([]store.Document, error)
	Revision(ctx context.Context) (int64, error)
	WatchDocuments() (changed <-chan struct{}, stop func())
	Claimed(ctx context.Context, shard int) (map[job.ID]int, error)
	GetSchedule(ctx context.Context, name string) (*store.Schedule, error)
	ChangeSchedule(ctx context.Context, name string, change func(old *store.Schedule, now time.Time) (*store.Schedule, error)) (*store.Schedule, error)
	ListSchedules(ctx context.Context, after string, limit int) (page []*store.Schedule, next string, err error)
	CountSchedules(ctx context.Context) (int64, error)
	ListRuns(ctx context.Context, name string, before uint64, limit int) (runs [][]byte, numbers []uint64, err error)
	ScheduleCommand(kind store.CommandKind, name string, random [9]byte) store.Command
	GetAccepted(ctx context.Context, id job.ID) (*store.Accepted, error)
	AppendLog(ctx context.Context, id job.ID, attempt int, lines []store.LogLine) (*store.Journal, error)
	SetProgress(ctx context.Context, id job.ID, p store.Progress) error
	Journal(ctx context.Context, id job.ID) (*store.Journal, error)
	LogLines(ctx context.Context, id job.ID, after, limit int) ([]store.LogLine, error)
	Watch(shard int) (changed <-chan struct{}, stop func())
	Beat(ctx context.Context, id job.ID, attempt int) error
}

// Dispatcher is what control needs of a *dispatcher.Dispatcher.
type Dispatcher interface {
	Configure(c dispatcher.Config)
	Wake(shard int)
	Running(ids ...job.ID) []bool
	Serves(shard int) bool
	Explain(j, first *job.Job, now time.Time) dispatcher.Explanation
	QueueLive(queue string) dispatcher.QueueLive
	KeyLive(queue, key string) dispatcher.KeyLive
	WorkerLive(worker string) dispatcher.WorkerLive
	Watch(id job.ID) (settled <-chan struct{}, stop func())
}

// Guard says which addresses may be pushed to; a *push.Guard is one.
type Guard interface {
	// CheckURL judges a URL, and resolves its name where it is one.
	CheckURL(ctx context.Context, raw string) error
	CheckAddr(addr netip.Addr) error
}

// Options are what a Control is made of. Store, Dispatcher, Guard and, for
// TestWorker, Pusher must be set; the others have the defaults that are named.
type Options struct {
	Store      Store
	Dispatcher Dispatcher
	Guard      Guard
	Pusher     Pusher
	Logger     *slog.Logger // discards by default
	// OnEnqueued is called for each stored job with its queue, concurrently; it must not
	// block. nil where nobody wants to know.
	OnEnqueued func(queue string)
	// RootKey is a key that may do everything; see CheckRootKey. Only its hash
	// is kept. Empty means that there is none.
	RootKey string
	// Open lets a request without a key do everything: for a server that only
	// listens on loopback.
	Open bool
	// MaxPayload bounds a job's payload in bytes, 1 MiB by default.
	MaxPayload int
	// Retry is the server's policy; unset fields are those of job.DefaultPolicy.
	Retry job.Policy
	// Timeout bounds an attempt where nobody says otherwise, 30 s by default.
	Timeout time.Duration
	// QueueConcurrency is that of a queue without configuration, 100 by default.
	QueueConcurrency int
	// MaxSchedules is how many schedules the store may have, DefaultMaxSchedules by
	// default.
	MaxSchedules int
	// Retention is how long a terminal job is kept, by status; one that is absent
	// is kept for ever.
	Retention map[job.Status]time.Duration
	// Durability is what an acknowledged job survives, in the engine's word; it
	// is shown and not interpreted.
	Durability string
	// Shared says that other nodes use the store too: what they change of the
	// configuration is followed, and of a shard that another node serves is shown what
	// the store knows.
	Shared bool
	// Ready, where set, returns why the node is not ready although the store answers.
	Ready func() error
	// Nodes returns those that use the store, this one among them; nil where nobody
	// tells.
	Nodes func(context.Context) ([]Node, error)
	// Drain has a node give up its shards and stay or, with on false, take shards again;
	// nil where no other could take them. It returns store.ErrNotFound where there is no
	// such node.
	Drain func(ctx context.Context, id string, on bool) error
	// SecretsEncrypted says that the Store encrypts documents; it is shown and not
	// interpreted.
	SecretsEncrypted bool
}

// The defaults of Options.
const (
	DefaultMaxPayload       = 1 << 20
	DefaultTimeout          = 30 * time.Second
	DefaultQueueConcurrency = 100
)

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxPayload == 0 {
		o.MaxPayload = DefaultMaxPayload
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.QueueConcurrency == 0 {
		o.QueueConcurrency = DefaultQueueConcurrency
	}
	if o.OnEnqueued == nil {
		o.OnEnqueued = func(string) {}
	}
	if o.MaxSchedules == 0 {
		o.MaxSchedules = DefaultMaxSchedules
	}
	o.Retry = o.Retry.Over(job.DefaultPolicy())
	return o
}

// Control carries out operations. Its methods may be called concurrently, once
// Load has returned.
type Control struct {
	o        Options
	store    Store
	dispatch Dispatcher
	log      *slog.Logger
	rootHash [32]byte

	// changing serialises changes of the configuration, so that live is in the order
	// in which they were stored.
	changing sync.Mutex
	// mu guards live.
	mu   sync.RWMutex
	live configuration

	revision   revision
	publisher  publisher
	keeper     keeper
	operations operations
	schedules  schedules
	totals     totals
	// bounds are those of the live queues; an enqueue reads them without a lock.
	bounds atomic.Pointer[backlogs]
	// ordered are those that keep the order of their keys, for an enqueue too.
	ordered atomic.Pointer[orderedQueues]
	// attemptKey is what the tokens of attempts are made with.
	attemptKey atomic.Pointer[[]byte]
	paces      paces
	// reports is how often attempts tell of themselves.
	reports reportPace
	// followers are how many follow the logs of jobs.
	followers atomic.Int64
}

// New returns a Control. Call Load before anything else, and Close at the end.
func New(o Options) *Control {
	o = o.withDefaults()
	c := &Control{
		o: o, store: o.Store, dispatch: o.Dispatcher, log: o.Logger,
		live: newConfiguration(), keeper: newKeeper(),
	}
	c.operations.init()
	if o.RootKey != "" {
		c.rootHash = hashKey(o.RootKey)
	}
	return c
}

// Load reads the configuration from the store, makes the store's signing keys
// where it has none, hands the configuration to the dispatcher and returns it, and
// goes on with the operations that were under way. From then on the configuration is kept up to date until Close. It may be
// called again, after it failed or to read everything anew.
func (c *Control) Load(ctx context.Context) (dispatcher.Config, error) {
	c.changing.Lock()
	defer c.changing.Unlock()
	if c.o.Shared {
		if _, err := c.readRevision(ctx); err != nil { // before it is read, so that no change is missed
			return dispatcher.Config{}, err
		}
	}
	config, err := c.reload(ctx)
	if err != nil {
		return dispatcher.Config{}, err
	}
	if err := c.resumeOperations(ctx); err != nil {
		return dispatcher.Config{}, err
	}
	c.keeper.start(c) //nolint:contextcheck // it outlives the call: Close ends it
	return config, nil
}

// Close ends what goes on in the background and waits for it. Calls that are
// under way are not interrupted. An Operation that is not over goes on after the
// next Load. It may be called more than once.
func (c *Control) Close() {
	c.operations.stop()
	c.keeper.stop()
}

// MaxPayload returns the bound of a job's payload in bytes.
func (c *Control) MaxPayload() int { return c.o.MaxPayload }

// Durability returns what an acknowledged job survives, in the engine's word.
func (c *Control) Durability() string { return c.o.Durability }

// SecretsEncrypted reports whether secrets are encrypted in the store.
func (c *Control) SecretsEncrypted() bool { return c.o.SecretsEncrypted }

// Ready returns nil where the store answers and Options.Ready has nothing against
// it.
func (c *Control) Ready(ctx context.Context) error {
	if _, err := c.store.ListDocuments(ctx, kindWorker, "", 1); err != nil {
		return storeError("read from the store", err)
	}
	if c.o.Ready != nil {
		if err := c.o.Ready(); err != nil {
			return &Error{Kind: Unavailable, Code: "not_ready", Detail: err.Error()}
		}
	}
	return nil
}

// Totals count what was asked for since the start.
type Totals struct {
	// Enqueued are stored jobs, Repeated those that an idempotency key or their
	// unique content led to an earlier job, Refused those that were wrong or rejected.
	Enqueued, Repeated, Refused uint64
	// Full are the jobs that a queue's max_pending or max_bytes left no room for.
	Full uint64
	// Commands are cancel, retry, run now and delete.
	Commands uint64
}

type totals struct{ enqueued, repeated, refused, full, commands atomic.Uint64 }

// Totals returns the counts.
func (c *Control) Totals() Totals {
	t := &c.totals
	return Totals{t.enqueued.Load(), t.repeated.Load(), t.refused.Load(), t.full.Load(), t.commands.Load()}
}
