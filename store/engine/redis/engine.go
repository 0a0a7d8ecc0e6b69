package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/orchestrix/orchestrix/store/engine"
)

// Engine is a store on Redis. It implements engine.Engine.
type Engine struct {
	servers    *servers
	durability Durability
	log        *slog.Logger
	keys       []shardKeys
	identity   identity
	clock      clock
	hints      *hints
	writers    sync.Pool // of *batchWriter
	closed     atomic.Bool
	closing    sync.Once
	closeErr   error
}

var _ engine.Engine = (*Engine)(nil)

// Shards returns the number of shards.
func (e *Engine) Shards() int { return len(e.keys) }

// Created returns when the store was created.
func (e *Engine) Created() time.Time { return time.UnixMilli(e.identity.record.created).UTC() }

// Durability returns what a write waits for.
func (e *Engine) Durability() Durability { return e.durability }

// Now returns the engine's time. The server is asked only where it has not been
// heard of for a second.
func (e *Engine) Now(ctx context.Context) (time.Time, error) {
	if err := e.enter(ctx, 0); err != nil {
		return time.Time{}, err
	}
	ms, err := e.time(ctx)
	if err != nil {
		return time.Time{}, err
	}
	return time.UnixMilli(ms).UTC(), nil
}

// time returns the engine's time in Unix milliseconds. Where a server has to be
// asked it is always the same.
func (e *Engine) time(ctx context.Context) (int64, error) {
	if ms, ok := e.clock.now(); ok {
		return ms, nil
	}
	ask := redis.NewTimeCmd(ctx, "TIME")
	if err := e.servers.do(ctx, storeKey(e.servers.target.prefix), ask); err != nil {
		return 0, fmt.Errorf("time: %w", e.classify(ctx, err))
	}
	e.clock.told(ask.Val().UnixMilli())
	return e.clock.latest(), nil
}

// Usage returns the memory that the servers have in use, which is what their
// maxmemory bounds; a server that others use too counts as a whole.
func (e *Engine) Usage(ctx context.Context) (engine.Usage, error) {
	if err := e.enter(ctx, 0); err != nil {
		return engine.Usage{}, err
	}
	var u engine.Usage
	err := e.servers.each(ctx, func(ctx context.Context, c *redis.Client) error {
		info, err := c.Info(ctx, "memory").Result()
		if err != nil {
			return err
		}
		used, err := strconv.ParseInt(infoFields(info)["used_memory"], 10, 64)
		u.Bytes += used
		return err
	})
	if err != nil {
		return engine.Usage{}, fmt.Errorf("memory in use: %w", e.classify(ctx, err))
	}
	return u, nil
}

// infoFields are the lines "name:value" of what INFO answers.
func infoFields(info string) map[string]string {
	fields := map[string]string{}
	for line := range strings.Lines(info) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			fields[name] = value
		}
	}
	return fields
}

// Close ends the watches and closes the connections; calls under way end with
// engine.ErrClosed, and so do later ones. A second Close does nothing.
func (e *Engine) Close() error {
	e.closing.Do(func() {
		e.closed.Store(true)
		e.hints.close()
		if err := e.servers.close(); err != nil && !errors.Is(err, redis.ErrClosed) {
			e.closeErr = fmt.Errorf("close %s: %w", e.servers.target, err)
		}
	})
	return e.closeErr
}

func (e *Engine) isClosed() bool { return e.closed.Load() }

// enter begins a call on one shard.
func (e *Engine) enter(ctx context.Context, n int) error {
	if n < 0 || n >= len(e.keys) {
		return fmt.Errorf("%w: shard %d of %d", engine.ErrInvalid, n, len(e.keys))
	}
	if e.isClosed() {
		return engine.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return e.confirm(ctx)
}

// times are the first arguments of every script: the latest time known, and
// whether time goes by it alone.
func (e *Engine) times() []any {
	return append(make([]any, 0, 8), e.clock.latest(), flag(e.clock.fixed != nil))
}

// unreadable is for what no script of this version writes or answers.
func (e *Engine) unreadable(n int) error {
	return fmt.Errorf("shard %d of %s: %w: what is stored, or the script's answer, cannot be read", n, e.servers.target, engine.ErrCorrupt)
}
