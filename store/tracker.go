package store

import (
	"bytes"
	"encoding/binary"
	"sync"
)

// tracker knows which entries of its shard's lanes were handed out, so that
// each is handed out exactly once, by ReadLane or by Take.
//
// A number is accounted for when the owner knows what it was given to: a lane
// entry that was offered to Take, a promotion of its own, a command in the
// inbox. accounted is the greatest number such that it and all below are
// accounted for, or were skipped (see below); early are spans above it, known
// before a number below them.
//
// A reader is caught up when every entry of its lane whose number is accounted
// for was handed out. Only then may Take hand out the next number,
// accounted+1: nothing of the lane can be below it. All that could make this
// untrue says so: an entry that Take refuses and a promotion count as missed by
// their lane's reader, unless their key is behind: such a key is no part of what
// is caught up, and ReadKey reads it; and when a number is offered above a hole, then what is
// in the hole (of another node, of a commit whose outcome was not known) may
// belong to any lane: it is skipped, and a new generation begins, in which no
// reader is caught up before it has read its whole lane again.
type tracker struct {
	mu        sync.Mutex
	accounted uint64
	early     []numbers
	gen       uint64
	doubted   uint64 // the greatest number that was given by the last look
	listedGen uint64 // the generation of which the lanes were listed
	readers   map[Lane]*laneReader
	sweepAt   int
	stale     []*staleSpan
	scratch   []byte
}

// numbers is the span of numbers from first to last.
type numbers struct{ first, last uint64 }

const (
	// maxEarly bounds the spans above a hole; with more the hole is skipped.
	maxEarly = 16
	// maxReaders is the number of lanes beyond which those at rest are
	// forgotten, to be read from their beginning when they are needed again.
	maxReaders = 1024
	// maxIdleCursors is the number of keys of a lane beyond which those at rest
	// are forgotten.
	maxIdleCursors = 64
	// maxStale is how many stale spans may wait for a commit to remove them.
	maxStale = 1024
)

func (t *tracker) init(seq uint64) {
	t.accounted = seq
	t.readers = map[Lane]*laneReader{}
	t.sweepAt = maxReaders
}

// reader returns the reader of a lane. t.mu is held.
func (t *tracker) reader(l Lane) *laneReader {
	if r := t.readers[l]; r != nil {
		return r
	}
	if len(t.readers) >= t.sweepAt {
		for lane, r := range t.readers {
			if r.users == 0 && r.outstanding == 0 && len(r.behind) == 0 {
				delete(t.readers, lane)
			}
		}
		t.sweepAt = max(maxReaders, 2*len(t.readers))
	}
	r := newLaneReader(l)
	t.readers[l] = r
	return r
}

// account notes n numbers from first on.
func (t *tracker) account(first, n uint64) {
	last := first + n - 1
	switch {
	case last <= t.accounted:
	case first <= t.accounted+1:
		t.accounted = last
		t.absorb()
	default:
		t.early = append(t.early, numbers{first, last})
		if len(t.early) > maxEarly {
			for _, s := range t.early {
				t.accounted = max(t.accounted, s.last)
			}
			t.early = t.early[:0]
			t.gen++
		}
	}
}

// absorb joins the spans that accounted has reached.
func (t *tracker) absorb() {
	for i := 0; i < len(t.early); {
		s := t.early[i]
		if s.first > t.accounted+1 {
			i++
			continue
		}
		t.accounted = max(t.accounted, s.last)
		t.early = append(t.early[:i], t.early[i+1:]...)
		i = 0
	}
}

func (t *tracker) known(n uint64) bool {
	for _, s := range t.early {
		if s.first <= n && n <= s.last {
			return true
		}
	}
	return n <= t.accounted
}

// offered accounts for the number of an entry of Arrivals. It reports whether
// it was not known before. t.mu is held.
func (t *tracker) offered(seq uint64) bool {
	if t.known(seq) {
		return false
	}
	if seq > t.accounted+1 {
		t.accounted = seq
		t.gen++
	}
	t.account(seq, 1)
	t.absorb()
	return true
}

