package enginetest

import (
	"github.com/orchestrix/orchestrix/store/engine"
)

var counterChecks = []check{
	{"Counter/adds up", func(s *subject) {
		s.diff(int64(0), s.counter(0, "n"))
		s.apply(0, engine.Group{Counters: adds("n", 5)})
		s.apply(0, engine.Group{Counters: adds("n", -7)})
		s.diff(int64(-2), s.counter(0, "n"))
	}},
	{"Counter/adds up within a batch", func(s *subject) {
		s.apply(0,
			engine.Group{Counters: append(adds("n", 1), adds("n", 10)...)},
			engine.Group{Counters: append(adds("m", -1), adds("n", 100)...)})
		s.diff([]int64{111, -1}, []int64{s.counter(0, "n"), s.counter(0, "m")})
	}},
	{"Counter/values in the order asked for", func(s *subject) {
		s.apply(0, engine.Group{Counters: append(adds("a", 1), adds("b", 2)...)})
		got, err := s.Engine.Counters(s.ctx, 0, []byte("b"), []byte("x"), []byte("a"), []byte("b"))
		if err != nil {
			s.Fatal(err)
		}
		s.diff([]int64{2, 0, 1, 2}, got)
	}},
	{"Counter/names are apart from keys", func(s *subject) {
		s.apply(0, engine.Group{Puts: []engine.Entry{entry("k", "v")}, Counters: adds("k", 1)})
		s.apply(0, engine.Group{Ranges: []engine.KeyRange{{To: []byte("\xff")}}})
		s.diff([]string{}, s.keys(0, engine.Range{}))
		s.diff(int64(1), s.counter(0, "k"))
		s.diff(engine.GroupResult{}, s.apply(0, absent("k", engine.Group{}))[0])
	}},
	{"Counter/great numbers", func(s *subject) {
		const great = 1 << 52
		s.apply(0, engine.Group{Counters: append(adds("n", great), adds("m", -great)...)})
		s.apply(0, engine.Group{Counters: append(adds("n", 1), adds("m", -1)...)})
		s.diff([]int64{great + 1, -great - 1}, []int64{s.counter(0, "n"), s.counter(0, "m")})
	}},
	{"Counter/scan by name", func(s *subject) {
		var all []engine.Counter
		for i, name := range awkward {
			all = append(all, engine.Counter{Name: []byte(name), Value: int64(i + 1)})
		}
		for i := range all {
			s.apply(0, engine.Group{Counters: []engine.Counter{all[i*7%len(all)]}})
		}
		s.diff(all, s.counters(nil, nil, engine.MaxScan))
		s.diff(all[:4], s.counters(nil, nil, 4))
	}},
	{"Counter/scan by prefix, page by page", func(s *subject) {
		for _, name := range []string{"a", "b", "ba", "bb", "bc", "b\xff", "b\xff\xff", "c", "\xff", "\xff\xff"} {
			s.apply(0, engine.Group{Counters: adds(name, 1)})
		}
		for _, c := range []struct {
			prefix, after string
			limit         int
			want          []string
		}{
			{"b", "", 9, []string{"b", "ba", "bb", "bc", "b\xff", "b\xff\xff"}},
			{"b", "", 2, []string{"b", "ba"}},
			{"b", "ba", 2, []string{"bb", "bc"}},
			{"b", "bc", 9, []string{"b\xff", "b\xff\xff"}},
			{"b", "b\xff\xff", 9, []string{}},
			{"b", "a", 1, []string{"b"}},
			{"b", "c", 9, []string{}},
			{"b\xff", "", 9, []string{"b\xff", "b\xff\xff"}},
			{"\xff", "", 9, []string{"\xff", "\xff\xff"}},
			{"", "bc", 2, []string{"b\xff", "b\xff\xff"}},
			{"x", "", 9, []string{}},
		} {
			names := []string{}
			for _, counter := range s.counters([]byte(c.prefix), []byte(c.after), c.limit) {
				names = append(names, string(counter.Name))
			}
			s.diff(c.want, names)
		}
	}},
	{"Counter/scan leaves out zeros", func(s *subject) {
		s.apply(0, engine.Group{Counters: append(append(adds("a", 1), adds("b", 2)...), adds("c", 3)...)})
		s.apply(0, engine.Group{Counters: append(adds("b", -2), adds("z", 0)...)})
		s.diff([]engine.Counter{adds("a", 1)[0], adds("c", 3)[0]}, s.counters(nil, nil, 2))
		s.apply(0, engine.Group{Counters: adds("b", 4)})
		s.diff(int64(4), s.counter(0, "b"))
	}},
	{"Counter/thousands of names", func(s *subject) {
		var groups []engine.Group
		for i := range 3000 {
			groups = append(groups, engine.Group{Counters: adds(stamped("n", uint64(i)), int64(i+1))})
		}
		s.apply(0, groups...)
		s.apply(0, groups...)
		got := s.counters([]byte("n"), nil, engine.MaxScan)
		if len(got) != 3000 || got[2999].Value != 6000 {
			s.Errorf("%d counters, the last %+v", len(got), got[len(got)-1])
		}
	}},
	{"Counter/concurrent additions all count", func(s *subject) {
		const writers, rounds = 8, 30
		s.parallel(writers, func(int) error {
			for range rounds {
				g := engine.Group{Counters: append(adds("n", 2), adds("n", -1)...)}
				if _, err := s.Engine.Apply(s.ctx, 0, &engine.Batch{Groups: []engine.Group{g}}); err != nil {
					return err
				}
			}
			return nil
		})
		s.diff(int64(writers*rounds), s.counter(0, "n"))
	}},
}

func (s *subject) counters(prefix, after []byte, limit int) []engine.Counter {
	s.Helper()
	got, err := s.Engine.ScanCounters(s.ctx, 0, prefix, after, limit)
	if err != nil {
		s.Fatalf("ScanCounters(%q, %q, %d): %v", prefix, after, limit, err)
	}
	return got
}
