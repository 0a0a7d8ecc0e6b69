package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"maps"
	"slices"
	"sync"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
)

// laneReader walks over the keys of a lane as a ring, and over each key's
// entries from its cursor on, which only moves forward.
type laneReader struct {
	prefix, end []byte

	walking sync.Mutex // one read at a time; guards lap and what follows it
	lap     lap
	at      string // the escaped key that was visited last; "" before the first
	keys    int    // visited since the ring's beginning
	width   int    // how many keys the ring had when it was last walked round

	// Guarded by tracker.mu.
	users       int // reads that have begun
	caught      bool
	caughtGen   uint64
	missed      uint64
	greatest    uint64 // the greatest number handed out
	outstanding int
	cursors     map[string]*laneCursor
	resting     []*laneCursor
	// behind are the keys that are read by ReadKey alone, each with how many
	// entries it was told of since.
	behind map[string]uint64
}

// lap is a walk round the ring in which every key is left with nothing unread.
// When a key is left with something unread, a new lap begins there. A lap that
// comes to its end, with nothing missed meanwhile, proves that the reader is
// caught up.
type lap struct {
	open    bool
	next    []byte // where to read on
	stop    []byte // where it ends, once wrapped
	wrapped bool
	missed  uint64
	gen     uint64
}

// assumedWidth is the ring's width before it is known.
const assumedWidth = 8

func newLaneReader(l Lane) *laneReader {
	prefix := appendLanePrefix(nil, l)
	return &laneReader{prefix: prefix, end: after(prefix), width: assumedWidth, cursors: map[string]*laneCursor{}, behind: map[string]uint64{}}
}

// Lanes returns the lanes that have entries, by queue and priority, with a seek
// for each. Some entries may be stale, or handed out already.
func (o *Owner) Lanes(ctx context.Context) ([]Lane, error) {
	lanes, err := o.lanesIn(ctx, spaceLane, nil)
	if err == nil {
		lanes, err = o.lanesIn(ctx, spaceOrdered, lanes)
	}
	if err != nil {
		return nil, o.failed("lanes", err)
	}
	return lanes, nil
}

func (o *Owner) lanesIn(ctx context.Context, space byte, lanes []Lane) ([]Lane, error) {
	for from := []byte{space}; ; {
		entries, err := o.store.engine.Scan(ctx, o.shard, engine.Range{From: from, To: []byte{space + 1}, Limit: 1, KeysOnly: true})
		if err != nil || len(entries) == 0 {
			return lanes, err
		}
		l, err := parseLane(entries[0].Key)
		if err != nil {
			return nil, err
		}
		lanes = append(lanes, l)
		from = after(appendLanePrefix(nil, l))
	}
}

// ReadLane hands out up to limit entries of a lane that were not handed out
// before, with payloads of at most maxBytes together (but at least one entry).
// It serves the lane's keys in turn, each in the order of its numbers. Stale
// entries are dropped, and removed with the next commit.
//
// more is false only where nothing was left: all that had been accounted for
// when the call began was handed out. It may be true with no entries: the work
// of one call is bounded.
func (o *Owner) ReadLane(ctx context.Context, l Lane, limit, maxBytes int) (entries []*Entry, more bool, err error) {
	entries, _, more, err = o.ReadLaneExcept(ctx, l, limit, maxBytes, nil)
	return entries, more, err
}

// ReadLaneExcept is ReadLane for a lane of which some keys are of no use now:
// those for which skip is true. It is asked when a key is visited, and must not
// call the Owner. A key that was skipped is behind: what it has is handed out by
// ReadKey alone, until that found no more. more is about the other keys.
func (o *Owner) ReadLaneExcept(ctx context.Context, l Lane, limit, maxBytes int, skip func(key string) bool) (entries []*Entry, skipped []string, more bool, err error) {
	read := []LaneRead{{Lane: l, Limit: limit, MaxBytes: maxBytes, Skip: skip}}
	err = o.ReadLanes(ctx, read)
	return read[0].Entries, read[0].Skipped, read[0].More, err
}

