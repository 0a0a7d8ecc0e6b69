package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
)

// The keys of a shard's map. The first byte names the space; a queue's name, in
// which no zero byte can be, ends with one; a job's key is escaped (see
// appendEscaped). All numbers are big-endian, so that bytes and numbers sort
// alike. The layout is the store's format and must not change.
//
//	j id                          the job's record (codec.go)
//	p id                          its payload, as it was sent
//	r id                          the whole of its last answer (codec.go)
//	l queue 0 priority a key seq  a job that stands in a lane; stamped; a is 1 for
//	                              a job with a destination of its own, else 0
//	o queue 0 key seq             an ordered job, from its enqueue until it is
//	                              terminal; stamped
//	t ms kind id                  a timer
//	c number                      a claim record, by the commit that wrote it; one
//	                              that hands pushes over names their node
//	a id                          the job's accepted attempt (accepted.go)
//	g id                          what the job's workers tell of it (journal.go)
//	w id number                   lines of its log, by the number of the first
//	i seq                         a command in the inbox; stamped
//	s status id                   index, empty values
//	q queue 0 status id           index, empty values
//	k queue 0 key id              index of jobs with a key, empty values
//	d queue 0 idempotency-key     the job that holds it, and its digest
//	u queue 0 digest              the job that holds the unique lock on the content
//	                              of that digest
//	f queue 0 key                 the state of the limits of a queue, where key
//	                              is empty, or of one of its keys
//	x target epoch commit n       an entry of the outbox (outbox.go)
//	y source                      the place of the last entry of that shard's outbox
//	                              that was taken
//	e name                        a schedule's record (schedule.go)
//	h name 0 n                    the nth entry of a schedule's history
//	D kind 0 name                 a document (shard 0 only)
//	N id                          a node's record (shard 0 only)
//	L                             what the owner tells of the shard
//	M id                          a node that is to drain, empty (shard 0 only)
//	O 0, O 1                      the leader, and its placement (shard 0 only)
//
// The names of counters are a space of their own:
//
//	n queue 0 class               how many jobs, or bytes, of a queue: see class
//	v                             changes of documents (shard 0 only)
//	e                             how many schedules the shard has
const (
	spaceJob         = 'j'
	spacePayload     = 'p'
	spaceResult      = 'r'
	spaceLane        = 'l'
	spaceOrdered     = 'o'
	spaceTimer       = 't'
	spaceClaim       = 'c'
	spaceAccepted    = 'a'
	spaceJournal     = 'g'
	spaceLog         = 'w'
	spaceInbox       = 'i'
	spaceStatus      = 's'
	spaceQueueStatus = 'q'
	spaceQueueKey    = 'k'
	spaceIdempotency = 'd'
	spaceUnique      = 'u'
	spaceLimit       = 'f'
	spaceOutbox      = 'x'
	spaceTaken       = 'y'
	spaceSchedule    = 'e'
	spaceRun         = 'h'
	spaceDocument    = 'D'
	spaceNode        = 'N'
	spaceLive        = 'L'
	spaceDrain       = 'M'
	spaceLeader      = 'O'

	spaceCount     = 'n'
	spaceRevision  = 'v'
	spaceSchedules = 'e'
)

const (
	idLength  = len(job.ID{})
	seqLength = engine.SeqLength
)

var errBadKey = errors.New("store: malformed key")

// appendEscaped appends a text so that texts sort as they are and none is the
// beginning of another: 0 becomes 0 0xff, and 0 1 ends it.
func appendEscaped(b []byte, text string) []byte {
	for i := range len(text) {
		if b = append(b, text[i]); text[i] == 0 {
			b = append(b, 0xff)
		}
	}
	return append(b, 0, 1)
}

// unescape returns the text of what appendEscaped appended.
func unescape(escaped string) string {
	return strings.ReplaceAll(escaped[:len(escaped)-2], "\x00\xff", "\x00")
}

func appendName(b []byte, space byte, name string) []byte {
	b = append(b, space)
	b = append(b, name...)
	return append(b, 0)
}

func appendIDKey(b []byte, space byte, id job.ID) []byte {
	return append(append(b, space), id[:]...)
}

func appendLaneKey(b []byte, l Lane, key string, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(appendLaneStem(b, l, key), seq)
}

// appendLaneStem appends the key of a stamped put: the engine appends seq.
func appendLaneStem(b []byte, l Lane, key string) []byte {
	return appendEscaped(appendLanePrefix(b, l), key)
}

