package redis_test

import (
	"errors"
	"os"
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
		"redis-cluster://" + server.Address(): "begin the URL with redis://",
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

// acl is what a user of the store may have to do, as docs/operations.md says it; on
// a cluster aclCluster as well.
const (
	acl = "+@connection +info +time +wait +eval +evalsha +publish +subscribe +unsubscribe +get +set +del +persist " +
		"+hset +hmget +hincrby +hdel +zadd +zmscore +zrangebylex +zrevrangebylex +zrem +zremrangebylex"
	aclCluster = "+cluster|slots"
)

func TestPermissionsAreDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(string(page)), " ")
	if !strings.Contains(text, acl) || !strings.Contains(text, aclCluster) {
		t.Error("docs/operations.md does not say what a user needs")
	}
}

// permit makes a user with these permissions.
func permit(t *testing.T, server *redistest.Server, name string, rules ...string) {
	command := []any{"ACL", "SETUSER", name, "reset", "on", ">s3cret word", "~{ours:*", "~{ours}:*", "&{ours:*"}
	for _, rule := range rules {
		for word := range strings.FieldsSeq(rule) {
			command = append(command, word)
		}
	}
	server.Do(t, command...)
}

// works checks that a store is served, hints included.
func works(t *testing.T, url string) {
	t.Helper()
	s := &subject{t, openStore(t, parse(t, url), redis.Options{Shards: 3}), "ours"}
	h := s.acquire(0, alice)
	if _, err := s.commit(h.Fence, 1, put("k", "v"), add("n", 1)); err != nil {
		t.Fatal(err)
	}
	for shard := range 3 {
		changed, stop := s.Watch(shard)
		s.eventually(func() error {
			s.apply(shard, put("k", "v"), engine.Group{Ranges: []engine.KeyRange{{To: []byte("a")}}})
			select {
			case <-changed:
				return nil
			default:
				return errors.New("no hint")
			}
		})
		stop()
	}
}

func TestPermissions(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	url := func(name string) string {
		return "redis://" + name + ":s3cret%20word@" + server.Address() + "/?prefix=ours"
	}
	permit(t, server, "good", acl)
	works(t, url("good"))
	permit(t, server, "lesser", acl, "-zremrangebylex")
	for name, wrong := range map[string]string{
		"a command is missing": url("lesser"),
		"wrong password":       strings.Replace(url("good"), "s3cret", "s3crets", 1),
		"another prefix":       strings.Replace(url("good"), "prefix=ours", "prefix=theirs", 1),
	} {
		e, err := redis.Open(ctx(), parse(t, wrong), redis.Options{Logger: discard})
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

func TestPermissionsOnCluster(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t)
	for _, n := range c.Nodes {
		permit(t, n, "good", acl, aclCluster)
	}
	works(t, strings.Replace(c.URL("?prefix=ours"), "://", "://good:s3cret%20word@", 1))
}
