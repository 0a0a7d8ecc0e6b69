package enginetest

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/orchestrix/orchestrix/store/engine"
)

var (
	longestKey = strings.Repeat("k", engine.MaxKey)
	tooLongKey = longestKey + "k"
)

var boundChecks = []check{
	{"Bounds/longest key", func(s *subject) {
		s.apply(0, puts(longestKey, "v"))
		s.diff("v", string(s.value(0, longestKey)))
		s.diff([]string{longestKey}, s.keys(0, engine.Range{From: []byte(longestKey)}))
	}},
	{"Bounds/longest stamped key", func(s *subject) {
		key := longestKey[engine.SeqLength:]
		s.apply(0, engine.Group{Stamped: []engine.Entry{entry(key, "v")}})
		s.diff([]string{stamped(key, 1)}, s.keys(0, engine.Range{}))
	}},
	{"Bounds/greatest value", func(s *subject) {
		value := bytes.Repeat([]byte{0, 1, 2, 0xff}, engine.MaxValue/4)
		s.apply(0, engine.Group{Puts: []engine.Entry{{Key: []byte("k"), Value: value}}})
		if got := s.value(0, "k"); !bytes.Equal(got, value) {
			s.Errorf("a value of %d bytes came back with %d", len(value), len(got))
		}
	}},
	{"Bounds/invalid groups", func(s *subject) {
		for name, g := range invalidGroups() {
			_, err := s.Engine.Apply(s.ctx, 0, &engine.Batch{Groups: []engine.Group{puts("valid", ""), g}})
			if !errors.Is(err, engine.ErrInvalid) {
				s.Errorf("%s: %v, want ErrInvalid", name, err)
			}
		}
		s.diff([]string{}, s.keys(0, engine.Range{}))
	}},
	{"Bounds/invalid reads", func(s *subject) {
		e, long := s.Engine, []byte(tooLongKey)
		for name, call := range map[string]func() error{
			"get empty key":        func() error { _, err := e.Get(s.ctx, 0, nil); return err },
			"get long key":         func() error { _, err := e.Get(s.ctx, 0, long); return err },
			"scan no limit":        func() error { _, err := e.Scan(s.ctx, 0, engine.Range{}); return err },
			"scan negative limit":  func() error { _, err := e.Scan(s.ctx, 0, engine.Range{Limit: -1}); return err },
			"scan great limit":     func() error { _, err := e.Scan(s.ctx, 0, engine.Range{Limit: engine.MaxScan + 1}); return err },
			"scan long from":       func() error { _, err := e.Scan(s.ctx, 0, engine.Range{From: long, Limit: 1}); return err },
			"counters empty name":  func() error { _, err := e.Counters(s.ctx, 0, nil); return err },
			"scan counters limit":  func() error { _, err := e.ScanCounters(s.ctx, 0, nil, nil, 0); return err },
			"scan counters limit+": func() error { _, err := e.ScanCounters(s.ctx, 0, nil, nil, engine.MaxScan+1); return err },
			"acquire no lease":     func() error { _, err := e.Acquire(s.ctx, 0, engine.Nonce{1}, 0); return err },
			"acquire zero nonce":   func() error { _, err := e.Acquire(s.ctx, 0, engine.Nonce{}, time.Hour); return err },
			"renew negative lease": func() error { return e.Renew(s.ctx, 0, engine.Fence{}, -time.Hour) },
		} {
			if err := call(); !errors.Is(err, engine.ErrInvalid) {
				s.Errorf("%s: %v, want ErrInvalid", name, err)
			}
		}
	}},
	{"Bounds/no such shard", func(s *subject) {
		for _, shard := range []int{-1, s.Engine.Shards(), 1 << 30} {
			for name, call := range calls(s.ctx, s.Engine, shard) {
				if err := call(); !errors.Is(err, engine.ErrInvalid) {
					s.Errorf("%s of shard %d: %v, want ErrInvalid", name, shard, err)
				}
			}
		}
	}},
	{"Slices/passed in are neither kept nor changed", func(s *subject) {
		key, value, name := []byte("key"), []byte("value"), []byte("name")
		s.apply(0, engine.Group{
			Guards: []engine.Guard{{Key: key}}, Puts: []engine.Entry{{Key: key, Value: value}},
			Stamped: []engine.Entry{{Key: key[:2:3], Value: value}}, Counters: []engine.Counter{{Name: name, Value: 1}},
		})
		s.diff("key value name", string(key)+" "+string(value)+" "+string(name))
		copy(key, "xxx")
		copy(value, "xxxxx")
		copy(name, "xxxx")
		s.diff("value", string(s.value(0, "key")))
		s.diff([]string{stamped("ke", 1), "key"}, s.keys(0, engine.Range{}))
		s.apply(0, engine.Group{Counters: adds("name", 1)})
		s.diff(int64(2), s.counter(0, "name"))
	}},
	{"Slices/handed out belong to the caller", func(s *subject) {
		s.apply(0, puts("a", "1", "b", "2", "c", "3"))
		entries := s.scan(0, engine.Range{})
		_ = append(entries[0].Key, "overwritten"...)
		_ = append(entries[0].Value, "overwritten"...)
		s.diff([]engine.Entry{entry("a", "1"), entry("b", "2"), entry("c", "3")}, entries)
		copy(entries[1].Value, "x")
		values, err := s.Engine.Get(s.ctx, 0, []byte("b"), []byte("c"))
		if err != nil {
			s.Fatal(err)
		}
		_ = append(values[0], "overwritten"...)
		s.diff([][]byte{[]byte("2"), []byte("3")}, values)
		copy(values[0], "x")
		found := s.apply(0, absent("b", engine.Group{}))[0].Found
		s.diff("2", string(found))
		copy(found, "x")
		s.diff("2", string(s.value(0, "b")))
	}},
	{"Context/done before the call", func(s *subject) {
		ctx, cancel := context.WithCancel(s.ctx)
		cancel()
		for name, call := range calls(ctx, s.Engine, 0) {
			if err := call(); !errors.Is(err, context.Canceled) {
				s.Errorf("%s: %v, want context.Canceled", name, err)
			}
		}
		s.diff([]string{}, s.keys(0, engine.Range{}))
		s.diff(engine.Head{}, s.head(0))
	}},
}

