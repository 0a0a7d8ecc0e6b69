package redis

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-redsync/redsync/v4"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/go-redis/v9"
)

// Lock is a named lock among the processes that use the store, by redsync: a key that
// expires. It is no more than a hint of who may go first: Redis may lose its tail, and
// a holder that is frozen does not notice that its lease has run out. It is used by one
// goroutine at a time.
type Lock struct {
	engine *Engine
	mutex  *redsync.Mutex
	lease  time.Duration
	held   bool // by the last call that was answered
}

// Lock returns the lock of that name. It is held for the length of the lease, unless
// it is renewed.
func (e *Engine) Lock(name string, lease time.Duration) *Lock {
	var client redis.UniversalClient = e.servers.primary
	if e.servers.cluster != nil {
		client = e.servers.cluster
	}
	mutex := redsync.New(goredis.NewPool(client)).NewMutex(lockKey(e.servers.target.prefix, name), redsync.WithExpiry(lease), redsync.WithTries(1), redsync.WithTimeoutFactor(0.5))
	return &Lock{engine: e, mutex: mutex, lease: lease}
}

// lockKey is where a lock lies, in a slot of its own.
func lockKey(prefix, name string) string { return "{" + prefix + "}:lock:" + name }

// Lease is how long the lock is held without being renewed.
func (l *Lock) Lease() time.Duration { return l.lease }

// Take takes the lock or, where it is held by this Lock, renews it. It reports false
// where another holds it. An error leaves open who does.
func (l *Lock) Take(ctx context.Context) (bool, error) {
	if l.held {
		held, err := l.mutex.ExtendContext(ctx)
		if held {
			return true, nil
		}
		if err != nil && !lostLock(err) {
			return false, fmt.Errorf("redis: renew lock %s: %w", l.mutex.Name(), l.engine.classify(ctx, err))
		}
		l.held = false
	}
	err := l.mutex.TryLockContext(ctx)
	if l.held = err == nil; l.held {
		return true, nil
	}
	if lostLock(err) {
		return false, nil
	}
	return false, fmt.Errorf("redis: take lock %s: %w", l.mutex.Name(), l.engine.classify(ctx, err))
}

// lostLock reports whether an error says that another has the lock, or that it has run
// out, and not that the server did not answer.
func lostLock(err error) bool {
	var taken *redsync.ErrTaken
	var nodeTaken *redsync.ErrNodeTaken
	var server *redsync.RedisError
	if errors.As(err, &server) {
		return false
	}
	return errors.As(err, &taken) || errors.As(err, &nodeTaken) || errors.Is(err, redsync.ErrExtendFailed) || errors.Is(err, redsync.ErrLockAlreadyExpired) ||
		errors.Is(err, redsync.ErrFailed)
}

// Release gives the lock up, so that another may take it at once.
func (l *Lock) Release(ctx context.Context) error {
	if !l.held {
		return nil
	}
	l.held = false
	if _, err := l.mutex.UnlockContext(ctx); err != nil && !lostLock(err) {
		return fmt.Errorf("redis: release lock %s: %w", l.mutex.Name(), l.engine.classify(ctx, err))
	}
	return nil
}
