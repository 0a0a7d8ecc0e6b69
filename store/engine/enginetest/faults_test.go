package enginetest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/orchestrix/orchestrix/store/engine"
	"github.com/orchestrix/orchestrix/store/engine/pebble"
)

// faulty is an engine of which one method is wrong.
type faulty struct {
	engine.Engine
	apply        func(shard int, b *engine.Batch) (engine.Result, error)
	get          func(shard int, keys [][]byte) ([][]byte, error)
	scan         func(shard int, r engine.Range) ([]engine.Entry, error)
	scanCounters func(shard int, prefix, after []byte, limit int) ([]engine.Counter, error)
	acquire      func(shard int, nonce engine.Nonce, lease time.Duration) (engine.Head, error)
	release      func(shard int, f engine.Fence) error
	now          func() (time.Time, error)
	watch        func() (<-chan struct{}, func())
	close        func() error
}

// fault is a way to be wrong and the check that has to see it.
type fault struct {
	name    string
	check   string
	model   bool // the model has to see it too
	install func(e *faulty, good engine.Engine)
}

var faults = []fault{
	{"ignores guards", "Guard/absent", true, func(e *faulty, good engine.Engine) {
		e.apply = onGroups(good, func(g *engine.Group) { g.Guards = nil })
	}},
	{"takes an empty guard for an absent one", "Guard/an empty value is not an absent key", true, func(e *faulty, good engine.Engine) {
		e.apply = onGroups(good, func(g *engine.Group) {
			g.Guards = slices.Clone(g.Guards)
			for i := range g.Guards {
				if len(g.Guards[i].Value) == 0 {
					g.Guards[i].Value = nil
				}
			}
		})
	}},
	{"looks at the first guard only", "Guard/all must hold", true, func(e *faulty, good engine.Engine) {
		e.apply = onGroups(good, func(g *engine.Group) { g.Guards = g.Guards[:min(len(g.Guards), 1)] })
	}},
	{"does not say which guard failed", "Guard/the first that fails is named", true, func(e *faulty, good engine.Engine) {
		e.apply = onResult(good, func(r *engine.GroupResult) { r.Failed = 0 })
	}},
	{"evaluates guards one by one", "Guard/sees the state before the batch", true, func(e *faulty, good engine.Engine) {
		e.apply = func(shard int, b *engine.Batch) (res engine.Result, err error) {
			if b.Fence != nil {
				return good.Apply(ctx, shard, b)
			}
			for _, g := range b.Groups {
				one, err := good.Apply(ctx, shard, &engine.Batch{Groups: []engine.Group{g}})
				if err != nil {
					return res, err
				}
				res.Groups = append(res.Groups, one.Groups...)
			}
			return res, nil
		}
	}},
	{"says nothing of what it found", "Guard/equal", true, func(e *faulty, good engine.Engine) {
		e.apply = onResult(good, func(r *engine.GroupResult) { r.Found = nil })
	}},
	{"deletes after it puts", "Group/deletes come before range deletes before puts", true, func(e *faulty, good engine.Engine) {
		e.apply = func(shard int, b *engine.Batch) (engine.Result, error) {
			late := *b
			for _, g := range b.Groups {
				if len(g.Guards) == 0 {
					late.Groups = append(slices.Clone(late.Groups), engine.Group{Deletes: g.Deletes})
				}
			}
			res, err := good.Apply(ctx, shard, &late)
			res.Groups = res.Groups[:min(len(res.Groups), len(b.Groups))]
			return res, err
		}
	}},
	{"deletes the end of a range", "Group/range delete keeps its bounds", true, func(e *faulty, good engine.Engine) {
		e.apply = onGroups(good, func(g *engine.Group) {
			g.Ranges = slices.Clone(g.Ranges)
			for i, r := range g.Ranges {
				g.Ranges[i].To = append(slices.Clone(r.To), 0)
			}
		})
	}},
	{"scans out of order", "Order/ascending", true, func(e *faulty, good engine.Engine) {
		e.scan = onEntries(good, func(entries []engine.Entry) []engine.Entry {
			if len(entries) > 1 {
				entries[0], entries[1] = entries[1], entries[0]
			}
			return entries
		})
	}},
	{"scans forward only", "Order/descending", true, func(e *faulty, good engine.Engine) {
		e.scan = func(shard int, r engine.Range) ([]engine.Entry, error) {
			r.Reverse = false
			return good.Scan(ctx, shard, r)
		}
	}},
	{"scans the end of a range", "Scan/every pair of bounds", true, func(e *faulty, good engine.Engine) {
		e.scan = func(shard int, r engine.Range) ([]engine.Entry, error) {
			if r.To != nil {
				r.To = append(slices.Clone(r.To), 0)
			}
			return good.Scan(ctx, shard, r)
		}
	}},
	{"has no limit", "Scan/limit cuts at the far end", true, func(e *faulty, good engine.Engine) {
		e.scan = func(shard int, r engine.Range) ([]engine.Entry, error) {
			r.Limit = engine.MaxScan
			return good.Scan(ctx, shard, r)
		}
	}},
	{"reads values where keys are asked for", "Scan/keys only leaves values nil", true, func(e *faulty, good engine.Engine) {
		e.scan = func(shard int, r engine.Range) ([]engine.Entry, error) {
			r.KeysOnly = false
			return good.Scan(ctx, shard, r)
		}
	}},
	{"shows a number before a lower one", "Stamp/who has seen n sees no lower one appear", true, func(e *faulty, good engine.Engine) {
		e.scan = onEntries(good, func(entries []engine.Entry) []engine.Entry {
			if len(entries) > 2 {
				return slices.Delete(entries, 1, 2)
			}
			return entries
		})
	}},
	{"tells wrong numbers", "Stamp/numbers are given in order without a gap", true, func(e *faulty, good engine.Engine) {
		e.apply = onResult(good, func(r *engine.GroupResult) { r.FirstSeq++ })
	}},
	{"has no empty values", "Get/in the order asked for", true, func(e *faulty, good engine.Engine) {
		e.get = onValues(good, func(v []byte) []byte { return append([]byte(nil), v...) })
	}},
	{"hands out what it shares", "Slices/handed out belong to the caller", false, func(e *faulty, good engine.Engine) {
		var all []byte
		e.get = onValues(good, func(v []byte) []byte {
			all = append(slices.Grow(all, 100), v...)
			return all[len(all)-len(v) : len(all) : cap(all)]
		})
	}},
	{"keeps counters positive", "Counter/adds up", true, func(e *faulty, good engine.Engine) {
		e.apply = onGroups(good, func(g *engine.Group) {
			g.Counters = slices.DeleteFunc(slices.Clone(g.Counters), func(c engine.Counter) bool { return c.Value < 0 })
		})
	}},
	{"scans counters from the start", "Counter/scan by prefix, page by page", true, func(e *faulty, good engine.Engine) {
		e.scanCounters = func(shard int, prefix, _ []byte, limit int) ([]engine.Counter, error) {
			return good.ScanCounters(ctx, shard, prefix, nil, limit)
		}
	}},
	{"ignores fences", "Fence/compares epoch and nonce", true, func(e *faulty, good engine.Engine) {
		e.apply = func(shard int, b *engine.Batch) (engine.Result, error) {
			return good.Apply(ctx, shard, &engine.Batch{Groups: b.Groups})
		}
	}},
	{"ignores commit numbers", "Commit/repeated is success without effect", true, func(e *faulty, good engine.Engine) {
		e.apply = func(shard int, b *engine.Batch) (engine.Result, error) {
			next := *b
			if h, err := good.Head(ctx, shard); err == nil {
				next.Commit = h.Commit + 1
			}
			return good.Apply(ctx, shard, &next)
		}
	}},
	{"takes any old commit for a repeated one", "Commit/any other number is another history", true, func(e *faulty, good engine.Engine) {
		e.apply = func(shard int, b *engine.Batch) (engine.Result, error) {
			res, err := good.Apply(ctx, shard, b)
			if errors.Is(err, engine.ErrHistory) {
				return engine.Result{Repeated: true}, nil
			}
			return res, err
		}
	}},
	{"gives a held shard away", "Lease/held by another", true, func(e *faulty, good engine.Engine) {
		e.acquire = func(shard int, nonce engine.Nonce, lease time.Duration) (engine.Head, error) {
			if h, err := good.Head(ctx, shard); err == nil {
				_ = good.Release(ctx, shard, h.Fence)
			}
			return good.Acquire(ctx, shard, nonce, lease)
		}
	}},
	{"counts epochs from one", "Lease/acquire", false, func(e *faulty, good engine.Engine) {
		e.acquire = func(shard int, nonce engine.Nonce, lease time.Duration) (engine.Head, error) {
			h, err := good.Acquire(ctx, shard, nonce, lease)
			h.Epoch = 1
			return h, err
		}
	}},
	{"never lets go", "Lease/release", true, func(e *faulty, _ engine.Engine) {
		e.release = func(int, engine.Fence) error { return nil }
	}},
	{"has time going back", "Time/is UTC in milliseconds and never goes back", false, func(e *faulty, good engine.Engine) {
		calls := 0
		e.now = func() (time.Time, error) {
			now, err := good.Now(ctx)
			calls++
			return now.Add(-time.Duration(calls) * time.Second), err
		}
	}},
	{"gives no hints", "Watch/hints at unfenced changes", false, func(e *faulty, _ engine.Engine) {
		e.watch = func() (<-chan struct{}, func()) { return nil, func() {} }
	}},
	{"does not close", "Close/may be repeated, and all calls fail after it", false, func(e *faulty, _ engine.Engine) {
		e.close = func() error { return nil }
	}},
	{"closes once", "Close/may be repeated, and all calls fail after it", false, func(e *faulty, good engine.Engine) {
		closed := false
		e.close = func() error {
			if closed {
				return engine.ErrClosed
			}
			closed = true
			return good.Close()
		}
	}},
	{"takes what is invalid", "Bounds/invalid groups", false, func(e *faulty, good engine.Engine) {
		e.apply = func(shard int, b *engine.Batch) (engine.Result, error) {
			res, err := good.Apply(ctx, shard, b)
			if errors.Is(err, engine.ErrInvalid) {
				return engine.Result{}, nil
			}
			return res, err
		}
	}},
	{"has one shard for all", "Shards/are independent", true, func(e *faulty, good engine.Engine) {
		e.apply = func(_ int, b *engine.Batch) (engine.Result, error) { return good.Apply(ctx, 0, b) }
		e.get = func(_ int, keys [][]byte) ([][]byte, error) { return good.Get(ctx, 0, keys...) }
		e.scan = func(_ int, r engine.Range) ([]engine.Entry, error) { return good.Scan(ctx, 0, r) }
	}},
	{"goes on for those who left", "Context/done before the call", false, func(e *faulty, good engine.Engine) {
		e.apply = func(shard int, b *engine.Batch) (engine.Result, error) { return good.Apply(ctx, shard, b) }
	}},
}

