package pebble

import (
	"bytes"
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"

	"github.com/orchestrix/orchestrix/store/engine"
)

// writer encodes operations straight into a batch's buffer, so that no key is
// built anywhere else first. A batch that is not indexed cannot fail to take an
// operation.
type writer struct {
	batch *pebble.Batch
	shard int
}

// group writes a group in the contract's order; seq is the last number given.
func (w *writer) group(g *engine.Group, seq *uint64) {
	for _, key := range g.Deletes {
		w.delete(key)
	}
	for _, r := range g.Ranges {
		w.deleteRange(r)
	}
	for i := range g.Puts {
		w.put(g.Puts[i].Key, g.Puts[i].Value)
	}
	for i := range g.Stamped {
		*seq++
		w.stamp(g.Stamped[i].Key, *seq, g.Stamped[i].Value)
	}
}

func (w *writer) put(key, value []byte) {
	op := w.batch.SetDeferred(prefixLength+len(key), len(value))
	w.fill(op.Key, spaceMap, key)
	copy(op.Value, value)
}

func (w *writer) stamp(key []byte, seq uint64, value []byte) {
	op := w.batch.SetDeferred(prefixLength+len(key)+engine.SeqLength, len(value))
	rest := w.fill(op.Key, spaceMap, key)
	binary.BigEndian.PutUint64(rest, seq)
	copy(op.Value, value)
}

func (w *writer) delete(key []byte) {
	op := w.batch.DeleteDeferred(prefixLength + len(key))
	w.fill(op.Key, spaceMap, key)
}

// deleteRange leaves out a range of no keys: the database takes no such one.
func (w *writer) deleteRange(r engine.KeyRange) {
	if bytes.Compare(r.From, r.To) >= 0 {
		return
	}
	op := w.batch.DeleteRangeDeferred(prefixLength+len(r.From), prefixLength+len(r.To))
	w.fill(op.Key, spaceMap, r.From)
	w.fill(op.Value, spaceMap, r.To)
}

// counter writes a counter's value; one that is back at 0 leaves nothing behind.
func (w *writer) counter(name string, value int64) {
	if value == 0 {
		op := w.batch.DeleteDeferred(prefixLength + len(name))
		copy(w.fill(op.Key, spaceCounters, nil), name)
		return
	}
	op := w.batch.SetDeferred(prefixLength+len(name), 8)
	copy(w.fill(op.Key, spaceCounters, nil), name)
	binary.BigEndian.PutUint64(op.Value, uint64(value))
}

func (w *writer) head(r *shardRecord) {
	op := w.batch.SetDeferred(prefixLength, shardRecordLength)
	w.fill(op.Key, spaceHead, nil)
	r.put(op.Value)
}

// fill writes a database key to dst and returns what is left of dst.
func (w *writer) fill(dst []byte, space byte, key []byte) []byte {
	binary.BigEndian.PutUint16(dst, uint16(w.shard))
	dst[2] = space
	return dst[prefixLength+copy(dst[prefixLength:], key):]
}
