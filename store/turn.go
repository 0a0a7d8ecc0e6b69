package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
)

// The jobs of a key whose order is kept stand in one lane, by number, each from
// its enqueue until it is terminal: also while it waits for its time or its next
// attempt, and while it is pushed. So the first of them is the one whose turn it
// is, whoever asks, and no state of the key has to be kept beside it.

// fieldTurn is the field of a job's record that is about its order.
const fieldTurn protowire.Number = 30 // message

const (
	turnOrdered protowire.Number = iota + 1
	turnNumber
	turnBlocks
)

func appendTurn(b []byte, j *job.Job) []byte {
	if !j.Ordered {
		return b
	}
	start := len(b)
	b = appendInt(b, turnOrdered, 1)
	b = appendInt(b, turnNumber, int64(j.Turn))
	if j.Blocks {
		b = appendInt(b, turnBlocks, 1)
	}
	return wrapMessage(b, start, fieldTurn)
}

func decodeTurn(j *job.Job, outer *fields) {
	f := outer.message()
	for f.next() {
		switch f.number {
		case turnOrdered:
			j.Ordered = f.int() != 0
		case turnNumber:
			j.Turn = uint64(f.int())
		case turnBlocks:
			j.Blocks = f.int() != 0
		}
	}
	outer.adopt(&f)
}

// settleTurn keeps the lane entry of an ordered job as long as its turn lasts.
func (b *batch) settleTurn(s *Settle) {
	j := s.Job
	number := max(s.Was.Seq, j.Turn)
	switch stays := j.Status == job.Waiting || j.Blocks; {
	case j.Status == job.Waiting && s.Was.Status != job.Waiting && number != 0: // redriven, in its place
		start := len(b.buf)
		b.buf = appendLaneKey(b.buf, LaneOf(j), j.Key, number)
		key := b.since(start)
		start = len(b.buf)
		b.buf = appendLaneTag(b.buf, tagOf(j))
		b.put(key, b.since(start))
	case j.Status == job.Waiting && s.Was.Status != job.Waiting:
		b.putLane(j) // its turn had not come: behind those that wait
	case !stays && number != 0:
		b.deleteLane(j, number)
	}
}

// ReadHeads returns the first job of each of the keys of an ordered lane, in
// their order, as it stands: its Place is InTimers where it waits for its time;
// otherwise it may as well be in flight, which the caller knows. A dead job is
// returned only where it blocks. Keys without jobs are left out.
func (o *Owner) ReadHeads(ctx context.Context, queue string, keys []string) ([]*Entry, error) {
	l := Lane{Queue: queue, Ordered: true}
	at := make([]turn, len(keys))
	for i, key := range keys {
		at[i].stem = appendLaneStem(nil, l, key)
		at[i].from = o.turns.of(at[i].stem)
	}
	heads, err := o.heads(ctx, at)
	if err != nil {
		return nil, o.failed("read heads", err)
	}
	return heads, nil
}

// WalkHeads is ReadHeads for up to limit keys of the lane, in their order,
// beginning behind a key; an empty one begins at the first. last is the
// last key that was looked at, empty where there was none; more says that there
// may be others behind it.
func (o *Owner) WalkHeads(ctx context.Context, queue, behind string, limit int) (heads []*Entry, last string, more bool, err error) {
	l := Lane{Queue: queue, Ordered: true}
	prefix := appendLanePrefix(nil, l)
	from := prefix
	if behind != "" {
		from = after(appendLaneStem(nil, l, behind))
	}
	var at []turn
	for len(at) < limit {
		entries, err := o.store.engine.Scan(ctx, o.shard, engine.Range{From: from, To: after(prefix), Limit: 1, KeysOnly: true})
		if err != nil {
			return nil, "", false, o.failed("walk heads", err)
		}
		if len(entries) == 0 {
			break
		}
		stem := bytes.Clone(entries[0].Key[:len(entries[0].Key)-seqLength])
		at = append(at, turn{stem: stem, from: o.turns.of(stem)})
		from = after(stem)
		last = unescape(string(stem[len(prefix):]))
	}
	if heads, err = o.heads(ctx, at); err != nil {
		return nil, "", false, o.failed("walk heads", err)
	}
	return heads, last, len(at) == limit, nil
}

// turn is a key of an ordered lane whose first job is looked for.
type turn struct {
	stem  []byte
	from  uint64
	entry *Entry
}

