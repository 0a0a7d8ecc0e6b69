package pebble

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/orchestrix/orchestrix/store/engine"
)

// The defaults and bounds of Options.
const (
	// DefaultShards is the shard count of a new store: enough to spread over a
	// few dozen nodes, few enough that an idle shard's cost does not show.
	DefaultShards = 64
	// MaxShards is the greatest shard count: a job id has 12 bits for its shard.
	MaxShards = 4096
	// DefaultMinFree leaves room for outcomes, compactions and log segments
	// while new jobs are refused.
	DefaultMinFree = 256 << 20
)

// Options configure a store. The zero value is ready for production.
type Options struct {
	// Shards is the number of shards of a new store, at most MaxShards; 0 means
	// DefaultShards. A store that exists keeps its number: 0 accepts it, any
	// other value must equal it.
	Shards int
	// MustExist refuses to create a store where there is none. It has no effect in
	// memory.
	MustExist bool
	// Logger receives the engine's log lines; nil means slog.Default(). A normal
	// start and stop logs nothing above debug level.
	Logger *slog.Logger
	// MinFree is how many bytes must be free on the directory's file system for
	// an unfenced Apply; 0 means DefaultMinFree, a negative value any number.
	// Fenced batches are carried out all the same: they settle jobs and free
	// space.
	MinFree int64
	// Now is the clock; nil means time.Now. Engine time never goes back, even
	// where the clock does.
	Now func() time.Time
	// FS is the file system; nil means the operating system's. Tests inject
	// faults through it.
	FS vfs.FS
}

func (o Options) withDefaults() (Options, error) {
	if o.Shards < 0 || o.Shards > MaxShards {
		return o, fmt.Errorf("%w: %d shards, must be 1 to %d", engine.ErrInvalid, o.Shards, MaxShards)
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.MinFree == 0 {
		o.MinFree = DefaultMinFree
	}
	return o, nil
}
