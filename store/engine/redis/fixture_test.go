package redis_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/store/engine"
	"github.com/orchestrix/orchestrix/store/engine/redis"
)

var (
	alice = engine.Nonce{'a'}
	bob   = engine.Nonce{'b'}
)

// subject is an engine under test, with short ways to call it that end the test on
// an error.
type subject struct {
	testing.TB
	*redis.Engine
	prefix string
}

// open opens a new store of three shards.
func open(t testing.TB, url string, o redis.Options) *subject {
	t.Helper()
	prefix := unique()
	o.Shards = 3
	return &subject{t, openStore(t, parse(t, url+"?prefix="+prefix), o), prefix}
}

func ctx() context.Context { return context.Background() }

func put(key, value string) engine.Group {
	return engine.Group{Puts: []engine.Entry{{Key: []byte(key), Value: []byte(value)}}}
}

func add(name string, n int64) engine.Group {
	return engine.Group{Counters: []engine.Counter{{Name: []byte(name), Value: n}}}
}

func (s *subject) try(shard int, groups ...engine.Group) error {
	_, err := s.Engine.Apply(ctx(), shard, &engine.Batch{Groups: groups})
	return err
}

func (s *subject) apply(shard int, groups ...engine.Group) {
	s.Helper()
	if err := s.try(shard, groups...); err != nil {
		s.Fatal(err)
	}
}

func (s *subject) commit(f engine.Fence, number uint64, groups ...engine.Group) (engine.Result, error) {
	return s.Engine.Apply(ctx(), 0, &engine.Batch{Fence: &f, Commit: number, Groups: groups})
}

func (s *subject) acquire(shard int, nonce engine.Nonce) engine.Head {
	s.Helper()
	h, err := s.Acquire(ctx(), shard, nonce, time.Hour)
	if err != nil {
		s.Fatal(err)
	}
	return h
}

func (s *subject) value(shard int, key string) string {
	s.Helper()
	values, err := s.Get(ctx(), shard, []byte(key))
	if err != nil {
		s.Fatal(err)
	}
	return string(values[0])
}

func (s *subject) counter(name string) int64 {
	s.Helper()
	values, err := s.Counters(ctx(), 0, []byte(name))
	if err != nil {
		s.Fatal(err)
	}
	return values[0]
}

// wants checks an error.
func (s *subject) wants(want, got error) {
	s.Helper()
	if !errors.Is(got, want) {
		s.Fatalf("%v, want %v", got, want)
	}
}

func (s *subject) equal(what string, got, want any) {
	s.Helper()
	if got != want {
		s.Errorf("%s is %v, want %v", what, got, want)
	}
}

// calls are all calls on a shard, with valid arguments.
func (s *subject) calls(shard int) map[string]func() error {
	f := engine.Fence{Epoch: 1, Nonce: alice}
	return map[string]func() error{
		"Apply":        func() error { return s.try(shard, put("k", "v")) },
		"Get":          func() error { _, err := s.Get(ctx(), shard, []byte("k")); return err },
		"Scan":         func() error { _, err := s.Scan(ctx(), shard, engine.Range{Limit: 1}); return err },
		"Counters":     func() error { _, err := s.Counters(ctx(), shard, []byte("n")); return err },
		"ScanCounters": func() error { _, err := s.ScanCounters(ctx(), shard, nil, nil, 1); return err },
		"Acquire":      func() error { _, err := s.Acquire(ctx(), shard, alice, time.Hour); return err },
		"Renew":        func() error { return s.Renew(ctx(), shard, f, time.Hour) },
		"Release":      func() error { return s.Release(ctx(), shard, f) },
		"Head":         func() error { _, err := s.Head(ctx(), shard); return err },
	}
}

// eventually polls until f returns nil.
func (s *subject) eventually(f func() error) {
	s.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); ; <-tick.C {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			s.Fatalf("waited in vain: %v", err)
		}
	}
}
