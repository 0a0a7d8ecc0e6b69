package cluster

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/orchestrix/orchestrix/store"
)

// Store is what a Member needs of a *store.Store.
type Store interface {
	Shards() int
	PutNode(ctx context.Context, id string, data []byte) error
	DeleteNode(ctx context.Context, id string) error
	DrainNode(ctx context.Context, id string, on bool) error
	BeginTerm(ctx context.Context, node string) (store.Leader, error)
	EndTerm(ctx context.Context, l store.Leader) error
	PutPlacement(ctx context.Context, l store.Leader, placement []byte) error
	ForgetNode(ctx context.Context, l store.Leader, id string) error
	Cluster(ctx context.Context) (store.Cluster, error)
	WatchDocuments() (changed <-chan struct{}, stop func())
}

// Dispatcher is what a Member needs of a *dispatcher.Dispatcher.
type Dispatcher interface {
	Serve(shards []int)
	Living(nodes []string)
	Owned() []int
	InFlight() int
}

// Options are what a Member is made of. Store, Dispatcher, Roles and Lock must be set.
type Options struct {
	Store      Store
	Dispatcher Dispatcher
	Lock       Lock
	Logger     *slog.Logger // discards by default
	// ID names the node among all, up to store.MaxNodeID bytes; NewID by default.
	ID      string
	Address string
	Version string
	Roles   []Role
	// Heartbeat is how often the node tells that it lives, DeadAfter how long it is
	// believed to; DefaultHeartbeat and DefaultDeadAfter by default.
	Heartbeat, DeadAfter time.Duration
}

// The defaults of Options. Lease is how long a shard is held without being
// renewed: as long as a node is believed to live, so that when it is known to be
// dead its shards can be taken.
const (
	DefaultHeartbeat = time.Second
	DefaultDeadAfter = 3 * time.Second
	Lease            = DefaultDeadAfter
)

const (
	// lookPause is between two looks at the records that hints ask for, and lookPart what
	// each node adds to it, up to half a heartbeat: every heartbeat is a hint to all
	// others, and a look reads the records of all.
	lookPause = 100 * time.Millisecond
	lookPart  = 10 * time.Millisecond
	// moveParts is the part of all shards that the leader moves with each heartbeat to
	// balance them: a node that comes gets its shards within seconds, and not all at
	// once.
	moveParts = 8
	// forgetAfter is how long the record of a dead node is shown.
	forgetAfter = 10 * time.Minute
)

// NewID returns an id that no other node has: the host's name with a random end.
func NewID() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "node"
	}
	var end [4]byte
	rand.Read(end[:])
	return strings.ToValidUTF8(host[:min(len(host), 64)], "") + "-" + hex.EncodeToString(end[:])
}

// Member is this node among the others. Its methods may be called concurrently.
type Member struct {
	o   Options
	log *slog.Logger

	cancel  context.CancelFunc
	running sync.WaitGroup
	nudge   chan struct{} // has a value where a heartbeat is due at once

	abdicate chan struct{} // has a value where the lead is to be given up at once

	mu      sync.Mutex
	self    Node
	usage   usage
	beaten  time.Time // when the last heartbeat that succeeded was begun
	leaving bool
	drains  bool     // somebody has asked it to
	members []string // of the last look, for the log
	leading leading
	down    bool // the last try failed
}

// New returns a Member that does nothing before Start.
func New(o Options) *Member {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.ID == "" {
		o.ID = NewID()
	}
	if o.Heartbeat <= 0 {
		o.Heartbeat = DefaultHeartbeat
	}
	if o.DeadAfter <= 0 {
		o.DeadAfter = DefaultDeadAfter
	}
	return &Member{
		o: o, log: o.Logger, nudge: make(chan struct{}, 1), abdicate: make(chan struct{}, 1),
		self: Node{
			ID: o.ID, Address: o.Address, Version: o.Version, Roles: slices.Clone(o.Roles), Weight: runtime.GOMAXPROCS(0),
			Started: time.Now().UTC().Truncate(time.Millisecond),
		},
	}
}

