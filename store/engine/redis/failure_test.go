package redis_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/store/engine"
	"github.com/orchestrix/orchestrix/store/engine/redis"
	"github.com/orchestrix/orchestrix/store/engine/redis/redistest"
)

func TestScriptsAreLoadedAgain(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := open(t, server.URL(""), redis.Options{})
	for i := range 3 {
		server.Do(t, "SCRIPT", "FLUSH")
		s.apply(0, add("n", 1))
		s.equal("the counter", s.counter("n"), int64(i+1))
	}
	for name, call := range s.calls(1) {
		server.Do(t, "SCRIPT", "FLUSH")
		if err := call(); err != nil && !errors.Is(err, engine.ErrFenced) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestServerIsKilled(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := open(t, server.URL(""), redis.Options{})
	changed, stop := s.Watch(0)
	defer stop()
	h := s.acquire(0, alice)
	s.apply(0, put("k", "v"), add("n", 1))
	if _, err := s.commit(h.Fence, 1, put("fenced", "1")); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	for name, call := range s.calls(0) {
		begin := time.Now()
		if err := call(); !errors.Is(err, engine.ErrUnavailable) {
			t.Errorf("%s: %v, want ErrUnavailable", name, err)
		}
		if took := time.Since(begin); took > 8*time.Second {
			t.Errorf("%s took %s to fail", name, took)
		}
	}
	server.Restart(t)
	s.eventually(func() error { return s.try(0, add("n", 1)) })
	s.equal("the value", s.value(0, "k"), "v")
	if res, err := s.commit(h.Fence, 1); err != nil || !res.Repeated {
		t.Errorf("a repeated commit: %+v, %v", res, err)
	}
	s.eventually(func() error {
		if err := s.try(0, put("k", "v")); err != nil {
			return err
		}
		select {
		case <-changed:
			return nil
		default:
			return errors.New("no hint")
		}
	})
}

func TestMemoryIsFull(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := open(t, server.URL(""), redis.Options{})
	h := s.acquire(0, alice)
	s.apply(0, put("k", "old"), add("n", 1))
	server.Do(t, "CONFIG", "SET", "maxmemory", "1mb")

	// An enqueue is refused before any of it is written, whatever comes first.
	for name, g := range map[string]engine.Group{
		"counter first": {Counters: add("n", 1).Counters, Puts: put("k", "new").Puts},
		"put first":     put("k", "new"),
		"stamped first": {Stamped: put("k", "new").Puts},
	} {
		if err := s.try(0, g); !errors.Is(err, engine.ErrUnavailable) || !strings.Contains(err.Error(), "OOM") {
			t.Errorf("%s: %v, want ErrUnavailable for memory", name, err)
		}
	}
	s.equal("the value", s.value(0, "k"), "old")
	s.equal("the counter", s.counter("n"), int64(1))
	head, err := s.Head(ctx(), 0)
	if err != nil || head.Seq != 0 {
		t.Errorf("head %+v, %v", head, err)
	}

	// What settles jobs, renews leases or answers without a change goes on.
	if _, err := s.commit(h.Fence, 1, put("k", "settled"), add("n", -1)); err != nil {
		t.Error(err)
	}
	s.equal("the value", s.value(0, "k"), "settled")
	guarded := put("k", "new")
	guarded.Guards = []engine.Guard{{Key: []byte("k")}}
	if err := s.try(0, guarded); err != nil {
		t.Errorf("a batch that changes nothing: %v", err)
	}
	if err := s.Renew(ctx(), 0, h.Fence, time.Hour); err != nil {
		t.Error(err)
	}
	s.acquire(1, bob)
	if err := s.Release(ctx(), 0, h.Fence); err != nil {
		t.Error(err)
	}
	openStore(t, parse(t, server.URL("?prefix="+s.prefix)), redis.Options{})

	server.Do(t, "CONFIG", "SET", "maxmemory", "0")
	s.apply(0, put("k", "new"))
}

func TestServerBecomesReadOnly(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := open(t, server.URL(""), redis.Options{})
	s.apply(0, put("k", "v"), add("n", 1))
	server.Do(t, "REPLICAOF", "127.0.0.1", "1")
	s.wants(engine.ErrUnavailable, s.try(0, put("k", "lost"), add("n", 1)))
	server.Do(t, "REPLICAOF", "NO", "ONE")
	s.eventually(func() error { return s.try(0, add("n", 1)) })
	s.equal("the value", s.value(0, "k"), "v")
	s.equal("the counter", s.counter("n"), int64(2))
}

func TestServerPauses(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	prefix := unique()
	openStore(t, parse(t, server.URL("?prefix="+prefix)), redis.Options{Shards: 3})
	s := &subject{t, openStore(t, parse(t, server.URL("?timeout=1s&prefix="+prefix)), redis.Options{}), prefix}
	server.Do(t, "CLIENT", "PAUSE", "3000")
	begin := time.Now()
	s.wants(engine.ErrUnavailable, s.try(0, put("k", "v")))
	if took := time.Since(begin); took > 2500*time.Millisecond {
		t.Errorf("the call took %s", took)
	}
	s.eventually(func() error { return s.try(0, put("k", "v")) })
}

// What others hold against the store, or what is left of it, is told apart.
func TestDataIsLost(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := open(t, server.URL(""), redis.Options{})
	s.apply(0, put("k", "v"))
	server.Do(t, "DEL", "{"+s.prefix+":1}:head")
	for name, call := range s.calls(1) {
		if err := call(); !errors.Is(err, engine.ErrMissing) {
			t.Errorf("%s of a lost shard: %v, want ErrMissing", name, err)
		}
	}
	s.equal("a value of another shard", s.value(0, "k"), "v")
	again := &subject{t, openStore(t, parse(t, server.URL("?prefix="+s.prefix)), redis.Options{}), s.prefix}
	again.wants(engine.ErrMissing, again.try(1, put("k", "v")))

	server.Do(t, "FLUSHALL")
	for name, call := range s.calls(0) {
		if err := call(); !errors.Is(err, engine.ErrMissing) {
			t.Errorf("%s of a lost store: %v, want ErrMissing", name, err)
		}
	}
	if _, err := s.Now(ctx()); err != nil {
		t.Errorf("Now of a lost store: %v", err)
	}
}

// A server that was put back to an earlier state has another history.
func TestTailIsLost(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := open(t, server.URL(""), redis.Options{})
	h := s.acquire(0, alice)
	head := "{" + s.prefix + ":0}:head"
	for n := uint64(1); n <= 2; n++ {
		if _, err := s.commit(h.Fence, n, put("k", "v")); err != nil {
			t.Fatal(err)
		}
	}
	earlier := server.Do(t, "GET", head)
	if _, err := s.commit(h.Fence, 3); err != nil {
		t.Fatal(err)
	}
	server.Do(t, "SET", head, earlier)
	_, err := s.commit(h.Fence, 4)
	s.wants(engine.ErrHistory, err)
	again := s.acquire(0, alice)
	s.equal("the last commit", again.Commit, uint64(2))
	_, err = s.commit(h.Fence, 3)
	s.wants(engine.ErrFenced, err)
}

func TestHeadIsDamaged(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := open(t, server.URL(""), redis.Options{})
	head := "{" + s.prefix + ":0}:head"
	server.Do(t, "SET", head, "short")
	for name, call := range s.calls(0) {
		if err := call(); !errors.Is(err, engine.ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		}
	}
	server.Do(t, "DEL", head)
	server.Do(t, "LPUSH", head, "a list")
	for name, call := range s.calls(0) {
		if err := call(); !errors.Is(err, engine.ErrCorrupt) {
			t.Errorf("%s of a list: %v, want ErrCorrupt", name, err)
		}
	}
	s.apply(1, put("k", "v"))
	server.Do(t, "HSET", "{"+s.prefix+":1}:data", "k", "\x7fmarked")
	_, err := s.Get(ctx(), 1, []byte("k"))
	s.wants(engine.ErrCorrupt, err)
}

func TestCounterPasses64Bits(t *testing.T) {
	t.Parallel()
	s := open(t, redistest.Start(t).URL(""), redis.Options{})
	const most = 1<<63 - 1
	s.apply(0, add("great", most-5), add("small", 7), add("n", -most))
	s.equal("the great counter", s.counter("great"), int64(most-5))
	for name, g := range map[string]engine.Group{
		"small addition": {Counters: []engine.Counter{{Name: []byte("small"), Value: 1}, {Name: []byte("great"), Value: 6}}},
		"great addition": {Counters: []engine.Counter{
			{Name: []byte("new"), Value: 1 << 40}, {Name: []byte("small"), Value: -(1 << 40)}, {Name: []byte("great"), Value: 1 << 40},
		}},
		"least":                add("n", -2),
		"not to be taken back": add("small", -most-1),
	} {
		g.Puts = put("k", "v").Puts
		if err := s.try(0, g); !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	s.equal("a counter", s.counter("small"), int64(7))
	s.equal("the value", s.value(0, "k"), "")
	s.apply(0, add("great", 5), add("great", -1), add("n", -1))
	s.equal("the great counter", s.counter("great"), int64(most-1))
	s.equal("the least counter", s.counter("n"), int64(-most-1))
	counters, err := s.ScanCounters(ctx(), 0, nil, nil, 10)
	if err != nil || len(counters) != 3 {
		t.Errorf("counters %v, %v", counters, err)
	}
}

// Nothing is left of what was deleted.
func TestNothingGrows(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := open(t, server.URL(""), redis.Options{})
	before := server.Do(t, "DBSIZE")
	h := s.acquire(0, alice)
	many := make([]engine.Entry, 0, 20_000)
	for i := range 20_000 {
		key := []byte{byte(i >> 8), byte(i)}
		many = append(many, engine.Entry{Key: append(key, 'k'), Value: key[:i%3]})
	}
	for n := uint64(1); n <= 4; n += 2 {
		group := engine.Group{Puts: many, Stamped: many[:9000], Counters: []engine.Counter{{Name: []byte("n"), Value: 3}}}
		if _, err := s.commit(h.Fence, n, group); err != nil {
			t.Fatal(err)
		}
		all := engine.Group{Ranges: []engine.KeyRange{{To: []byte("\xff")}}, Counters: []engine.Counter{{Name: []byte("n"), Value: -3}}}
		if n > 1 {
			all.Ranges = nil
			for from := []byte(nil); ; {
				entries, err := s.Scan(ctx(), 0, engine.Range{From: from, Limit: engine.MaxScan, KeysOnly: true})
				if err != nil {
					t.Fatal(err)
				}
				if len(entries) == 0 {
					break
				}
				for _, en := range entries {
					all.Deletes = append(all.Deletes, en.Key)
				}
				from = append(entries[len(entries)-1].Key, 0)
			}
		}
		if _, err := s.commit(h.Fence, n+1, all); err != nil {
			t.Fatal(err)
		}
		if after := server.Do(t, "DBSIZE"); after != before {
			t.Errorf("%v keys of the server, %v before: %v", after, before, server.Do(t, "KEYS", "*"))
		}
	}
}
