package redis

import (
	"bytes"
	"context"
	"errors"

	"github.com/orchestrix/orchestrix/store/engine"
)

// Get returns the values of the keys, as of one moment. See engine.Engine.
func (e *Engine) Get(ctx context.Context, n int, keys ...[]byte) ([][]byte, error) {
	list, err := encodeKeys(keys)
	if err != nil {
		return nil, err
	}
	if err := e.enter(ctx, n); err != nil {
		return nil, err
	}
	k := &e.keys[n]
	_, r, err := e.call(ctx, n, getScript, []string{k.head, k.data, k.index}, append(e.times(), list))
	if err != nil {
		return nil, err
	}
	values := make([][]byte, len(keys))
	if r.array() != len(keys) {
		return nil, e.unreadable(n)
	}
	for i := range values {
		if values[i], err = plain(r.bytes()); err != nil {
			return nil, e.unreadable(n)
		}
	}
	if r.failed {
		return nil, e.unreadable(n)
	}
	return values, nil
}

// encodeKeys checks keys, or names, and encodes them as a list.
func encodeKeys(keys [][]byte) ([]byte, error) {
	var w writer
	w.array(len(keys))
	for _, key := range keys {
		if err := engine.CheckKey(key); err != nil {
			return nil, err
		}
		w.bytes(key)
	}
	return w.buf, nil
}

// Scan returns the entries of a range, as of one moment. See engine.Engine.
func (e *Engine) Scan(ctx context.Context, n int, r engine.Range) ([]engine.Entry, error) {
	err := errors.Join(engine.CheckLimit(r.Limit), engine.CheckBound(r.From), engine.CheckBound(r.To))
	if err != nil {
		return nil, err
	}
	if err := e.enter(ctx, n); err != nil {
		return nil, err
	}
	to := "+"
	if r.To != nil {
		to = "(" + string(r.To)
	}
	k := &e.keys[n]
	_, answer, err := e.call(ctx, n, scanScript, []string{k.head, k.data, k.index},
		append(e.times(), "["+string(r.From), to, r.Limit, flag(r.Reverse), flag(r.KeysOnly)))
	if err != nil {
		return nil, err
	}
	return e.entries(n, answer, r.KeysOnly)
}

func (e *Engine) entries(n int, r *reader, keysOnly bool) ([]engine.Entry, error) {
	entries := make([]engine.Entry, r.array())
	for i := range entries {
		entries[i].Key = r.bytes()
	}
	if !keysOnly {
		if r.array() != len(entries) {
			return nil, e.unreadable(n)
		}
		for i := range entries {
			value, err := plain(r.bytes())
			if err != nil {
				return nil, e.unreadable(n)
			}
			if value == nil {
				value = []byte{} // it stands in the index only
			}
			entries[i].Value = value
		}
	}
	if r.failed {
		return nil, e.unreadable(n)
	}
	return entries, nil
}

// flag is how a script is told yes or no.
func flag(yes bool) string {
	if yes {
		return "1"
	}
	return ""
}

// Counters returns the values of the named counters. See engine.Engine.
func (e *Engine) Counters(ctx context.Context, n int, names ...[]byte) ([]int64, error) {
	list, err := encodeKeys(names)
	if err != nil {
		return nil, err
	}
	if err := e.enter(ctx, n); err != nil {
		return nil, err
	}
	k := &e.keys[n]
	_, r, err := e.call(ctx, n, countersScript, []string{k.head, k.counters}, append(e.times(), list))
	if err != nil {
		return nil, err
	}
	values := make([]int64, len(names))
	if r.array() != len(names) {
		return nil, e.unreadable(n)
	}
	for i := range values {
		values[i] = r.decimal()
	}
	if r.failed {
		return nil, e.unreadable(n)
	}
	return values, nil
}

// ScanCounters returns counters by name. See engine.Engine.
func (e *Engine) ScanCounters(ctx context.Context, n int, prefix, after []byte, limit int) ([]engine.Counter, error) {
	err := errors.Join(engine.CheckLimit(limit), engine.CheckBound(prefix), engine.CheckBound(after))
	if err != nil {
		return nil, err
	}
	if err := e.enter(ctx, n); err != nil {
		return nil, err
	}
	from := "[" + string(prefix)
	if after != nil && bytes.Compare(after, prefix) >= 0 {
		from = "(" + string(after)
	}
	k := &e.keys[n]
	_, r, err := e.call(ctx, n, namesScript, []string{k.head, k.counters, k.names}, append(e.times(), from, behind(prefix), limit))
	if err != nil {
		return nil, err
	}
	counters := make([]engine.Counter, r.array())
	for i := range counters {
		counters[i].Name = r.bytes()
	}
	if r.array() != len(counters) {
		return nil, e.unreadable(n)
	}
	for i := range counters {
		counters[i].Value = r.decimal()
	}
	if r.failed {
		return nil, e.unreadable(n)
	}
	return counters, nil
}

// behind is the bound of all names that begin with prefix: the least that is
// greater than all of them.
func behind(prefix []byte) string {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			next := bytes.Clone(prefix[:i+1])
			next[i]++
			return "(" + string(next)
		}
	}
	return "+"
}