// LaneRead is one of several calls of ReadLaneExcept that are made at once: what it
// is given, and what it returns.
type LaneRead struct {
	Lane            Lane
	Limit, MaxBytes int
	Skip            func(key string) bool

	Entries []*Entry
	Skipped []string
	More    bool
}

// ReadLanes is ReadLaneExcept for several lanes, of which none is in the list
// twice. Their jobs are loaded together: what stands at the heads of many lanes came
// at about the same time, and lies together in the store. Where it fails nothing was
// handed out.
func (o *Owner) ReadLanes(ctx context.Context, reads []LaneRead) error {
	o.reading.Lock()
	defer o.reading.Unlock()
	t := &o.tracker
	walks := make([]*walk, len(reads))
	for i := range reads {
		r := &reads[i]
		w := &walk{owner: o, reader: t.beginRead(r.Lane), limit: min(max(r.Limit, 1), engine.MaxScan), skip: r.Skip, maxBytes: r.MaxBytes}
		defer t.endRead(w.reader)
		w.reader.walking.Lock()
		defer w.reader.walking.Unlock()
		walks[i] = w
	}
	if err := o.walkAll(ctx, walks); err != nil {
		for _, w := range walks {
			w.reader.lap.open = false
		}
		return o.failed("read lanes", err)
	}
	for i, w := range walks {
		reads[i].Entries, reads[i].Skipped = w.entries, slices.Sorted(maps.Keys(w.skipped))
		reads[i].More = !t.finish(w.reader, w, w.done && w.accepted == len(w.found))
	}
	o.removeStale(ctx)
	return nil
}

// walkAll walks through the lanes and loads what was found.
func (o *Owner) walkAll(ctx context.Context, walks []*walk) (err error) {
	for _, w := range walks {
		if w.done, err = w.run(ctx); err != nil {
			return err
		}
	}
	return o.loadAll(ctx, walks)
}

func (t *tracker) beginRead(l Lane) *laneReader {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.reader(l)
	r.users++
	r.caught = false
	return r
}

func (t *tracker) endRead(r *laneReader) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.users--; r.users == 0 {
		r.forget()
	}
}

// finish moves the cursors over what the walk found, and reports whether the
// reader is caught up.
func (t *tracker) finish(r *laneReader, w *walk, done bool) (caught bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.advance(r, w)
	for key := range w.skipped {
		r.behind[key]++
	}
	switch {
	case w.accepted < len(w.found): // there was no room for the rest
		f := &w.found[w.accepted]
		r.openLap(t, r.position(f.key, f.seq), r.position(f.key, 0))
	case done:
		r.lap.open = false
		r.caught = r.lap.missed == r.missed && r.lap.gen == t.gen
		r.caughtGen = t.gen
	}
	return r.caught
}

// advance moves the cursors over what a walk handed out. t.mu is held.
func (t *tracker) advance(r *laneReader, w *walk) {
	for i := range w.found[:w.accepted] {
		f := &w.found[i]
		c := r.cursor([]byte(f.key))
		if f.entry == nil {
			t.passStale(r, c, f.seq)
		} else {
			c.handOut(r, f.seq)
		}
	}
}

// position is the engine's key of a number of an escaped key.
func (r *laneReader) position(key string, seq uint64) []byte {
	b := make([]byte, 0, len(r.prefix)+len(key)+seqLength)
	b = append(append(b, r.prefix...), key...)
	return binary.BigEndian.AppendUint64(b, seq)
}

// openLap begins a lap at next; it ends at stop. tracker.mu is held.
func (r *laneReader) openLap(t *tracker, next, stop []byte) {
	r.lap = lap{open: true, next: next, stop: stop, missed: r.missed, gen: t.gen}
}

