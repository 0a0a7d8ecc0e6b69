package enginetest

import (
	"encoding/binary"

	"github.com/orchestrix/orchestrix/store/engine"
)

var groupChecks = []check{
	{"Group/deletes come before range deletes before puts", func(s *subject) {
		s.put(0, "a", "b", "c")
		s.apply(0, engine.Group{
			Deletes: [][]byte{[]byte("a")},
			Ranges:  []engine.KeyRange{{From: []byte("a"), To: []byte("c")}},
			Puts:    []engine.Entry{entry("a", "new")},
		})
		s.diff([]engine.Entry{entry("a", "new"), entry("c", "c")}, s.scan(0, engine.Range{}))
	}},
	{"Group/stamped puts come after puts", func(s *subject) {
		s.apply(0, engine.Group{
			Ranges:  []engine.KeyRange{{To: []byte("z")}},
			Puts:    []engine.Entry{entry(stamped("s", 1), "put")},
			Stamped: []engine.Entry{entry("s", "stamped")},
		})
		s.diff("stamped", string(s.value(0, stamped("s", 1))))
	}},
	{"Group/the last put of a key stays", func(s *subject) {
		s.apply(0, puts("k", "1", "k", "2"), puts("k", "3"))
		s.diff("3", string(s.value(0, "k")))
	}},
	{"Group/a later group deletes what an earlier one put", func(s *subject) {
		s.apply(0, puts("a", "1", "b", "1", "c", "1"),
			engine.Group{Deletes: [][]byte{[]byte("a")}},
			engine.Group{Ranges: []engine.KeyRange{{From: []byte("b"), To: []byte("c")}}})
		s.diff([]string{"c"}, s.keys(0, engine.Range{}))
	}},
	{"Group/a later group puts what an earlier one deleted", func(s *subject) {
		s.put(0, "a", "b")
		s.apply(0, engine.Group{Ranges: []engine.KeyRange{{To: []byte("z")}}}, puts("b", "again"))
		s.diff([]engine.Entry{entry("b", "again")}, s.scan(0, engine.Range{}))
	}},
	{"Group/range delete keeps its bounds", func(s *subject) {
		for _, c := range []struct {
			from, to string
			want     []string
		}{
			{"b", "d", []string{"a", "d", "e"}},
			{"", "c", []string{"c", "d", "e"}},
			{"c", "\xff", []string{"a", "b"}},
			{"b\x00", "c\x00", []string{"a", "b", "d", "e"}},
			{"c", "c", []string{"a", "b", "c", "d", "e"}},
			{"d", "b", []string{"a", "b", "c", "d", "e"}},
		} {
			s.put(0, "a", "b", "c", "d", "e")
			s.apply(0, engine.Group{Ranges: []engine.KeyRange{{From: []byte(c.from), To: []byte(c.to)}}})
			s.diff(c.want, s.keys(0, engine.Range{}))
		}
	}},
	{"Group/deleting what is not there does nothing", func(s *subject) {
		s.put(0, "b")
		s.apply(0, engine.Group{
			Deletes: [][]byte{[]byte("a"), []byte("a")},
			Ranges:  []engine.KeyRange{{From: []byte("c"), To: []byte("z")}},
		})
		s.diff([]string{"b"}, s.keys(0, engine.Range{}))
	}},
	{"Group/empty ones and empty batches", func(s *subject) {
		s.apply(0)
		s.apply(0, engine.Group{}, engine.Group{})
		s.diff([]string{}, s.keys(0, engine.Range{}))
	}},
	{"Group/hundreds in one batch", func(s *subject) {
		var groups []engine.Group
		var want []string
		for i := range 500 {
			key := string(binary.BigEndian.AppendUint16(nil, uint16(i)))
			want = append(want, key)
			groups = append(groups, absent(key, engine.Group{
				Puts: []engine.Entry{entry(key, key)}, Counters: adds("n", 1),
			}))
		}
		s.apply(0, groups...)
		s.diff(want, s.keys(0, engine.Range{}))
		for _, r := range s.apply(0, groups...) {
			if !r.Skipped {
				s.Fatal("a group was carried out twice")
			}
		}
		s.diff(int64(500), s.counter(0, "n"))
	}},
}

