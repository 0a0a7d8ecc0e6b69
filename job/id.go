package job

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"time"
)

// ID identifies a job: 128 bits, of which the first 48 are the milliseconds of
// its creation since the Unix epoch, the next 12 its shard, and the rest
// random. Byte order, text order and order of creation (to the millisecond)
// agree.
//
// 48 bits reach from 1970 to the year 10889; a time outside is moved to the
// nearer end.
type ID [16]byte

const (
	idPrefix = "job_"
	idDigits = "0123456789abcdefghjkmnpqrstvwxyz" // Crockford's base32, lower case: sorts like the bytes

	maxMillis = 1<<48 - 1

	// IDLength is the length of an ID's text: "job_" and 26 digits.
	IDLength = len(idPrefix) + 26

	// MaxShards is the greatest number of shards: what 12 bits can tell apart.
	MaxShards = 1 << 12
)

// ErrInvalidID is returned for a text that is not a job id.
var ErrInvalidID = errors.New(`not a job id: want "job_" and 26 base32 digits`)

// NewID returns a new id for a job created at that time in that shard. Its 68
// random bits come from crypto/rand. It may be called concurrently.
func NewID(at time.Time, shard int) ID {
	var random [9]byte
	rand.Read(random[:]) // never fails since Go 1.24
	return MakeID(at, shard, random)
}

// MakeID returns the id with exactly these parts; of random the first 4 bits
// are ignored. It is for tests and simulations that must be repeatable.
func MakeID(at time.Time, shard int, random [9]byte) ID {
	var id ID
	ms := uint64(min(max(at.UnixMilli(), 0), maxMillis))
	binary.BigEndian.PutUint64(id[:8], ms<<16|uint64(shard&(MaxShards-1))<<4|uint64(random[0]&0x0f))
	copy(id[8:], random[1:])
	return id
}

// Time returns the time of creation, to the millisecond.
func (id ID) Time() time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(id[:8]) >> 16)).UTC()
}

// Shard returns the shard the job lives in.
func (id ID) Shard() int {
	return int(binary.BigEndian.Uint16(id[6:8]) >> 4)
}

// IsZero reports whether the id is unset.
func (id ID) IsZero() bool { return id == ID{} }

// String returns "job_" and 26 base32 digits.
func (id ID) String() string { return string(id.Append(make([]byte, 0, IDLength))) }

// Append appends the id's text to b.
func (id ID) Append(b []byte) []byte {
	b = append(b, idPrefix...)
	hi, lo := binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:])
	// 26 digits hold 130 bits: the first holds the top three only.
	for shift := 125; shift >= 0; shift -= 5 {
		var v uint64
		switch {
		case shift >= 64:
			v = hi >> (shift - 64)
		case shift+5 > 64:
			v = lo>>shift | hi<<(64-shift)
		default:
			v = lo >> shift
		}
		b = append(b, idDigits[v&31])
	}
	return b
}

// MarshalText implements encoding.TextMarshaler.
func (id ID) MarshalText() ([]byte, error) { return id.Append(nil), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (id *ID) UnmarshalText(text []byte) error {
	parsed, err := ParseID(string(text))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}

// ParseID reads the text that String writes. Upper case and other prefixes are
// refused: every id has one text.
func ParseID(text string) (ID, error) {
	if len(text) != IDLength || text[:len(idPrefix)] != idPrefix {
		return ID{}, ErrInvalidID
	}
	var hi, lo uint64
	for i := len(idPrefix); i < len(text); i++ {
		d := digitValue(text[i])
		if d > 31 || (i == len(idPrefix) && d > 7) {
			return ID{}, ErrInvalidID
		}
		hi = hi<<5 | lo>>59
		lo = lo<<5 | uint64(d)
	}
	var id ID
	binary.BigEndian.PutUint64(id[:8], hi)
	binary.BigEndian.PutUint64(id[8:], lo)
	return id, nil
}

var digitValues = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i := range len(idDigits) {
		t[idDigits[i]] = byte(i)
	}
	return t
}()

func digitValue(c byte) byte { return digitValues[c] }

// ShardOf returns the shard of a queue's or schedule's name among that many
// shards: 64-bit FNV-1a, folded, modulo shards. It is part of the store's
// format and must not change. shards must be from 1 to MaxShards.
func ShardOf(name string, shards int) int {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * prime
	}
	return int((h ^ h>>32) % uint64(shards))
}
