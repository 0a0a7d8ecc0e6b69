package cluster

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/store/engine/model"
)

// settle lets the members see each other and the leader balance.
const settle = 10 * time.Second

// leaders returns the terms in which members lead.
func leaders(members ...*member) (terms []uint64) {
	for _, m := range members {
		if term := m.leads(); term != 0 {
			terms = append(terms, term)
		}
	}
	return terms
}

// One of the nodes leads. When it leaves another does at once, and when it dies when
// the lock has run out; each time in a new term.
func TestOneLeads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l := store.New(model.New(12, nil)), new(lock)
		a, b, c := join(s, l, "a"), join(s, l, "b"), join(s, l, "c")
		time.Sleep(settle)
		if a.leads() != 1 || !slices.Equal(leaders(a, b, c), []uint64{1}) {
			t.Fatalf("%v lead", leaders(a, b, c))
		}
		nodes, err := b.Nodes(t.Context())
		if err != nil || len(nodes) != 3 || !nodes[0].Leader || nodes[0].Term != 1 || nodes[1].Leader || nodes[1].Term != 0 {
			t.Errorf("%+v, %v", nodes, err)
		}
		for _, m := range []*member{a, b, c} {
			if len(m.Owned()) != 4 {
				t.Errorf("%s serves %v", m.ID(), m.Owned())
			}
		}

		a.Leave()
		time.Sleep(DefaultHeartbeat + lookPause)
		if !slices.Equal(leaders(a, b, c), []uint64{2}) || a.leads() != 0 {
			t.Errorf("when the leader leaves, %v lead", leaders(a, b, c))
		}
		a.Stop(t.Context())
		leader, other := b, c
		if b.leads() == 0 {
			leader, other = c, b
		}
		leader.crash()
		time.Sleep(LeaderLease - DefaultHeartbeat)
		if other.leads() != 0 {
			t.Error("another leads before the lock has run out")
		}
		time.Sleep(2 * DefaultHeartbeat)
		if other.leads() != 3 {
			t.Errorf("when the leader is dead, the other leads in term %d", other.leads())
		}
		other.Stop(t.Context())
		if k, err := s.Cluster(t.Context()); err != nil || k.Leader != (store.Leader{Term: 3}) {
			t.Errorf("at the end: %+v, %v", k.Leader, err)
		}
	})
}

// A leader that was frozen writes nothing when it wakes, and leads no more.
func TestAFrozenLeaderWritesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l := store.New(model.New(12, nil)), new(lock)
		a, b := join(s, l, "a"), join(s, l, "b")
		time.Sleep(settle)
		if a.leads() != 1 {
			t.Fatalf("%v lead", leaders(a, b))
		}
		c := join(s, l, "c") // which is to get several shards, one at a time
		written := a.store.written.Load()
		if err := a.duties(t.Context(), leading{a.Member.leading.term, time.Now()}); !errors.Is(err, errTrust) || a.store.written.Load() != written {
			t.Errorf("at the end of its trust it has written: %v", err)
		}
		a.lock.freeze.Store(int64(2 * LeaderLease)) // as soon as it has renewed the lock
		time.Sleep(DefaultHeartbeat + LeaderLease - time.Millisecond)
		if a.leads() != 0 {
			t.Error("it trusts that it leads for as long as its lease")
		}
		time.Sleep(settle)
		if got := leaders(a, b, c); !slices.Equal(got, []uint64{2}) || a.leads() != 0 {
			t.Errorf("then %v lead", got)
		}
		if n := a.store.written.Load() - written; n != 0 {
			t.Errorf("the frozen leader has written %d placements", n)
		}
		for _, m := range []*member{a, b, c} {
			if len(m.Owned()) != 4 {
				t.Errorf("%s serves %v", m.ID(), m.Owned())
			}
			m.Stop(t.Context())
		}
	})
}

// Where the lock does not answer nobody leads; shards are served on, those of a node
// that dies too, and when it answers again there is a leader.
func TestWithoutALeader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l := store.New(model.New(12, nil)), new(lock)
		a, b, c := join(s, l, "a"), join(s, l, "b"), join(s, l, "c")
		time.Sleep(settle)
		away := func(is bool) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.away = is
		}
		away(true)
		kept := b.Owned()
		time.Sleep(LeaderLease)
		if got := leaders(a, b, c); got != nil {
			t.Errorf("%v lead without a lock", got)
		}
		a.crash()
		time.Sleep(DefaultDeadAfter + DefaultHeartbeat)
		if !slices.Equal(each(b, c), upTo(12)) {
			t.Errorf("without a leader b serves %v and c %v", b.Owned(), c.Owned())
		}
		for _, shard := range kept {
			if !slices.Contains(b.Owned(), shard) {
				t.Errorf("shard %d has moved without need", shard)
			}
		}
		away(false)
		time.Sleep(settle)
		if got := leaders(b, c); len(got) != 1 || got[0] < 2 {
			t.Errorf("%v lead when the lock answers", got)
		}
		if len(b.Owned()) != 6 || len(c.Owned()) != 6 {
			t.Errorf("b serves %v and c %v", b.Owned(), c.Owned())
		}
		for _, m := range []*member{b, c} {
			m.Stop(t.Context())
		}
	})
}

// A node with a store of its own always has the lock.
func TestSole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := New(Options{Store: store.New(model.New(4, nil)), Dispatcher: &shards{}, Lock: Sole{}, ID: "a", Roles: Roles()})
		m.Start(t.Context())
		time.Sleep(settle)
		if term, leads := m.Leads(); !leads || term != 1 {
			t.Errorf("it leads: %v, in term %d", leads, term)
		}
		m.Stop(t.Context())
	})
}
