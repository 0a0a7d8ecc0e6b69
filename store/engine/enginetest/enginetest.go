// Package enginetest is the conformance suite of storage engines: what the
// comments of package engine promise, as tests that every engine passes
// unchanged.
//
// Run carries out a subtest for each promise, each on a store of its own, and
// the model: random calls to an engine and to a plain sorted map, which must
// agree on every answer. The suite knows nothing of an engine beyond
// engine.Engine; what only some of them can do (be opened again, have their
// clock turned) is offered through Store and used where it is there.
//
// It does not test what is an engine's own: crashes, damaged files, locks, full
// disks, lost connections.
package enginetest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/store/engine"
)

// Store is an engine under test: new, empty, with at least two shards.
type Store struct {
	Engine engine.Engine
	// Reopen closes the engine and opens the same data anew; nil where an engine
	// has nothing to open. All leases may have ended by that.
	Reopen func(t testing.TB) engine.Engine
	// Advance turns the engine's clock forward; nil where it cannot be turned.
	// The suite then uses short leases and waits for them to run out.
	Advance func(d time.Duration)
}

// Open makes a new store. It closes it, and removes what it left, with
// t.Cleanup; the suite may have closed it before.
type Open func(t testing.TB) Store

// Run tests the engine. Subtests run in parallel, so open must be safe for
// concurrent use.
func Run(t *testing.T, open Open) {
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.check(newSubject(t, open))
		})
	}
	t.Run("Model", func(t *testing.T) {
		t.Parallel()
		checkModel(t, open)
	})
}

// check is one promise.
type check struct {
	name  string
	check func(s *subject)
}

func cases() []check {
	var all []check
	for _, group := range [][]check{
		orderChecks, boundChecks, groupChecks, guardChecks, stampChecks, counterChecks,
		leaseChecks, fenceChecks, timeChecks, watchChecks, lifeChecks, concurrencyChecks,
	} {
		all = append(all, group...)
	}
	return all
}

// subject is the store that a check looks at, with short ways to call it that
// fail the test on an error.
type subject struct {
	testing.TB
	Store
	ctx context.Context
}

func newSubject(t testing.TB, open Open) *subject {
	s := open(t)
	if n := s.Engine.Shards(); n < 2 {
		t.Fatalf("the suite needs two shards, the store has %d", n)
	}
	return &subject{TB: t, Store: s, ctx: context.Background()}
}

// apply carries out an unfenced batch.
func (s *subject) apply(shard int, groups ...engine.Group) []engine.GroupResult {
	s.Helper()
	res, err := s.Engine.Apply(s.ctx, shard, &engine.Batch{Groups: groups})
	if err != nil {
		s.Fatalf("Apply: %v", err)
	}
	if res.Repeated || len(res.Groups) != len(groups) {
		s.Fatalf("Apply of %d groups returned %+v", len(groups), res)
	}
	return res.Groups
}

// commit carries out a fenced batch and returns its error.
func (s *subject) commit(shard int, f engine.Fence, number uint64, groups ...engine.Group) (engine.Result, error) {
	return s.Engine.Apply(s.ctx, shard, &engine.Batch{Fence: &f, Commit: number, Groups: groups})
}

// put stores keys, each with its own name as value.
func (s *subject) put(shard int, keys ...string) {
	s.Helper()
	g := engine.Group{}
	for _, k := range keys {
		g.Puts = append(g.Puts, entry(k, k))
	}
	s.apply(shard, g)
}

func (s *subject) scan(shard int, r engine.Range) []engine.Entry {
	s.Helper()
	if r.Limit == 0 {
		r.Limit = engine.MaxScan
	}
	entries, err := s.Engine.Scan(s.ctx, shard, r)
	if err != nil {
		s.Fatalf("Scan(%+v): %v", r, err)
	}
	return entries
}

// keys returns the keys of a scan.
func (s *subject) keys(shard int, r engine.Range) []string {
	s.Helper()
	r.KeysOnly = true
	keys := []string{}
	for _, en := range s.scan(shard, r) {
		keys = append(keys, string(en.Key))
	}
	return keys
}

// value returns one key's value, nil where it is absent.
func (s *subject) value(shard int, key string) []byte {
	s.Helper()
	values, err := s.Engine.Get(s.ctx, shard, []byte(key))
	if err != nil || len(values) != 1 {
		s.Fatalf("Get(%q) = %q, %v", key, values, err)
	}
	return values[0]
}

func (s *subject) counter(shard int, name string) int64 {
	s.Helper()
	values, err := s.Engine.Counters(s.ctx, shard, []byte(name))
	if err != nil || len(values) != 1 {
		s.Fatalf("Counters(%q) = %v, %v", name, values, err)
	}
	return values[0]
}

func (s *subject) head(shard int) engine.Head {
	s.Helper()
	h, err := s.Engine.Head(s.ctx, shard)
	if err != nil {
		s.Fatalf("Head: %v", err)
	}
	return h
}

func (s *subject) acquire(shard int, nonce engine.Nonce, lease time.Duration) engine.Head {
	s.Helper()
	h, err := s.Engine.Acquire(s.ctx, shard, nonce, lease)
	if err != nil {
		s.Fatalf("Acquire: %v", err)
	}
	return h
}

func (s *subject) now() time.Time {
	s.Helper()
	now, err := s.Engine.Now(s.ctx)
	if err != nil {
		s.Fatalf("Now: %v", err)
	}
	return now
}

// pass returns when the engine's time is later by d.
func (s *subject) pass(d time.Duration) {
	s.Helper()
	until := s.now().Add(d)
	if s.Advance != nil {
		s.Advance(d)
	}
	s.eventually("engine time passes", func() bool { return !s.now().Before(until) })
}

// patience is how long something may take that happens soon in an engine that
// works; the suite's own tests have less, with engines that do not.
var patience = 10 * time.Second

// eventually polls until done holds; it fails the test when patience is over.
func (s *subject) eventually(what string, done func() bool) {
	s.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(patience)
	for !done() {
		if time.Now().After(deadline) {
			s.Fatalf("waited in vain: %s", what)
		}
		<-tick.C
	}
}

func entry(key, value string) engine.Entry {
	return engine.Entry{Key: []byte(key), Value: []byte(value)}
}

func puts(keyvalues ...string) engine.Group {
	var g engine.Group
	for i := 0; i < len(keyvalues); i += 2 {
		g.Puts = append(g.Puts, entry(keyvalues[i], keyvalues[i+1]))
	}
	return g
}

func adds(name string, n int64) []engine.Counter {
	return []engine.Counter{{Name: []byte(name), Value: n}}
}

// absent and equal give a group one more condition.
func absent(key string, g engine.Group) engine.Group {
	g.Guards = append(slices.Clip(g.Guards), engine.Guard{Key: []byte(key)})
	return g
}

func equal(key, value string, g engine.Group) engine.Group {
	g.Guards = append(slices.Clip(g.Guards), engine.Guard{Key: []byte(key), Value: []byte(value)})
	return g
}
