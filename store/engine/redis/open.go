package redis

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/orchestrix/orchestrix/store/engine"
)

// openTimeout bounds Open as a whole.
const openTimeout = 30 * time.Second

// atOnce is how many shards are looked at together when a store is opened.
const atOnce = 16

// Open opens the store at target, or creates one where there is none. It refuses
// servers that would lose what they acknowledge: see Options.Durability. Several
// processes may create a store at once: all of them open the same one.
//
// The error matches engine.ErrUnavailable where the servers cannot be reached or
// cannot serve for now, and engine.ErrCorrupt where what is stored is damaged.
func Open(ctx context.Context, target *Target, o Options) (*Engine, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	e := unopened(target, o)
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if err := e.start(ctx, o); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// unopened is an engine of which nothing is known but where it is.
func unopened(target *Target, o Options) *Engine {
	quietClient()
	e := &Engine{
		servers: connect(target), durability: o.Durability, log: o.Logger,
		clock: clock{fixed: o.Now},
	}
	e.hints = newHints(e.servers.subscribe)
	e.writers.New = func() any { return &batchWriter{seen: map[uint64]struct{}{}} }
	return e
}

func (e *Engine) start(ctx context.Context, o Options) error {
	if err := e.check(ctx); err != nil {
		return err
	}
	r, err := e.load(ctx, o)
	if err != nil {
		return fmt.Errorf("open %s: %w", e.servers.target, err)
	}
	e.keys = make([]shardKeys, r.shards)
	for n := range e.keys {
		e.keys[n] = keysOf(e.servers.target.prefix, n)
	}
	if !r.ready {
		if err := e.create(ctx, r); err != nil {
			return fmt.Errorf("create %s: %w", e.servers.target, err)
		}
	}
	if err := e.readHeads(ctx); err != nil {
		return fmt.Errorf("open %s: %w", e.servers.target, err)
	}
	r.ready = true // by now, if not by us
	e.identity.record = r
	return nil
}

// load reads the store's record, or writes that of a new store.
func (e *Engine) load(ctx context.Context, o Options) (storeRecord, error) {
	text, err := e.record(ctx)
	if err != nil {
		return storeRecord{}, err
	}
	if text == "" {
		if o.MustExist {
			return storeRecord{}, errors.New("there is no store: what was there is lost, or the address, the database or the prefix is another; " +
				"put the data back, or leave --store-must-exist out to begin an empty one")
		}
		if text, err = e.begin(ctx, o); err != nil {
			return storeRecord{}, err
		}
	}
	r, err := parseStoreRecord(text)
	if err != nil {
		return r, fmt.Errorf("%w: %w", engine.ErrCorrupt, err)
	}
	if r.layout > layoutVersion {
		return r, r.tooNew()
	}
	if o.Shards != 0 && o.Shards != r.shards {
		return r, fmt.Errorf("%w: the store has %d shards, which cannot be changed to %d: leave the number out, or create a new store under another prefix",
			engine.ErrInvalid, r.shards, o.Shards)
	}
	return r, nil
}

// record returns the store's record, "" where there is none.
func (e *Engine) record(ctx context.Context) (string, error) {
	key := storeKey(e.servers.target.prefix)
	get := redis.NewStringCmd(ctx, "GET", key)
	if err := e.servers.do(ctx, key, get); err != nil && !errors.Is(err, redis.Nil) {
		return "", e.classify(ctx, err)
	}
	return get.Val(), nil
}

// begin writes the record of a store that is being created, and returns it, or the
// one that another process was quicker to write.
func (e *Engine) begin(ctx context.Context, o Options) (string, error) {
	now, err := e.time(ctx)
	if err != nil {
		return "", err
	}
	r := storeRecord{layout: layoutVersion, shards: o.Shards, created: now}
	if r.shards == 0 {
		r.shards = DefaultShards
	}
	if _, err := e.setNew(ctx, storeKey(e.servers.target.prefix), r.String()); err != nil {
		return "", err
	}
	return e.record(ctx)
}

// setNew sets a key that is absent.
func (e *Engine) setNew(ctx context.Context, key, value string) (set bool, err error) {
	cmd := redis.NewStatusCmd(ctx, "SET", key, value, "NX")
	if err := e.servers.do(ctx, key, cmd); err != nil && !errors.Is(err, redis.Nil) {
		return false, e.classify(ctx, err)
	}
	return cmd.Val() == "OK", nil
}

// create writes the heads of a store that is being created, and then that it is
// ready. Each step may be repeated and may be another process's: until the store
// is ready nobody writes a head but so.
func (e *Engine) create(ctx context.Context, r storeRecord) error {
	var old atomic.Int32
	err := e.eachShard(ctx, func(ctx context.Context, n int) error {
		key := e.keys[n].head
		set, err := e.setNew(ctx, key, newHead)
		if err != nil || set {
			return err
		}
		head, err := e.head(ctx, n)
		if err == nil && head != newHead {
			old.Add(1)
		}
		return err
	})
	if err != nil {
		return err
	}
	if old.Load() > 0 {
		// Written by who was ready before us, or by a store whose record is lost.
		text, err := e.record(ctx)
		if err != nil {
			return err
		}
		if now, err := parseStoreRecord(text); err != nil || !now.ready {
			return fmt.Errorf("%w: there are shards, but the store's record is missing: nothing was changed in them; restore the server's data, or use another prefix", engine.ErrCorrupt)
		}
		return nil
	}
	r.ready = true
	key := storeKey(e.servers.target.prefix)
	set := redis.NewStatusCmd(ctx, "SET", key, r.String(), "XX")
	if err := e.servers.do(ctx, key, set); err != nil {
		return e.classify(ctx, err)
	}
	e.log.Info("store: a new, empty one was created", "store", e.servers.target.String(), "shards", r.shards)
	return nil
}

// readHeads carries time on from the latest head, and tells which are missing.
func (e *Engine) readHeads(ctx context.Context) error {
	return e.eachShard(ctx, func(ctx context.Context, n int) error {
		text, err := e.head(ctx, n)
		if err != nil {
			return err
		}
		if text == "" {
			e.log.Error("store: a shard's record is missing; the shard is not served: put the data back, or see orchestrix store accept-loss",
				"store", e.servers.target.String(), "shard", n)
			return nil
		}
		_, written, err := decodeHead([]byte(text))
		if err != nil {
			return fmt.Errorf("shard %d: %w", n, err)
		}
		e.clock.raise(written)
		return nil
	})
}

// head returns a shard's head as stored, "" where it is missing.
func (e *Engine) head(ctx context.Context, n int) (string, error) {
	get := redis.NewStringCmd(ctx, "GET", e.keys[n].head)
	if err := e.servers.do(ctx, e.keys[n].head, get); err != nil && !errors.Is(err, redis.Nil) {
		return "", e.classify(ctx, err)
	}
	return get.Val(), nil
}

func (e *Engine) eachShard(ctx context.Context, f func(ctx context.Context, n int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for n := range e.keys {
		g.Go(func() error { return f(ctx, n) })
	}
	return g.Wait()
}
