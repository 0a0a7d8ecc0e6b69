package store

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
)

// batch builds the groups of an engine's batch. All its keys and values lie in
// one buffer, payloads excepted, and all of it is used again: see newBatch.
type batch struct {
	buf     []byte
	deletes [][]byte
	ranges  []engine.KeyRange
	puts    []engine.Entry
	stamped []engine.Entry
	adds    []engine.Counter
	groups  []engine.Group

	guards []engine.Guard
	counts []count
	// Where the group under way begins in the slices above.
	firstDelete, firstRange, firstPut, firstStamped, firstAdd int
}

type count struct {
	queue string
	class class
	delta int64
}

var batches = sync.Pool{New: func() any { return new(batch) }}

// newBatch returns an empty batch; free it when no engine call uses it.
func newBatch() *batch { return batches.Get().(*batch) }

// maxPooled bounds the buffer of a batch that is used again, so that one large
// batch does not stay in memory.
const maxPooled = 4 << 20

func (b *batch) free() {
	if cap(b.buf) > maxPooled {
		return
	}
	clear(b.puts)    // they hold payloads
	clear(b.stamped) // and the rest would hold older buffers
	clear(b.deletes)
	clear(b.ranges)
	clear(b.adds)
	clear(b.groups)
	clear(b.counts)
	*b = batch{
		buf: b.buf[:0], deletes: b.deletes[:0], ranges: b.ranges[:0], puts: b.puts[:0], stamped: b.stamped[:0],
		adds: b.adds[:0], groups: b.groups[:0], counts: b.counts[:0],
	}
	batches.Put(b)
}

// since returns what was appended to the buffer from start on. It stays valid
// when the buffer grows: that copies, and leaves the old one as it is.
func (b *batch) since(start int) []byte { return b.buf[start:len(b.buf):len(b.buf)] }

func (b *batch) idKey(space byte, id job.ID) []byte {
	start := len(b.buf)
	b.buf = appendIDKey(b.buf, space, id)
	return b.since(start)
}

func (b *batch) put(key, value []byte) {
	b.puts = append(b.puts, engine.Entry{Key: key, Value: value})
}

func (b *batch) delete(key []byte) { b.deletes = append(b.deletes, key) }

func (b *batch) timerKey(at time.Time, kind TimerKind, id job.ID) []byte {
	start := len(b.buf)
	b.buf = appendTimerKey(b.buf, at, kind, id)
	return b.since(start)
}

func (b *batch) putDue(j *job.Job) {
	c := classOf(Retrying(j))
	start := len(b.buf)
	b.buf = append(b.buf, byte(c))
	b.put(b.timerKey(j.Due, TimerDue, j.ID), b.buf[start:start+1:start+1])
	b.count(j.Queue, c, 1)
}

func (b *batch) deleteDue(queue string, at time.Time, id job.ID, retrying bool) {
	b.delete(b.timerKey(at, TimerDue, id))
	b.count(queue, classOf(retrying), -1)
}

// putLane gives a job the next place in its lane.
func (b *batch) putLane(j *job.Job) {
	start := len(b.buf)
	b.buf = appendLaneStem(b.buf, LaneOf(j), j.Key)
	key := b.since(start)
	start = len(b.buf)
	b.buf = appendLaneTag(b.buf, tagOf(j))
	b.stamped = append(b.stamped, engine.Entry{Key: key, Value: b.since(start)})
}

func (b *batch) deleteLane(j *job.Job, seq uint64) {
	start := len(b.buf)
	b.buf = appendLaneKey(b.buf, LaneOf(j), j.Key, seq)
	b.delete(b.since(start))
}

// statusKeys returns the two index entries of a job in a status.
func (b *batch) statusKeys(j *job.Job, s job.Status) (byStatus, byQueue []byte) {
	start := len(b.buf)
	b.buf = append(appendStatusPrefix(b.buf, s), j.ID[:]...)
	byStatus = b.since(start)
	start = len(b.buf)
	b.buf = append(appendQueueStatusPrefix(b.buf, j.Queue, s), j.ID[:]...)
	return byStatus, b.since(start)
}

func (b *batch) putStatus(j *job.Job, s job.Status) {
	byStatus, byQueue := b.statusKeys(j, s)
	b.put(byStatus, nil)
	b.put(byQueue, nil)
	b.count(j.Queue, class(s), 1)
}

func (b *batch) deleteStatus(j *job.Job, s job.Status) {
	byStatus, byQueue := b.statusKeys(j, s)
	b.delete(byStatus)
	b.delete(byQueue)
	b.count(j.Queue, class(s), -1)
}

func (b *batch) queueKey(j *job.Job) []byte {
	start := len(b.buf)
	b.buf = append(appendQueueKeyPrefix(b.buf, j.Queue, j.Key), j.ID[:]...)
	return b.since(start)
}

func (b *batch) idempotencyKey(j *job.Job) []byte {
	start := len(b.buf)
	b.buf = appendIdempotencyKey(b.buf, j.Queue, j.IdempotencyKey)
	return b.since(start)
}

// count adds to a counter: all additions of a group to one counter become one.
func (b *batch) count(queue string, c class, delta int64) {
	// A batch is mostly of one queue and few classes: the last ones are near.
	for i := len(b.counts) - 1; i >= max(0, len(b.counts)-8); i-- {
		if k := &b.counts[i]; k.class == c && k.queue == queue {
			k.delta += delta
			return
		}
	}
	b.counts = append(b.counts, count{queue, c, delta})
}

// closeGroup ends the group under way, if anything is in it, and returns its
// index.
func (b *batch) closeGroup() int {
	b.addCounts()
	b.groups = append(b.groups, engine.Group{
		Guards:   b.guards,
		Deletes:  b.deletes[b.firstDelete:len(b.deletes):len(b.deletes)],
		Ranges:   b.ranges[b.firstRange:len(b.ranges):len(b.ranges)],
		Puts:     b.puts[b.firstPut:len(b.puts):len(b.puts)],
		Stamped:  b.stamped[b.firstStamped:len(b.stamped):len(b.stamped)],
		Counters: b.adds[b.firstAdd:len(b.adds):len(b.adds)],
	})
	b.guards = nil
	b.firstDelete, b.firstRange, b.firstPut = len(b.deletes), len(b.ranges), len(b.puts)
	b.firstStamped, b.firstAdd = len(b.stamped), len(b.adds)
	return len(b.groups) - 1
}

func (b *batch) addCounts() {
	slices.SortStableFunc(b.counts, func(x, y count) int {
		return cmp.Or(cmp.Compare(x.queue, y.queue), cmp.Compare(x.class, y.class))
	})
	for i := 0; i < len(b.counts); {
		c := b.counts[i]
		for i++; i < len(b.counts) && b.counts[i].queue == c.queue && b.counts[i].class == c.class; i++ {
			c.delta += b.counts[i].delta
		}
		if c.delta != 0 {
			start := len(b.buf)
			b.buf = appendCountName(b.buf, c.queue, c.class)
			b.adds = append(b.adds, engine.Counter{Name: b.since(start), Value: c.delta})
		}
	}
	clear(b.counts)
	b.counts = b.counts[:0]
}

func (b *batch) deleteRange(from, to []byte) {
	b.ranges = append(b.ranges, engine.KeyRange{From: from, To: to})
}
