package store

import (
	"context"
	"fmt"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
)

// Store is the store over an engine. All of its methods may be called
// concurrently.
type Store struct {
	engine    engine.Engine
	ttl       time.Duration
	enqueued  func(Arrivals)
	combiners []combiner
	passed    passed
}

// Option changes how a Store works.
type Option func(*Store)

// DefaultIdempotencyTTL is how long an idempotency key is held after its job
// has become terminal.
const DefaultIdempotencyTTL = 24 * time.Hour

// IdempotencyTTL sets how long an idempotency key is held after its job has
// become terminal; it is rounded to milliseconds. It applies to jobs that
// become terminal from then on.
func IdempotencyTTL(d time.Duration) Option { return func(s *Store) { s.ttl = d } }

// New returns the store over an engine, which the caller closes when nobody
// uses the store any more.
func New(e engine.Engine, options ...Option) *Store {
	s := &Store{engine: e, ttl: DefaultIdempotencyTTL, combiners: make([]combiner, e.Shards())}
	for _, set := range options {
		set(s)
	}
	return s
}

// Shards returns the number of shards.
func (s *Store) Shards() int { return s.engine.Shards() }

// ShardOf returns the shard of a queue.
func (s *Store) ShardOf(queue string) int { return job.ShardOf(queue, s.engine.Shards()) }

// Now returns the store's time, which never goes back, in UTC to the
// millisecond.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	now, err := s.engine.Now(ctx)
	if err != nil {
		return time.Time{}, fmt.Errorf("store: time: %w", err)
	}
	return now, nil
}

// Usage returns how much is stored.
func (s *Store) Usage(ctx context.Context) (engine.Usage, error) {
	u, err := s.engine.Usage(ctx)
	if err != nil {
		return u, fmt.Errorf("store: usage: %w", err)
	}
	return u, nil
}

// Watch returns a channel that gets a value when another than the shard's owner
// may have changed it (jobs enqueued, commands sent, by any node), and a
// function that ends the watch. It is a hint: look at least once a second even
// without.
func (s *Store) Watch(shard int) (changed <-chan struct{}, stop func()) {
	return s.engine.Watch(shard)
}

// OnEnqueued sets the function that is told of each batch of new jobs, once
// durable: in the order of their sequence numbers, never concurrently for one
// shard, before Enqueue returns. It must not block. Set it before the first
// Enqueue.
func (s *Store) OnEnqueued(f func(Arrivals)) { s.enqueued = f }
