package redis

import (
	"encoding/binary"
	"strconv"
)

// writer encodes what a script is given: MessagePack, of which it knows arrays,
// byte strings, integers and false.
type writer struct{ buf []byte }

func (w *writer) array(n int) {
	switch {
	case n < 16:
		w.buf = append(w.buf, 0x90|byte(n))
	case n < 1<<16:
		w.buf = binary.BigEndian.AppendUint16(append(w.buf, 0xdc), uint16(n))
	default:
		w.buf = binary.BigEndian.AppendUint32(append(w.buf, 0xdd), uint32(n))
	}
}

// length begins a byte string of n bytes.
func (w *writer) length(n int) {
	switch {
	case n < 32:
		w.buf = append(w.buf, 0xa0|byte(n))
	case n < 1<<8:
		w.buf = append(w.buf, 0xd9, byte(n))
	case n < 1<<16:
		w.buf = binary.BigEndian.AppendUint16(append(w.buf, 0xda), uint16(n))
	default:
		w.buf = binary.BigEndian.AppendUint32(append(w.buf, 0xdb), uint32(n))
	}
}

func (w *writer) bytes(b []byte) {
	w.length(len(b))
	w.buf = append(w.buf, b...)
}

// integer encodes a number that a script reads exactly: below 2^53.
func (w *writer) integer(n int64) {
	if n >= 0 && n < 128 {
		w.buf = append(w.buf, byte(n))
		return
	}
	w.buf = binary.BigEndian.AppendUint64(append(w.buf, 0xd3), uint64(n))
}

func (w *writer) nothing() { w.buf = append(w.buf, 0xc2) }

// reader decodes what a script answers. What it hands out are parts of data.
type reader struct {
	data   []byte
	failed bool
}

func (r *reader) fail() { r.data, r.failed = nil, true }

// take returns the next n bytes.
func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.data)) {
		r.fail()
		return nil
	}
	b := r.data[:n:n]
	r.data = r.data[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0xc1 // which nothing is encoded as
}

// number returns a big-endian number of n bytes.
func (r *reader) number(n uint64) uint64 {
	var value uint64
	for _, b := range r.take(n) {
		value = value<<8 | uint64(b)
	}
	return value
}

// array returns how many elements follow.
func (r *reader) array() int {
	var n uint64
	switch b := r.byte(); {
	case b>>4 == 9:
		n = uint64(b & 15)
	case b == 0xdc:
		n = r.number(2)
	case b == 0xdd:
		n = r.number(4)
	default:
		r.fail()
	}
	if n > uint64(len(r.data)) { // each takes a byte at least
		r.fail()
		return 0
	}
	return int(n)
}

// bytes returns a byte string, or nil for false.
func (r *reader) bytes() []byte {
	switch b := r.byte(); {
	case b == 0xc2:
		return nil
	case b>>5 == 5:
		return r.take(uint64(b & 31))
	case b == 0xd9:
		return r.take(r.number(1))
	case b == 0xda:
		return r.take(r.number(2))
	case b == 0xdb:
		return r.take(r.number(4))
	}
	r.fail()
	return nil
}

// integer returns an integer.
func (r *reader) integer() int64 {
	switch b := r.byte(); {
	case b < 0x80:
		return int64(b)
	case b >= 0xe0:
		return int64(int8(b))
	case b >= 0xcc && b <= 0xcf:
		return int64(r.number(1 << (b - 0xcc)))
	case b >= 0xd0 && b <= 0xd3:
		size := uint(1) << (b - 0xd0)
		return int64(r.number(uint64(size))<<(64-8*size)) >> (64 - 8*size)
	}
	r.fail()
	return 0
}

// decimal returns the number in a byte string, 0 for false.
func (r *reader) decimal() int64 {
	b := r.bytes()
	if b == nil {
		return 0
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		r.fail()
	}
	return n
}
