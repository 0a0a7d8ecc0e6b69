package redis_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/orchestrix/orchestrix/store/engine"
	"github.com/orchestrix/orchestrix/store/engine/enginetest"
	"github.com/orchestrix/orchestrix/store/engine/redis"
	"github.com/orchestrix/orchestrix/store/engine/redis/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	t.Parallel()
	conform(t, redistest.Start(t).URL(""), redis.Options{})
}

func TestConformanceOnCluster(t *testing.T) {
	t.Parallel()
	conform(t, redistest.StartCluster(t).URL(""), redis.Options{})
}

// Through Sentinel every write waits for the replica as well.
func TestConformanceThroughSentinel(t *testing.T) {
	t.Parallel()
	conform(t, redistest.StartSentinel(t).URL(""), redis.Options{Durability: redis.DurableReplicas(1)})
}

func conform(t *testing.T, url string, o redis.Options) {
	o.Shards = 3
	enginetest.Run(t, func(t testing.TB) enginetest.Store {
		// The greatest values take seconds under the race detector on a busy machine.
		target := parse(t, url+"?timeout=20s&prefix="+unique())
		e := openStore(t, target, o)
		reopen := func(t testing.TB) engine.Engine {
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			e = openStore(t, target, o)
			return e
		}
		return enginetest.Store{Engine: e, Reopen: reopen}
	})
}

var prefixes atomic.Int64

// unique is a key prefix that no other test has.
func unique() string { return fmt.Sprint("test-", prefixes.Add(1)) }

func parse(t testing.TB, url string) *redis.Target {
	t.Helper()
	target, err := redis.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

var discard = slog.New(slog.DiscardHandler)

func openStore(t testing.TB, target *redis.Target, o redis.Options) *redis.Engine {
	t.Helper()
	if o.Logger == nil {
		o.Logger = discard
	}
	e, err := redis.Open(context.Background(), target, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}
