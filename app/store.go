package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/orchestrix/orchestrix/cluster"
	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/store/engine"
	"github.com/orchestrix/orchestrix/store/engine/pebble"
	"github.com/orchestrix/orchestrix/store/engine/redis"
)

// storeName is a parsed Config.Store.
type storeName struct {
	memory bool
	dir    string
	redis  *redis.Target
}

func parseStore(text string) (storeName, error) {
	if redis.IsURL(text) {
		target, err := redis.Parse(text)
		if err != nil {
			return storeName{}, fmt.Errorf("--store: %w", err)
		}
		return storeName{redis: target}, nil
	}
	kind, rest, ok := strings.Cut(text, ":")
	switch {
	case ok && kind == "memory" && rest == "":
		return storeName{memory: true}, nil
	case ok && kind == "embedded" && rest != "":
		return storeName{dir: rest}, nil
	case ok && kind == "embedded":
		return storeName{}, errors.New(`--store embedded: must name a directory, such as "embedded:./data"`)
	}
	// The rest of the text may hold a password.
	return storeName{}, fmt.Errorf("unknown store %q: --store must be %s", kind, storeForms)
}

// durability reads Config.Durability, which is for Redis alone.
func (n storeName) durability(text string) (redis.Durability, error) {
	switch {
	case text == "":
		return redis.DurableAOF, nil
	case n.redis == nil:
		return redis.DurableAOF, fmt.Errorf("--durability is for a store on Redis; %s has its own: leave it out", n)
	}
	d, err := redis.ParseDurability(text)
	if err != nil {
		return d, fmt.Errorf("--durability: %w", err)
	}
	return d, nil
}

// String names the store without its secrets.
func (n storeName) String() string {
	switch {
	case n.redis != nil:
		return n.redis.String()
	case n.dir != "":
		return "embedded:" + n.dir
	}
	return "memory:"
}

// StoreName returns Store without its secrets, "" where Store is not valid.
func (c Config) StoreName() string {
	name, err := parseStore(c.withDefaults().Store)
	if err != nil {
		return ""
	}
	return name.String()
}

// CheckStore returns what keeps the servers of a store on Redis from serving it,
// nil for any other store. It creates and changes nothing.
func (c Config) CheckStore(ctx context.Context) error {
	name, err := parseStore(c.withDefaults().Store)
	if err != nil || name.redis == nil {
		return err
	}
	d, err := name.durability(c.Durability)
	if err != nil {
		return err
	}
	return redis.Check(ctx, name.redis, redis.Options{Durability: d, Logger: c.withDefaults().Logger})
}

// openStore opens the store, and tells what an acknowledged job survives.
func (a *App) openStore(ctx context.Context) (*store.Store, string, error) {
	name, err := parseStore(a.config.Store)
	if err != nil {
		return nil, "", err
	}
	e, durability, err := a.openEngine(ctx, name)
	if err != nil {
		return nil, "", err
	}
	a.onClose("store", func(context.Context) error { return e.Close() })
	return store.New(a.metrics.MeterEngine(e), store.IdempotencyTTL(a.config.IdempotencyTTL)), durability, nil
}

func (a *App) openEngine(ctx context.Context, name storeName) (engine.Engine, string, error) {
	options := pebble.Options{Shards: a.config.Shards, MustExist: a.config.StoreMustExist, Logger: a.log, Now: a.config.Now}
	switch {
	case name.redis != nil:
		return a.openRedis(ctx, name)
	case name.memory:
		e, err := pebble.OpenMemory(options)
		return e, "memory", err
	}
	e, err := pebble.Open(name.dir, options)
	return e, "fsync", err
}

func (a *App) openRedis(ctx context.Context, name storeName) (engine.Engine, string, error) {
	d, err := name.durability(a.config.Durability)
	if err != nil {
		return nil, "", err
	}
	e, err := redis.Open(ctx, name.redis, redis.Options{
		Shards: a.config.Shards, MustExist: a.config.StoreMustExist, Durability: d, Logger: a.log, Now: a.config.Now,
	})
	if err != nil {
		return nil, "", err
	}
	a.lock = e.Lock("leader", cluster.LeaderLease)
	return e, d.String(), nil
}

// MissingShards returns the shards of a store on Redis whose records are missing, and
// what is left of each. With accept they are begun anew, from what is left where that
// is whole, else empty. Servers may run meanwhile; none is started.
func (c Config) MissingShards(ctx context.Context, accept bool) ([]redis.Missing, error) {
	name, err := parseStore(c.withDefaults().Store)
	switch {
	case err != nil:
		return nil, err
	case name.redis == nil:
		return nil, fmt.Errorf("%s loses no shard by itself: restore a backup of it", name)
	}
	e, err := redis.Open(ctx, name.redis, redis.Options{MustExist: true, Durability: redis.DurableMemory, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	defer e.Close()
	missing, err := e.Missing(ctx)
	if err != nil || !accept {
		return missing, err
	}
	accepted := missing[:0]
	for _, m := range missing {
		was, err := e.AcceptLoss(ctx, m.Shard)
		if err != nil {
			return accepted, err
		}
		if was != nil { // else somebody was quicker
			accepted = append(accepted, *was)
		}
	}
	return accepted, nil
}
