package enginetest

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/orchestrix/orchestrix/store/engine"
)

var stampChecks = []check{
	{"Stamp/numbers are given in order without a gap", func(s *subject) {
		res := s.apply(0, stamps("a", 2), engine.Group{}, stamps("b", 3))
		s.diff([]uint64{1, 3}, []uint64{res[0].FirstSeq, res[2].FirstSeq})
		s.diff(uint64(6), s.apply(0, stamps("a", 1))[0].FirstSeq)
		want := []string{stamped("a", 1), stamped("a", 2), stamped("a", 6), stamped("b", 3), stamped("b", 4), stamped("b", 5)}
		s.diff(want, s.keys(0, engine.Range{}))
		s.diff(uint64(6), s.head(0).Seq)
	}},
	{"Stamp/fenced and unfenced share the numbers", func(s *subject) {
		h := s.acquire(0, engine.Nonce{1}, 1<<40)
		s.apply(0, stamps("a", 1))
		res, err := s.commit(0, h.Fence, 1, stamps("a", 1))
		if err != nil {
			s.Fatal(err)
		}
		s.diff(uint64(2), res.Groups[0].FirstSeq)
		s.diff(uint64(3), s.apply(0, stamps("a", 1))[0].FirstSeq)
	}},
	{"Stamp/no number twice under concurrency", func(s *subject) {
		const writers, rounds = 8, 40
		var given sync.Map
		s.parallel(writers, func(w int) error {
			for i := range rounds {
				n := 1 + (w+i)%3
				res, err := s.Engine.Apply(s.ctx, 0, &engine.Batch{Groups: []engine.Group{stamps("s", n)}})
				if err != nil {
					return err
				}
				for k := range n {
					seq := res.Groups[0].FirstSeq + uint64(k)
					if _, twice := given.LoadOrStore(seq, w); twice {
						return fmt.Errorf("number %d was given twice", seq)
					}
				}
			}
			return nil
		})
		s.diff(s.head(0).Seq, uint64(len(s.keys(0, engine.Range{}))))
	}},
	{"Stamp/who has seen n sees no lower one appear", func(s *subject) {
		var writing atomic.Int32
		const writers, rounds = 6, 60
		writing.Store(writers)
		s.parallel(writers+2, func(w int) error {
			if w >= writers {
				return s.watchStamps(&writing)
			}
			defer writing.Add(-1)
			for i := range rounds {
				_, err := s.Engine.Apply(s.ctx, 0, &engine.Batch{Groups: []engine.Group{stamps("s", 1+(w+i)%4)}})
				if err != nil {
					return err
				}
			}
			return nil
		})
	}},
}

// watchStamps looks again and again while others write: numbers have no gap, so
// what is seen at any moment must be all from 1 to the greatest.
func (s *subject) watchStamps(writing *atomic.Int32) error {
	for last := false; !last; {
		last = writing.Load() == 0
		entries, err := s.Engine.Scan(s.ctx, 0, engine.Range{Limit: engine.MaxScan, KeysOnly: true})
		if err != nil {
			return err
		}
		for i, en := range entries {
			seq := binary.BigEndian.Uint64(en.Key[len(en.Key)-engine.SeqLength:])
			if seq != uint64(i)+1 {
				return fmt.Errorf("number %d was seen before number %d", seq, i+1)
			}
		}
	}
	return nil
}

func stamps(key string, n int) engine.Group {
	var g engine.Group
	for range n {
		g.Stamped = append(g.Stamped, entry(key, ""))
	}
	return g
}

// parallel runs f(0) to f(n-1) at once and fails the test on their errors.
func (s *subject) parallel(n int, f func(i int) error) {
	s.Helper()
	errs := make(chan error, n)
	for i := range n {
		go func() { errs <- f(i) }()
	}
	for range n {
		if err := <-errs; err != nil {
			s.Error(err)
		}
	}
	if s.Failed() {
		s.FailNow()
	}
}
