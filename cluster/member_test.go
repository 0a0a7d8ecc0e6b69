package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/store/engine/model"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shards takes and gives back at once what it is told to serve.
type shards struct {
	mu     sync.Mutex
	owned  []int
	living []string
	idle   bool
	moves  []int // how many were given back by each call that gave back any
	stuck  bool  // gives nothing back
}

func (s *shards) Serve(owned []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	gone := 0
	for _, shard := range s.owned {
		if !slices.Contains(owned, shard) {
			gone++
		}
	}
	if gone > 0 {
		s.moves = append(s.moves, gone)
	}
	if !s.stuck {
		s.owned = slices.Clone(owned)
	}
}

func (s *shards) Owned() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.owned)
}

func (s *shards) InFlight() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.idle {
		return 0
	}
	return 7
}

func (s *shards) Living(nodes []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.living = nodes
}

func (s *shards) lives() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.living
}

// lock is a lock in memory; lockOf one node's hold of it.
type lock struct {
	mu    sync.Mutex
	owner *lockOf
	until time.Time
	away  bool
}

type lockOf struct {
	*lock
	crashed atomic.Bool
	freeze  atomic.Int64 // for how long the next Take stops the node when it is done
}

func (l *lockOf) Take(context.Context) (bool, error) {
	defer func() { time.Sleep(time.Duration(l.freeze.Swap(0))) }()
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.away:
		return false, store.ErrUnavailable
	case l.owner != nil && l.owner != l && time.Now().Before(l.until):
		return false, nil
	}
	l.owner, l.until = l, time.Now().Add(l.Lease())
	return true, nil
}

func (l *lockOf) Release(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.away || l.crashed.Load():
		return store.ErrUnavailable
	case l.owner == l:
		l.owner = nil
	}
	return nil
}

func (l *lockOf) Lease() time.Duration { return LeaderLease }

// member is a node of a test. crash ends it without a word.
type member struct {
	*Member
	*shards
	lock  *lockOf
	store *nodeStore
}

func (m *member) crash() {
	m.store.crashed.Store(true)
	m.lock.crashed.Store(true)
	m.cancel()
	m.running.Wait()
}

// nodeStore is a store as one node sees it.
type nodeStore struct {
	*store.Store
	crashed atomic.Bool
	written atomic.Int64 // how many placements it was asked to write
	looks   atomic.Int64 // how often it was read who there is
}

func (s *nodeStore) Cluster(ctx context.Context) (store.Cluster, error) {
	s.looks.Add(1)
	return s.Store.Cluster(ctx)
}

func (s *nodeStore) PutPlacement(ctx context.Context, l store.Leader, placement []byte) error {
	s.written.Add(1)
	return s.Store.PutPlacement(ctx, l, placement)
}

func (s *nodeStore) EndTerm(ctx context.Context, l store.Leader) error {
	if s.crashed.Load() {
		return store.ErrUnavailable
	}
	return s.Store.EndTerm(ctx, l)
}

// join starts a node; those with one lock elect a leader by it.
func join(s *store.Store, l *lock, id string, roles ...Role) *member {
	if len(roles) == 0 {
		roles = Roles()
	}
	m := &member{shards: &shards{}, lock: &lockOf{lock: l}, store: &nodeStore{Store: s}}
	m.Member = New(Options{Store: m.store, Dispatcher: m.shards, Lock: m.lock, ID: id, Address: "http://" + id, Version: "v1", Roles: roles})
	m.Start(context.Background())
	synctest.Wait() // who is first leads
	return m
}

// leads returns the term in which a node leads; 0 where it does not.
func (m *member) leads() uint64 {
	term, _ := m.Leads()
	return term
}

// each reports how often each shard is served.
func each(members ...*member) []int {
	var all []int
	for _, m := range members {
		all = append(all, m.Owned()...)
	}
	slices.Sort(all)
	return all
}

func upTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

