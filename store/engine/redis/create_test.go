package redis_test

import (
	"errors"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/store/engine"
	"github.com/orchestrix/orchestrix/store/engine/redis"
	"github.com/orchestrix/orchestrix/store/engine/redis/redistest"
)

// Nodes that start at once on an empty server open one store, and what one has
// written meanwhile stays.
func TestManyCreateAtOnce(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{"single": redistest.Start(t).URL(""), "cluster": redistest.StartCluster(t).URL("")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := parse(t, url)
			const nodes = 8
			created := make([]time.Time, nodes)
			var wait sync.WaitGroup
			for i := range nodes {
				wait.Go(func() {
					e, err := redis.Open(ctx(), target, redis.Options{Logger: discard})
					if err != nil {
						t.Error(err)
						return
					}
					defer e.Close()
					s := &subject{TB: t, Engine: e}
					if err := s.try(i, put("k", "v"), add("n", 1)); err != nil || e.Shards() != redis.DefaultShards {
						t.Errorf("%d shards, %v", e.Shards(), err)
					}
					created[i] = e.Created()
				})
			}
			wait.Wait()
			s := &subject{TB: t, Engine: openStore(t, target, redis.Options{Shards: redis.DefaultShards})}
			for i := range nodes {
				s.equal("the value", s.value(i, "k"), "v")
				s.equal("the store's creation", created[i], s.Created())
			}
		})
	}
}

func TestShardsAreFixed(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := open(t, server.URL(""), redis.Options{})
	target := parse(t, server.URL("?prefix="+s.prefix))
	for shards, want := range map[int]string{4: "3 shards", 4097: "1 to 4096", -1: "1 to 4096"} {
		_, err := redis.Open(ctx(), target, redis.Options{Shards: shards, Logger: discard})
		s.wants(engine.ErrInvalid, err)
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%d shards: %v, want %q", shards, err, want)
		}
	}
	s.equal("shards", openStore(t, target, redis.Options{}).Shards(), 3)
}

// A creation that a crash cut off is finished by the next to open the store; one
// that was over lost what is missing.
func TestCreationIsFinished(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := open(t, server.URL(""), redis.Options{})
	target := parse(t, server.URL("?prefix="+s.prefix))
	record, head := "{"+s.prefix+"}:store", "{"+s.prefix+":2}:head"
	ready := server.Do(t, "GET", record).(string)
	server.Do(t, "SET", record, strings.Replace(ready, "ready", "creating", 1))
	server.Do(t, "DEL", head)
	again := &subject{TB: t, Engine: openStore(t, target, redis.Options{})}
	again.apply(2, put("k", "v"))
	s.equal("the record", server.Do(t, "GET", record), any(ready))

	server.Do(t, "DEL", record)
	_, err := redis.Open(ctx(), target, redis.Options{Shards: 3, Logger: discard})
	s.wants(engine.ErrCorrupt, err)
	s.equal("the value", again.value(2, "k"), "v")

	for text, want := range map[string]string{"layout=2 more": "newer version", "?": "cannot be read"} {
		server.Do(t, "SET", record, text)
		if _, err := redis.Open(ctx(), target, redis.Options{Logger: discard}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("record %q: %v, want %q", text, err, want)
		}
	}
}

func TestTimeIsCarriedOn(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := open(t, server.URL(""), redis.Options{})
	ahead := time.Now().Add(time.Hour).Truncate(time.Millisecond).UTC()
	fast := &subject{t, openStore(t, parse(t, server.URL("?prefix="+s.prefix)), redis.Options{Now: func() time.Time { return ahead }}), s.prefix}
	fast.apply(2, put("k", "v"))
	// Its clock stood an hour ahead of the server's; who opens the store, or comes
	// to the shard, goes on from there.
	again := openStore(t, parse(t, server.URL("?prefix="+s.prefix)), redis.Options{})
	for _, e := range []*redis.Engine{again, s.Engine} {
		if _, err := e.Head(ctx(), 2); err != nil {
			t.Fatal(err)
		}
		now, err := e.Now(ctx())
		if err != nil || now.Before(ahead) {
			t.Errorf("the time is %s, %v; it was %s", now, err, ahead)
		}
	}
	h, err := again.Acquire(ctx(), 2, alice, time.Minute)
	if err != nil || h.Epoch < uint64(ahead.UnixMilli()) || h.Expires.Before(ahead) {
		t.Errorf("%+v, %v", h, err)
	}
}

func TestPrefixesAreApart(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a, b := open(t, server.URL(""), redis.Options{}), open(t, server.URL(""), redis.Options{})
	a.apply(0, put("k", "a"))
	s := b.value(0, "k")
	b.equal("a value of the other store", s, "")
	for _, key := range server.Do(t, "KEYS", "*").([]any) {
		if !strings.HasPrefix(key.(string), "{"+a.prefix) && !strings.HasPrefix(key.(string), "{"+b.prefix) {
			t.Errorf("key %s has no prefix", key)
		}
	}
	other := &subject{t, openStore(t, parse(t, "redis://"+server.Address()+"/7?prefix="+a.prefix), redis.Options{Shards: 2}), a.prefix}
	other.equal("a value of another database", other.value(0, "k"), "")
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{"single": redistest.Start(t).URL(""), "cluster": redistest.StartCluster(t).URL("")} {
		s := open(t, url, redis.Options{})
		u, err := s.Usage(ctx())
		if err != nil || u.Bytes < 500_000 {
			t.Errorf("%s: %+v, %v", name, u, err)
		}
	}
}

// Over TLS, with a client's certificate, on one server as through Sentinel and on
// a cluster.
func TestTLS(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{
		"single":   redistest.Start(t, redistest.TLS).URL(""),
		"sentinel": redistest.StartSentinel(t, redistest.TLS).URL(""),
		"cluster":  redistest.StartCluster(t, redistest.TLS).URL(""),
	} {
		s := &subject{TB: t, Engine: openStore(t, parse(t, url), redis.Options{Shards: 3})}
		changed, stop := s.Watch(2)
		for n := range 3 {
			s.apply(n, put("k", "v"))
		}
		s.eventually(func() error {
			s.apply(2, put("k", "v"))
			select {
			case <-changed:
				return nil
			default:
				return errors.New("no hint")
			}
		})
		stop()
		for what, wrong := range map[string]string{
			"no certificate of the client": regexp.MustCompile("&cert=.*").ReplaceAllString(url, ""),
			"a stranger's certificate":     strings.Replace(url, "ca=", "server_name=example.org&ca=", 1),
		} {
			e, err := redis.Open(ctx(), parse(t, wrong), redis.Options{Logger: discard})
			if err == nil {
				e.Close()
				t.Errorf("%s: %s is let in", name, what)
			}
		}
	}
}
