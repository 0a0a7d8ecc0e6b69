package pebble

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/orchestrix/orchestrix/store/engine"
)

// scratch is the memory that a call needs only while it runs.
type scratch struct {
	key     []byte
	touched []*counter
	order   []int
}

func (e *Engine) getScratch() *scratch { return e.scratch.Get().(*scratch) }

func (e *Engine) putScratch(sc *scratch) {
	clear(sc.touched)
	sc.touched = sc.touched[:0]
	e.scratch.Put(sc)
}

// Apply carries out a batch. See engine.Engine.
//
// The shard is locked from the look at its head until the batch is visible. The
// log has records in the order in which they became visible, so what a batch
// was built on is durable once the batch is.
func (e *Engine) Apply(ctx context.Context, n int, b *engine.Batch) (engine.Result, error) {
	if err := engine.CheckBatch(b); err != nil {
		return engine.Result{}, err
	}
	s, err := e.enterShard(ctx, n)
	if err != nil {
		return engine.Result{}, err
	}
	defer e.life.RUnlock()
	if b.Fence == nil {
		if err := e.space.check(e.clock.millis()); err != nil {
			return engine.Result{}, err
		}
		if len(b.Groups) == 0 {
			return engine.Result{}, nil
		}
	}
	w, res, err := e.write(s, b)
	if err != nil {
		return engine.Result{}, err
	}
	if b.Fence == nil {
		s.watchers.notify()
	}
	return res, e.wait(w)
}

// write makes the batch visible and returns it to be waited for. A batch of
// which nothing is left, because all guards failed or because it repeats the
// last one, still writes the head: waiting for that record makes durable what
// stood there.
func (e *Engine) write(s *shard, b *engine.Batch) (*pebble.Batch, engine.Result, error) {
	sc := e.getScratch()
	defer e.putScratch(sc)
	s.mu.Lock()
	defer s.mu.Unlock()

	next := s.record
	repeated, err := admit(&next, b)
	if err != nil {
		return nil, engine.Result{}, fmt.Errorf("apply to shard %d: %w", s.n, err)
	}
	w := writer{batch: e.db.NewBatch(batchOptions...), shard: s.n}
	res := engine.Result{Repeated: repeated}
	if !repeated {
		if res.Groups, err = e.evaluate(s, b.Groups, sc); err == nil {
			err = e.build(&w, s, &next, b.Groups, res.Groups, sc)
		}
	}
	if err == nil {
		err = e.publish(s, &w, next)
	}
	settleCounters(s, sc, err == nil)
	if err != nil {
		return nil, engine.Result{}, errors.Join(err, w.batch.Close())
	}
	return w.batch, res, nil
}

// admit compares the fence and the commit number, and counts the commit.
func admit(r *shardRecord, b *engine.Batch) (repeated bool, err error) {
	if b.Fence == nil {
		return false, nil
	}
	if !r.owned(*b.Fence) {
		return false, engine.ErrFenced
	}
	switch {
	case b.Commit == r.commit+1:
		r.commit, r.author = b.Commit, r.fence.Epoch
		return false, nil
	case b.Commit == r.commit && r.author == r.fence.Epoch:
		return true, nil
	}
	return false, fmt.Errorf("commit %d after %d: %w", b.Commit, r.commit, engine.ErrHistory)
}

// evaluate looks at every group's guards, before anything of the batch is there.
func (e *Engine) evaluate(s *shard, groups []engine.Group, sc *scratch) ([]engine.GroupResult, error) {
	results := make([]engine.GroupResult, len(groups))
	var err error
	if len(groups) < fewKeys {
		err = e.guardEach(s.n, groups, results, sc)
	} else {
		err = e.guardPass(s.n, groups, results, sc)
	}
	if err != nil {
		return nil, e.readError("guard in", s.n, err)
	}
	return results, nil
}