func TestMembersShareTheShards(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n = 64
		s, l := store.New(model.New(n, nil)), new(lock)
		a := join(s, l, "a")
		if err := a.Ready(); err != nil {
			t.Errorf("a member is not ready: %v", err)
		}
		time.Sleep(time.Second)
		if got := a.Owned(); !slices.Equal(got, upTo(n)) {
			t.Errorf("alone it serves %v", got)
		}
		b, api := join(s, l, "b"), join(s, l, "c", RoleAPI)
		time.Sleep(10 * time.Second)
		if !slices.Equal(each(a, b), upTo(n)) || len(b.Owned()) != n/2 {
			t.Errorf("a serves %v, b %v", a.Owned(), b.Owned())
		}
		if got := api.Owned(); len(got) != 0 {
			t.Errorf("a node that does not dispatch serves %v", got)
		}
		for _, gone := range a.moves {
			if gone > n/moveParts {
				t.Errorf("%d shards were given back at once", gone)
			}
		}
		kept := a.Owned()

		b.crash()
		time.Sleep(DefaultDeadAfter - DefaultHeartbeat - time.Millisecond)
		if got := a.Owned(); !slices.Equal(got, kept) {
			t.Errorf("before b is dead, a serves %v", got)
		}
		if got := a.lives(); !slices.Equal(got, []string{"a", "b", "c"}) {
			t.Errorf("before b is dead, %v live", got)
		}
		time.Sleep(DefaultHeartbeat + lookPause)
		if got := a.Owned(); !slices.Equal(got, upTo(n)) {
			t.Errorf("when b is dead, a serves %v", got)
		}
		if got := a.lives(); !slices.Equal(got, []string{"a", "c"}) {
			t.Errorf("when b is dead, %v live", got)
		}

		d := join(s, l, "d")
		time.Sleep(10 * time.Second)
		d.Leave()
		if err := d.Ready(); !errors.Is(err, ErrNoMember) {
			t.Errorf("a node that leaves: %v", err)
		}
		time.Sleep(2 * lookPause)
		if got := a.Owned(); !slices.Equal(got, upTo(n)) || len(d.Owned()) != 0 {
			t.Errorf("when d leaves, a serves %v and d %v", got, d.Owned())
		}
		d.Stop(t.Context())

		time.Sleep(DefaultHeartbeat) // until it tells what it serves
		nodes, err := a.Nodes(t.Context())
		if err != nil || len(nodes) != 3 || nodes[0].ID != "a" || !nodes[0].Alive || nodes[0].InFlight != 7 || nodes[0].Address != "http://a" ||
			nodes[0].Version != "v1" || !slices.Equal(nodes[0].Shards, upTo(n)) || nodes[1].ID != "b" || nodes[1].Alive || nodes[1].Age < 10*time.Second {
			t.Errorf("nodes: %+v, %v", nodes, err)
		}
		time.Sleep(forgetAfter)
		if nodes, err := a.Nodes(t.Context()); err != nil || len(nodes) != 2 {
			t.Errorf("after a while: %+v, %v", nodes, err)
		}
		for _, m := range []*member{a, api} {
			m.Stop(t.Context())
		}
		if nodes, err := a.Nodes(t.Context()); err != nil || len(nodes) != 0 {
			t.Errorf("at the end: %+v, %v", nodes, err)
		}
	})
}

// Every heartbeat is a hint to all others, and each look reads the records of all: with
// many nodes there are fewer looks for it.
func TestManyMembersLookLessOften(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n, seconds = 40, 20
		s, l := store.New(model.New(64, nil)), new(lock)
		var members []*member
		for i := range n {
			members = append(members, join(s, l, fmt.Sprintf("m%d", i)))
			time.Sleep(DefaultHeartbeat / n)
		}
		time.Sleep(20 * time.Second)
		before := members[0].store.looks.Load()
		time.Sleep(seconds * time.Second)
		// Every half heartbeat as a member and every heartbeat as the leader, and one of
		// each at the borders of the span.
		if looks := members[0].store.looks.Load() - before; looks > 3*seconds+2 {
			t.Errorf("%d looks in %d seconds", looks, seconds)
		}
		if !slices.Equal(each(members...), upTo(64)) {
			t.Errorf("served: %v", each(members...))
		}
		for _, m := range members {
			m.Stop(t.Context())
		}
	})
}

