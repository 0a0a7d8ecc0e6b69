package redis_test

import (
	"strings"
	"testing"

	"github.com/orchestrix/orchestrix/store/engine"
	"github.com/orchestrix/orchestrix/store/engine/redis"
	"github.com/orchestrix/orchestrix/store/engine/redis/redistest"
)

func TestServersThatLoseJobsAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config  []string
		o       redis.Options
		refused string // "" where it is not
	}{
		"evicting":                      {[]string{"maxmemory 100mb", "maxmemory-policy allkeys-lru"}, redis.Options{}, "set maxmemory-policy noeviction"},
		"evicting, memory":              {[]string{"maxmemory-policy volatile-ttl"}, redis.Options{Durability: redis.DurableMemory}, "set maxmemory-policy noeviction"},
		"no append-only file":           {[]string{"appendonly no"}, redis.Options{}, "set appendonly yes"},
		"no append-only file, memory":   {[]string{"appendonly no"}, redis.Options{Durability: redis.DurableMemory}, ""},
		"no append-only file, replicas": {[]string{"appendonly no"}, redis.Options{Durability: redis.DurableReplicas(1)}, ""},
		"a replica":                     {[]string{"replicaof 127.0.0.1 1", "replica-serve-stale-data yes"}, redis.Options{}, "is a replica"},
		"part of a cluster":             {[]string{"cluster-enabled yes"}, redis.Options{}, "redis-cluster://"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.o.Logger = discard; c.refused == "" {
				c.o.Shards = 2
			}
			e, err := redis.Open(ctx(), parse(t, redistest.Start(t, c.config...).URL("")), c.o)
			if err == nil {
				defer e.Close()
			}
			if c.refused == "" && err != nil || c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)) {
				t.Errorf("%v, want %q", err, c.refused)
			}
		})
	}
}

func TestWrongKindOfURL(t *testing.T) {
	t.Parallel()
	server, watched := redistest.Start(t), redistest.StartSentinel(t)
	for url, want := range map[string]string{
		"redis-cluster://" + server.Address(): "luster",
		strings.Replace(strings.TrimSuffix(watched.URL(""), "/"+redistest.Master), "redis-sentinel", "redis", 1): "redis-sentinel://",
		strings.Replace(watched.URL(""), redistest.Master, "nobody", 1):                                          "nobody",
		"redis://127.0.0.1:1": "refused",
	} {
		e, err := redis.Open(ctx(), parse(t, url), redis.Options{Logger: discard})
		if err == nil {
			e.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", url, err, want)
		}
	}
}

// acl is what a user of the store needs, as the documentation says it.
const acl = "+@connection +info +time +wait +eval +evalsha +publish +subscribe +unsubscribe +get +set +del +persist " +
	"+hset +hmget +hincrby +hdel +zadd +zmscore +zrangebylex +zrevrangebylex +zrem +zremrangebylex"

func TestPermissions(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	allow := func(name string, rules ...any) string {
		server.Do(t, append([]any{"ACL", "SETUSER", name, "reset", "on", ">s3cret word", "~{ours*", "&{ours*"}, rules...)...)
		return "redis://" + name + ":s3cret%20word@" + server.Address() + "/?prefix=ours"
	}
	var all []any
	for word := range strings.FieldsSeq(acl) {
		all = append(all, word)
	}
	s := &subject{t, openStore(t, parse(t, allow("good", all...)), redis.Options{Shards: 2}), "ours"}
	changed, stop := s.Watch(0)
	defer stop()
	s.apply(0, put("k", "v"), add("n", 1))
	s.eventually(func() error {
		s.apply(0, put("k", "v"))
		select {
		case <-changed:
			return nil
		default:
			return engine.ErrUnavailable
		}
	})
	for name, url := range map[string]string{
		"a command is missing": allow("lesser", append(all, "-zremrangebylex")...),
		"wrong password":       strings.Replace(allow("other", all...), "s3cret", "s3crets", 1),
		"another prefix":       strings.Replace(allow("good", all...), "prefix=ours", "prefix=theirs", 1),
	} {
		e, err := redis.Open(ctx(), parse(t, url), redis.Options{Logger: discard})
		if err == nil {
			e.Close()
			t.Errorf("%s: it is opened", name)
			continue
		}
		if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the error shows the password: %v", name, err)
		}
	}
}
