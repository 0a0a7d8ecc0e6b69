package pebble

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/orchestrix/orchestrix/store/engine"
)

// layoutVersion is the version of the key layout and of the records below. A
// store with a greater one was written by a newer program and is refused. What a
// program of this layout may ignore is no reason to raise it: that raises a minor
// version, and may make the record longer.
const layoutVersion = 1

// storeRecord describes the store as a whole.
type storeRecord struct {
	layout  uint16
	minor   uint16
	shards  uint32
	created int64 // Unix milliseconds
}

const storeRecordLength = 16

func (r storeRecord) encode() []byte {
	b := binary.BigEndian.AppendUint16(nil, r.minor) // 0 in stores of before there were any
	b = binary.BigEndian.AppendUint16(b, r.layout)
	b = binary.BigEndian.AppendUint32(b, r.shards)
	return binary.BigEndian.AppendUint64(b, uint64(r.created))
}

// decodeStoreRecord reads the layout first, since a newer one may have any
// length.
func decodeStoreRecord(b []byte) (storeRecord, error) {
	if len(b) < 4 {
		return storeRecord{}, fmt.Errorf("store record has %d bytes", len(b))
	}
	r := storeRecord{minor: binary.BigEndian.Uint16(b), layout: binary.BigEndian.Uint16(b[2:])}
	if r.layout > layoutVersion {
		return r, nil
	}
	if len(b) < storeRecordLength || len(b) > storeRecordLength && r.minor == 0 {
		return r, fmt.Errorf("store record has %d bytes", len(b))
	}
	r.shards = binary.BigEndian.Uint32(b[4:])
	r.created = int64(binary.BigEndian.Uint64(b[8:]))
	if r.layout == 0 || r.shards == 0 || r.shards > MaxShards {
		return r, fmt.Errorf("store record names layout %d and %d shards", r.layout, r.shards)
	}
	return r, nil
}

// shardRecord is a shard's head as stored, in Unix milliseconds.
type shardRecord struct {
	fence  engine.Fence
	commit uint64
	// author is the epoch under which commit was applied: only its owner may
	// repeat it.
	author  uint64
	seq     uint64
	expires int64
	// time is the engine's time when the record was written. The greatest over
	// all shards is where time goes on after a restart; a single record for it
	// would have to be written in the order of time over all shards.
	time int64
}

const shardRecordLength = 64

func (r *shardRecord) put(b []byte) {
	binary.BigEndian.PutUint64(b, r.fence.Epoch)
	copy(b[8:], r.fence.Nonce[:])
	binary.BigEndian.PutUint64(b[24:], r.commit)
	binary.BigEndian.PutUint64(b[32:], r.author)
	binary.BigEndian.PutUint64(b[40:], r.seq)
	binary.BigEndian.PutUint64(b[48:], uint64(r.expires))
	binary.BigEndian.PutUint64(b[56:], uint64(r.time))
}

func decodeShardRecord(b []byte) (shardRecord, error) {
	if len(b) != shardRecordLength {
		return shardRecord{}, fmt.Errorf("shard record has %d bytes", len(b))
	}
	r := shardRecord{
		commit:  binary.BigEndian.Uint64(b[24:]),
		author:  binary.BigEndian.Uint64(b[32:]),
		seq:     binary.BigEndian.Uint64(b[40:]),
		expires: int64(binary.BigEndian.Uint64(b[48:])),
		time:    int64(binary.BigEndian.Uint64(b[56:])),
	}
	r.fence.Epoch = binary.BigEndian.Uint64(b)
	copy(r.fence.Nonce[:], b[8:])
	return r, nil
}

// owned says whether the fence owns the shard. Nobody owns it as the zero nonce.
func (r *shardRecord) owned(f engine.Fence) bool {
	return f.Nonce != engine.Nonce{} && f == r.fence
}

func (r *shardRecord) disown() {
	r.fence.Nonce, r.expires = engine.Nonce{}, 0
}

func (r *shardRecord) head() engine.Head {
	h := engine.Head{Fence: r.fence, Commit: r.commit, Seq: r.seq}
	if r.expires != 0 {
		h.Expires = time.UnixMilli(r.expires).UTC()
	}
	return h
}
