package dispatcher

import (
	"context"
	"errors"
	"fmt"
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

// start decides on what a shard's first try met, where that is no error of the
// store's to be waited out: it returns nil where the shard is to be tried again
// while Start waits, or, with done, without it.
//
// A lease that a node left behind when it died runs out. One that is renewed
// meanwhile is a living node's, and a store serves one node.
func (l *loop) start(ctx context.Context, err error, held **engine.HeldError) (done bool, _ error) {
	now, isHeld := errors.AsType[*engine.HeldError](err)
	switch {
	case errors.Is(err, store.ErrUnavailable):
		return false, nil
	case errors.Is(err, engine.ErrMissing):
		return true, nil // the other shards are served
	case !isHeld:
		return false, err
	case *held != nil && (*held).Head != now.Head:
		return false, fmt.Errorf("another node serves this store, which one node does at a time: stop it first: %w", err)
	}
	if *held == nil {
		l.d.away.tell(ctx, l.d.log, "the last owner of a shard did not release it; its lease is waited out", l.shard, err)
	}
	*held = now
	return false, nil
}