// onGroups is an Apply that changes each group of an unfenced batch first.
func onGroups(good engine.Engine, change func(g *engine.Group)) func(int, *engine.Batch) (engine.Result, error) {
	return func(shard int, b *engine.Batch) (engine.Result, error) {
		changed := *b
		changed.Groups = slices.Clone(b.Groups)
		for i := range changed.Groups {
			change(&changed.Groups[i])
		}
		return good.Apply(ctx, shard, &changed)
	}
}

// onResult is an Apply that changes each group's result.
func onResult(good engine.Engine, change func(r *engine.GroupResult)) func(int, *engine.Batch) (engine.Result, error) {
	return func(shard int, b *engine.Batch) (engine.Result, error) {
		res, err := good.Apply(ctx, shard, b)
		for i := range res.Groups {
			change(&res.Groups[i])
		}
		return res, err
	}
}

func onEntries(good engine.Engine, change func([]engine.Entry) []engine.Entry) func(int, engine.Range) ([]engine.Entry, error) {
	return func(shard int, r engine.Range) ([]engine.Entry, error) {
		entries, err := good.Scan(ctx, shard, r)
		return change(entries), err
	}
}

func onValues(good engine.Engine, change func([]byte) []byte) func(int, [][]byte) ([][]byte, error) {
	return func(shard int, keys [][]byte) ([][]byte, error) {
		values, err := good.Get(ctx, shard, keys...)
		for i, v := range values {
			if v != nil {
				values[i] = change(v)
			}
		}
		return values, err
	}
}