// A node whose heartbeat does not reach the store says so, and keeps its shards:
// their leases decide.
func TestMemberWithoutStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := model.New(4, nil)
		var away atomic.Bool
		e.Fail = func(string, int) error {
			if away.Load() {
				return store.ErrUnavailable
			}
			return nil
		}
		a := join(store.New(e), new(lock), "a")
		time.Sleep(time.Second)
		away.Store(true)
		time.Sleep(DefaultDeadAfter + time.Second)
		if err := a.Ready(); !errors.Is(err, ErrNoMember) {
			t.Errorf("without a store: %v", err)
		}
		if got := a.Owned(); !slices.Equal(got, upTo(4)) {
			t.Errorf("it serves %v", got)
		}
		away.Store(false)
		time.Sleep(DefaultHeartbeat + lookPause)
		if err := a.Ready(); err != nil {
			t.Errorf("when the store is back: %v", err)
		}
		a.Stop(t.Context())
	})
}

// A record that cannot be read, of a later version perhaps, disturbs nobody.
func TestUnreadableRecord(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l := store.New(model.New(4, nil)), new(lock)
		if err := s.PutNode(context.Background(), "x", []byte("not JSON")); err != nil {
			t.Fatal(err)
		}
		a := join(s, l, "a")
		time.Sleep(time.Second)
		if got := a.Owned(); !slices.Equal(got, upTo(4)) {
			t.Errorf("it serves %v", got)
		}
		if got := a.lives(); !slices.Equal(got, []string{"a", "x"}) {
			t.Errorf("%v live", got)
		}
		a.Stop(t.Context())
	})
}

// A node that is drained gives up its shards and stays, until it is resumed.
func TestDrain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l := store.New(model.New(16, nil)), new(lock)
		a, b := join(s, l, "a"), join(s, l, "b")
		time.Sleep(10 * time.Second)
		if err := a.Drain(t.Context(), "b", true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(DefaultHeartbeat + 2*lookPause)
		if !slices.Equal(a.Owned(), upTo(16)) || len(b.Owned()) != 0 || !errors.Is(b.Ready(), ErrDraining) || a.Ready() != nil {
			t.Errorf("drained: a serves %v, b %v and is %v", a.Owned(), b.Owned(), b.Ready())
		}
		b.shards.mu.Lock()
		b.shards.idle = true
		b.shards.mu.Unlock()
		time.Sleep(2 * DefaultHeartbeat)
		nodes, err := a.Nodes(t.Context())
		if err != nil || len(nodes) != 2 || nodes[0].Draining || !nodes[1].Drained() || !nodes[1].Alive {
			t.Errorf("nodes: %+v, %v", nodes, err)
		}
		if err := b.Drain(t.Context(), "b", false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if len(b.Owned()) == 0 || b.Ready() != nil || !slices.Equal(each(a, b), upTo(16)) {
			t.Errorf("resumed: a serves %v, b %v and is %v", a.Owned(), b.Owned(), b.Ready())
		}
		if err := a.Drain(t.Context(), "x", true); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a node that is not there: %v", err)
		}
		for _, m := range []*member{a, b} {
			m.Stop(t.Context())
		}
	})
}

func TestNewID(t *testing.T) {
	t.Parallel()
	if a, b := NewID(), NewID(); a == b || len(a) > store.MaxNodeID {
		t.Errorf("%q, then %q", a, b)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	var u usage
	begin := time.Now()
	if cpus, memory := u.read(begin); cpus != 0 || memory <= 0 {
		t.Errorf("at first: %v CPUs, %d bytes", cpus, memory)
	}
	for x := 0; time.Since(begin) < 50*time.Millisecond; {
		x++
	}
	if cpus, _ := u.read(time.Now()); cpus <= 0 {
		t.Errorf("of a busy process: %v CPUs", cpus)
	}
}
