// Package model is an engine that is nothing but sorted maps in memory: plainly
// right, quick for small data, and able to fail on demand.
//
// It is the reference that other engines are compared with, and the store under
// simulations and tests. It promises what engine.Engine promises except for
// durability: all is gone with the process. It takes no part in a server.
package model

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orchestrix/orchestrix/store/engine"
)

// Engine implements engine.Engine in memory. Set its hooks before the first
// call; they may be called concurrently.
type Engine struct {
	// Fail, where set, is called before an operation ("apply", "get", "scan",
	// "counters", "acquire", "renew", "release", "head", "now"); an error that it
	// returns is the operation's, and nothing is done. The shard of "now" is -1.
	Fail func(op string, shard int) error
	// Ambiguous, where set, is asked after an "apply", "acquire" or "release" was
	// carried out; where it returns true the caller gets ErrUnavailable all the
	// same.
	Ambiguous func(op string, shard int) bool

	now    func() time.Time
	shards []shard
	latest atomic.Int64
	closed atomic.Bool
}

type shard struct {
	mu       sync.Mutex
	head     engine.Head
	writer   engine.Fence // of the last fenced batch
	entries  sorted
	counters map[string]int64
	watchers map[chan struct{}]struct{}
}

var _ engine.Engine = (*Engine)(nil)

// New returns an empty engine of that many shards. now is its clock; nil means
// the system's.
func New(shards int, now func() time.Time) *Engine {
	if now == nil {
		now = time.Now
	}
	e := &Engine{now: now, shards: make([]shard, shards)}
	for i := range e.shards {
		e.shards[i].counters = map[string]int64{}
		e.shards[i].watchers = map[chan struct{}]struct{}{}
	}
	return e
}

// Shards implements engine.Engine.
func (e *Engine) Shards() int { return len(e.shards) }

// Close implements engine.Engine.
func (e *Engine) Close() error {
	e.closed.Store(true)
	return nil
}

// begin is what every operation does first.
func (e *Engine) begin(ctx context.Context, op string, n int) (*shard, error) {
	if e.closed.Load() {
		return nil, engine.ErrClosed
	}
	if n < 0 || n >= len(e.shards) {
		return nil, fmt.Errorf("%w: shard %d of %d", engine.ErrInvalid, n, len(e.shards))
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if e.Fail != nil {
		if err := e.Fail(op, n); err != nil {
			return nil, err
		}
	}
	return &e.shards[n], nil
}

// end is what every operation that changes something does last.
func (e *Engine) end(op string, n int) error {
	if e.Ambiguous != nil && e.Ambiguous(op, n) {
		return fmt.Errorf("%w: no answer to %s", engine.ErrUnavailable, op)
	}
	return nil
}

// Get implements engine.Engine.
func (e *Engine) Get(ctx context.Context, n int, keys ...[]byte) ([][]byte, error) {
	s, err := e.begin(ctx, "get", n)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	values := make([][]byte, len(keys))
	for i, key := range keys {
		if err := engine.CheckKey(key); err != nil {
			return nil, err
		}
		if v, ok := s.entries.get(key); ok {
			values[i] = clone(v)
		}
	}
	return values, nil
}

// Scan implements engine.Engine.
func (e *Engine) Scan(ctx context.Context, n int, r engine.Range) ([]engine.Entry, error) {
	s, err := e.begin(ctx, "scan", n)
	if err != nil {
		return nil, err
	}
	if err := cmp.Or(engine.CheckLimit(r.Limit), engine.CheckBound(r.From), engine.CheckBound(r.To)); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []engine.Entry
	for en := range s.entries.between(r.From, r.To, r.Reverse) {
		if len(found) == r.Limit {
			break
		}
		out := engine.Entry{Key: clone(en.Key)}
		if !r.KeysOnly {
			out.Value = clone(en.Value)
		}
		found = append(found, out)
	}
	return found, nil
}

// Counters implements engine.Engine.
func (e *Engine) Counters(ctx context.Context, n int, names ...[]byte) ([]int64, error) {
	s, err := e.begin(ctx, "counters", n)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	values := make([]int64, len(names))
	for i, name := range names {
		if err := engine.CheckKey(name); err != nil {
			return nil, err
		}
		values[i] = s.counters[string(name)]
	}
	return values, nil
}

// ScanCounters implements engine.Engine.
func (e *Engine) ScanCounters(ctx context.Context, n int, prefix, after []byte, limit int) ([]engine.Counter, error) {
	s, err := e.begin(ctx, "counters", n)
	if err != nil {
		return nil, err
	}
	if err := engine.CheckLimit(limit); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []engine.Counter
	for _, name := range slices.Sorted(maps.Keys(s.counters)) {
		if len(found) == limit {
			break
		}
		beyond := after == nil || name > string(after)
		if v := s.counters[name]; v != 0 && beyond && strings.HasPrefix(name, string(prefix)) {
			found = append(found, engine.Counter{Name: []byte(name), Value: v})
		}
	}
	return found, nil
}

// Watch implements engine.Engine.
func (e *Engine) Watch(n int) (<-chan struct{}, func()) {
	changed := make(chan struct{}, 1)
	if n < 0 || n >= len(e.shards) {
		return changed, func() {}
	}
	s := &e.shards[n]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watchers[changed] = struct{}{}
	return changed, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, changed)
	}
}

func (s *shard) changed() {
	for w := range s.watchers {
		select {
		case w <- struct{}{}:
		default: // a hint is pending already
		}
	}
}

// Now implements engine.Engine.
func (e *Engine) Now(ctx context.Context) (time.Time, error) {
	if e.closed.Load() {
		return time.Time{}, engine.ErrClosed
	}
	if e.Fail != nil {
		if err := e.Fail("now", -1); err != nil {
			return time.Time{}, err
		}
	}
	return e.time(), ctx.Err()
}

// time returns the clock's time, or the latest one returned where the clock
// went back.
func (e *Engine) time() time.Time {
	ms := e.now().UnixMilli()
	for {
		latest := e.latest.Load()
		if ms <= latest {
			return time.UnixMilli(latest).UTC()
		}
		if e.latest.CompareAndSwap(latest, ms) {
			return time.UnixMilli(ms).UTC()
		}
	}
}

// Usage implements engine.Engine; it counts keys and values.
func (e *Engine) Usage(context.Context) (engine.Usage, error) {
	if e.closed.Load() {
		return engine.Usage{}, engine.ErrClosed
	}
	var u engine.Usage
	for i := range e.shards {
		s := &e.shards[i]
		s.mu.Lock()
		for en := range s.entries.between(nil, nil, false) {
			u.Bytes += int64(len(en.Key) + len(en.Value))
		}
		s.mu.Unlock()
	}
	return u, nil
}

// clone copies b; an empty value stays distinct from an absent one.
func clone(b []byte) []byte { return append(make([]byte, 0, len(b)), b...) }

func equal(a, b []byte) bool { return bytes.Equal(a, b) }