// invalidGroups has one group for each bound of a batch.
func invalidGroups() map[string]engine.Group {
	great := make([]byte, engine.MaxValue+1)
	return map[string]engine.Group{
		"empty guard key":    absent("", engine.Group{}),
		"long guard key":     absent(tooLongKey, engine.Group{}),
		"empty delete":       {Deletes: [][]byte{{}}},
		"long delete":        {Deletes: [][]byte{[]byte(tooLongKey)}},
		"range without end":  {Ranges: []engine.KeyRange{{From: []byte("a")}}},
		"long range from":    {Ranges: []engine.KeyRange{{From: []byte(tooLongKey), To: []byte("z")}}},
		"long range to":      {Ranges: []engine.KeyRange{{To: []byte(tooLongKey)}}},
		"empty put key":      puts("", "v"),
		"long put key":       puts(tooLongKey, "v"),
		"great put value":    {Puts: []engine.Entry{{Key: []byte("k"), Value: great}}},
		"empty stamped key":  {Stamped: []engine.Entry{entry("", "v")}},
		"long stamped key":   {Stamped: []engine.Entry{entry(longestKey[:engine.MaxKey-engine.SeqLength+1], "v")}},
		"great stamped":      {Stamped: []engine.Entry{{Key: []byte("k"), Value: great}}},
		"empty counter name": {Counters: adds("", 1)},
		"long counter name":  {Counters: adds(tooLongKey, 1)},
	}
}

// calls has every method that takes a context and a shard, with valid
// arguments.
func calls(ctx context.Context, e engine.Engine, shard int) map[string]func() error {
	f := engine.Fence{Epoch: 1, Nonce: engine.Nonce{1}}
	return map[string]func() error{
		"Apply": func() error {
			_, err := e.Apply(ctx, shard, &engine.Batch{Groups: []engine.Group{puts("k", "v")}})
			return err
		},
		"Get":          func() error { _, err := e.Get(ctx, shard, []byte("k")); return err },
		"Scan":         func() error { _, err := e.Scan(ctx, shard, engine.Range{Limit: 1}); return err },
		"Counters":     func() error { _, err := e.Counters(ctx, shard, []byte("n")); return err },
		"ScanCounters": func() error { _, err := e.ScanCounters(ctx, shard, nil, nil, 1); return err },
		"Acquire":      func() error { _, err := e.Acquire(ctx, shard, f.Nonce, time.Hour); return err },
		"Renew":        func() error { return e.Renew(ctx, shard, f, time.Hour) },
		"Release":      func() error { return e.Release(ctx, shard, f) },
		"Head":         func() error { _, err := e.Head(ctx, shard); return err },
	}
}
