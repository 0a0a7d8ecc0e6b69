package cluster

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/orchestrix/orchestrix/store"
)

// The leader is the node that holds the lock. It balances the shards over the nodes
// and forgets nodes that are long dead. Everything else goes on without it: a dead
// node's shards are taken by those that the hash names.
//
// With the lock a node begins a term, which the store numbers, and does its duties;
// where one of them fails it resigns. All that it writes names its term and is
// refused when there is a newer one. By its own clock it leads only until shortly
// before the lock's lease would run out.

// LeaderLease is how long a leader that is not heard of keeps the lock.
const LeaderLease = 3 * time.Second

// leaderMargin is the part of the lease that a leader does not rely on, for clocks that
// run at different rates.
const leaderMargin = 10

// leading is what a node knows of its own leadership.
type leading struct {
	term  store.Leader // zero where it does not lead
	until time.Time    // it may trust that it leads
}

// Leads returns the term in which this node leads; false where it does not.
func (m *Member) Leads() (term uint64, leads bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.leading.term.Term == 0 || !time.Now().Before(m.leading.until) {
		return 0, false
	}
	return m.leading.term.Term, true
}

// lead is a candidate, and the leader, until ctx ends.
func (m *Member) lead(ctx context.Context) {
	tick := time.NewTicker(m.o.Heartbeat)
	defer tick.Stop()
	for {
		m.campaign(ctx)
		select {
		case <-tick.C:
		case <-m.abdicate:
		case <-ctx.Done():
			m.resign(context.WithoutCancel(ctx), "the node leaves")
			return
		}
	}
}

// campaign tries to lead, and does the leader's duties where it does. A node that
// leaves or drains does not.
func (m *Member) campaign(ctx context.Context) {
	m.mu.Lock()
	retires := m.leaving || m.drains
	m.mu.Unlock()
	if retires {
		m.resign(ctx, "the node leaves or drains")
		return
	}
	begun := time.Now()
	lease := m.o.Lock.Lease()
	bounded, cancel := context.WithTimeout(ctx, lease/2)
	defer cancel()
	held, err := m.o.Lock.Take(bounded)
	switch {
	case err != nil:
		m.log.DebugContext(ctx, "who leads is not known: the lock does not answer", "error", err)
		if _, leads := m.Leads(); !leads {
			m.setLeading(ctx, leading{}, "the lock could not be renewed")
		}
		return
	case !held:
		m.setLeading(ctx, leading{}, "another node has the lock")
		return
	}
	m.mu.Lock()
	l := m.leading
	m.mu.Unlock()
	if l.term.Term == 0 {
		if l.term, err = m.o.Store.BeginTerm(bounded, m.o.ID); err != nil {
			m.log.DebugContext(ctx, "a term cannot begin", "error", err)
			m.resign(ctx, "its term could not begin")
			return
		}
	}
	l.until = begun.Add(lease - lease/leaderMargin)
	m.setLeading(ctx, l, "")
	if err := m.duties(bounded, l); err != nil {
		m.resign(ctx, err.Error())
	}
}

// resign gives up the lead, so that another may have it at once.
func (m *Member) resign(ctx context.Context, why string) {
	m.mu.Lock()
	l := m.leading
	m.mu.Unlock()
	m.setLeading(ctx, leading{}, why)
	ctx, cancel := context.WithTimeout(ctx, m.o.Lock.Lease()/2)
	defer cancel()
	if l.term.Term != 0 {
		if err := m.o.Store.EndTerm(ctx, l.term); err != nil {
			m.log.DebugContext(ctx, "that the leader has resigned is not noted", "error", err)
		}
	}
	if err := m.o.Lock.Release(ctx); err != nil {
		m.log.DebugContext(ctx, "the leader's lock is not given up: it runs out", "error", err)
	}
}

func (m *Member) setLeading(ctx context.Context, l leading, why string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch was := m.leading.term; {
	case was == l.term:
	case l.term.Term != 0:
		m.log.InfoContext(ctx, "this node leads", "term", l.term.Term)
	default:
		m.log.InfoContext(ctx, "this node leads no more", "term", was.Term, "why", why)
	}
	m.leading = l
}

// errTrust ends the duties of a leader that may be one no more.
var errTrust = errors.New("the lock may have run out")

// duties does all that the leader does; an error is why it resigns.
func (m *Member) duties(ctx context.Context, l leading) error {
	c, err := m.o.Store.Cluster(ctx)
	if err != nil {
		return err
	}
	if c.Leader != l.term {
		return store.ErrTerm
	}
	nodes := m.parseAll(ctx, c)
	write := func(do func() error) error {
		if !time.Now().Before(l.until) {
			return errTrust
		}
		return do()
	}
	if next := m.balance(c, nodes); next != nil {
		if err := write(func() error { return m.o.Store.PutPlacement(ctx, l.term, next) }); err != nil {
			return err
		}
	}
	for _, n := range nodes {
		if n.Age >= forgetAfter {
			if err := write(func() error { return m.o.Store.ForgetNode(ctx, l.term, n.ID) }); err != nil {
				return err
			}
		}
	}
	return nil
}

// balance returns the placement that is to be written; nil where the one that is
// there will do. The shards of nodes that are gone are where the hash has them; of the
// others a few move at a time.
func (m *Member) balance(c store.Cluster, nodes []Node) []byte {
	members := slices.DeleteFunc(slices.Clone(nodes), func(n Node) bool { return !n.Serves() })
	if len(members) == 0 {
		return nil
	}
	shards := m.o.Store.Shards()
	now := Follow(shards, decodePlacement(c.Placement), members)
	next := encodePlacement(approach(now, Place(now, members), max(1, shards/moveParts)))
	if slices.Equal(next, c.Placement) {
		return nil
	}
	return next
}
