package store

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/store/engine"
	"github.com/orchestrix/orchestrix/store/engine/redis"
	"github.com/orchestrix/orchestrix/store/engine/redis/redistest"
)

func openRedis(t testing.TB, shards int, now func() time.Time) engine.Engine {
	return openRedisAt(t, redistest.Shared(t).URL(""), shards, now)
}

func openRedisCluster(t testing.TB, shards int, now func() time.Time) engine.Engine {
	return openRedisAt(t, redistest.SharedCluster(t).URL(""), shards, now)
}

func openRedisSentinel(t testing.TB, shards int, now func() time.Time) engine.Engine {
	return openRedisAt(t, redistest.SharedSentinel(t).URL(""), shards, now)
}

var redisStores atomic.Int64

func openRedisAt(t testing.TB, url string, shards int, now func() time.Time) engine.Engine {
	target, err := redis.Parse(fmt.Sprintf("%s?prefix=store-%d", url, redisStores.Add(1)))
	if err != nil {
		t.Fatal(err)
	}
	e, err := redis.Open(context.Background(), target, redis.Options{Shards: shards, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return e
}
