package enginetest

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/orchestrix/orchestrix/store/engine"
)

// checkModel makes random calls to an engine and to the model of two of its
// shards, and compares each answer.
func checkModel(t testing.TB, open Open) {
	rapid.Check(t, func(r *rapid.T) {
		run := &scope{TB: t}
		defer run.end()
		store := open(run)
		m := &machine{
			store: store, engine: store.Engine,
			shards: [2]*modelShard{newModelShard(), newModelShard()},
		}
		actions := map[string]func(*rapid.T){
			"apply": m.apply, "apply again": m.apply, "commit": m.commit,
			"get": m.get, "scan": m.scan, "scan again": m.scan,
			"counters": m.countersOf, "scan counters": m.scanCounters,
			"acquire": m.acquire, "release": m.release,
			"": m.compareHeads,
		}
		if store.Reopen != nil {
			actions["reopen"] = func(*rapid.T) { m.reopen(run) }
		}
		r.Repeat(actions)
	})
}

// machine drives an engine and the model side by side.
type machine struct {
	store  Store
	engine engine.Engine
	shards [2]*modelShard
}

var ctx = context.Background()

// Few and short names meet each other often.
var (
	drawnKey   = rapid.SliceOfN(rapid.SampledFrom([]byte{0, 'a', 0xff}), 1, 2)
	drawnBound = rapid.SliceOfN(rapid.SampledFrom([]byte{0, 'a', 0xff}), 0, 2)
	drawnValue = rapid.SliceOfN(rapid.SampledFrom([]byte{0, 'x'}), 0, 2)
	drawnShard = rapid.IntRange(0, 1)
	drawnNonce = rapid.SampledFrom([]engine.Nonce{alice, bob})
	drawnLimit = rapid.SampledFrom([]int{1, 2, 3, 7, engine.MaxScan})
)

var (
	drawnEntry = rapid.Custom(func(r *rapid.T) engine.Entry {
		return engine.Entry{Key: drawnKey.Draw(r, "key"), Value: drawnValue.Draw(r, "value")}
	})
	drawnRange   = rapid.Custom(drawRange)
	drawnCounter = rapid.Custom(func(r *rapid.T) engine.Counter {
		return engine.Counter{Name: drawnKey.Draw(r, "name"), Value: rapid.Int64Range(-2, 2).Draw(r, "add")}
	})
	drawnGuard = rapid.Custom(drawGuard)
	drawnGroup = rapid.Custom(func(r *rapid.T) engine.Group {
		return engine.Group{
			Guards:   rapid.SliceOfN(drawnGuard, 0, 2).Draw(r, "guards"),
			Deletes:  rapid.SliceOfN(drawnKey, 0, 2).Draw(r, "deletes"),
			Ranges:   rapid.SliceOfN(drawnRange, 0, 1).Draw(r, "ranges"),
			Puts:     rapid.SliceOfN(drawnEntry, 0, 4).Draw(r, "puts"),
			Stamped:  rapid.SliceOfN(drawnEntry, 0, 2).Draw(r, "stamped"),
			Counters: rapid.SliceOfN(drawnCounter, 0, 2).Draw(r, "counters"),
		}
	})
	drawnGroups = rapid.SliceOfN(drawnGroup, 0, 4)
)

func drawRange(r *rapid.T) engine.KeyRange {
	return engine.KeyRange{From: drawnBound.Draw(r, "from"), To: drawnKey.Draw(r, "to")}
}

func drawGuard(r *rapid.T) engine.Guard {
	g := engine.Guard{Key: drawnKey.Draw(r, "guard key")}
	if rapid.Bool().Draw(r, "equal") {
		g.Value = drawnValue.Draw(r, "guard value")
	}
	return g
}

func (m *machine) apply(r *rapid.T) {
	m.both(r, drawnShard.Draw(r, "shard"), &engine.Batch{Groups: drawnGroups.Draw(r, "groups")})
}

// commit is mostly the owner's next one, else a repeated, a lost or a foreign
// one. A shard that nobody owns is mostly acquired first.
func (m *machine) commit(r *rapid.T) {
	shard := drawnShard.Draw(r, "shard")
	if m.shards[shard].head.Nonce == (engine.Nonce{}) && rapid.IntRange(0, 4).Draw(r, "own") > 0 {
		m.acquireShard(r, shard)
	}
	h := m.shards[shard].head
	f, number := h.Fence, h.Commit+1
	switch rapid.IntRange(0, 9).Draw(r, "fence") {
	case 0:
		f.Epoch--
	case 1:
		f.Nonce = drawnNonce.Draw(r, "nonce")
	case 2, 3:
		number = rapid.Uint64Range(0, h.Commit+2).Draw(r, "commit")
	}
	m.both(r, shard, &engine.Batch{Fence: &f, Commit: number, Groups: drawnGroups.Draw(r, "groups")})
}