// Take offers the owner an entry of Arrivals, to be handed out without being
// read back. It returns true where the entry is provably the next of its lane:
// the caller then has it, as from ReadLane. Otherwise ReadLane hands it out in
// its time. Offer all entries of all Arrivals of the shard, to Take or to Pass, in
// their order, and each before anything else is done to its job.
func (o *Owner) Take(l Lane, e *Entry) bool {
	t := &o.tracker
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.offered(e.Seq) {
		return false // a reader has passed it, or will
	}
	r := t.reader(l)
	if r.later(e.Job.Key) {
		return false
	}
	if !r.caught || r.caughtGen != t.gen || r.users > 0 || e.Seq <= r.greatest {
		r.miss()
		return false
	}
	t.scratch = appendEscaped(t.scratch[:0], e.Job.Key)
	c := r.cursor(t.scratch)
	c.handOut(r, e.Seq)
	return true
}

// foundInInbox accounts for the numbers of commands.
func (t *tracker) foundInInbox(commands []Command) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range commands {
		t.account(c.Seq, 1)
	}
}

// Pass is Take for an entry that the caller has no room for, or of an ordered
// job: ReadLane hands it out in its time, or ReadHeads.
func (o *Owner) Pass(l Lane, e *Entry) {
	t := &o.tracker
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.offered(e.Seq) && !l.Ordered {
		t.reader(l).missOf(e.Job.Key)
	}
}

// PassKey is Pass for an entry of a key that is of no use now: the key is behind,
// as if ReadLaneExcept had skipped it.
func (o *Owner) PassKey(l Lane, e *Entry) {
	t := &o.tracker
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reader(l).behind[e.Job.Key]++
	t.offered(e.Seq)
}

// Return takes back entries of one key of a lane, which ReadLane, ReadKey or
// Take handed out, the newest of that key and in their order: they are read
// again, by ReadKey, since the key is behind now.
func (o *Owner) Return(l Lane, entries []*Entry) {
	t := &o.tracker
	t.mu.Lock()
	defer t.mu.Unlock()
	r, key := t.reader(l), entries[0].Job.Key
	r.behind[key]++
	t.scratch = appendEscaped(t.scratch[:0], key)
	c := r.cursor(t.scratch)
	c.last, c.stale = entries[0].Seq-1, nil
	c.outstanding -= len(entries)
	r.outstanding -= len(entries)
}

// Grew tells the owner that a lane may have entries that were never offered to
// it, as those that another node enqueued: nothing of the lane is taken before
// it was read again.
func (o *Owner) Grew(l Lane) {
	t := &o.tracker
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reader(l).miss()
}

// promoted accounts for the promotions and the new jobs of a commit, which gave n
// numbers from firstSeq on; it is 0 where they are not known.
func (t *tracker) promoted(c *Commit, firstSeq, n uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n == 0 {
		return
	}
	for _, e := range c.Promote {
		if !e.Job.Ordered {
			t.reader(LaneOf(e.Job)).missOf(e.Job.Key)
		}
	}
	for _, j := range c.Replace {
		if !j.Ordered && inLane(j) {
			t.reader(LaneOf(j)).missOf(j.Key)
		}
	}
	if firstSeq == 0 {
		t.gen++
		return
	}
	t.account(firstSeq, n)
}

// left notes that an entry has left its lane.
func (t *tracker) left(l Lane, key string, seq uint64) {
	r := t.readers[l]
	if r == nil {
		return
	}
	t.scratch = appendEscaped(t.scratch[:0], key)
	if c := r.cursors[string(t.scratch)]; c != nil && seq <= c.last {
		r.settle(c)
	}
}

// Drop tells the owner that a lane's entry, which ReadLane or Take handed out,
// is stale: its job was settled meanwhile by a commit that did not know the
// entry's Seq. It is removed with the next commit.
func (o *Owner) Drop(e *Entry) {
	t := &o.tracker
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.reader(LaneOf(e.Job))
	t.scratch = appendEscaped(t.scratch[:0], e.Job.Key)
	if c := r.cursors[string(t.scratch)]; c != nil && e.Seq <= c.last {
		t.stale = append(t.stale, &staleSpan{reader: r, cursor: c, span: numbers{e.Seq, e.Seq}})
	}
}