func appendLanePrefix(b []byte, l Lane) []byte {
	if l.Ordered {
		return appendName(b, spaceOrdered, l.Queue)
	}
	adHoc := byte(0)
	if l.AdHoc {
		adHoc = 1
	}
	return append(appendName(b, spaceLane, l.Queue), byte(l.Priority), adHoc)
}

// parseLane reads the lane of a key in the spaces of lanes.
func parseLane(key []byte) (Lane, error) {
	if len(key) == 0 || (key[0] != spaceLane && key[0] != spaceOrdered) {
		return Lane{}, errBadKey
	}
	end := bytes.IndexByte(key, 0)
	if key[0] == spaceOrdered && end > 0 {
		return Lane{Queue: string(key[1:end]), Ordered: true}, nil
	}
	if end < 0 || end+2 >= len(key) {
		return Lane{}, errBadKey
	}
	return Lane{Queue: string(key[1:end]), Priority: job.Priority(key[end+1]), AdHoc: key[end+2] == 1}, nil
}

func appendTimerKey(b []byte, at time.Time, kind TimerKind, id job.ID) []byte {
	b = appendTimerStem(b, at)
	return append(append(b, byte(kind)), id[:]...)
}

func appendTimerStem(b []byte, at time.Time) []byte {
	return binary.BigEndian.AppendUint64(append(b, spaceTimer), uint64(max(millis(at), 0)))
}

func parseTimer(key []byte) (at time.Time, kind TimerKind, id job.ID, err error) {
	if len(key) != 1+8+1+idLength || key[0] != spaceTimer {
		return time.Time{}, 0, job.ID{}, errBadKey
	}
	copy(id[:], key[10:])
	return timeOf(int64(binary.BigEndian.Uint64(key[1:]))), TimerKind(key[9]), id, nil
}

func appendNumberKey(b []byte, space byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64(append(b, space), n)
}

// parseNumber reads the number of a claim's or an inbox entry's key.
func parseNumber(key []byte) (uint64, error) {
	if len(key) != 1+8 {
		return 0, errBadKey
	}
	return binary.BigEndian.Uint64(key[1:]), nil
}

func appendStatusPrefix(b []byte, s job.Status) []byte {
	return append(b, spaceStatus, byte(s))
}

func appendQueueStatusPrefix(b []byte, queue string, s job.Status) []byte {
	return append(appendName(b, spaceQueueStatus, queue), byte(s))
}

func appendQueueKeyPrefix(b []byte, queue, key string) []byte {
	return appendEscaped(appendName(b, spaceQueueKey, queue), key)
}

func appendIdempotencyKey(b []byte, queue, key string) []byte {
	return append(appendName(b, spaceIdempotency, queue), key...)
}

func appendDocumentKey(b []byte, kind, name string) []byte {
	return append(appendName(b, spaceDocument, kind), name...)
}

// tailID returns the id at the end of an index's key.
func tailID(key []byte) (id job.ID, err error) {
	if len(key) < idLength {
		return id, errBadKey
	}
	copy(id[:], key[len(key)-idLength:])
	return id, nil
}

// after returns the least key greater than all keys that begin with prefix, or
// nil where there is none.
func after(prefix []byte) []byte {
	b := bytes.Clone(prefix)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i]++; b[i] != 0 {
			return b[:i+1]
		}
	}
	return nil
}

// millis is how a time is stored: 0 where it is unset.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func timeOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// class is what a counter counts within a queue. The numbers are stored and
// must not change: 1 to 5 are those of job.Status.
type class byte

const (
	// classScheduled and classRetrying are among the waiting jobs: those that
	// stand among the timers.
	classScheduled class = 6
	classRetrying  class = 7
	// classBytes and classKept are what the waiting and the finished jobs are
	// counted with in bytes: see bytes.go.
	classBytes class = 8
	classKept  class = 9
	// classTrimmed are dead jobs that retention has removed.
	classTrimmed class = 10
)

const classes = 10

func classOf(retrying bool) class {
	if retrying {
		return classRetrying
	}
	return classScheduled
}

func appendCountName(b []byte, queue string, c class) []byte {
	return append(appendName(b, spaceCount, queue), byte(c))
}

func parseCount(name []byte) (queue string, c class, err error) {
	if n := len(name); n < 3 || name[0] != spaceCount || name[n-2] != 0 {
		return "", 0, errBadKey
	}
	return string(name[1 : len(name)-2]), class(name[len(name)-1]), nil
}

// sortedIDs returns the ids in order, each once.
func sortedIDs(ids []job.ID) []job.ID {
	sorted := slices.Clone(ids)
	slices.SortFunc(sorted, compareIDs)
	return slices.Compact(sorted)
}

func compareIDs(a, b job.ID) int { return bytes.Compare(a[:], b[:]) }
