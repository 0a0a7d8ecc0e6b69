package pebble

import (
	"context"
	"fmt"
	"time"

	"github.com/orchestrix/orchestrix/store/engine"
)

// Acquire makes nonce the shard's owner. See engine.Engine.
func (e *Engine) Acquire(ctx context.Context, n int, nonce engine.Nonce, lease time.Duration) (engine.Head, error) {
	if nonce == (engine.Nonce{}) {
		return engine.Head{}, fmt.Errorf("%w: zero nonce", engine.ErrInvalid)
	}
	if err := checkLease(lease); err != nil {
		return engine.Head{}, err
	}
	return e.changeHead(ctx, n, func(r *shardRecord, now int64) error {
		if held := r.fence.Nonce != (engine.Nonce{}) && r.fence.Nonce != nonce; held && r.expires > now {
			return &engine.HeldError{Head: r.head()}
		}
		r.fence.Epoch = max(r.fence.Epoch+1, uint64(max(now, 0)))
		r.fence.Nonce = nonce
		r.expires = now + lease.Milliseconds()
		return nil
	})
}

// Renew extends the lease of the fence's owner, in memory only: a crash ends
// every lease of the process, which had the directory for itself. So an idle
// store writes nothing. See engine.Engine.
func (e *Engine) Renew(ctx context.Context, n int, f engine.Fence, lease time.Duration) error {
	if err := checkLease(lease); err != nil {
		return err
	}
	s, err := e.enterShard(ctx, n)
	if err != nil {
		return err
	}
	defer e.life.RUnlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.record.owned(f) {
		return fmt.Errorf("renew shard %d: %w", n, engine.ErrFenced)
	}
	s.record.expires = e.clock.millis() + lease.Milliseconds()
	return nil
}

// Release ends the ownership of the fence's owner. See engine.Engine.
func (e *Engine) Release(ctx context.Context, n int, f engine.Fence) error {
	_, err := e.changeHead(ctx, n, func(r *shardRecord, _ int64) error {
		if !r.owned(f) {
			return fmt.Errorf("release shard %d: %w", n, engine.ErrFenced)
		}
		r.disown()
		return nil
	})
	return err
}

// Head returns the shard's head.
func (e *Engine) Head(ctx context.Context, n int) (engine.Head, error) {
	s, err := e.enterShard(ctx, n)
	if err != nil {
		return engine.Head{}, err
	}
	defer e.life.RUnlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.record.head(), nil
}

// changeHead writes what change makes of the head, and returns when that is
// durable.
func (e *Engine) changeHead(ctx context.Context, n int, change func(r *shardRecord, now int64) error) (engine.Head, error) {
	s, err := e.enterShard(ctx, n)
	if err != nil {
		return engine.Head{}, err
	}
	defer e.life.RUnlock()
	s.mu.Lock()
	next := s.record
	if err := change(&next, e.clock.millis()); err != nil {
		s.mu.Unlock()
		return engine.Head{}, err
	}
	w := writer{batch: e.db.NewBatch(batchOptions...), shard: n}
	err = e.publish(s, &w, next)
	s.mu.Unlock()
	if err != nil {
		return engine.Head{}, err
	}
	return next.head(), e.wait(w.batch)
}

// checkLease refuses what is less than the engine's clock can tell.
func checkLease(lease time.Duration) error {
	if lease < time.Millisecond {
		return fmt.Errorf("%w: lease of %s", engine.ErrInvalid, lease)
	}
	return nil
}
