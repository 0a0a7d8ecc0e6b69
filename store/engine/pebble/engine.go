package pebble

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/orchestrix/orchestrix/store/engine"
)

// Engine is a store in a directory or in memory. It implements engine.Engine.
type Engine struct {
	// life is held for reading by every call, so that Close waits for those under
	// way: the database must not be touched once it is closed.
	life   sync.RWMutex
	closed bool

	db      *pebble.DB
	lock    *pebble.Lock
	dir     string
	memory  bool
	log     *slog.Logger
	created time.Time
	clock   clock
	space   space
	shards  []*shard
	scratch sync.Pool // of *scratch
}

var _ engine.Engine = (*Engine)(nil)

// Shards returns the number of shards.
func (e *Engine) Shards() int { return len(e.shards) }

// Created returns when the store was created.
func (e *Engine) Created() time.Time { return e.created }

// Now returns the engine's time.
func (e *Engine) Now(ctx context.Context) (time.Time, error) {
	if err := e.enter(ctx); err != nil {
		return time.Time{}, err
	}
	defer e.life.RUnlock()
	return time.UnixMilli(e.clock.millis()).UTC(), nil
}

// Usage returns the size of all files of the store.
func (e *Engine) Usage(ctx context.Context) (engine.Usage, error) {
	if err := e.enter(ctx); err != nil {
		return engine.Usage{}, err
	}
	defer e.life.RUnlock()
	return engine.Usage{Bytes: diskBytes(e.db.Metrics())}, nil
}

// Close waits for the calls under way and closes the store. Later calls return
// engine.ErrClosed; a second Close does nothing.
func (e *Engine) Close() error {
	e.life.Lock()
	defer e.life.Unlock()
	if e.closed {
		return nil
	}
	e.closed = true
	if err := errors.Join(e.db.Close(), e.lock.Close()); err != nil {
		return fmt.Errorf("close store %s: %w", e.dir, err)
	}
	return nil
}

// enter begins a call; where it returns nil the caller must unlock e.life.
func (e *Engine) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e.life.RLock()
	if e.closed {
		e.life.RUnlock()
		return engine.ErrClosed
	}
	return nil
}

// enterShard begins a call on one shard; where it returns no error the caller
// must unlock e.life.
func (e *Engine) enterShard(ctx context.Context, n int) (*shard, error) {
	if n < 0 || n >= len(e.shards) {
		return nil, fmt.Errorf("%w: shard %d of %d", engine.ErrInvalid, n, len(e.shards))
	}
	if err := e.enter(ctx); err != nil {
		return nil, err
	}
	s := e.shards[n]
	if s.missing {
		e.life.RUnlock()
		return nil, fmt.Errorf("shard %d of %s: %w", n, e.dir, engine.ErrMissing)
	}
	return s, nil
}

// fatal ends the process: after a failed fsync the disk may lack what memory
// has, and the system may report the next fsync as done although it never was.
func fatal(log *slog.Logger, dir string) func(msg string) {
	return func(msg string) {
		log.Error("store: cannot write durably; the process ends so that nothing more is acknowledged: "+
			"check the disk, then start again", "dir", dir, "err", msg)
		os.Exit(ExitCode)
	}
}
