package enginetest

import (
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/orchestrix/orchestrix/store/engine"
)

var concurrencyChecks = []check{
	{"Concurrency/one creator of a key wins, the others see its value", func(s *subject) {
		for round := range 20 {
			key := fmt.Sprint("key", round)
			var won atomic.Int32
			var found [8]string
			s.parallel(len(found), func(i int) error {
				mine := strconv.Itoa(i)
				res, err := s.Engine.Apply(s.ctx, 0, &engine.Batch{Groups: []engine.Group{absent(key, puts(key, mine))}})
				if err != nil {
					return err
				}
				found[i] = string(res.Groups[0].Found)
				if !res.Groups[0].Skipped {
					found[i] = mine
					won.Add(1)
				}
				return nil
			})
			s.diff(int32(1), won.Load())
			value := string(s.value(0, key))
			for i, f := range found {
				if f != value {
					s.Errorf("writer %d saw %q, the key holds %q", i, f, value)
				}
			}
		}
	}},
	{"Concurrency/compare and set loses no update", func(s *subject) {
		const writers, rounds = 4, 25
		s.apply(0, puts("n", "0"))
		s.parallel(writers, func(int) error {
			for range rounds {
				if err := s.increment("n"); err != nil {
					return err
				}
			}
			return nil
		})
		s.diff(strconv.Itoa(writers*rounds), string(s.value(0, "n")))
	}},
	{"Concurrency/a scan sees batches as a whole", func(s *subject) {
		var writing atomic.Bool
		writing.Store(true)
		s.apply(0, puts("a", "0", "z", "0"))
		s.parallel(3, func(i int) error {
			if i > 0 {
				return s.watchPair(&writing)
			}
			defer writing.Store(false)
			for n := range 200 {
				v := strconv.Itoa(n)
				if _, err := s.Engine.Apply(s.ctx, 0, &engine.Batch{Groups: []engine.Group{puts("a", v), puts("z", v)}}); err != nil {
					return err
				}
			}
			return nil
		})
	}},
	{"Concurrency/writers read what they wrote", func(s *subject) {
		s.parallel(8, func(i int) error {
			for n := range 20 {
				key, want := fmt.Sprint("k", i), strconv.Itoa(n)
				_, err := s.Engine.Apply(s.ctx, i%2, &engine.Batch{Groups: []engine.Group{puts(key, want)}})
				if err != nil {
					return err
				}
				got, err := s.Engine.Get(s.ctx, i%2, []byte(key))
				if err != nil || string(got[0]) != want {
					return fmt.Errorf("wrote %q, read %q, %w", want, got[0], err)
				}
			}
			return nil
		})
	}},
}

// increment adds 1 to the number under key, as often as it takes.
func (s *subject) increment(key string) error {
	values, err := s.Engine.Get(s.ctx, 0, []byte(key))
	if err != nil {
		return err
	}
	for value := string(values[0]); ; {
		n, err := strconv.Atoi(value)
		if err != nil {
			return err
		}
		g := equal(key, value, puts(key, strconv.Itoa(n+1)))
		res, err := s.Engine.Apply(s.ctx, 0, &engine.Batch{Groups: []engine.Group{g}})
		if err != nil || !res.Groups[0].Skipped {
			return err
		}
		value = string(res.Groups[0].Found)
	}
}

func (s *subject) watchPair(writing *atomic.Bool) error {
	for writing.Load() {
		entries, err := s.Engine.Scan(s.ctx, 0, engine.Range{Limit: 2})
		if err != nil {
			return err
		}
		if len(entries) != 2 || string(entries[0].Value) != string(entries[1].Value) {
			return fmt.Errorf("half a batch: %q", entries)
		}
	}
	return nil
}
