package pebble

import "encoding/binary"

// Every key of a shard begins with the shard's number, 2 bytes big-endian, and
// one byte for the space within the shard. The store's own record lies behind
// all shards.
const (
	spaceHead     byte = 1
	spaceCounters byte = 2
	spaceMap      byte = 3

	prefixLength = 3
)

// storeKey is where the store's record lies: no shard has this number.
var storeKey = []byte{0xff, 0xff, spaceHead}

// appendKey appends the database's key of a shard's key to dst.
func appendKey(dst []byte, shard int, space byte, key []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(shard))
	return append(append(dst, space), key...)
}

// appendBound appends the database's key of an upper bound: the end of the
// space where to is nil.
func appendBound(dst []byte, shard int, space byte, to []byte) []byte {
	if to == nil {
		return appendKey(dst, shard, space+1, nil)
	}
	return appendKey(dst, shard, space, to)
}

// appendAfterPrefix appends the first key that is greater than all that begin
// with prefix, nil for none within the space.
func appendAfterPrefix(dst []byte, shard int, space byte, prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			dst = appendKey(dst, shard, space, prefix[:i+1])
			dst[len(dst)-1]++
			return dst
		}
	}
	return appendBound(dst, shard, space, nil)
}
