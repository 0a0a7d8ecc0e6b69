package redis

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/orchestrix/orchestrix/store/engine"
)

// layoutVersion is the version of the keys, the records and the marks of values. A
// store with a greater one was written by a newer program and is refused. What a
// program of this layout may ignore is no reason to raise it: that is told by a minor
// version behind a dot ("1.2") and by more fields of the store's record, which are
// left as they are, so that programs of one layout use a store side by side.
const layoutVersion = 1

// shardKeys are the keys of one shard. What stands in braces is the hash tag, so
// that Redis Cluster keeps them together.
type shardKeys struct {
	head, data, index, counters, names string
	// channel carries the hints of Watch.
	channel string
}

func keysOf(prefix string, shard int) shardKeys {
	tag := "{" + prefix + ":" + strconv.Itoa(shard) + "}:"
	return shardKeys{
		head: tag + "head", data: tag + "data", index: tag + "index",
		counters: tag + "counters", names: tag + "names", channel: tag + "changed",
	}
}

// storeKey is where the store's record lies, in a slot of its own.
func storeKey(prefix string) string { return "{" + prefix + "}:store" }

// headLength is the length of a shard's head: epoch, nonce, number of the last
// commit, epoch of its author, sequence number, end of the lease and time of the
// last write (Unix milliseconds), big-endian. The scripts know it too.
const headLength = 64

// newHead is the head of a shard that nobody has owned or written yet.
var newHead = string(make([]byte, headLength))

func decodeHead(b []byte) (h engine.Head, written int64, err error) {
	if len(b) != headLength {
		return h, 0, fmt.Errorf("%w: a shard's head has %d bytes", engine.ErrCorrupt, len(b))
	}
	h.Epoch = binary.BigEndian.Uint64(b)
	copy(h.Nonce[:], b[8:24])
	h.Commit = binary.BigEndian.Uint64(b[24:])
	h.Seq = binary.BigEndian.Uint64(b[40:])
	if expires := int64(binary.BigEndian.Uint64(b[48:])); expires != 0 {
		h.Expires = time.UnixMilli(expires).UTC()
	}
	return h, int64(binary.BigEndian.Uint64(b[56:])), nil
}

func appendFence(b []byte, f engine.Fence) []byte {
	return append(binary.BigEndian.AppendUint64(b, f.Epoch), f.Nonce[:]...)
}

// storeRecord describes the store as a whole. It is readable text, since an
// operator may meet it.
type storeRecord struct {
	layout  int
	minor   int
	shards  int
	created int64 // Unix milliseconds
	// ready says that all shards have their heads: from then on one that is
	// missing was lost.
	ready bool
	// more are fields of a greater minor version, as they stand.
	more string
}

// tooNew is the error of a store that this program must leave alone.
func (r storeRecord) tooNew() error {
	return fmt.Errorf("the store has layout %d, this program knows up to %d: a newer version of Orchestrix has written it, and nothing was changed; "+
		"run that version or a later one, or restore a backup of before the upgrade", r.layout, layoutVersion)
}

func (r storeRecord) String() string {
	state := "creating"
	if r.ready {
		state = "ready"
	}
	layout := strconv.Itoa(r.layout)
	if r.minor > 0 {
		layout += "." + strconv.Itoa(r.minor)
	}
	return fmt.Sprintf("layout=%s shards=%d created=%d state=%s%s", layout, r.shards, r.created, state, r.more)
}

var errRecord = errors.New("the store's record cannot be read")

// parseStoreRecord reads the layout first, since a newer one may say anything else.
func parseStoreRecord(text string) (r storeRecord, err error) {
	values := map[string]string{}
	for field := range strings.FieldsSeq(text) {
		name, value, _ := strings.Cut(field, "=")
		switch values[name] = value; name {
		case "layout", "shards", "created", "state":
		default:
			r.more += " " + field
		}
	}
	major, minor, dotted := strings.Cut(values["layout"], ".")
	if r.layout, err = strconv.Atoi(major); err != nil || r.layout < 1 {
		return r, errRecord
	}
	if r.layout > layoutVersion {
		return r, nil
	}
	if dotted {
		if r.minor, err = strconv.Atoi(minor); err != nil || r.minor < 0 {
			return r, errRecord
		}
	}
	r.shards, err = strconv.Atoi(values["shards"])
	created, err2 := strconv.ParseInt(values["created"], 10, 64)
	r.created, r.ready = created, values["state"] == "ready"
	if err != nil || err2 != nil || r.shards < 1 || r.shards > MaxShards {
		return r, errRecord
	}
	return r, nil
}