func (e *faulty) Apply(c context.Context, shard int, b *engine.Batch) (engine.Result, error) {
	if e.apply == nil {
		return e.Engine.Apply(c, shard, b)
	}
	return e.apply(shard, b)
}

func (e *faulty) Get(c context.Context, shard int, keys ...[]byte) ([][]byte, error) {
	if e.get == nil {
		return e.Engine.Get(c, shard, keys...)
	}
	return e.get(shard, keys)
}

func (e *faulty) Scan(c context.Context, shard int, r engine.Range) ([]engine.Entry, error) {
	if e.scan == nil {
		return e.Engine.Scan(c, shard, r)
	}
	return e.scan(shard, r)
}

func (e *faulty) ScanCounters(c context.Context, shard int, prefix, after []byte, limit int) ([]engine.Counter, error) {
	if e.scanCounters == nil {
		return e.Engine.ScanCounters(c, shard, prefix, after, limit)
	}
	return e.scanCounters(shard, prefix, after, limit)
}

func (e *faulty) Acquire(c context.Context, shard int, nonce engine.Nonce, lease time.Duration) (engine.Head, error) {
	if e.acquire == nil {
		return e.Engine.Acquire(c, shard, nonce, lease)
	}
	return e.acquire(shard, nonce, lease)
}

func (e *faulty) Release(c context.Context, shard int, f engine.Fence) error {
	if e.release == nil {
		return e.Engine.Release(c, shard, f)
	}
	return e.release(shard, f)
}

func (e *faulty) Now(c context.Context) (time.Time, error) {
	if e.now == nil {
		return e.Engine.Now(c)
	}
	return e.now()
}

func (e *faulty) Watch(shard int) (<-chan struct{}, func()) {
	if e.watch == nil {
		return e.Engine.Watch(shard)
	}
	return e.watch()
}

func (e *faulty) Close() error {
	if e.close == nil {
		return e.Engine.Close()
	}
	return e.close()
}

// openFaulty opens stores with a fault, or good ones where install is nil.
func openFaulty(install func(e *faulty, good engine.Engine)) Open {
	return func(t testing.TB) Store {
		fs := vfs.NewMem()
		var good *pebble.Engine
		reopen := func(t testing.TB) engine.Engine {
			if good != nil {
				if err := good.Close(); err != nil {
					t.Fatal(err)
				}
			}
			var err error
			if good, err = pebble.Open("store", pebble.Options{Shards: 2, FS: fs, MinFree: -1}); err != nil {
				t.Fatal(err)
			}
			e := &faulty{Engine: good}
			if install != nil {
				install(e, good)
			}
			return e
		}
		e := reopen(t)
		t.Cleanup(func() { _ = good.Close() })
		return Store{Engine: e, Reopen: reopen}
	}
}
