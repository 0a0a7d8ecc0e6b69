package redis_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/store/engine"
	"github.com/orchestrix/orchestrix/store/engine/redis"
	"github.com/orchestrix/orchestrix/store/engine/redis/redistest"
)

// One of those that want a lock has it, until it gives it up or does not renew it.
func TestLock(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	const lease = 2 * time.Second
	e := open(t, server.URL(""), redis.Options{})
	a, b, other, apart := e.Lock("x", lease), e.Lock("x", lease), e.Lock("y", lease), open(t, server.URL(""), redis.Options{}).Lock("x", lease)
	take := func(l *redis.Lock, want bool) {
		t.Helper()
		if held, err := l.Take(ctx()); err != nil || held != want {
			t.Fatalf("held %v, %v, want %v", held, err, want)
		}
	}
	if a.Lease() != lease {
		t.Errorf("the lease is %s", a.Lease())
	}
	for range 3 {
		take(a, true)
		take(b, false)
	}
	take(other, true)
	take(apart, true)                        // of another store on the server
	if err := b.Release(ctx()); err != nil { // which it does not have
		t.Error(err)
	}
	take(b, false)
	for range 2 {
		if err := a.Release(ctx()); err != nil {
			t.Error(err)
		}
	}
	take(b, true)
	take(a, false)

	// It runs out where it is not renewed, and its holder is told.
	begun := time.Now()
	deadline, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for held := false; !held; {
		var err error
		if held, err = a.Take(ctx()); err != nil {
			t.Fatal(err)
		}
		select {
		case <-tick.C:
		case <-deadline.Done():
			t.Fatal("the lock does not run out")
		}
	}
	if took := time.Since(begun); took < lease/2 {
		t.Errorf("the lock was another's after %s", took)
	}
	take(b, false)

	server.Kill()
	for _, l := range []*redis.Lock{a, b} {
		if held, err := l.Take(ctx()); held || !errors.Is(err, engine.ErrUnavailable) {
			t.Errorf("without a server: %v, %v", held, err)
		}
	}
	if err := a.Release(ctx()); !errors.Is(err, engine.ErrUnavailable) {
		t.Errorf("without a server: %v", err)
	}
}

// A lock is of the whole store also where that lies on a cluster.
func TestLockOnACluster(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t)
	e := open(t, cluster.URL(""), redis.Options{})
	a, b := e.Lock("x", time.Minute), e.Lock("x", time.Minute)
	for range 2 {
		if held, err := a.Take(ctx()); err != nil || !held {
			t.Errorf("%v, %v", held, err)
		}
		if held, err := b.Take(ctx()); err != nil || held {
			t.Errorf("%v, %v", held, err)
		}
	}
}
