// Package seenredis keeps in Redis which jobs a worker has done: a worker.Seen
// for worker.Once, shared by all processes of the worker.
//
// It promises that of several processes one gets the claim, by one script on one
// key; that claims and notes go by themselves when their time is over; and that it
// works on a Cluster and with Sentinel as on one server. What Redis loses (a
// fail-over, a restart without an append-only file) it has not seen. It does not
// evict, so the server should not either: a note that was evicted is a job that
// runs again.
package seenredis

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/orchestrix/orchestrix/worker"
)

// DefaultPrefix begins the keys.
const DefaultPrefix = "orchestrix:seen:"

// Store is a worker.Seen in Redis. It may be used concurrently.
type Store struct {
	client redis.UniversalClient
	prefix string
}

// New returns a Store that works through client, which stays the caller's to close.
// prefix begins its keys, one for each job; empty means DefaultPrefix. Workers whose
// handlers do different things with the same jobs need one each.
func New(client redis.UniversalClient, prefix string) *Store {
	if prefix == "" {
		prefix = DefaultPrefix
	}
	return &Store{client, prefix}
}

// A key holds "done", or "busy:" and the owner.
const (
	doneValue  = "done"
	busyPrefix = "busy:"
)

var (
	begin = redis.NewScript(`
local v = redis.call('GET', KEYS[1])
if v == false or v == ARGV[1] then
	redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
	return 'never'
end
return v`)
	release = redis.NewScript(`
if redis.call('GET', KEYS[1]) == ARGV[1] then
	return redis.call('DEL', KEYS[1])
end
return 0`)
)

// Begin implements worker.Seen.
func (s *Store) Begin(ctx context.Context, id, owner string, hold time.Duration) (worker.SeenState, error) {
	v, err := begin.Run(ctx, s.client, []string{s.prefix + id}, busyPrefix+owner, millis(hold)).Text()
	switch {
	case err != nil:
		return worker.SeenNever, fmt.Errorf("claim a job in Redis: %w", err)
	case v == "never":
		return worker.SeenNever, nil
	case v == doneValue:
		return worker.SeenDone, nil
	}
	return worker.SeenBusy, nil
}

// Done implements worker.Seen.
func (s *Store) Done(ctx context.Context, id string, keep time.Duration) error {
	if err := s.client.Set(ctx, s.prefix+id, doneValue, time.Duration(millis(keep))*time.Millisecond).Err(); err != nil {
		return fmt.Errorf("note a job in Redis: %w", err)
	}
	return nil
}

// Release implements worker.Seen.
func (s *Store) Release(ctx context.Context, id, owner string) error {
	err := release.Run(ctx, s.client, []string{s.prefix + id}, busyPrefix+owner).Err()
	if err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("release a job in Redis: %w", err)
	}
	return nil
}

// millis rounds up to what Redis counts in; it refuses 0.
func millis(d time.Duration) int64 {
	return max(int64((d+time.Millisecond-1)/time.Millisecond), 1)
}