// walk is one ReadLane.
type walk struct {
	owner    *Owner
	reader   *laneReader
	limit    int
	maxBytes int

	done     bool // the lap is
	entries  []*Entry
	found    []found
	accepted int               // how many of found are handed out
	passed   map[string]uint64 // how far the keys were read by this walk
	key      string            // the key being visited
	taken    int               // from it
	rows     int
	skip     func(key string) bool
	skipped  map[string]struct{}
}

// found is an entry of the lane that no reader has passed.
type found struct {
	tag   laneTag
	key   string // escaped
	seq   uint64
	entry *Entry // nil where it is stale
}

// run walks until the limit is reached or the lap is done.
func (w *walk) run(ctx context.Context) (done bool, err error) {
	r := w.reader
	w.passed, w.skipped = map[string]uint64{}, map[string]struct{}{}
	w.resume()
	for maxRows := 8*w.limit + 1_000; len(w.found) < w.limit && w.rows < maxRows; {
		want := min(max(w.limit-len(w.found), 16), engine.MaxScan)
		entries, err := w.scan(ctx, want)
		if err != nil {
			return false, err
		}
		w.rows += len(entries) + 1
		jumped, err := w.read(entries, len(entries) == want)
		if err != nil {
			return false, err
		}
		if jumped {
			continue
		}
		if r.lap.wrapped {
			return true, nil
		}
		r.lap.wrapped, r.lap.next = true, r.prefix
		r.width, r.keys = max(r.keys, 1), 0
	}
	return false, nil
}

