package app

import (
	"context"
	"time"

	"github.com/orchestrix/orchestrix/cluster"
	"github.com/orchestrix/orchestrix/store"
)

// noticeGrace is how long a node that leaves answers on as before: whoever follows
// /readyz, and looks once a second, has gone elsewhere by then.
const noticeGrace = 1500 * time.Millisecond

// lease is how long a shard is held without being renewed; 0 means the
// dispatcher's default.
func (a *App) lease() time.Duration {
	if a.config.shared() {
		return cluster.Lease
	}
	return 0
}

// join makes this node one of those that use the store.
func (a *App) join(st *store.Store) {
	o := cluster.Options{
		Store: st, Dispatcher: a.dispatch, Lock: a.lock, Logger: a.log, ID: a.node, Address: a.URL(), Version: a.config.Version, Roles: a.config.roles(),
	}
	if !a.config.shared() {
		a.alone = cluster.NewAlone(o)
		return
	}
	a.member = cluster.New(o)
	a.onClose("membership", func(ctx context.Context) error { a.member.Stop(ctx); return nil })
	a.log.Info("this node is one of those that use the store", "node", a.member.ID(), "roles", a.config.Roles)
}

// nodes returns those that use the store: this one alone, where it is this process's.
func (a *App) nodes(ctx context.Context) ([]cluster.Node, error) {
	if a.member != nil {
		return a.member.Nodes(ctx)
	}
	return []cluster.Node{a.alone.Now()}, nil
}

// leads returns the term in which this node leads; false where it does not.
func (a *App) leads() (term uint64, leads bool) {
	if a.member == nil {
		return 1, true
	}
	return a.member.Leads()
}

// drainNode returns how a node is drained; nil where there is no other.
func (a *App) drainNode() func(ctx context.Context, id string, on bool) error {
	if a.member == nil {
		return nil
	}
	return a.member.Drain
}

// ready returns what else has to hold for the server to be ready; nil where
// nothing does.
func (a *App) ready() func() error {
	if a.member == nil {
		return nil
	}
	return a.member.Ready
}

// leave hands over the shards and, where others go on, answers on until they are
// asked instead, or the server fails.
func (a *App) leave(served <-chan error) {
	if a.member == nil {
		return
	}
	a.member.Leave()
	ctx, cancel := context.WithTimeout(context.Background(), min(noticeGrace, a.config.DrainGrace/2))
	defer cancel()
	select {
	case <-ctx.Done():
	case err := <-served:
		a.log.Error("the server has ended while the node leaves", "error", err)
	}
}
