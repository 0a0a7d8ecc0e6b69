package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/orchestrix/orchestrix/store/engine"
)

// leastVersion is the oldest Redis that the scripts run on, and are tried on.
const leastVersion = 7

// Check returns what keeps the servers at target from serving a store with these
// options; nil where nothing does. It opens and creates none.
func Check(ctx context.Context, target *Target, o Options) error {
	o, err := o.withDefaults()
	if err != nil {
		return err
	}
	e := unopened(target, o)
	return errors.Join(e.check(ctx), e.Close())
}

// check refuses servers that would lose what they acknowledge, or that are not
// what the URL says. INFO tells it all; CONFIG is forbidden on many managed
// servers.
func (e *Engine) check(ctx context.Context) error {
	err := e.servers.each(ctx, func(ctx context.Context, c *redis.Client) error {
		info, err := c.Info(ctx).Result()
		if err != nil {
			return e.classify(ctx, err)
		}
		return e.checkServer(infoFields(info))
	})
	switch {
	case err != nil && strings.Contains(err.Error(), "cluster support disabled"):
		return fmt.Errorf("open %s: %w", e.servers.target, errStandalone)
	case err != nil:
		return fmt.Errorf("open %s: %w", e.servers.target, err)
	}
	return e.probe(ctx)
}

// errStandalone is what a cluster's client is told by a server that is no part of
// one, which then has no slots to look at.
var errStandalone = errors.New("the server is no part of a Redis Cluster: begin the URL with redis://")

func (e *Engine) checkServer(info map[string]string) error {
	major, _, _ := strings.Cut(info["redis_version"], ".")
	if version, err := strconv.Atoi(major); err != nil || version < leastVersion {
		return fmt.Errorf("the server is Redis %s; %d.0 or newer is needed", info["redis_version"], leastVersion)
	}
	switch mode := info["redis_mode"]; {
	case mode == "cluster" && e.servers.cluster == nil:
		return errors.New("the server is part of a Redis Cluster: begin the URL with redis-cluster://")
	case mode == "sentinel":
		return errors.New("the server is a Sentinel: begin the URL with redis-sentinel://, and name the master behind the hosts")
	}
	if policy := info["maxmemory_policy"]; policy != "noeviction" {
		return fmt.Errorf("the server evicts keys when its memory is full, which loses jobs (maxmemory-policy is %q): set maxmemory-policy noeviction", policy)
	}
	if info["role"] != "master" {
		return fmt.Errorf("%w: the server is a replica: name its primary, or use redis-sentinel://", engine.ErrUnavailable)
	}
	if e.durability == DurableAOF && info["aof_enabled"] != "1" {
		return errors.New("the server keeps no append-only file, so that a restart loses acknowledged jobs: " +
			"set appendonly yes, or accept the loss with --durability memory, or wait for replicas with --durability replicas=N")
	}
	if replicas, _ := strconv.Atoi(info["connected_slaves"]); replicas < e.durability.replicas {
		e.log.Warn("the store has fewer replicas than writes wait for: no write will be acknowledged until there are more",
			"replicas", replicas, "durability", e.durability.String())
	}
	return nil
}

var probeScript = source("probe")

// source returns the text of a script that stands by itself.
func source(name string) string {
	text, err := sources.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err) // not embedded: the program was built wrong
	}
	return string(text)
}

// probe tries what the scripts do.
func (e *Engine) probe(ctx context.Context) error {
	tag := "{" + e.servers.target.prefix + "}:probe:"
	eval := redis.NewCmd(ctx, "EVAL", probeScript, 3, tag+"text", tag+"hash", tag+"set", keysOf(e.servers.target.prefix, 0).channel)
	if err := e.servers.do(ctx, tag, eval); err != nil {
		return fmt.Errorf("open %s: the server does not run what the store needs; see its user's permissions (ACL): %w",
			e.servers.target, e.classify(ctx, err))
	}
	return nil
}