// heads finds the first live entry of each key. Those before it are stale for
// ever, and go with the next commit.
func (o *Owner) heads(ctx context.Context, at []turn) (heads []*Entry, err error) {
	gen := o.turns.generation()
	todo := make([]*turn, len(at))
	for i := range at {
		todo[i] = &at[i]
	}
	// A first entry that is stale is rare; where one is, there may be many.
	for limit := 1; len(todo) > 0; limit = 64 {
		if todo, err = o.nextHeads(ctx, todo, limit, gen); err != nil {
			return nil, err
		}
	}
	live := make([]job.ID, 0, len(at))
	for i := range at {
		if e := at[i].entry; e != nil {
			heads = append(heads, e)
			live = append(live, e.Job.ID)
		}
	}
	payloads, err := o.store.payloads(ctx, o.shard, live)
	for _, e := range heads {
		e.Payload = payloads[e.Job.ID]
	}
	o.removeTurns(ctx)
	return heads, err
}

// nextHeads looks at the next entries of each key and returns those keys of
// which it has to look at more.
func (o *Owner) nextHeads(ctx context.Context, todo []*turn, limit int, gen uint64) (again []*turn, err error) {
	var tags []placed
	var of []*turn
	for _, t := range todo {
		entries, err := o.store.engine.Scan(ctx, o.shard, engine.Range{
			From: binary.BigEndian.AppendUint64(bytes.Clone(t.stem), t.from), To: after(t.stem), Limit: limit,
		})
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			tag, err := parseLaneTag(e.Value)
			if err != nil {
				return nil, err
			}
			tags, of = append(tags, placed{id: tag.id, key: e.Key, tag: tag}), append(of, t)
		}
		if len(entries) == limit {
			again = append(again, t)
		}
	}
	if err := o.place(ctx, tags); err != nil {
		return nil, err
	}
	found := make(map[*turn]bool, len(todo))
	for i, t := range of {
		if found[t] {
			continue
		}
		p := &tags[i]
		seq := binary.BigEndian.Uint64(p.key[len(p.key)-seqLength:])
		if p.entry == nil || !p.tag.live(p.entry.Job) {
			o.turns.stales(p.key)
			t.from = seq + 1
			continue
		}
		head := *p.entry
		head.Seq = seq
		t.entry, found[t] = &head, true
		o.turns.note(t.stem, seq, gen)
	}
	more := again[:0]
	for _, t := range again {
		if !found[t] {
			more = append(more, t)
		}
	}
	return more, nil
}

// turns remembers what was learned of ordered lanes.
type turns struct {
	mu    sync.Mutex
	gen   uint64            // changes when a job takes a place that it had before
	below map[string]uint64 // by stem: nothing stands below that number, nor will in this generation
	stale [][]byte          // entries to be removed
}

// maxTurns bounds the keys that are remembered. One that is not is looked for
// from its beginning, over what remains of entries that were removed.
const maxTurns = 4096

func (t *turns) of(stem []byte) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.below[string(stem)]
}

func (t *turns) generation() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.gen
}

// note notes the first entry of a key, as a read found it that began in a
// generation.
func (t *turns) note(stem []byte, seq, gen uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gen != gen {
		return
	}
	if t.below == nil || len(t.below) >= maxTurns {
		t.below = make(map[string]uint64)
	}
	t.below[string(stem)] = seq
}

// settled forgets what was learned of keys of which a job takes a place that it
// had before.
func (t *turns) settled(settles []Settle) {
	for i := range settles {
		s := &settles[i]
		if j := s.Job; j.Ordered && j.Status == job.Waiting && s.Was.Status != job.Waiting {
			t.mu.Lock()
			t.gen++
			delete(t.below, string(appendLaneStem(nil, LaneOf(j), j.Key)))
			t.mu.Unlock()
		}
	}
}

func (t *turns) stales(key []byte) { t.keep([][]byte{bytes.Clone(key)}) }

func (t *turns) keep(keys [][]byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stale = append(t.stale, keys...)
}

// take hands over what is stale, to be removed by a batch.
func (t *turns) take() [][]byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	stale := t.stale
	t.stale = nil
	return stale
}

// removeTurns removes stale entries at once where too many wait for a commit.
// Where it fails they are found again.
func (o *Owner) removeTurns(ctx context.Context) {
	o.turns.mu.Lock()
	many := len(o.turns.stale) > maxStale
	o.turns.mu.Unlock()
	if !many {
		return
	}
	keys := o.turns.take()
	if _, err := o.store.engine.Apply(ctx, o.shard, &engine.Batch{Groups: []engine.Group{{Deletes: keys}}}); err != nil {
		o.turns.keep(keys)
	}
}
