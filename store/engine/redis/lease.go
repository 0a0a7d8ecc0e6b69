package redis

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
	code, h, err := e.headOf(ctx, n, acquireScript, append(e.times(), nonce[:], lease.Milliseconds()), codeHeld)
	if err != nil {
		return engine.Head{}, err
	}
	if code == codeHeld {
		return engine.Head{}, &engine.HeldError{Head: h}
	}
	return h, nil
}

// Renew extends the lease of the fence's owner. Unlike an Acquire it does not wait
// for replicas. See engine.Engine.
func (e *Engine) Renew(ctx context.Context, n int, f engine.Fence, lease time.Duration) error {
	if err := checkLease(lease); err != nil {
		return err
	}
	return e.underFence(ctx, n, renewScript, append(e.times(), appendFence(nil, f), lease.Milliseconds()))
}

// Release ends the ownership of the fence's owner. See engine.Engine.
func (e *Engine) Release(ctx context.Context, n int, f engine.Fence) error {
	return e.underFence(ctx, n, releaseScript, append(e.times(), appendFence(nil, f)))
}

func (e *Engine) underFence(ctx context.Context, n int, s *script, args []any) error {
	if err := e.enter(ctx, n); err != nil {
		return err
	}
	_, _, err := e.call(ctx, n, s, []string{e.keys[n].head}, args)
	return err
}

// Head returns the shard's head.
func (e *Engine) Head(ctx context.Context, n int) (engine.Head, error) {
	_, h, err := e.headOf(ctx, n, headScript, e.times())
	return h, err
}

func (e *Engine) headOf(ctx context.Context, n int, s *script, args []any, codes ...int) (int, engine.Head, error) {
	if err := e.enter(ctx, n); err != nil {
		return 0, engine.Head{}, err
	}
	code, r, err := e.call(ctx, n, s, []string{e.keys[n].head}, args, codes...)
	if err != nil {
		return 0, engine.Head{}, err
	}
	h, _, err := decodeHead(r.bytes())
	if err != nil {
		return 0, engine.Head{}, e.unreadable(n)
	}
	return code, h, nil
}

// checkLease refuses what is less than the engine's clock can tell.
func checkLease(lease time.Duration) error {
	if lease < time.Millisecond {
		return fmt.Errorf("%w: lease of %s", engine.ErrInvalid, lease)
	}
	return nil
}