var guardChecks = []check{
	{"Guard/absent", func(s *subject) {
		s.diff(engine.GroupResult{}, s.apply(0, absent("k", puts("k", "1")))[0])
		got := s.apply(0, absent("k", puts("k", "2")))[0]
		s.diff(engine.GroupResult{Skipped: true, Found: []byte("1")}, got)
		s.diff("1", string(s.value(0, "k")))
	}},
	{"Guard/equal", func(s *subject) {
		s.apply(0, puts("k", "1"))
		s.diff(engine.GroupResult{}, s.apply(0, equal("k", "1", puts("k", "2")))[0])
		got := s.apply(0, equal("k", "1", puts("k", "3")))[0]
		s.diff(engine.GroupResult{Skipped: true, Found: []byte("2")}, got)
		s.diff("2", string(s.value(0, "k")))
	}},
	{"Guard/equal to what is not there", func(s *subject) {
		got := s.apply(0, equal("k", "1", puts("k", "2")))[0]
		s.diff(engine.GroupResult{Skipped: true}, got)
		s.diff([]byte(nil), s.value(0, "k"))
	}},
	{"Guard/an empty value is not an absent key", func(s *subject) {
		s.diff(engine.GroupResult{Skipped: true}, s.apply(0, equal("k", "", puts("k", "1")))[0])
		s.apply(0, puts("k", ""))
		s.diff(engine.GroupResult{Skipped: true, Found: []byte{}}, s.apply(0, absent("k", puts("k", "1")))[0])
		s.diff(engine.GroupResult{}, s.apply(0, equal("k", "", puts("k", "1")))[0])
		s.diff("1", string(s.value(0, "k")))
	}},
	{"Guard/a prefix of the value is not equal", func(s *subject) {
		s.apply(0, puts("k", "abc"))
		res := s.apply(0, equal("k", "ab", engine.Group{}), equal("k", "abcd", engine.Group{}))
		s.diff([]bool{true, true}, []bool{res[0].Skipped, res[1].Skipped})
	}},
	{"Guard/sees the state before the batch", func(s *subject) {
		s.apply(0, puts("old", "1"))
		res := s.apply(0,
			puts("k", "1"),
			absent("k", puts("absent held", "")),
			equal("k", "1", puts("equal held", "")),
			engine.Group{Deletes: [][]byte{[]byte("old")}},
			equal("old", "1", puts("old held", "")),
		)
		s.diff([]engine.GroupResult{{}, {}, {Skipped: true}, {}, {}}, res)
		s.diff([]string{"absent held", "k", "old held"}, s.keys(0, engine.Range{}))
	}},
	{"Guard/a skipped group does nothing, the others all", func(s *subject) {
		s.put(0, "taken", "x")
		res := s.apply(0,
			engine.Group{Stamped: []engine.Entry{entry("s", "first")}, Counters: adds("n", 1)},
			absent("taken", engine.Group{
				Deletes: [][]byte{[]byte("x")}, Ranges: []engine.KeyRange{{To: []byte("z")}},
				Puts: []engine.Entry{entry("p", "")}, Stamped: []engine.Entry{entry("s", "")}, Counters: adds("n", 10),
			}),
			engine.Group{Stamped: []engine.Entry{entry("s", "second")}, Counters: adds("n", 100)},
		)
		s.diff([]uint64{1, 2}, []uint64{res[0].FirstSeq, res[2].FirstSeq})
		s.diff([]string{stamped("s", 1), stamped("s", 2), "taken", "x"}, s.keys(0, engine.Range{}))
		s.diff(int64(101), s.counter(0, "n"))
		s.diff(uint64(2), s.head(0).Seq)
	}},
	{"Guard/all must hold", func(s *subject) {
		s.put(0, "a", "b")
		for _, c := range []struct {
			a, b    string
			skipped bool
		}{{"a", "b", false}, {"x", "b", true}, {"a", "x", true}, {"x", "x", true}} {
			res := s.apply(0, equal("a", c.a, equal("b", c.b, absent("c", puts("p", c.a+c.b)))))
			s.diff(c.skipped, res[0].Skipped)
		}
		s.diff("ab", string(s.value(0, "p")))
	}},
	{"Guard/the first that fails is named", func(s *subject) {
		s.put(0, "a", "b")
		res := s.apply(0,
			engine.Group{Guards: []engine.Guard{{Key: []byte("c")}, {Key: []byte("b")}, {Key: []byte("a")}}},
			engine.Group{Guards: []engine.Guard{{Key: []byte("a"), Value: []byte("a")}, {Key: []byte("c"), Value: []byte{}}, {Key: []byte("b")}}},
			engine.Group{Guards: []engine.Guard{{Key: []byte("a")}, {Key: []byte("b")}}},
		)
		s.diff([]engine.GroupResult{
			{Skipped: true, Failed: 1, Found: []byte("b")}, {Skipped: true, Failed: 1}, {Skipped: true, Found: []byte("a")},
		}, res)
	}},
	{"Guard/hundreds of pairs", func(s *subject) {
		// As many as an engine may look up in another way than a few.
		var groups []engine.Group
		for i := range 300 {
			n := string(binary.BigEndian.AppendUint16(nil, uint16(i)))
			groups = append(groups, absent("a"+n, absent("b"+n, puts("b"+n, n, "c"+n, ""))))
		}
		s.apply(0, groups[0], groups[200])
		for i, r := range s.apply(0, groups...) {
			want := engine.GroupResult{}
			if i == 0 || i == 200 {
				want = engine.GroupResult{Skipped: true, Found: binary.BigEndian.AppendUint16(nil, uint16(i))}
			}
			s.diff(want, r)
		}
	}},
	{"Guard/many on one key", func(s *subject) {
		res := s.apply(0, absent("k", puts("k", "1")), absent("k", puts("k", "2")))
		s.diff([]engine.GroupResult{{}, {}}, res)
		s.diff("2", string(s.value(0, "k")))
	}},
}

// stamped is the key of a stamped put.
func stamped(key string, seq uint64) string {
	return string(binary.BigEndian.AppendUint64([]byte(key), seq))
}