// Alone is a node that has its store for itself, and so is nobody's member.
// Its methods may be called concurrently.
type Alone struct {
	dispatch Dispatcher

	mu    sync.Mutex
	self  Node
	usage usage
}

// NewAlone returns the node that the options tell of; their Store is not used.
func NewAlone(o Options) *Alone { return &Alone{dispatch: o.Dispatcher, self: New(o).self} }

// Now returns the node as it is. Its CPU is that since the last call.
func (a *Alone) Now() Node {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := a.self
	n.Alive, n.Leader, n.Term = true, true, 1
	n.Shards, n.InFlight = a.dispatch.Owned(), a.dispatch.InFlight()
	n.CPU, n.Memory = a.usage.read(time.Now())
	return n
}

// ID returns the node's id.
func (m *Member) ID() string { return m.o.ID }

// Start begins to be a member, once. It returns when the first heartbeat is in the
// store, or could not be written, which is tried again. ctx bounds the start only.
func (m *Member) Start(ctx context.Context) {
	m.beat(ctx)
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	m.cancel = cancel
	m.running.Go(func() { m.run(running) })
	m.running.Go(func() { m.lead(running) })
}

// Drain has a node, this one or another, give up its shards while it stays, or with
// on false take shards again. It does not wait. It returns an error that matches
// store.ErrNotFound where there is no such node.
func (m *Member) Drain(ctx context.Context, id string, on bool) error {
	if err := m.o.Store.DrainNode(ctx, id, on); err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	return nil
}

