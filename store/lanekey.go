package store

import (
	"context"
	"encoding/binary"

	"github.com/orchestrix/orchestrix/store/engine"
)

// ReadKey hands out up to limit entries of one key of a lane that were not
// handed out before, in the order of their numbers, with payloads of at most
// maxBytes together (but at least one entry). The work of a call is bounded by
// limit and by what is stale. more says that the key may have others: it is behind
// then, and left to ReadKey, as after ReadLaneExcept has skipped it.
func (o *Owner) ReadKey(ctx context.Context, l Lane, key string, limit, maxBytes int) (entries []*Entry, more bool, err error) {
	t := &o.tracker
	r, told := t.beginKeyRead(l, key)
	defer t.endRead(r)
	r.walking.Lock()
	defer r.walking.Unlock()
	w := walk{owner: o, reader: r, limit: min(max(limit, 1), engine.MaxScan-1), maxBytes: maxBytes}
	done, err := w.runKey(ctx, string(appendEscaped(nil, key)))
	if err == nil {
		err = o.loadAll(ctx, []*walk{&w})
	}
	if err != nil {
		return nil, false, o.failed("read key", err)
	}
	more = t.finishKey(r, &w, key, told, done && w.accepted == len(w.found))
	o.removeStale(ctx)
	return w.entries, more, nil
}

// beginKeyRead is beginRead for a read that leaves the other keys as they are.
func (t *tracker) beginKeyRead(l Lane, key string) (r *laneReader, told uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r = t.reader(l)
	r.users++
	r.behind[key]++ // what arrives while it is read is not to be lost
	return r, r.behind[key]
}

// runKey reads the unread entries of one key; done says that there are no more.
func (w *walk) runKey(ctx context.Context, escaped string) (done bool, err error) {
	r := w.reader
	w.key, w.passed = escaped, map[string]uint64{}
	entries, err := w.owner.store.engine.Scan(ctx, w.owner.shard, engine.Range{
		From: r.position(escaped, w.last()+1), To: after(r.position(escaped, 0)[:len(r.prefix)+len(escaped)]), Limit: w.limit + 1,
	})
	if err != nil {
		return false, err
	}
	for _, e := range entries[:min(len(entries), w.limit)] {
		tag, err := parseLaneTag(e.Value)
		if err != nil {
			return false, err
		}
		w.found = append(w.found, found{tag: tag, key: escaped, seq: binary.BigEndian.Uint64(e.Key[len(e.Key)-seqLength:])})
	}
	return len(entries) <= w.limit, nil
}

// finishKey moves the cursor over what was found and reports whether the key is
// still behind.
func (t *tracker) finishKey(r *laneReader, w *walk, key string, told uint64, done bool) (behind bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.advance(r, w)
	if done && r.behind[key] == told {
		delete(r.behind, key)
		return false
	}
	return true
}
