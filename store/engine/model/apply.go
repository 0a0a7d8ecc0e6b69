package model

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/orchestrix/orchestrix/store/engine"
)

// Apply implements engine.Engine.
func (e *Engine) Apply(ctx context.Context, n int, b *engine.Batch) (engine.Result, error) {
	s, err := e.begin(ctx, "apply", n)
	if err != nil {
		return engine.Result{}, err
	}
	if err := engine.CheckBatch(b); err != nil {
		return engine.Result{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.Fence != nil {
		switch {
		case *b.Fence != s.head.Fence || b.Fence.Nonce == engine.Nonce{}:
			return engine.Result{}, engine.ErrFenced
		case b.Commit == s.head.Commit && *b.Fence == s.writer:
			return engine.Result{Repeated: true}, e.end("apply", n)
		case b.Commit != s.head.Commit+1:
			return engine.Result{}, engine.ErrHistory
		}
		s.head.Commit++
		s.writer = *b.Fence
	}
	result := s.apply(b)
	if b.Fence == nil {
		s.changed()
	}
	return result, e.end("apply", n)
}

func (s *shard) apply(b *engine.Batch) engine.Result {
	results := make([]engine.GroupResult, len(b.Groups))
	for i := range b.Groups {
		results[i] = s.testAll(b.Groups[i].Guards)
	}
	for i := range b.Groups {
		if !results[i].Skipped {
			results[i].FirstSeq = s.carryOut(&b.Groups[i])
		}
	}
	return engine.Result{Groups: results}
}

// testAll returns the first guard that fails.
func (s *shard) testAll(guards []engine.Guard) engine.GroupResult {
	for i := range guards {
		if found, failed := s.test(&guards[i]); failed {
			return engine.GroupResult{Skipped: true, Failed: i, Found: found}
		}
	}
	return engine.GroupResult{}
}

// test returns what stands in a guard's way.
func (s *shard) test(g *engine.Guard) (found []byte, failed bool) {
	v, ok := s.entries.get(g.Key)
	switch {
	case !ok:
		return nil, g.Value != nil
	case g.Value != nil && equal(v, g.Value):
		return nil, false
	default:
		return clone(v), true
	}
}

func (s *shard) carryOut(g *engine.Group) (firstSeq uint64) {
	for _, k := range g.Deletes {
		s.entries.delete(k)
	}
	for _, r := range g.Ranges {
		s.entries.deleteRange(r.From, r.To)
	}
	for _, p := range g.Puts {
		s.entries.put(clone(p.Key), clone(p.Value))
	}
	if len(g.Stamped) > 0 {
		firstSeq = s.head.Seq + 1
	}
	for _, p := range g.Stamped {
		s.head.Seq++
		s.entries.put(binary.BigEndian.AppendUint64(clone(p.Key), s.head.Seq), clone(p.Value))
	}
	for _, c := range g.Counters {
		s.counters[string(c.Name)] += c.Value
	}
	return firstSeq
}

// Acquire implements engine.Engine.
func (e *Engine) Acquire(ctx context.Context, n int, nonce engine.Nonce, lease time.Duration) (engine.Head, error) {
	if nonce == (engine.Nonce{}) {
		return engine.Head{}, fmt.Errorf("%w: zero nonce", engine.ErrInvalid)
	}
	if err := checkLease(lease); err != nil {
		return engine.Head{}, err
	}
	s, err := e.begin(ctx, "acquire", n)
	if err != nil {
		return engine.Head{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := e.time()
	if s.head.Nonce != nonce && s.head.Expires.After(now) {
		return engine.Head{}, &engine.HeldError{Head: s.head}
	}
	s.head.Fence = engine.Fence{Epoch: max(s.head.Epoch+1, uint64(max(now.UnixMilli(), 0))), Nonce: nonce}
	s.head.Expires = expiry(now, lease)
	return s.head, e.end("acquire", n)
}

// Renew implements engine.Engine.
func (e *Engine) Renew(ctx context.Context, n int, f engine.Fence, lease time.Duration) error {
	if err := checkLease(lease); err != nil {
		return err
	}
	s, err := e.begin(ctx, "renew", n)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.head.Fence != f || s.head.Expires.IsZero() {
		return engine.ErrFenced
	}
	s.head.Expires = expiry(e.time(), lease)
	return nil
}

// Release implements engine.Engine.
func (e *Engine) Release(ctx context.Context, n int, f engine.Fence) error {
	s, err := e.begin(ctx, "release", n)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.head.Fence != f || s.head.Expires.IsZero() {
		return engine.ErrFenced
	}
	// The epoch stays, so that the next one is greater; the nonce goes, so that
	// nobody writes under it any more.
	s.head.Nonce, s.head.Expires = engine.Nonce{}, time.Time{}
	return e.end("release", n)
}

// Head implements engine.Engine.
func (e *Engine) Head(ctx context.Context, n int) (engine.Head, error) {
	s, err := e.begin(ctx, "head", n)
	if err != nil {
		return engine.Head{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.head, nil
}

func checkLease(lease time.Duration) error {
	if lease < time.Millisecond {
		return fmt.Errorf("%w: lease of %s", engine.ErrInvalid, lease)
	}
	return nil
}

// expiry is never zero: that would say that nobody owns the shard.
func expiry(now time.Time, lease time.Duration) time.Time {
	return now.Add(lease).Truncate(time.Millisecond)
}
