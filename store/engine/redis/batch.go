package redis

import (
	"encoding/binary"
	"errors"
	"hash/maphash"
	"strconv"

	"github.com/orchestrix/orchestrix/store/engine"
)

// The operations of apply.lua, by their number.
const (
	opDelete = 1 + iota
	opDeleteRange
	opPut
	opPutAgain
	opStamp
)

// batchWriter encodes a batch as apply.lua reads it.
type batchWriter struct {
	writer
	seen map[uint64]struct{}
}

// maxPooled bounds the buffer that is used again, so that one large batch does not
// stay in memory.
const maxPooled = 4 << 20

var seed = maphash.MakeSeed()

func (w *batchWriter) batch(b *engine.Batch) {
	w.buf = w.buf[:0]
	clear(w.seen)
	guards := 0
	for i := range b.Groups {
		guards += len(b.Groups[i].Guards)
	}
	w.array(3)
	w.array(guards)
	for i := range b.Groups {
		for _, g := range b.Groups[i].Guards {
			w.bytes(g.Key)
		}
	}
	w.array(guards)
	for i := range b.Groups {
		for _, g := range b.Groups[i].Guards {
			if g.Value == nil {
				w.nothing()
			} else {
				w.value(g.Value)
			}
		}
	}
	w.array(len(b.Groups))
	for i := range b.Groups {
		w.group(&b.Groups[i])
	}
}

// group writes a group in the contract's order. How many elements it has shows only
// at its end, so their number is written last, into the bytes kept for it.
func (w *batchWriter) group(g *engine.Group) {
	w.buf = append(w.buf, 0xdd, 0, 0, 0, 0)
	at := len(w.buf)
	elements := 2
	w.integer(int64(len(g.Guards)))
	w.counters(g.Counters)
	operation := func(number, length int) {
		w.integer(int64(number))
		w.array(length)
		elements += 2
	}
	if len(g.Deletes) > 0 {
		operation(opDelete, len(g.Deletes))
		for _, key := range g.Deletes {
			w.bytes(key)
		}
	}
	if len(g.Ranges) > 0 {
		operation(opDeleteRange, 2*len(g.Ranges))
		for _, r := range g.Ranges {
			w.bytes(r.From)
			w.bytes(r.To)
		}
	}
	for puts := g.Puts; len(puts) > 0; {
		n, number := w.unseen(puts), opPut
		if n == 0 {
			n, number = 1, opPutAgain
		}
		operation(number, 2*n)
		w.entries(puts[:n])
		puts = puts[n:]
	}
	if len(g.Stamped) > 0 {
		operation(opStamp, 2*len(g.Stamped))
		w.entries(g.Stamped)
	}
	binary.BigEndian.PutUint32(w.buf[at-4:], uint32(elements))
}

// unseen returns how many of the puts have keys that the batch has not put before.
// The script writes the puts of all groups together, those with an empty value
// first; so a key that is put again has to wait until what came before it is
// written. Two keys with one hash are taken for one, which costs time only.
func (w *batchWriter) unseen(puts []engine.Entry) int {
	for i := range puts {
		h := maphash.Bytes(seed, puts[i].Key)
		if _, twice := w.seen[h]; twice {
			return i
		}
		w.seen[h] = struct{}{}
	}
	return len(puts)
}

func (w *batchWriter) entries(entries []engine.Entry) {
	for i := range entries {
		w.bytes(entries[i].Key)
		w.value(entries[i].Value)
	}
}

// exact bounds the additions that the script may add up as Lua numbers: four
// million of them stay below 2^53.
const exact = 1 << 31

func (w *batchWriter) counters(counters []engine.Counter) {
	n := 0
	for i := range counters {
		if counters[i].Value != 0 {
			n++
		}
	}
	w.array(2 * n)
	for i := range counters {
		switch value := counters[i].Value; {
		case value == 0:
		case value > -exact && value < exact:
			w.bytes(counters[i].Name)
			w.integer(value)
		default:
			w.bytes(counters[i].Name)
			w.bytes(strconv.AppendInt(nil, value, 10))
		}
	}
}

// A value that is not empty begins with a mark that says how the rest is stored.
const markPlain = 0

func (w *batchWriter) value(v []byte) {
	if len(v) == 0 {
		w.length(0)
		return
	}
	w.length(1 + len(v))
	w.buf = append(append(w.buf, markPlain), v...)
}

var errMark = errors.New("a value begins with an unknown mark")

// plain returns the value of what is stored, nil where it is nil.
func plain(stored []byte) ([]byte, error) {
	switch {
	case len(stored) == 0:
		return stored, nil
	case stored[0] == markPlain && len(stored) > 1:
		return stored[1:len(stored):len(stored)], nil
	}
	return nil, errMark
}

// overflowing reports whether a batch names an addition that could not be taken
// back.
func overflowing(b *engine.Batch) bool {
	for i := range b.Groups {
		for _, c := range b.Groups[i].Counters {
			if -c.Value == c.Value && c.Value != 0 {
				return true
			}
		}
	}
	return false
}
