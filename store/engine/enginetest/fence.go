package enginetest

import (
	"errors"
	"sync/atomic"

	"github.com/orchestrix/orchestrix/store/engine"
)

var fenceChecks = []check{
	{"Fence/compares epoch and nonce", func(s *subject) {
		h := s.acquire(0, alice, long)
		for _, f := range []engine.Fence{
			{Epoch: h.Epoch + 1, Nonce: alice},
			{Epoch: h.Epoch - 1, Nonce: alice},
			{Epoch: h.Epoch, Nonce: bob},
			{Epoch: h.Epoch},
			{},
		} {
			s.wantFenced(0, f)
		}
		s.wantOwner(0, h.Fence)
	}},
	{"Fence/a failed one rejects all groups", func(s *subject) {
		s.put(0, "x")
		_, err := s.commit(0, engine.Fence{Epoch: 1, Nonce: bob}, 1,
			puts("a", ""), absent("y", puts("y", "")), engine.Group{Deletes: [][]byte{[]byte("x")}, Counters: adds("n", 1)})
		if !errors.Is(err, engine.ErrFenced) {
			s.Errorf("Apply: %v, want ErrFenced", err)
		}
		s.diff([]string{"x"}, s.keys(0, engine.Range{}))
		s.diff(int64(0), s.counter(0, "n"))
	}},
	{"Commit/numbers rise by one", func(s *subject) {
		h := s.acquire(0, alice, long)
		for n := uint64(1); n <= 5; n++ {
			if _, err := s.commit(0, h.Fence, n, stamps("s", 1)); err != nil {
				s.Fatal(err)
			}
			s.diff(n, s.head(0).Commit)
		}
	}},
	{"Commit/repeated is success without effect", func(s *subject) {
		h := s.acquire(0, alice, long)
		group := engine.Group{Stamped: []engine.Entry{entry("s", "")}, Counters: adds("n", 1)}
		for i := range 3 {
			res, err := s.commit(0, h.Fence, 1, group)
			if err != nil || res.Repeated != (i > 0) || (res.Groups == nil) != (i > 0) {
				s.Fatalf("try %d: %+v, %v", i, res, err)
			}
		}
		s.diff(int64(1), s.counter(0, "n"))
		s.diff(uint64(1), s.head(0).Seq)
	}},
	{"Commit/any other number is another history", func(s *subject) {
		h := s.acquire(0, alice, long)
		s.wantHistory(h.Fence, 0, 2, 1<<63)
		for n := uint64(1); n <= 3; n++ {
			if _, err := s.commit(0, h.Fence, n); err != nil {
				s.Fatal(err)
			}
		}
		s.wantHistory(h.Fence, 0, 1, 2, 5, 1<<63)
	}},
	{"Commit/a new owner goes on and cannot repeat the old one's", func(s *subject) {
		h := s.acquire(0, alice, long)
		if _, err := s.commit(0, h.Fence, 1, puts("k", "alice")); err != nil {
			s.Fatal(err)
		}
		if err := s.Engine.Release(s.ctx, 0, h.Fence); err != nil {
			s.Fatal(err)
		}
		next := s.acquire(0, bob, long)
		s.diff(uint64(1), next.Commit)
		s.wantHistory(next.Fence, 1)
		if _, err := s.commit(0, next.Fence, 2, puts("k", "bob")); err != nil {
			s.Error(err)
		}
	}},
	{"Commit/an owner acquiring anew cannot repeat its own", func(s *subject) {
		h := s.acquire(0, alice, long)
		if _, err := s.commit(0, h.Fence, 1); err != nil {
			s.Fatal(err)
		}
		s.wantHistory(s.acquire(0, alice, long).Fence, 1)
	}},
	{"Commit/counts where all guards fail", func(s *subject) {
		s.put(0, "taken")
		h := s.acquire(0, alice, long)
		res, err := s.commit(0, h.Fence, 1, absent("taken", puts("k", "")))
		if err != nil || !res.Groups[0].Skipped {
			s.Fatalf("%+v, %v", res, err)
		}
		s.diff(uint64(1), s.head(0).Commit)
	}},
	{"Commit/unfenced batches neither need nor change it", func(s *subject) {
		s.put(0, "before")
		h := s.acquire(0, alice, long)
		s.put(0, "while")
		_, err := s.Engine.Apply(s.ctx, 0, &engine.Batch{Commit: 77, Groups: []engine.Group{puts("number is not looked at", "")}})
		if err != nil {
			s.Error(err)
		}
		s.diff(uint64(0), s.head(0).Commit)
		s.wantOwner(0, h.Fence)
	}},
	{"Commit/one of many tries at once is applied", func(s *subject) {
		h := s.acquire(0, alice, long)
		var applied atomic.Int32
		s.parallel(8, func(int) error {
			res, err := s.commit(0, h.Fence, 1, engine.Group{Counters: adds("n", 1)})
			if err == nil && !res.Repeated {
				applied.Add(1)
			}
			return err
		})
		s.diff([]int64{1, 1}, []int64{int64(applied.Load()), s.counter(0, "n")})
	}},
}

// wantHistory checks that batches with these numbers are refused and write
// nothing.
func (s *subject) wantHistory(f engine.Fence, numbers ...uint64) {
	s.Helper()
	before := s.head(0)
	for _, n := range numbers {
		if _, err := s.commit(0, f, n, puts("other history", "")); !errors.Is(err, engine.ErrHistory) {
			s.Errorf("commit %d after %d: %v, want ErrHistory", n, before.Commit, err)
		}
	}
	s.diff(before, s.head(0))
	s.diff([]byte(nil), s.value(0, "other history"))
}
