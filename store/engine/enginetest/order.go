package enginetest

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/google/go-cmp/cmp"

	"github.com/orchestrix/orchestrix/store/engine"
)

// awkward are keys in the order of their bytes: prefixes of each other, the
// least and the greatest bytes, and invalid UTF-8.
var awkward = []string{
	"\x00", "\x00\x00", "\x00\xff", "\x01", "A", "a", "a\x00", "a\x00b", "aa", "a~", "a\xff", "b",
	"\x7f", "\x80", "é", "\xfe\xff", "\xff", "\xff\x00", "\xff\xff", "\xff\xff\xff",
}

var orderChecks = []check{
	{"Order/ascending", func(s *subject) {
		s.storeAwkward()
		s.diff(awkward, s.keys(0, engine.Range{}))
	}},
	{"Order/descending", func(s *subject) {
		s.storeAwkward()
		want := slices.Clone(awkward)
		slices.Reverse(want)
		s.diff(want, s.keys(0, engine.Range{Reverse: true}))
	}},
	{"Scan/every pair of bounds", func(s *subject) {
		s.storeAwkward()
		for i, from := range awkward {
			for j, to := range awkward {
				want := []string{}
				if i < j {
					want = awkward[i:j]
				}
				s.diff(want, s.keys(0, engine.Range{From: []byte(from), To: []byte(to)}))
			}
		}
	}},
	{"Scan/bounds between keys", func(s *subject) {
		s.put(0, "b", "d", "f")
		for _, c := range []struct {
			from, to []byte
			want     []string
		}{
			{nil, nil, []string{"b", "d", "f"}},
			{[]byte{}, nil, []string{"b", "d", "f"}},
			{[]byte("a"), []byte("z"), []string{"b", "d", "f"}},
			{[]byte("b\x00"), []byte("f"), []string{"d"}},
			{[]byte("c"), nil, []string{"d", "f"}},
			{nil, []byte("d\x00"), []string{"b", "d"}},
			{[]byte("d"), []byte("d"), []string{}},
			{[]byte("f"), []byte("b"), []string{}},
			{nil, []byte{}, []string{}},
			{[]byte("g"), nil, []string{}},
		} {
			s.diff(c.want, s.keys(0, engine.Range{From: c.from, To: c.to}))
			slices.Reverse(c.want)
			s.diff(c.want, s.keys(0, engine.Range{From: c.from, To: c.to, Reverse: true}))
		}
	}},
	{"Scan/limit cuts at the far end", func(s *subject) {
		s.put(0, "a", "b", "c", "d")
		s.diff([]string{"a", "b"}, s.keys(0, engine.Range{Limit: 2}))
		s.diff([]string{"d", "c", "b"}, s.keys(0, engine.Range{Limit: 3, Reverse: true}))
		s.diff([]string{"c", "b"}, s.keys(0, engine.Range{To: []byte("d"), Limit: 2, Reverse: true}))
		s.diff([]string{"a", "b", "c", "d"}, s.keys(0, engine.Range{Limit: 5}))
	}},
	{"Scan/pages join without gap or overlap", func(s *subject) {
		s.storeAwkward()
		var got []string
		r := engine.Range{Limit: 3}
		for page := s.keys(0, r); len(page) > 0; page = s.keys(0, r) {
			got = append(got, page...)
			r.From = append([]byte(page[len(page)-1]), 0)
		}
		s.diff(awkward, got)
	}},
	{"Scan/values", func(s *subject) {
		s.apply(0, puts("a", "1", "b", "", "c", "\x00\xff"))
		want := []engine.Entry{entry("a", "1"), entry("b", ""), entry("c", "\x00\xff")}
		s.diff(want, s.scan(0, engine.Range{}))
	}},
	{"Scan/keys only leaves values nil", func(s *subject) {
		s.apply(0, puts("a", "1", "b", ""))
		s.diff([]engine.Entry{{Key: []byte("a")}, {Key: []byte("b")}}, s.scan(0, engine.Range{KeysOnly: true}))
	}},
	{"Scan/empty shard", func(s *subject) {
		s.diff([]string{}, s.keys(0, engine.Range{}))
		s.diff([]string{}, s.keys(0, engine.Range{Reverse: true}))
	}},
	{"Scan/thousands of entries", func(s *subject) {
		const n = 3000
		var want []string
		for i := range n {
			want = append(want, fmt.Sprintf("%05d", i))
		}
		s.put(0, want...)
		s.diff(want, s.keys(0, engine.Range{Limit: n}))
		s.diff(want[:n-1], s.keys(0, engine.Range{Limit: n - 1}))
	}},
	{"Get/in the order asked for", func(s *subject) {
		s.apply(0, puts("a", "1", "b", "", "c", "3"))
		got, err := s.Engine.Get(s.ctx, 0, []byte("c"), []byte("x"), []byte("b"), []byte("a"), []byte("c"))
		if err != nil {
			s.Fatal(err)
		}
		s.diff([][]byte{[]byte("3"), nil, {}, []byte("1"), []byte("3")}, got)
	}},
	{"Get/no keys", func(s *subject) {
		if got, err := s.Engine.Get(s.ctx, 0); err != nil || len(got) != 0 {
			s.Errorf("Get() = %v, %v", got, err)
		}
	}},
	{"Get/hundreds of keys", func(s *subject) {
		var keys, want [][]byte
		g := engine.Group{}
		for i := range 600 {
			key := fmt.Appendf(nil, "%04d", i*7919%600)
			keys = append(keys, key)
			want = append(want, nil)
			if i%3 > 0 {
				want[i] = bytes.Repeat(key, i%50)
				if want[i] == nil {
					want[i] = []byte{}
				}
				g.Puts = append(g.Puts, engine.Entry{Key: key, Value: want[i]})
			}
		}
		s.apply(0, g)
		got, err := s.Engine.Get(s.ctx, 0, keys...)
		if err != nil {
			s.Fatal(err)
		}
		s.diff(want, got)
	}},
	{"Shards/are independent", func(s *subject) {
		last := s.Engine.Shards() - 1
		s.apply(0, puts("k", "0"), engine.Group{Counters: adds("n", 1)}, engine.Group{Stamped: []engine.Entry{entry("s", "")}})
		s.apply(last, puts("k", "last"), engine.Group{Counters: adds("n", 2)})
		s.apply(last, engine.Group{Ranges: []engine.KeyRange{{To: []byte("\xff\xff")}}})
		if s.value(0, "k") == nil || s.value(last, "k") != nil {
			s.Error("a range delete reached another shard, or nothing")
		}
		s.diff([]int64{1, 2}, []int64{s.counter(0, "n"), s.counter(last, "n")})
		s.diff([]uint64{1, 0}, []uint64{s.head(0).Seq, s.head(last).Seq})
		s.acquire(0, engine.Nonce{1}, 1<<40)
		s.acquire(last, engine.Nonce{2}, 1<<40)
	}},
}

// storeAwkward stores the awkward keys, not in their order.
func (s *subject) storeAwkward() {
	for i := range awkward {
		s.put(0, awkward[i*7%len(awkward)])
	}
}

func (s *subject) diff(want, got any) {
	s.Helper()
	if d := cmp.Diff(want, got); d != "" {
		s.Errorf("(-want +got)\n%s", d)
	}
}
