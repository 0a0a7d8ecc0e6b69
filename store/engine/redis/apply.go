package redis

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/orchestrix/orchestrix/store/engine"
)

// Apply carries out a batch by one script. See engine.Engine. Where a counter
// would pass 64 bits it returns engine.ErrInvalid, and nothing is changed.
//
// A server at its memory limit refuses an unfenced batch before any of it is
// written, and carries fenced ones out all the same: they settle jobs.
func (e *Engine) Apply(ctx context.Context, n int, b *engine.Batch) (engine.Result, error) {
	if err := engine.CheckBatch(b); err != nil {
		return engine.Result{}, err
	}
	if overflowing(b) {
		return engine.Result{}, fmt.Errorf("%w: a counter passes 64 bits", engine.ErrInvalid)
	}
	if err := e.enter(ctx, n); err != nil {
		return engine.Result{}, err
	}
	w := e.writers.Get().(*batchWriter)
	w.batch(b)
	k := &e.keys[n]
	var fence, before, commit []byte
	channel := k.channel
	if b.Fence != nil {
		fence = appendFence(nil, *b.Fence)
		before = binary.BigEndian.AppendUint64(nil, b.Commit-1)
		commit = binary.BigEndian.AppendUint64(nil, b.Commit)
		channel = ""
	}
	code, r, err := e.call(ctx, n, applyScript, []string{k.head, k.data, k.index, k.counters, k.names},
		append(e.times(), fence, before, commit, channel, w.buf), codeHistory, codeRepeated, codeOverflow)
	if cap(w.buf) <= maxPooled {
		e.writers.Put(w)
	}
	if err != nil {
		return engine.Result{}, err
	}
	switch code {
	case codeHistory:
		last := binary.BigEndian.Uint64(append(r.bytes(), make([]byte, 8)...))
		return engine.Result{}, fmt.Errorf("apply to shard %d: commit %d after %d: %w", n, b.Commit, last, engine.ErrHistory)
	case codeOverflow:
		return engine.Result{}, fmt.Errorf("apply to shard %d: %w: a counter passes 64 bits", n, engine.ErrInvalid)
	case codeRepeated:
		return engine.Result{Repeated: true}, nil
	}
	return e.result(n, b, r)
}

// result makes the result of what the script tells: the first sequence number, and
// of each group that was skipped its place, the guard's, and what was found.
func (e *Engine) result(n int, b *engine.Batch, r *reader) (engine.Result, error) {
	groups := make([]engine.GroupResult, len(b.Groups))
	seq := uint64(r.integer())
	for i := r.array(); i > 0; i -= 3 {
		at, failed := r.integer(), r.integer()
		found, err := plain(r.bytes())
		if r.failed || err != nil || at < 0 || at >= int64(len(groups)) {
			return engine.Result{}, e.unreadable(n)
		}
		groups[at] = engine.GroupResult{Skipped: true, Failed: int(failed), Found: found}
	}
	for i := range groups {
		if stamped := len(b.Groups[i].Stamped); stamped > 0 && !groups[i].Skipped {
			groups[i].FirstSeq = seq
			seq += uint64(stamped)
		}
	}
	return engine.Result{Groups: groups}, nil
}
