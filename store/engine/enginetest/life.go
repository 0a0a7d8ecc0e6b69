package enginetest

import (
	"errors"
	"fmt"
	"time"

	"github.com/orchestrix/orchestrix/store/engine"
)

var timeChecks = []check{
	{"Time/is UTC in milliseconds and never goes back", func(s *subject) {
		last := s.now()
		if last.Location() != time.UTC || last.Nanosecond()%int(time.Millisecond) != 0 {
			s.Errorf("engine time %v", last)
		}
		for range 100 {
			now := s.now()
			if now.Before(last) {
				s.Fatalf("%v after %v", now, last)
			}
			last = now
		}
	}},
	{"Time/passes", func(s *subject) {
		before := s.now()
		s.pass(10 * time.Millisecond)
		if now := s.now(); now.Before(before.Add(10 * time.Millisecond)) {
			s.Errorf("%v after %v", now, before)
		}
	}},
}

var watchChecks = []check{
	{"Watch/hints at unfenced changes", func(s *subject) {
		first, stop := s.Engine.Watch(0)
		defer stop()
		second, stopSecond := s.Engine.Watch(0)
		defer stopSecond()
		// A hint may be lost, but not one after the other.
		for i, c := range []<-chan struct{}{first, second} {
			s.eventually(fmt.Sprintf("hint for watcher %d", i), func() bool {
				s.put(0, "k")
				select {
				case <-c:
					return true
				case <-time.After(50 * time.Millisecond):
					return false
				}
			})
		}
	}},
	{"Watch/nobody need receive, and stop may be repeated", func(s *subject) {
		_, stop := s.Engine.Watch(0)
		for range 10 {
			s.put(0, "k")
		}
		stop()
		stop()
		s.put(0, "k")
	}},
}

var lifeChecks = []check{
	{"Close/may be repeated, and all calls fail after it", func(s *subject) {
		_, stop := s.Engine.Watch(0)
		for range 2 {
			if err := s.Engine.Close(); err != nil {
				s.Fatal(err)
			}
		}
		stop()
		all := calls(s.ctx, s.Engine, 0)
		all["Now"] = func() error { _, err := s.Engine.Now(s.ctx); return err }
		all["Usage"] = func() error { _, err := s.Engine.Usage(s.ctx); return err }
		for name, call := range all {
			if err := call(); !errors.Is(err, engine.ErrClosed) {
				s.Errorf("%s: %v, want ErrClosed", name, err)
			}
		}
	}},
	{"Close/while calls are under way", func(s *subject) {
		s.parallel(9, func(i int) error {
			if i == 0 {
				return s.Engine.Close()
			}
			for {
				for name, call := range calls(s.ctx, s.Engine, i%2) {
					err := call()
					if errors.Is(err, engine.ErrClosed) {
						return nil
					}
					if err != nil && !errors.As(err, new(*engine.HeldError)) && !errors.Is(err, engine.ErrFenced) {
						return fmt.Errorf("%s: %w", name, err)
					}
				}
			}
		})
	}},
	{"Usage/is told or not known", func(s *subject) {
		s.put(0, "k")
		u, err := s.Engine.Usage(s.ctx)
		if err != nil || u.Bytes < -1 {
			s.Errorf("Usage() = %+v, %v", u, err)
		}
	}},
	{"Reopen/keeps what was acknowledged", func(s *subject) {
		s.needReopen()
		h := s.acquire(1, alice, long)
		s.apply(0, puts("a", "1", "b", ""), stamps("s", 3), engine.Group{Counters: adds("n", 7)})
		for n := uint64(1); n <= 2; n++ {
			if _, err := s.commit(1, h.Fence, n, puts("k", "v")); err != nil {
				s.Fatal(err)
			}
		}
		now := s.now()
		s.put(0, "later")
		keys := s.keys(0, engine.Range{})
		s.Engine = s.Reopen(s.TB)
		s.diff(keys, s.keys(0, engine.Range{}))
		s.diff("1", string(s.value(0, "a")))
		s.diff([]byte{}, s.value(0, "b"))
		s.diff("v", string(s.value(1, "k")))
		s.diff(int64(7), s.counter(0, "n"))
		s.diff([]uint64{3, 2}, []uint64{s.head(0).Seq, s.head(1).Commit})
		if after := s.now(); after.Before(now) {
			s.Errorf("engine time %v after %v", after, now)
		}
	}},
	{"Reopen/goes on where it was", func(s *subject) {
		s.needReopen()
		h := s.acquire(0, alice, long)
		if _, err := s.commit(0, h.Fence, 1, stamps("s", 2), engine.Group{Counters: adds("n", 1)}); err != nil {
			s.Fatal(err)
		}
		s.Engine = s.Reopen(s.TB)
		next := s.acquire(0, alice, long)
		if next.Epoch <= h.Epoch {
			s.Errorf("epoch %d after %d", next.Epoch, h.Epoch)
		}
		s.wantFenced(0, h.Fence)
		s.wantHistory(next.Fence, 1)
		res, err := s.commit(0, next.Fence, 2, stamps("s", 1), engine.Group{Counters: adds("n", 1)})
		if err != nil || res.Groups[0].FirstSeq != 3 {
			s.Errorf("%+v, %v", res, err)
		}
		s.diff(int64(2), s.counter(0, "n"))
		s.diff(engine.GroupResult{Skipped: true, Found: []byte{}}, s.apply(0, absent(stamped("s", 1), engine.Group{}))[0])
	}},
	{"Reopen/keeps deletions", func(s *subject) {
		s.needReopen()
		s.put(0, "a", "b", "c", "d")
		s.Engine = s.Reopen(s.TB)
		s.apply(0, engine.Group{Deletes: [][]byte{[]byte("a")}, Ranges: []engine.KeyRange{{From: []byte("b"), To: []byte("d")}}})
		s.Engine = s.Reopen(s.TB)
		s.diff([]string{"d"}, s.keys(0, engine.Range{}))
	}},
	{"Reopen/keeps a release", func(s *subject) {
		s.needReopen()
		h := s.acquire(0, alice, long)
		if err := s.Engine.Release(s.ctx, 0, h.Fence); err != nil {
			s.Fatal(err)
		}
		s.Engine = s.Reopen(s.TB)
		s.wantFenced(0, h.Fence)
		s.acquire(0, bob, long)
	}},
}

func (s *subject) needReopen() {
	if s.Reopen == nil {
		s.Skip("this engine cannot be opened again")
	}
}
