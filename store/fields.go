package store

import (
	"errors"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

var errBadRecord = errors.New("malformed record")

// fields walks over the fields of a message. It never panics, whatever the
// bytes; the first thing that is wrong ends the walk and stays in err. Texts
// and bytes alias what it reads, which must not change afterwards.
type fields struct {
	rest   []byte
	number protowire.Number
	kind   protowire.Type
	varint uint64
	raw    []byte
	err    error
}

// next reads a field; it returns false at the end and where something is wrong.
func (f *fields) next() bool {
	if f.err != nil || len(f.rest) == 0 {
		return false
	}
	var n int
	if f.number, f.kind, n = protowire.ConsumeTag(f.rest); n < 0 {
		return f.bad()
	}
	f.rest = f.rest[n:]
	switch f.kind {
	case protowire.VarintType:
		f.varint, n = protowire.ConsumeVarint(f.rest)
	case protowire.Fixed64Type:
		f.varint, n = protowire.ConsumeFixed64(f.rest)
	case protowire.BytesType:
		f.raw, n = protowire.ConsumeBytes(f.rest)
	default: // no field of ours: skip it
		n = protowire.ConsumeFieldValue(f.number, f.kind, f.rest)
	}
	if n < 0 {
		return f.bad()
	}
	f.rest = f.rest[n:]
	return true
}

func (f *fields) bad() bool {
	if f.err == nil {
		f.err = errBadRecord
	}
	return false
}

func (f *fields) want(kind protowire.Type) bool { return f.kind == kind || f.bad() }

func (f *fields) int() int64 {
	if !f.want(protowire.VarintType) {
		return 0
	}
	return int64(f.varint)
}

// small is a number that fits a byte.
func (f *fields) small() uint8 {
	v := f.int()
	if v < 0 || v > math.MaxUint8 {
		f.bad()
		return 0
	}
	return uint8(v)
}

func (f *fields) fixed() uint64 {
	if !f.want(protowire.Fixed64Type) {
		return 0
	}
	return f.varint
}

// bytes is never nil where the field is right.
func (f *fields) bytes() []byte {
	if !f.want(protowire.BytesType) {
		return nil
	}
	return f.raw[:len(f.raw):len(f.raw)]
}

// exactly copies bytes that must be as many as there is room for.
func (f *fields) exactly(into []byte) {
	if copy(into, f.bytes()) != len(f.raw) || len(f.raw) != len(into) {
		f.bad()
	}
}

func (f *fields) text() string { return alias(f.bytes()) }

// message returns a walk over the field's own fields; give it to adopt at its
// end.
func (f *fields) message() fields { return fields{rest: f.bytes(), err: f.err} }

func (f *fields) adopt(inner *fields) {
	if inner.err != nil {
		f.err = inner.err
	}
}

// pair reads an entry of a map of texts.
func (f *fields) pair(m map[string]string) map[string]string {
	var k, v string
	inner := f.message()
	for inner.next() {
		switch inner.number {
		case 1:
			k = inner.text()
		case 2:
			v = inner.text()
		}
	}
	f.adopt(&inner)
	if m == nil {
		m = map[string]string{}
	}
	m[k] = v
	return m
}
