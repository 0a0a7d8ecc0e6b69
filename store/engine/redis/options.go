package redis

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/orchestrix/orchestrix/store/engine"
)

// The defaults and bounds of Options.
const (
	// DefaultShards is the shard count of a new store, as in every engine.
	DefaultShards = 64
	// MaxShards is the greatest shard count: a job id has 12 bits for its shard.
	MaxShards = 4096
)

// Options configure a store. The zero value is ready for production.
type Options struct {
	// Shards is the number of shards of a new store, at most MaxShards; 0 means
	// DefaultShards. A store that exists keeps its number: 0 accepts it, any
	// other value must equal it.
	Shards int
	// MustExist refuses to create a store where there is none.
	MustExist bool
	// Durability is what a write waits for.
	Durability Durability
	// Logger receives the engine's log lines; nil means slog.Default().
	Logger *slog.Logger
	// Now, where set, is the clock instead of the server's. It is for tests: all
	// processes that use a store must have one clock.
	Now func() time.Time
}

func (o Options) withDefaults() (Options, error) {
	if o.Shards < 0 || o.Shards > MaxShards {
		return o, fmt.Errorf("%w: %d shards, must be 1 to %d", engine.ErrInvalid, o.Shards, MaxShards)
	}
	if o.Durability.replicas < 0 || o.Durability.replicas > maxReplicas {
		return o, fmt.Errorf("%w: %d replicas, must be 1 to %d", engine.ErrInvalid, o.Durability.replicas, maxReplicas)
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o, nil
}