func (m *machine) both(r *rapid.T, shard int, b *engine.Batch) {
	want, wantErr := m.shards[shard].apply(b)
	got, err := m.engine.Apply(ctx, shard, b)
	if !errors.Is(err, wantErr) {
		r.Fatalf("Apply: %v, want %v", err, wantErr)
	}
	compare(r, want, got)
}

func (m *machine) get(r *rapid.T) {
	shard := drawnShard.Draw(r, "shard")
	keys := rapid.SliceOfN(drawnKey, 0, 5).Draw(r, "keys")
	var want [][]byte
	for _, key := range keys {
		want = append(want, m.shards[shard].data[string(key)])
	}
	got, err := m.engine.Get(ctx, shard, keys...)
	succeed(r, err)
	compare(r, want, got)
}

func (m *machine) scan(r *rapid.T) {
	shard := drawnShard.Draw(r, "shard")
	bounds := drawnRange.Draw(r, "range")
	q := engine.Range{
		From: bounds.From, To: bounds.To, Limit: drawnLimit.Draw(r, "limit"),
		Reverse: rapid.Bool().Draw(r, "reverse"), KeysOnly: rapid.Bool().Draw(r, "keys only"),
	}
	if rapid.Bool().Draw(r, "to the end") {
		q.To = nil
	}
	got, err := m.engine.Scan(ctx, shard, q)
	succeed(r, err)
	compare(r, m.shards[shard].scan(q), got)
}

func (m *machine) countersOf(r *rapid.T) {
	shard := drawnShard.Draw(r, "shard")
	names := rapid.SliceOfN(drawnKey, 0, 4).Draw(r, "names")
	var want []int64
	for _, name := range names {
		want = append(want, m.shards[shard].counters[string(name)])
	}
	got, err := m.engine.Counters(ctx, shard, names...)
	succeed(r, err)
	compare(r, want, got)
}

func (m *machine) scanCounters(r *rapid.T) {
	shard := drawnShard.Draw(r, "shard")
	prefix, after := drawnBound.Draw(r, "prefix"), drawnBound.Draw(r, "after")
	limit := drawnLimit.Draw(r, "limit")
	got, err := m.engine.ScanCounters(ctx, shard, prefix, after, limit)
	succeed(r, err)
	compare(r, m.shards[shard].scanCounters(string(prefix), string(after), limit), got)
}

func (m *machine) acquire(r *rapid.T) { m.acquireShard(r, drawnShard.Draw(r, "shard")) }

// acquireShard takes over the epoch and the end of the lease, which are the engine's
// to choose.
func (m *machine) acquireShard(r *rapid.T, shard int) {
	nonce := drawnNonce.Draw(r, "nonce")
	s := m.shards[shard]
	h, err := m.engine.Acquire(ctx, shard, nonce, time.Hour)
	if owner := s.head.Nonce; owner != (engine.Nonce{}) && owner != nonce {
		if !errors.As(err, new(*engine.HeldError)) {
			r.Fatalf("Acquire: %v, want a HeldError", err)
		}
		return
	}
	succeed(r, err)
	if h.Epoch <= s.head.Epoch {
		r.Fatalf("epoch %d after %d", h.Epoch, s.head.Epoch)
	}
	s.head.Fence, s.head.Expires = engine.Fence{Epoch: h.Epoch, Nonce: nonce}, h.Expires
	compare(r, s.head, h)
}

func (m *machine) release(r *rapid.T) {
	shard := drawnShard.Draw(r, "shard")
	s := m.shards[shard]
	f := engine.Fence{Epoch: s.head.Epoch, Nonce: drawnNonce.Draw(r, "nonce")}
	err := m.engine.Release(ctx, shard, f)
	if f != s.head.Fence {
		if !errors.Is(err, engine.ErrFenced) {
			r.Fatalf("Release: %v, want ErrFenced", err)
		}
		return
	}
	succeed(r, err)
	s.head.Nonce, s.head.Expires = engine.Nonce{}, time.Time{}
}

// reopen allows that leases end.
func (m *machine) reopen(t testing.TB) {
	m.engine = m.store.Reopen(t)
	for n, s := range m.shards {
		h, err := m.engine.Head(ctx, n)
		if err == nil && h.Nonce == (engine.Nonce{}) {
			s.head.Nonce, s.head.Expires = engine.Nonce{}, time.Time{}
		}
	}
}

func (m *machine) compareHeads(r *rapid.T) {
	for n, s := range m.shards {
		h, err := m.engine.Head(ctx, n)
		succeed(r, err)
		compare(r, s.head, h)
	}
}

func succeed(r *rapid.T, err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// compare tells an absent value from an empty one, and no empty list from none.
func compare(r *rapid.T, want, got any) {
	r.Helper()
	lists := func(p cmp.Path) bool { return p.Last().Type() != reflect.TypeFor[[]byte]() }
	if d := cmp.Diff(want, got, cmp.FilterPath(lists, cmpopts.EquateEmpty())); d != "" {
		r.Fatalf("(-model +engine)\n%s", d)
	}
}
