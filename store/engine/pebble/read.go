package pebble

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/orchestrix/orchestrix/store/engine"
)

// Get returns the values of the keys. See engine.Engine.
func (e *Engine) Get(ctx context.Context, n int, keys ...[]byte) ([][]byte, error) {
	for _, key := range keys {
		if err := engine.CheckKey(key); err != nil {
			return nil, err
		}
	}
	if _, err := e.enterShard(ctx, n); err != nil {
		return nil, err
	}
	defer e.life.RUnlock()
	values := make([][]byte, len(keys))
	var err error
	if len(keys) < fewKeys {
		err = e.getEach(n, keys, values)
	} else {
		err = e.getPass(n, keys, values)
	}
	if err != nil {
		return nil, e.readError("get from", n, err)
	}
	return values, nil
}

// fewKeys is up to where looking each key up beats an iterator over all of them.
const fewKeys = 4

// getEach looks the keys up one by one.
func (e *Engine) getEach(n int, keys, values [][]byte) error {
	sc := e.getScratch()
	defer e.putScratch(sc)
	for i, key := range keys {
		sc.key = appendKey(sc.key[:0], n, spaceMap, key)
		value, closer, err := e.db.Get(sc.key)
		if errors.Is(err, pebble.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		values[i] = append(make([]byte, 0, len(value)), value...)
		if err := closer.Close(); err != nil {
			return err
		}
	}
	return nil
}

// getPass looks the keys up in their order by bytes, in which one that lies close
// to the one before costs little.
func (e *Engine) getPass(n int, keys, values [][]byte) error {
	it, err := e.lookups(n)
	if err != nil {
		return err
	}
	defer it.Close()
	sc := e.getScratch()
	defer e.putScratch(sc)
	var a arena
	for _, i := range sc.sorted(keys) {
		sc.key = appendKey(sc.key[:0], n, spaceMap, keys[i])
		value, err := lookUp(it, sc.key)
		if err != nil {
			return err
		}
		if value != nil {
			values[i] = a.copy(value)
		}
	}
	return nil
}

// lookups returns an iterator for lookUp, which has to be closed.
func (e *Engine) lookups(n int) (*pebble.Iterator, error) {
	return e.db.NewIter(&pebble.IterOptions{
		LowerBound:   appendKey(nil, n, spaceMap, nil),
		UpperBound:   appendBound(nil, n, spaceMap, nil),
		UseL6Filters: true,
	})
}

// lookUp returns the value of a database key, nil where it is absent, valid until
// the iterator moves.
func lookUp(it *pebble.Iterator, key []byte) ([]byte, error) {
	if !it.SeekPrefixGE(key) {
		return nil, it.Error()
	}
	value, err := it.ValueAndErr()
	if value == nil && err == nil {
		value = []byte{}
	}
	return value, err
}

// sorted returns the indexes of keys in the order of the keys, valid until the
// next call. Callers mostly have them in order.
func (sc *scratch) sorted(keys [][]byte) []int {
	sc.order = sc.order[:0]
	for i := range keys {
		sc.order = append(sc.order, i)
	}
	if !slices.IsSortedFunc(keys, bytes.Compare) {
		slices.SortFunc(sc.order, func(i, j int) int { return bytes.Compare(keys[i], keys[j]) })
	}
	return sc.order
}

// Scan returns the entries of a range. See engine.Engine.
func (e *Engine) Scan(ctx context.Context, n int, r engine.Range) ([]engine.Entry, error) {
	err := errors.Join(engine.CheckLimit(r.Limit), engine.CheckBound(r.From), engine.CheckBound(r.To))
	if err != nil {
		return nil, err
	}
	if _, err := e.enterShard(ctx, n); err != nil {
		return nil, err
	}
	defer e.life.RUnlock()
	if r.To != nil && bytes.Compare(r.From, r.To) >= 0 {
		return nil, nil
	}
	it, err := e.iterate(appendKey(nil, n, spaceMap, r.From), appendBound(nil, n, spaceMap, r.To))
	if err != nil {
		return nil, e.readError("scan", n, err)
	}
	entries, err := collect(it, r)
	if err = errors.Join(err, it.Close()); err != nil {
		return nil, e.readError("scan", n, err)
	}
	return entries, nil
}

func (e *Engine) iterate(lower, upper []byte) (*pebble.Iterator, error) {
	return e.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
}

// collect copies entries until the range's limit or its end.
func collect(it *pebble.Iterator, r engine.Range) ([]engine.Entry, error) {
	begin, step := it.First, it.Next
	if r.Reverse {
		begin, step = it.Last, it.Prev
	}
	var a arena
	var entries []engine.Entry
	for ok := begin(); ok && len(entries) < r.Limit; ok = step() {
		if entries == nil {
			entries = make([]engine.Entry, 0, min(r.Limit, 128))
		}
		en := engine.Entry{Key: a.copy(it.Key()[prefixLength:])}
		if !r.KeysOnly {
			value, err := it.ValueAndErr()
			if err != nil {
				return nil, err
			}
			en.Value = a.copy(value)
		}
		entries = append(entries, en)
	}
	return entries, it.Error()
}

// Counters returns the values of the named counters. See engine.Engine.
func (e *Engine) Counters(ctx context.Context, n int, names ...[]byte) ([]int64, error) {
	for _, name := range names {
		if err := engine.CheckKey(name); err != nil {
			return nil, err
		}
	}
	if _, err := e.enterShard(ctx, n); err != nil {
		return nil, err
	}
	defer e.life.RUnlock()
	sc := e.getScratch()
	defer e.putScratch(sc)
	values := make([]int64, len(names))
	for i, name := range names {
		sc.key = appendKey(sc.key[:0], n, spaceCounters, name)
		value, err := e.readCounter(sc.key)
		if err != nil {
			return nil, e.readError("counters of", n, err)
		}
		values[i] = value
	}
	return values, nil
}

// ScanCounters returns counters by name. See engine.Engine.
func (e *Engine) ScanCounters(ctx context.Context, n int, prefix, after []byte, limit int) ([]engine.Counter, error) {
	err := errors.Join(engine.CheckLimit(limit), engine.CheckBound(prefix), engine.CheckBound(after))
	if err != nil {
		return nil, err
	}
	if _, err := e.enterShard(ctx, n); err != nil {
		return nil, err
	}
	defer e.life.RUnlock()
	lower := appendKey(nil, n, spaceCounters, prefix)
	if after != nil && bytes.Compare(after, prefix) >= 0 {
		lower = append(appendKey(nil, n, spaceCounters, after), 0)
	}
	upper := appendAfterPrefix(nil, n, spaceCounters, prefix)
	if bytes.Compare(lower, upper) >= 0 {
		return nil, nil
	}
	it, err := e.iterate(lower, upper)
	if err != nil {
		return nil, e.readError("counters of", n, err)
	}
	counters, err := collectCounters(it, limit)
	if err = errors.Join(err, it.Close()); err != nil {
		return nil, e.readError("counters of", n, err)
	}
	return counters, nil
}

// collectCounters needs not look for zeros: writer.counter leaves none.
func collectCounters(it *pebble.Iterator, limit int) ([]engine.Counter, error) {
	var counters []engine.Counter
	for ok := it.First(); ok && len(counters) < limit; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return nil, err
		}
		number, err := decodeCounter(value)
		if err != nil {
			return nil, err
		}
		name := bytes.Clone(it.Key()[prefixLength:])
		counters = append(counters, engine.Counter{Name: name, Value: number})
	}
	return counters, it.Error()
}
