package job

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"
)

// UniquePart is a part of a job's content by which it is unique.
type UniquePart string

// The parts. PartPayload is the payload's bytes as they are stored, together with
// their content type.
const (
	PartType    UniquePart = "type"
	PartKey     UniquePart = "key"
	PartPayload UniquePart = "payload"
)

// uniqueParts are in the order in which they are digested.
var uniqueParts = []UniquePart{PartType, PartKey, PartPayload}

// UniqueUntil says when another job with the same content may be stored.
type UniqueUntil string

// The ends of a unique lock, beside the deletion of its job.
const (
	UntilStarted  UniqueUntil = "started"  // the first attempt is claimed, or the job ends before that
	UntilTerminal UniqueUntil = "terminal" // the job ends
	UntilTTL      UniqueUntil = "ttl"      // some time after the enqueue, whatever becomes of the job
)

var uniqueUntils = []UniqueUntil{UntilStarted, UntilTerminal, UntilTTL}

// UniqueConflict says what becomes of a job whose content another job holds.
type UniqueConflict string

// What becomes of it.
const (
	ConflictReturn  UniqueConflict = "return"  // the other job is answered
	ConflictReject  UniqueConflict = "reject"  // the enqueue is refused
	ConflictReplace UniqueConflict = "replace" // it takes the place of the other job, as long as that was not started
)

var uniqueConflicts = []UniqueConflict{ConflictReturn, ConflictReject, ConflictReplace}

// Unique says that a job is to be the only one of its queue with its content, for
// as long as it holds the unique lock on that content. The zero values of its
// fields are unset; see WithDefaults.
type Unique struct {
	// By are the parts that make up the content; nil means all.
	By []UniquePart `json:"by,omitempty"`
	// Until is when the lock ends; empty means terminal.
	Until UniqueUntil `json:"until,omitempty"`
	// TTL is how long it is held, where Until is ttl: MinUniqueTTL to MaxUniqueTTL.
	TTL Duration `json:"ttl,omitempty"`
	// OnConflict is what happens where another job holds the lock; empty means
	// return.
	OnConflict UniqueConflict `json:"on_conflict,omitempty"`

	// Digest names the content within the queue; see SetDigest.
	Digest [sha256.Size]byte `json:"-"`
	// ReplacedBy is the job that has taken the place of this one, if one has.
	ReplacedBy ID `json:"-"`
}

// The bounds of Unique.TTL.
const (
	MinUniqueTTL = Duration(time.Second)
	MaxUniqueTTL = Duration(365 * day)
)

// WithDefaults returns a copy in which every field is set that may be, and By is
// in its usual order.
func (u *Unique) WithDefaults() *Unique {
	c := *u
	c.By = slices.Clone(uniqueParts)
	if u.By != nil {
		c.By = slices.DeleteFunc(c.By, func(p UniquePart) bool { return !slices.Contains(u.By, p) })
	}
	if c.Until == "" {
		c.Until = UntilTerminal
	}
	if c.OnConflict == "" {
		c.OnConflict = ConflictReturn
	}
	return &c
}

// Replaced returns a copy that says which job has taken the place of this one; the
// zero ID says that none has.
func (u *Unique) Replaced(by ID) *Unique {
	c := *u
	c.ReplacedBy = by
	return &c
}

// Validate returns what is wrong with the fields that are set, each field
// prefixed with prefix.
func (u *Unique) Validate(prefix string) []FieldError {
	var errs []FieldError
	bad := func(field, format string, args ...any) {
		errs = append(errs, FieldError{prefix + field, fmt.Sprintf(format, args...)})
	}
	if u.By != nil && len(u.By) == 0 {
		bad("by", "must name at least one of %s", words(uniqueParts))
	}
	for i, p := range u.By {
		switch field := fmt.Sprintf("by[%d]", i); {
		case !slices.Contains(uniqueParts, p):
			bad(field, "must be one of %s", words(uniqueParts))
		case slices.Contains(u.By[:i], p):
			bad(field, "is there twice")
		}
	}
	if u.Until != "" && !slices.Contains(uniqueUntils, u.Until) {
		bad("until", "must be one of %s", words(uniqueUntils))
	}
	switch {
	case u.Until == UntilTTL && u.TTL == 0:
		bad("ttl", "is required where until is ttl")
	case u.Until != UntilTTL && u.TTL != 0:
		bad("ttl", "must only be given where until is ttl")
	case u.TTL != 0 && (u.TTL < MinUniqueTTL || u.TTL > MaxUniqueTTL):
		bad("ttl", "must be from %s to %s", MinUniqueTTL, MaxUniqueTTL)
	}
	if u.OnConflict != "" && !slices.Contains(uniqueConflicts, u.OnConflict) {
		bad("on_conflict", "must be one of %s", words(uniqueConflicts))
	}
	return errs
}

func words[T ~string](of []T) string {
	texts := make([]string, len(of))
	for i, w := range of {
		texts[i] = string(w)
	}
	return strings.Join(texts, ", ")
}

// SetDigest sets the digest of a job with that payload: SHA-256 over the parts in
// By, each as its name and then its texts, all with their lengths in front, so
// that no two contents run together. A job without a key has an empty one.
func (u *Unique) SetDigest(j *Job, payload []byte) {
	h := sha256.New()
	var length [8]byte
	add := func(b []byte) {
		binary.BigEndian.PutUint64(length[:], uint64(len(b)))
		h.Write(length[:])
		h.Write(b)
	}
	for _, part := range uniqueParts {
		if !slices.Contains(u.By, part) {
			continue
		}
		add([]byte(part))
		switch part {
		case PartType:
			add([]byte(j.Type))
		case PartKey:
			add([]byte(j.Key))
		case PartPayload:
			add([]byte(j.ContentType))
			add(payload)
		}
	}
	h.Sum(u.Digest[:0])
}

// UniqueEnd returns when time ends the job's unique lock; zero where time does
// not.
func (j *Job) UniqueEnd() time.Time {
	if j.Unique == nil || j.Unique.Until != UntilTTL {
		return time.Time{}
	}
	return j.CreatedAt.Add(j.Unique.TTL.Std())
}