// resume opens a lap where the last one ended, beyond what was handed out of
// the key that was visited last.
func (w *walk) resume() {
	r, t := w.reader, &w.owner.tracker
	if r.lap.open {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.at == "" {
		r.openLap(t, r.prefix, r.prefix)
		return
	}
	last := uint64(0)
	if c := r.cursors[r.at]; c != nil {
		last = c.last
	}
	r.openLap(t, r.position(r.at, last+1), r.position(r.at, 0))
}

// scan reads the lap's next entries. No key is below the empty one, so for a
// lane without keys there is nothing to wrap round to.
func (w *walk) scan(ctx context.Context, want int) ([]engine.Entry, error) {
	r := w.reader
	to := r.end
	if r.lap.wrapped {
		to = r.lap.stop
		if len(to) == len(r.prefix) || bytes.HasPrefix(to[len(r.prefix):], emptyKey) {
			return nil, nil
		}
	}
	if bytes.Compare(r.lap.next, to) >= 0 {
		return nil, nil
	}
	return w.owner.store.engine.Scan(ctx, w.owner.shard, engine.Range{From: r.lap.next, To: to, Limit: want})
}

var emptyKey = appendEscaped(nil, "")

// read visits the keys of what was scanned. full says that more may follow it.
// jumped says that the lap goes on at its next, otherwise behind the entries.
func (w *walk) read(entries []engine.Entry, full bool) (jumped bool, err error) {
	for i := 0; i < len(entries); {
		if len(w.found) == w.limit {
			w.reader.lap.next = entries[i].Key
			return true, nil
		}
		end := i + 1
		for end < len(entries) && w.reader.sameKey(entries[i].Key, entries[end].Key) {
			end++
		}
		jumped, err := w.visit(entries[i:end], full && end == len(entries))
		if jumped || err != nil {
			return jumped, err
		}
		i = end
	}
	return false, nil
}

// visit takes what is unread of one key, up to its share.
func (w *walk) visit(entries []engine.Entry, cut bool) (jumped bool, err error) {
	r := w.reader
	if key := r.keyOf(entries[0].Key); w.key != string(key) {
		w.key, w.taken = string(key), 0
		if w.leaves(w.key) {
			r.lap.next = after(r.position(w.key, 0)[:len(r.prefix)+len(w.key)])
			w.key = ""
			return cut, nil
		}
		r.at = w.key
		r.keys++
	}
	last := w.last()
	share := max(w.limit/r.width, 1)
	for _, e := range entries {
		seq := binary.BigEndian.Uint64(e.Key[len(e.Key)-seqLength:])
		if seq <= last {
			continue
		}
		if full := len(w.found) == w.limit; full || w.taken >= share {
			w.leave(last, full)
			return true, nil
		}
		tag, err := parseLaneTag(e.Value)
		if err != nil {
			return false, err
		}
		w.found = append(w.found, found{tag: tag, key: w.key, seq: seq})
		w.passed[w.key], last = seq, seq
		w.taken++
	}
	if cut { // more of the key may follow
		r.lap.next = r.position(w.key, last+1)
	}
	return cut, nil
}

// leaves reports whether the walk passes over a key.
func (w *walk) leaves(escaped string) bool {
	t, r := &w.owner.tracker, w.reader
	key := unescape(escaped)
	t.mu.Lock()
	_, behind := r.behind[key]
	t.mu.Unlock()
	if behind || w.skip == nil || !w.skip(key) {
		return behind
	}
	w.skipped[key] = struct{}{}
	return true
}

// last returns the number up to which the key was handed out. The cursors
// change only by this walk while it goes on.
func (w *walk) last() uint64 {
	if seq, ok := w.passed[w.key]; ok {
		return seq
	}
	if c := w.reader.cursors[w.key]; c != nil {
		return c.last
	}
	return 0
}

// leave leaves the key with something unread, where a new lap begins: at the
// key's next entry where the walk ends, otherwise at the next key.
func (w *walk) leave(last uint64, ends bool) {
	r, t := w.reader, &w.owner.tracker
	t.mu.Lock()
	defer t.mu.Unlock()
	if ends {
		r.openLap(t, r.position(w.key, last+1), r.position(w.key, 0))
		return
	}
	next := after(r.position(w.key, 0)[:len(r.prefix)+len(w.key)])
	r.openLap(t, next, next)
	w.key = ""
}

// loadAll reads the jobs of what was found and, of as many as there is room for,
// their payloads.
func (o *Owner) loadAll(ctx context.Context, walks []*walk) error {
	var ids []job.ID
	for _, w := range walks {
		for i := range w.found {
			ids = append(ids, w.found[i].tag.id)
		}
	}
	jobs, err := o.store.jobs(ctx, o.shard, ids)
	if err != nil {
		return err
	}
	live := ids[:0]
	for _, w := range walks {
		w.accept(jobs)
		for _, e := range w.entries {
			live = append(live, e.Job.ID)
		}
	}
	payloads, err := o.store.payloads(ctx, o.shard, live)
	if err != nil {
		return err
	}
	for _, w := range walks {
		for _, e := range w.entries {
			e.Payload = payloads[e.Job.ID]
		}
	}
	return nil
}

// accept makes entries of what was found, as far as there is room for payloads.
func (w *walk) accept(jobs map[job.ID]*job.Job) {
	size := 0
	w.entries = make([]*Entry, 0, len(w.found))
	for i := range w.found {
		f := &w.found[i]
		if j := jobs[f.tag.id]; f.tag.live(j) {
			if size += j.PayloadSize; size > w.maxBytes && len(w.entries) > 0 {
				break
			}
			f.entry = &Entry{Job: j, Place: InLane, Seq: f.seq}
			w.entries = append(w.entries, f.entry)
		}
		w.accepted++
	}
}

// removeStale removes stale entries at once where too many wait for a commit.
// It needs no fence: what is stale is so for ever, and its key is never used
// again.
// Where it fails they are removed later.
func (o *Owner) removeStale(ctx context.Context) {
	o.tracker.mu.Lock()
	many := len(o.tracker.stale) > maxStale
	o.tracker.mu.Unlock()
	if !many {
		return
	}
	spans := o.tracker.takeStale()
	b := newBatch()
	b.deleteStale(spans)
	b.closeGroup()
	_, err := o.store.engine.Apply(ctx, o.shard, &engine.Batch{Groups: b.groups})
	b.free()
	if err != nil {
		o.tracker.staleKept(spans)
		return
	}
	o.tracker.staleRemoved(spans)
}
