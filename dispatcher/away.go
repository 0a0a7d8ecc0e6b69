package dispatcher

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/store/engine"
)

// away is what is said of a store that does not answer: over all shards together
// a line every awayEvery while it lasts.
type away struct {
	mu   sync.Mutex
	told time.Time
}

const awayEvery = 5 * time.Second

// tell logs that what failed is tried again.
func (a *away) tell(ctx context.Context, log *slog.Logger, what string, shard int, err error) {
	level := slog.LevelDebug
	a.mu.Lock()
	if time.Since(a.told) >= awayEvery {
		a.told, level = time.Now(), slog.LevelWarn
	}
	a.mu.Unlock()
	log.Log(ctx, level, what, "shard", shard, "error", err)
}

// pauses are those between tries of what the store did not answer: longer each
// time, up to most, and at random, so that shards do not all ask at once when it is
// back.
type pauses struct{ next, most time.Duration }

func (p *pauses) pause() time.Duration {
	d := p.next/2 + rand.N(p.next/2+1)
	p.next = min(2*p.next, p.most)
	return d
}

// missingPause is how long a shard whose record is missing is left alone: it comes
// back by somebody's hand alone.
const missingPause = 30 * time.Second

// waitsOut reports whether what kept a shard from being served ends by itself
// while Start waits: the store is away, or a node that died has left its lease.
func waitsOut(err error) bool {
	return errors.Is(err, store.ErrUnavailable) || errors.As(err, new(*engine.HeldError))
}

// start decides whether Start fails by what a shard's first try met.
func (l *loop) start(err error) error {
	if errors.Is(err, engine.ErrMissing) {
		return nil // the other shards are served
	}
	return err
}

// tell logs why the shard is not served, and returns how long it is left alone.
func (l *loop) tell(ctx context.Context, err error, p *pauses) time.Duration {
	switch {
	case errors.As(err, new(*engine.HeldError)):
		// It is being given back, or the lease of a node that died runs out.
		l.d.log.DebugContext(ctx, "a shard is held by another node", "shard", l.shard, "error", err)
		return heldPause/2 + rand.N(heldPause)
	case errors.Is(err, engine.ErrMissing):
		l.d.log.ErrorContext(ctx, "a shard is not served: its record is gone from the store, and what else was lost is unknown", "shard", l.shard, "error", err)
		return missingPause
	case errors.Is(err, store.ErrUnavailable):
		l.d.away.tell(ctx, l.d.log, "a shard is tried again", l.shard, err)
	default:
		l.d.log.WarnContext(ctx, "shard is served anew", "shard", l.shard, "error", err)
	}
	return p.pause()
}
