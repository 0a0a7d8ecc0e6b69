package model

import (
	"bytes"
	"iter"
	"slices"

	"github.com/orchestrix/orchestrix/store/engine"
)

// sorted is an ordered map: a sorted list of sorted blocks, so that an insertion
// moves no more than one block.
type sorted struct{ blocks [][]engine.Entry }

const blockSize = 128

// block returns the index of the block that holds key, or would.
func (m *sorted) block(key []byte) int {
	i, found := slices.BinarySearchFunc(m.blocks, key, func(b []engine.Entry, k []byte) int {
		return bytes.Compare(b[0].Key, k)
	})
	if !found && i > 0 {
		i--
	}
	return i
}

// find returns where key is, or would be inserted, in its block.
func find(block []engine.Entry, key []byte) (int, bool) {
	return slices.BinarySearchFunc(block, key, func(e engine.Entry, k []byte) int {
		return bytes.Compare(e.Key, k)
	})
}

func (m *sorted) get(key []byte) ([]byte, bool) {
	if len(m.blocks) == 0 {
		return nil, false
	}
	block := m.blocks[m.block(key)]
	if i, ok := find(block, key); ok {
		return block[i].Value, true
	}
	return nil, false
}

// put keeps key and value: the caller hands them over.
func (m *sorted) put(key, value []byte) {
	if len(m.blocks) == 0 {
		m.blocks = [][]engine.Entry{{{Key: key, Value: value}}}
		return
	}
	b := m.block(key)
	i, ok := find(m.blocks[b], key)
	if ok {
		m.blocks[b][i].Value = value
		return
	}
	m.blocks[b] = slices.Insert(m.blocks[b], i, engine.Entry{Key: key, Value: value})
	if block := m.blocks[b]; len(block) > blockSize {
		half := len(block) / 2
		m.blocks = slices.Insert(m.blocks, b+1, slices.Clone(block[half:]))
		m.blocks[b] = slices.Delete(block, half, len(block))
	}
}

func (m *sorted) delete(key []byte) {
	if len(m.blocks) == 0 {
		return
	}
	b := m.block(key)
	i, ok := find(m.blocks[b], key)
	if !ok {
		return
	}
	m.blocks[b] = slices.Delete(m.blocks[b], i, i+1)
	if len(m.blocks[b]) == 0 {
		m.blocks = slices.Delete(m.blocks, b, b+1)
	}
}

func (m *sorted) deleteRange(from, to []byte) {
	var keys [][]byte
	for e := range m.between(from, to, false) {
		keys = append(keys, e.Key)
	}
	for _, k := range keys {
		m.delete(k)
	}
}

// between yields the entries with from <= key < to; a nil to means up to the
// end. The map must not be changed meanwhile.
func (m *sorted) between(from, to []byte, reverse bool) iter.Seq[engine.Entry] {
	if reverse {
		return m.descending(from, to)
	}
	return m.ascending(from, to)
}

func (m *sorted) ascending(from, to []byte) iter.Seq[engine.Entry] {
	return func(yield func(engine.Entry) bool) {
		for b := m.block(from); b < len(m.blocks); b++ {
			i, _ := find(m.blocks[b], from)
			for _, e := range m.blocks[b][i:] {
				if (to != nil && bytes.Compare(e.Key, to) >= 0) || !yield(e) {
					return
				}
			}
		}
	}
}

func (m *sorted) descending(from, to []byte) iter.Seq[engine.Entry] {
	return func(yield func(engine.Entry) bool) {
		b := len(m.blocks) - 1
		if to != nil && b >= 0 {
			b = m.block(to)
		}
		for ; b >= 0; b-- {
			i := len(m.blocks[b])
			if to != nil {
				i, _ = find(m.blocks[b], to)
			}
			for i--; i >= 0; i-- {
				if e := m.blocks[b][i]; bytes.Compare(e.Key, from) < 0 || !yield(e) {
					return
				}
			}
		}
	}
}
