package pebble

import (
	"encoding/binary"
	"errors"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// maxCachedCounters bounds a shard's counters in memory; a shard with more of
// them reads those it changes.
const maxCachedCounters = 1024

// shard is what is kept in memory of a shard. Its mutex orders all writes to the
// shard: it is held while a batch is built and made visible, not while the batch
// is waited for.
type shard struct {
	n        int
	missing  bool
	watchers watchers

	mu       sync.Mutex
	record   shardRecord
	counters map[string]*counter
}

// counter is a counter's stored value and what the batch being built adds to it.
type counter struct {
	name    string
	value   int64
	delta   int64
	touched bool
}

// counter returns the named counter, read at its first use.
func (e *Engine) counter(s *shard, name []byte, sc *scratch) (*counter, error) {
	if c := s.counters[string(name)]; c != nil {
		return c, nil
	}
	sc.key = appendKey(sc.key[:0], s.n, spaceCounters, name)
	value, err := e.readCounter(sc.key)
	if err != nil {
		return nil, e.readError("counters of", s.n, err)
	}
	c := &counter{name: string(name), value: value}
	s.counters[c.name] = c
	return c, nil
}

// readCounter returns the number stored under a database key, 0 for none.
func (e *Engine) readCounter(key []byte) (int64, error) {
	value, closer, err := e.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n, err := decodeCounter(value)
	return n, errors.Join(err, closer.Close())
}

func decodeCounter(b []byte) (int64, error) {
	if len(b) != 8 {
		return 0, pebble.ErrCorruption
	}
	return int64(binary.BigEndian.Uint64(b)), nil
}
