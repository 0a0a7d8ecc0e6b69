package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// dialTimeout bounds how long a connection may take to come about.
const dialTimeout = 5 * time.Second

// maxRedirects is how often a call follows a slot that is being moved.
const maxRedirects = 3

// maxAside bounds the clients of nodes that answers pointed to: over the months the
// addresses of a cluster may be ever new ones.
const maxAside = 32

// servers are the connections to where a store is. A command is sent once: what
// may have been carried out is not for the client to repeat. Only an answer that
// says that nothing was done, and where to go, is followed.
type servers struct {
	target  *Target
	primary *redis.Client        // of one server, or of Sentinels
	cluster *redis.ClusterClient // else

	mu    sync.Mutex
	aside map[string]*redis.Client // nodes that answers pointed to
	shut  bool
}

func connect(t *Target) *servers {
	s := &servers{target: t, aside: map[string]*redis.Client{}}
	switch t.kind {
	case single:
		s.primary = redis.NewClient(t.options(t.addresses[0]))
	case sentinel:
		o := t.options("")
		s.primary = redis.NewFailoverClient(&redis.FailoverOptions{
			MasterName: t.master, SentinelAddrs: t.addresses,
			SentinelUsername: t.sentinelUsername, SentinelPassword: t.sentinelPassword,
			Username: o.Username, Password: o.Password, DB: o.DB, TLSConfig: o.TLSConfig,
			Protocol: o.Protocol, DisableIdentity: o.DisableIdentity, ContextTimeoutEnabled: o.ContextTimeoutEnabled,
			MaxRetries: o.MaxRetries, DialerRetries: o.DialerRetries, DialTimeout: o.DialTimeout,
			ReadTimeout: o.ReadTimeout, WriteTimeout: o.WriteTimeout, PoolSize: o.PoolSize, PoolTimeout: o.PoolTimeout,
		})
	case cluster:
		o := t.options("")
		s.cluster = redis.NewClusterClient(&redis.ClusterOptions{
			Addrs: t.addresses, MaxRedirects: -1,
			Username: o.Username, Password: o.Password, TLSConfig: o.TLSConfig,
			Protocol: o.Protocol, DisableIdentity: o.DisableIdentity, ContextTimeoutEnabled: o.ContextTimeoutEnabled,
			MaxRetries: o.MaxRetries, DialerRetries: o.DialerRetries, DialTimeout: o.DialTimeout,
			ReadTimeout: o.ReadTimeout, WriteTimeout: o.WriteTimeout, PoolSize: o.PoolSize, PoolTimeout: o.PoolTimeout,
			MaintNotificationsConfig: o.MaintNotificationsConfig,
		})
	}
	return s
}

// options are those of a connection to one server.
func (t *Target) options(address string) *redis.Options {
	return &redis.Options{
		Addr: address, Username: t.username, Password: t.password, DB: t.database, TLSConfig: t.tls,
		Protocol: 2, DisableIdentity: true, ContextTimeoutEnabled: true,
		MaxRetries: -1, DialerRetries: 1, DialTimeout: dialTimeout,
		ReadTimeout: t.timeout, WriteTimeout: t.timeout, PoolSize: t.pool, PoolTimeout: t.timeout,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

// do sends commands on one connection to the primary that has key. Each command
// keeps its own answer; the error is the first of them.
func (s *servers) do(ctx context.Context, key string, commands ...redis.Cmder) error {
	c, err := s.primaryOf(ctx, key)
	if err != nil {
		return err
	}
	asking := false
	for redirects := 0; ; redirects++ {
		err = send(ctx, c, asking, commands)
		if err == nil || s.cluster == nil {
			return err
		}
		var address string
		if address, asking = redirection(err); address == "" || redirects == maxRedirects {
			if !isAnyReply(err) {
				s.cluster.ReloadState(ctx) // the node may have been replaced
			}
			return err
		}
		if !asking {
			s.cluster.ReloadState(ctx)
		}
		if c, err = s.at(address); err != nil {
			return err
		}
	}
}

func (s *servers) primaryOf(ctx context.Context, key string) (*redis.Client, error) {
	if s.cluster == nil {
		return s.primary, nil
	}
	return s.cluster.MasterForKey(ctx, key)
}

func send(ctx context.Context, c *redis.Client, asking bool, commands []redis.Cmder) error {
	if len(commands) == 1 && !asking {
		return c.Process(ctx, commands[0])
	}
	pipe := c.Pipeline()
	if asking {
		pipe.Do(ctx, "ASKING")
	}
	for _, command := range commands {
		if err := pipe.Process(ctx, command); err != nil {
			return err
		}
	}
	_, err := pipe.Exec(ctx)
	return err
}

// redirection returns where an answer points to: "MOVED 3999 10.0.0.1:6381" for
// good, "ASK ..." for this one call.
func redirection(err error) (address string, asking bool) {
	moved := isReply(err, "MOVED")
	if asking = isReply(err, "ASK"); !moved && !asking {
		return "", false
	}
	words := strings.Fields(err.Error())
	if len(words) < 3 || strings.HasPrefix(words[2], ":") {
		return "", false
	}
	return words[2], asking
}

func isAnyReply(err error) bool { return errors.As(err, new(redis.Error)) }

// at returns a client of the node with the address.
func (s *servers) at(address string) (*redis.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shut {
		return nil, redis.ErrClosed
	}
	c := s.aside[address]
	if c == nil {
		if len(s.aside) == maxAside {
			for a, old := range s.aside {
				old.Close() // a call that is under way there is one without an answer
				delete(s.aside, a)
			}
		}
		c = redis.NewClient(s.target.options(address))
		s.aside[address] = c
	}
	return c, nil
}

// each calls f for every primary, one after the other.
func (s *servers) each(ctx context.Context, f func(ctx context.Context, c *redis.Client) error) error {
	if s.cluster == nil {
		return f(ctx, s.primary)
	}
	var turn sync.Mutex
	return s.cluster.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error {
		turn.Lock()
		defer turn.Unlock()
		if err := f(ctx, c); err != nil {
			return fmt.Errorf("%s: %w", c.Options().Addr, err)
		}
		return nil
	})
}

// subscribe returns a subscription to no channel yet.
func (s *servers) subscribe(ctx context.Context) *redis.PubSub {
	if s.cluster == nil {
		return s.primary.Subscribe(ctx)
	}
	return s.cluster.Subscribe(ctx)
}

func (s *servers) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shut = true
	var errs []error
	for _, c := range s.aside {
		errs = append(errs, c.Close())
	}
	if s.cluster != nil {
		return errors.Join(append(errs, s.cluster.Close())...)
	}
	return errors.Join(append(errs, s.primary.Close())...)
}