func (e *Engine) guardEach(n int, groups []engine.Group, results []engine.GroupResult, sc *scratch) error {
	for i := range groups {
		for k := range groups[i].Guards {
			g := &groups[i].Guards[k]
			sc.key = appendKey(sc.key[:0], n, spaceMap, g.Key)
			found, closer, err := e.db.Get(sc.key)
			if err != nil && !errors.Is(err, pebble.ErrNotFound) {
				return err
			}
			results[i] = compareGuard(g, k, found, err == nil)
			if closer != nil {
				if err := closer.Close(); err != nil {
					return err
				}
			}
			if results[i].Skipped {
				break
			}
		}
	}
	return nil
}

// guardPass looks at the guards with one iterator, which makes use of the filters
// of the lowest level: the keys of an enqueue's guards are absent.
func (e *Engine) guardPass(n int, groups []engine.Group, results []engine.GroupResult, sc *scratch) error {
	var it *pebble.Iterator
	for i := range groups {
		for k := range groups[i].Guards {
			g := &groups[i].Guards[k]
			if it == nil {
				var err error
				if it, err = e.lookups(n); err != nil {
					return err
				}
				defer it.Close()
			}
			sc.key = appendKey(sc.key[:0], n, spaceMap, g.Key)
			found, err := lookUp(it, sc.key)
			if err != nil {
				return err
			}
			if results[i] = compareGuard(g, k, found, found != nil); results[i].Skipped {
				break
			}
		}
	}
	return nil
}

// compareGuard is the result of a group's guard, which is its k-th.
func compareGuard(g *engine.Guard, k int, found []byte, there bool) engine.GroupResult {
	switch {
	case there == (g.Value != nil) && bytes.Equal(found, g.Value):
		return engine.GroupResult{}
	case there:
		return engine.GroupResult{Skipped: true, Failed: k, Found: append([]byte{}, found...)}
	default:
		return engine.GroupResult{Skipped: true, Failed: k}
	}
}

// build writes the groups whose guard held into the batch, and the counters at
// its end: added up, so that a batch writes each of them once.
func (e *Engine) build(w *writer, s *shard, r *shardRecord, groups []engine.Group, results []engine.GroupResult, sc *scratch) error {
	for i := range groups {
		g := &groups[i]
		if results[i].Skipped {
			continue
		}
		if len(g.Stamped) > 0 {
			results[i].FirstSeq = r.seq + 1
		}
		w.group(g, &r.seq)
		for _, c := range g.Counters {
			if err := e.add(s, c, sc); err != nil {
				return err
			}
		}
	}
	for _, c := range sc.touched {
		w.counter(c.name, c.value+c.delta)
	}
	return nil
}

func (e *Engine) add(s *shard, c engine.Counter, sc *scratch) error {
	known, err := e.counter(s, c.Name, sc)
	if err != nil {
		return err
	}
	if !known.touched {
		known.touched = true
		sc.touched = append(sc.touched, known)
	}
	known.delta += c.Value
	return nil
}

// settleCounters takes over or drops what the batch added.
func settleCounters(s *shard, sc *scratch, applied bool) {
	for _, c := range sc.touched {
		if applied {
			c.value += c.delta
		}
		c.delta, c.touched = 0, false
	}
	if len(s.counters) > maxCachedCounters {
		clear(s.counters)
	}
}

// publish adds the head to the batch and makes it visible. Requires s.mu.
func (e *Engine) publish(s *shard, w *writer, next shardRecord) error {
	next.time = e.clock.millis()
	w.head(&next)
	var err error
	if e.memory {
		err = e.db.Apply(w.batch, pebble.NoSync)
	} else {
		err = e.db.ApplyNoSyncWait(w.batch, pebble.Sync)
	}
	if err != nil {
		return fmt.Errorf("apply to shard %d: %w: %w", s.n, engine.ErrUnavailable, err)
	}
	s.record = next
	return nil
}

// wait returns when the batch and all before it are durable. There is no way on
// from a failed fsync: see fatal.
func (e *Engine) wait(b *pebble.Batch) error {
	if !e.memory {
		if err := b.SyncWait(); err != nil {
			fatal(e.log, e.dir)(err.Error())
		}
	}
	return b.Close()
}