// Leave hands over all shards and tells the others that the node takes none any
// more. It does not wait; the node remains to be seen until Stop.
func (m *Member) Leave() {
	m.mu.Lock()
	m.leaving = true
	m.mu.Unlock()
	m.o.Dispatcher.Serve(nil)
	for _, c := range []chan struct{}{m.nudge, m.abdicate} {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// Stop ends what Start began and removes the node's record; one that cannot be
// removed is soon taken for that of a dead node. It is for a node that serves no
// shard any more.
func (m *Member) Stop(ctx context.Context) {
	if m.cancel == nil {
		return
	}
	m.cancel()
	m.running.Wait()
	if err := m.o.Store.DeleteNode(ctx, m.o.ID); err != nil {
		m.log.WarnContext(ctx, "the record of the node is left behind", "error", err)
	}
}

// ErrNoMember is why a node is not ready.
var ErrNoMember = errors.New("this node is no member of the cluster: its heartbeat is not in the store, or it leaves")

// ErrDraining is why a node is not ready that was asked to drain.
var ErrDraining = errors.New("this node drains: it serves no shards until it is resumed")

// Ready returns nil where the node is a member, ErrNoMember where the others
// may take it for dead, or it leaves, and ErrDraining where it was asked to drain.
func (m *Member) Ready() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.leaving || m.beaten.IsZero() || time.Since(m.beaten) >= m.o.DeadAfter {
		return ErrNoMember
	}
	if m.drains {
		return ErrDraining
	}
	return nil
}

// Nodes returns all nodes whose records are there, also dead ones, by id.
func (m *Member) Nodes(ctx context.Context) ([]Node, error) {
	c, err := m.o.Store.Cluster(ctx)
	if err != nil {
		return nil, err
	}
	return m.parseAll(ctx, c), nil
}

// parseAll reads the nodes' records, but for those that cannot be read.
func (m *Member) parseAll(ctx context.Context, c store.Cluster) []Node {
	nodes := make([]Node, 0, len(c.Nodes))
	for _, r := range c.Nodes {
		n, err := parse(r, c.Now, m.o.DeadAfter)
		if err != nil {
			m.log.WarnContext(ctx, "the record of a node cannot be read", "error", err)
			continue
		}
		if n.Leader = n.Alive && n.ID == c.Leader.Node; n.Leader {
			n.Term = c.Leader.Term
		}
		nodes = append(nodes, n)
	}
	return nodes
}

// living returns the ids of all nodes that are not dead, be their records readable or
// not.
func (m *Member) living(c store.Cluster) (ids []string) {
	for _, r := range c.Nodes {
		if c.Now.Sub(r.At) < m.o.DeadAfter {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

func (m *Member) run(ctx context.Context) {
	changed, stop := m.o.Store.WatchDocuments()
	defer stop()
	beat := time.NewTicker(m.o.Heartbeat)
	defer beat.Stop()
	look := time.NewTimer(0)
	defer look.Stop()
	pause := lookPause
	for last := time.Now(); ; {
		select {
		case <-beat.C:
			m.beat(ctx)
		case <-m.nudge:
			m.beat(ctx)
		case <-changed: // mostly the heartbeat of another
			look.Reset(pause - time.Since(last))
		case <-look.C:
			last = time.Now()
			next, nodes := m.look(ctx)
			pause = min(lookPause+time.Duration(nodes)*lookPart, m.o.Heartbeat/2)
			look.Reset(next)
		case <-ctx.Done():
			return
		}
	}
}

// beat tells that the node lives.
func (m *Member) beat(ctx context.Context) {
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, m.o.DeadAfter)
	defer cancel()
	err := m.o.Store.PutNode(ctx, m.o.ID, m.record(begun))
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		m.beaten = begun
	}
	m.tell(ctx, "the node's heartbeat", err)
}

// tell logs that the store is away, and that it is back. m.mu is held.
func (m *Member) tell(ctx context.Context, what string, err error) {
	if down := err != nil; down != m.down {
		m.down = down
		if down {
			m.log.WarnContext(ctx, what+" does not reach the store; it is tried again", "error", err)
			return
		}
		m.log.InfoContext(ctx, "the node reaches the store again")
	}
}

func (m *Member) record(now time.Time) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.self
	n.Leaving, n.Shards, n.InFlight = m.leaving, m.o.Dispatcher.Owned(), m.o.Dispatcher.InFlight()
	n.CPU, n.Memory = m.usage.read(now)
	data, err := json.Marshal(n)
	if err != nil {
		panic(fmt.Sprintf("cluster: a node's record: %v", err)) // numbers and texts can be encoded
	}
	return data
}

// look takes and hands over shards as the members are now, and returns when to
// look again: before the next of them would be dead; and how many nodes there are.
func (m *Member) look(ctx context.Context) (next time.Duration, seen int) {
	ctx, cancel := context.WithTimeout(ctx, m.o.DeadAfter)
	defer cancel()
	c, err := m.o.Store.Cluster(ctx)
	if err != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.tell(ctx, "the look at the other nodes", err)
		return m.o.Heartbeat, 0
	}
	nodes := m.parseAll(ctx, c)
	next = m.o.Heartbeat
	var members []Node
	for i := range nodes {
		n := &nodes[i]
		if n.Alive && n.ID != m.o.ID {
			next = min(next, m.o.DeadAfter-n.Age)
		}
		if n.ID == m.o.ID {
			m.setDrains(ctx, n.Draining)
		}
		if n.Serves() {
			members = append(members, *n)
		}
	}
	m.o.Dispatcher.Living(m.living(c))
	m.serve(ctx, members, decodePlacement(c.Placement))
	return max(next, lookPause/10), len(nodes)
}

func (m *Member) setDrains(ctx context.Context, on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.drains != on {
		m.drains = on
		m.log.InfoContext(ctx, "the node drains, or does not any more", "draining", on)
	}
}

// serve serves what is placed on this node among the members.
func (m *Member) serve(ctx context.Context, members []Node, placement []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tellMembers(ctx, members)
	if m.leaving || !m.self.has(RoleDispatch) {
		return
	}
	var serve []int
	for shard, id := range Follow(m.o.Store.Shards(), placement, members) {
		if id == m.o.ID {
			serve = append(serve, shard)
		}
	}
	m.o.Dispatcher.Serve(serve)
}

func (m *Member) tellMembers(ctx context.Context, members []Node) {
	ids := make([]string, len(members))
	for i := range members {
		ids[i] = members[i].ID
	}
	if !slices.Equal(ids, m.members) {
		m.members = ids
		m.log.InfoContext(ctx, "the nodes that serve shards are others now", "nodes", ids)
	}
}
