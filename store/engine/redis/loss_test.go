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

// A server that has lost everything is not taken for a new one while a process runs
// that knows better; when the loss is accepted, both go on with what there is.
func TestLostStoreIsNotTakenForNew(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := open(t, server.URL(""), redis.Options{})
	h := s.acquire(0, alice)
	if _, err := s.commit(h.Fence, 1, put("k", "v"), engine.Group{Stamped: put("s", "v").Puts}); err != nil {
		t.Fatal(err)
	}
	record := "{" + s.prefix + "}:store"
	before := server.Do(t, "GET", record)
	server.Do(t, "FLUSHALL")
	s.eventually(func() error {
		s.wants(engine.ErrMissing, s.try(0, put("k", "v")))
		if after := server.Do(t, "GET", record); after != before {
			return errors.New("the record is not there")
		}
		return nil
	})
	url := server.URL("?prefix=" + s.prefix)
	other := &subject{t, openStore(t, parse(t, url), redis.Options{}), s.prefix}
	other.equal("the store's creation", other.Created(), s.Created())
	for n := range 3 {
		other.wants(engine.ErrMissing, other.try(n, put("k", "v")))
	}

	missing, err := other.Missing(ctx())
	if err != nil || len(missing) != 3 || missing[1] != (redis.Missing{Shard: 1, Whole: true}) {
		t.Fatalf("%+v, %v", missing, err)
	}
	for n := range 3 {
		if m, err := other.AcceptLoss(ctx(), n); err != nil || *m != missing[n] {
			t.Errorf("%+v, %v", m, err)
		}
	}
	if m, err := other.AcceptLoss(ctx(), 0); err != nil || m != nil {
		t.Errorf("the loss of what is there: %+v, %v", m, err)
	}
	if missing, err := s.Missing(ctx()); err != nil || missing != nil {
		t.Errorf("%+v, %v", missing, err)
	}
	_, err = s.commit(h.Fence, 2)
	s.wants(engine.ErrFenced, err)
	s.equal("the value", s.value(0, "k"), "")
	again := s.acquire(0, alice)
	if again.Epoch <= h.Epoch || again.Seq <= 1_000_000 || again.Commit != 0 {
		t.Errorf("%+v after %+v", again, h)
	}
	if _, err := s.commit(again.Fence, 1, put("k", "new")); err != nil {
		t.Error(err)
	}
	other.equal("the value", other.value(0, "k"), "new")
}

// Where another store was begun in the place of the one that a process knows, it
// serves nothing of it, until its own is back.
func TestAnotherStoreInItsPlace(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := open(t, server.URL(""), redis.Options{})
	s.apply(0, put("k", "v"))
	names := []string{"{" + s.prefix + "}:store", "{" + s.prefix + ":0}:head", "{" + s.prefix + ":0}:data", "{" + s.prefix + ":0}:index"}
	var kept []any
	for _, name := range names {
		kept = append(kept, server.Do(t, "DUMP", name))
	}
	server.Do(t, "FLUSHALL")
	other := openStore(t, parse(t, server.URL("?prefix="+s.prefix)), redis.Options{Shards: 3})
	s.eventually(func() error {
		err := s.try(0, put("k", "other"))
		if !errors.Is(err, engine.ErrMissing) || !strings.Contains(err.Error(), "another store") {
			return errors.Join(errors.New("it goes on"), err)
		}
		return nil
	})
	for name, call := range s.calls(1) {
		s.wants(engine.ErrMissing, call())
		_ = name
	}
	if _, err := other.Get(ctx(), 0, []byte("k")); err != nil {
		t.Error(err)
	}
	for i, name := range names {
		server.Do(t, "RESTORE", name, 0, kept[i], "REPLACE")
	}
	s.eventually(func() error { return s.try(0, put("l", "v")) })
	s.equal("the value", s.value(0, "k"), "v")
}

// What is left of a shard is kept where no key of it was lost but the head.
func TestWhatIsLeftOfAShard(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := open(t, server.URL(""), redis.Options{})
	key := func(n, name string) string { return "{" + s.prefix + ":" + n + "}:" + name }
	for n := range 3 {
		s.apply(n, put("k", "v"), put("l", ""), add("n", 1))
	}
	server.Do(t, "DEL", key("0", "head"), key("1", "head"), key("1", "data"))
	missing, err := s.Missing(ctx())
	want := []redis.Missing{{Shard: 0, Entries: 2, Whole: true}, {Shard: 1, Entries: 2}}
	if err != nil || len(missing) != 2 || missing[0] != want[0] || missing[1] != want[1] {
		t.Fatalf("%+v, %v; want %+v", missing, err, want)
	}
	s.wants(engine.ErrMissing, s.try(0, put("k", "v"))) // nothing was changed
	for _, m := range missing {
		if _, err := s.AcceptLoss(ctx(), m.Shard); err != nil {
			t.Fatal(err)
		}
	}
	s.equal("a value that was left", s.value(0, "k"), "v")
	s.equal("one whose key was lost", s.value(1, "k"), "")
	if entries, err := s.Scan(ctx(), 1, engine.Range{Limit: 10}); err != nil || len(entries) != 0 {
		t.Errorf("%v, %v", entries, err)
	}
	s.equal("a value of another shard", s.value(2, "k"), "v")
}

func TestStoreMustExist(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	target := parse(t, server.URL(""))
	if _, err := redis.Open(ctx(), target, redis.Options{MustExist: true, Logger: discard}); err == nil || !strings.Contains(err.Error(), "--store-must-exist") {
		t.Errorf("%v", err)
	}
	if n := server.Do(t, "DBSIZE"); n != int64(0) {
		t.Errorf("%v keys were written", n)
	}
	openStore(t, target, redis.Options{Shards: 3})
	openStore(t, target, redis.Options{MustExist: true})
}

// A store of a greater minor version is used beside the program that wrote it, and
// what that wrote of it stays; one of a greater layout is left alone, also by a
// process that has it open.
func TestLayouts(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := open(t, server.URL(""), redis.Options{})
	target := parse(t, server.URL("?prefix="+s.prefix))
	record := "{" + s.prefix + "}:store"
	text := server.Do(t, "GET", record).(string)
	minor := strings.Replace(text, "layout=1", "layout=1.7", 1) + " hue=blue"
	server.Do(t, "SET", record, minor)
	beside := &subject{t, openStore(t, target, redis.Options{}), s.prefix}
	for _, each := range []*subject{s, beside} {
		<-time.NewTimer(1100 * time.Millisecond).C // so that it is looked at again
		each.apply(0, put("k", "v"))
	}
	s.equal("the record", server.Do(t, "GET", record), any(minor))
	server.Do(t, "DEL", record)
	beside.eventually(func() error {
		beside.apply(0, put("k", "v"))
		if server.Do(t, "GET", record) != any(minor) {
			return errors.New("the record is not back")
		}
		return nil
	})

	server.Do(t, "SET", record, strings.Replace(text, "layout=1", "layout=2", 1))
	_, err := redis.Open(ctx(), target, redis.Options{Logger: discard})
	if err == nil || !strings.Contains(err.Error(), "run that version") {
		t.Errorf("%v", err)
	}
	s.eventually(func() error {
		if err := s.try(0, put("k", "v")); err == nil || !strings.Contains(err.Error(), "run that version") {
			return errors.Join(errors.New("it goes on"), err)
		}
		return nil
	})
}