// staleSpan are entries of one key that stand for nothing any more, with no
// live one between them.
type staleSpan struct {
	reader *laneReader
	cursor *laneCursor
	span   numbers
}

// takeStale hands over what is stale, to be removed by a batch.
func (t *tracker) takeStale() []*staleSpan {
	t.mu.Lock()
	defer t.mu.Unlock()
	spans := t.stale
	for _, s := range spans {
		s.cursor.stale = nil // what is found from now on is a span of its own
	}
	t.stale = nil
	return spans
}

func (t *tracker) staleRemoved(spans []*staleSpan) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range spans {
		s.reader.settle(s.cursor)
	}
}

func (t *tracker) staleKept(spans []*staleSpan) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stale = append(spans, t.stale...)
}

func (b *batch) deleteStale(spans []*staleSpan) {
	for _, s := range spans {
		from := b.staleKey(s, s.span.first)
		if s.span.first == s.span.last {
			b.delete(from)
			continue
		}
		b.deleteRange(from, b.staleKey(s, s.span.last+1))
	}
}

func (b *batch) staleKey(s *staleSpan, seq uint64) []byte {
	start := len(b.buf)
	b.buf = append(append(b.buf, s.reader.prefix...), s.cursor.key...)
	b.buf = binary.BigEndian.AppendUint64(b.buf, seq)
	return b.since(start)
}

// laneCursor is how far a key of a lane was handed out.
type laneCursor struct {
	key         string // escaped
	last        uint64 // the greatest number handed out, or passed as stale
	outstanding int    // how many of those may still be in the store
	stale       *staleSpan
}

// cursor returns the cursor of an escaped key. tracker.mu is held.
func (r *laneReader) cursor(key []byte) *laneCursor {
	c := r.cursors[string(key)]
	if c == nil {
		c = &laneCursor{key: string(key)}
		r.cursors[c.key] = c
	}
	return c
}

func (c *laneCursor) handOut(r *laneReader, seq uint64) {
	c.last, c.stale = seq, nil
	c.outstanding++
	r.outstanding++
	r.greatest = max(r.greatest, seq)
}

// passStale notes a stale entry; neighbours become one span.
func (t *tracker) passStale(r *laneReader, c *laneCursor, seq uint64) {
	open := c.stale
	if open == nil {
		c.handOut(r, seq)
		c.stale = &staleSpan{reader: r, cursor: c, span: numbers{seq, seq}}
		t.stale = append(t.stale, c.stale)
		return
	}
	open.span.last, c.last = seq, seq
	r.greatest = max(r.greatest, seq)
}

// settle notes that one of the cursor's entries has left the store. A cursor
// at rest may be forgotten, but not while its lane is read: the reader may have
// seen the entry, and would take it for a new one.
func (r *laneReader) settle(c *laneCursor) {
	c.outstanding--
	r.outstanding--
	if c.outstanding > 0 || len(r.cursors) <= maxIdleCursors {
		return
	}
	if r.users > 0 {
		r.resting = append(r.resting, c)
		return
	}
	delete(r.cursors, c.key)
}

// forget drops the cursors that came to rest while the lane was read.
func (r *laneReader) forget() {
	for _, c := range r.resting {
		if c.outstanding == 0 && len(r.cursors) > maxIdleCursors && r.cursors[c.key] == c {
			delete(r.cursors, c.key)
		}
	}
	r.resting = nil
}

// missOf is miss for an entry of that key.
func (r *laneReader) missOf(key string) {
	if !r.later(key) {
		r.miss()
	}
}

// later reports whether the key is behind, so that ReadKey will find a new entry
// of it; a ReadKey that is under way learns that it may have come too early.
func (r *laneReader) later(key string) bool {
	n, behind := r.behind[key]
	if behind {
		r.behind[key] = n + 1
	}
	return behind
}

func (r *laneReader) miss() {
	r.missed++
	r.caught = false
}

// keyOf returns the job's key, escaped, of an entry of the lane.
func (r *laneReader) keyOf(key []byte) []byte { return key[len(r.prefix) : len(key)-seqLength] }

func (r *laneReader) sameKey(a, b []byte) bool { return bytes.Equal(r.keyOf(a), r.keyOf(b)) }
