package app

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/orchestrix/orchestrix/cluster"
	"github.com/orchestrix/orchestrix/control"
	"github.com/orchestrix/orchestrix/dispatcher"
	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
	"github.com/orchestrix/orchestrix/store/engine/pebble"
	"github.com/orchestrix/orchestrix/store/sealed"
	"github.com/orchestrix/orchestrix/webhook/push"
)

// Config is what a coordinator is assembled from. The zero value of a field
// means its default, which Defaults holds.
type Config struct {
	// Store names the storage: "embedded:<directory>", "memory:" which survives
	// nothing, or a Redis URL (redis.Parse). It may hold a password: StoreName does
	// not show it.
	Store string
	// StoreMustExist refuses to begin an empty store where there is none. It has no
	// effect on "memory:".
	StoreMustExist bool
	// Durability is what a write to Redis waits for (redis.ParseDurability); ""
	// means "aof". The other stores have their own and take none.
	Durability string
	// Shards is the shard count of a new store, 1 to 4096; 0 accepts what an
	// existing store has, and makes a new one with 64.
	Shards int
	// Listen is the address of the API, host and port; port 0 takes a free one.
	// Any other than a loopback address needs a root key.
	Listen string
	// TLSCert and TLSKey are PEM files; with both of them the API speaks HTTPS.
	TLSCert, TLSKey string
	// RootKey is the key that may do everything; RootKeyFile is a file that holds
	// it. Without one, and on loopback only, no key is asked for.
	RootKey, RootKeyFile string
	// SecretKeyFile is a file of keys (sealed.ParseKeyring) that encrypt the
	// documents of the store, secrets among them; without one they are plain.
	SecretKeyFile string
	// Roles are what the node does: cluster.RoleAPI, RoleDispatch or, by default, both.
	// One alone needs a store that other nodes use too.
	Roles []string
	// AllowCIDR are the networks that pushes may go to although they are not
	// public, such as "10.0.0.0/8" or "127.0.0.1/32".
	AllowCIDR []string
	// EgressProxy is the proxy that pushes go through (push.ParseProxy); without
	// one they go directly. The environment's proxies are not used.
	EgressProxy string
	// PublicURL is where workers reach this server, to report on attempts that they have
	// taken over: http or https, without a path's end. Empty means the address it
	// listens on where that is loopback, and otherwise that no attempt can be taken over.
	PublicURL string
	// DrainGrace bounds how long Run waits at its end for the pushes under way.
	DrainGrace time.Duration
	// MaxPayload bounds a job's payload in bytes, up to 8 MiB.
	MaxPayload int
	// MaxInFlight bounds the pushes under way at once, over all queues.
	MaxInFlight int
	// WindowBytes bounds the payloads of ready jobs that are kept in memory; the
	// rest waits in the store.
	WindowBytes int
	// QueueConcurrency is that of a queue which has none configured.
	QueueConcurrency int
	// MaxSchedules is how many schedules the store may have.
	MaxSchedules int
	// Timeout bounds an attempt where neither job nor worker says otherwise, 1s
	// to 1h.
	Timeout time.Duration
	// Retention is how long an ended job is kept whose queue says nothing else, at
	// least a minute; RetentionDead is the same for a dead one, which is never kept
	// for a shorter time than the others.
	Retention, RetentionDead time.Duration
	// IdempotencyTTL is how long an idempotency key is held after its job ended.
	IdempotencyTTL time.Duration
	// Version stands in the user agent of pushes and in the API's description.
	Version string
	// Logger gets the log; nil discards it.
	Logger *slog.Logger
	// Now is the store's clock; nil means time.Now. It is for tests: deadlines of
	// pushes are those of the real clock.
	Now func() time.Time
}

// Defaults returns the configuration of a server that was told nothing.
func Defaults() Config {
	return Config{
		Store:            "embedded:./data",
		Listen:           "127.0.0.1:8080",
		Roles:            []string{string(cluster.RoleAPI), string(cluster.RoleDispatch)},
		DrainGrace:       30 * time.Second,
		MaxPayload:       control.DefaultMaxPayload,
		MaxInFlight:      dispatcher.DefaultMaxInFlight,
		WindowBytes:      dispatcher.DefaultWindowBytes,
		QueueConcurrency: control.DefaultQueueConcurrency,
		MaxSchedules:     control.DefaultMaxSchedules,
		Timeout:          control.DefaultTimeout,
		Retention:        control.DefaultRetention,
		RetentionDead:    control.DefaultDeadRetention,
		IdempotencyTTL:   24 * time.Hour,
		Version:          "dev",
		Logger:           slog.New(slog.DiscardHandler),
	}
}

func (c Config) withDefaults() Config {
	d := Defaults()
	or(&c.Store, d.Store)
	or(&c.Listen, d.Listen)
	or(&c.DrainGrace, d.DrainGrace)
	if len(c.Roles) == 0 {
		c.Roles = d.Roles
	}
	or(&c.MaxPayload, d.MaxPayload)
	or(&c.MaxInFlight, d.MaxInFlight)
	or(&c.WindowBytes, d.WindowBytes)
	or(&c.QueueConcurrency, d.QueueConcurrency)
	or(&c.MaxSchedules, d.MaxSchedules)
	or(&c.Timeout, d.Timeout)
	or(&c.Retention, d.Retention)
	or(&c.RetentionDead, d.RetentionDead)
	or(&c.IdempotencyTTL, d.IdempotencyTTL)
	or(&c.Version, d.Version)
	or(&c.Logger, d.Logger)
	return c
}

func or[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// The bounds of a configuration.
const (
	maxPayload      = engine.MaxValue
	minWindow       = 1 << 20
	minRetention    = time.Minute
	maxMaxInFlight  = 100_000
	maxDrainGrace   = time.Hour
	maxIdempotency  = 365 * 24 * time.Hour
	maxMaxSchedules = 10_000_000
	maxQueueAtOnce  = control.MaxQueueConcurrency
	storeForms      = `"embedded:<directory>", "memory:" or "redis://<host>:<port>" (also redis-sentinel, redis-cluster, and rediss for TLS)`
	generateRootKey = "export ORCHESTRIX_ROOT_KEY=$(orchestrix api-keys generate) && orchestrix serve --listen "
)

// Validate returns everything that is wrong with the configuration, each with
// what would be right, in the words of the flags.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if name, err := parseStore(c.Store); err != nil {
		errs = append(errs, err)
	} else if _, err := name.durability(c.Durability); err != nil {
		errs = append(errs, err)
	}
	if err := c.checkRoles(); err != nil {
		errs = append(errs, err)
	}
	if _, err := c.prefixes(); err != nil {
		errs = append(errs, err)
	}
	if _, err := c.proxy(); err != nil {
		errs = append(errs, err)
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		bad("--tls-cert and --tls-key must be given together")
	}
	if _, err := c.keyring(); err != nil {
		errs = append(errs, err)
	}
	within := func(flag string, value, low, high int64) {
		if value < low || value > high {
			bad("--%s must be from %d to %d", flag, low, high)
		}
	}
	within("shards", int64(c.Shards), 0, pebble.MaxShards)
	within("max-payload", int64(c.MaxPayload), 1, maxPayload)
	within("max-in-flight", int64(c.MaxInFlight), 1, maxMaxInFlight)
	within("queue-concurrency", int64(c.QueueConcurrency), 1, maxQueueAtOnce)
	within("max-schedules", int64(c.MaxSchedules), 1, maxMaxSchedules)
	within("window-bytes", int64(c.WindowBytes), minWindow, 1<<40)
	between := func(flag string, value, low, high time.Duration) {
		if value < low || value > high {
			bad("--%s must be from %s to %s", flag, job.Duration(low), job.Duration(high))
		}
	}
	between("timeout", c.Timeout, control.MinTimeout.Std(), control.MaxTimeout.Std())
	between("drain-grace", c.DrainGrace, time.Millisecond, maxDrainGrace)
	between("retention", c.Retention, minRetention, control.MaxRetention.Std())
	between("retention-dead", c.RetentionDead, minRetention, control.MaxRetention.Std())
	between("idempotency-ttl", c.IdempotencyTTL, time.Second, maxIdempotency)
	if err := c.validateListen(); err != nil {
		errs = append(errs, err)
	}
	if err := c.checkPublicURL(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// roles returns the parsed Roles, which are valid.
func (c Config) roles() []cluster.Role {
	roles := make([]cluster.Role, len(c.Roles))
	for i, r := range c.Roles {
		roles[i] = cluster.Role(r)
	}
	return roles
}

func (c Config) checkRoles() error {
	for i, r := range c.Roles {
		if !slices.Contains(cluster.Roles(), cluster.Role(r)) || slices.Contains(c.Roles[:i], r) {
			return fmt.Errorf("--roles %s must be api, dispatch or api,dispatch", strings.Join(c.Roles, ","))
		}
	}
	if len(c.Roles) < len(cluster.Roles()) && !c.shared() {
		return fmt.Errorf("--roles %s is for one node of several: a store that one process uses needs both api and dispatch", strings.Join(c.Roles, ","))
	}
	return nil
}

// shared reports whether other nodes may use the store too.
func (c Config) shared() bool {
	name, err := parseStore(c.Store)
	return err == nil && name.redis != nil
}

func (c Config) validateListen() error {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("--listen %q must be host:port, such as 127.0.0.1:8080", c.Listen)
	}
	key, err := c.rootKey()
	switch {
	case err != nil:
		return err
	case key != "":
		return control.CheckRootKey(key)
	case !isLoopback(host):
		return fmt.Errorf("--listen %s can be reached from other machines, and there is no root key: anyone could push to your network through it. Use:\n  %s%s",
			c.Listen, generateRootKey, c.Listen)
	}
	return nil
}

// isLoopback reports whether a host to listen on can only be reached from this
// machine. A name other than localhost may resolve to anything.
func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// rootKey returns the root key, from the file where one is named.
func (c Config) rootKey() (string, error) {
	if c.RootKeyFile == "" {
		return c.RootKey, nil
	}
	if c.RootKey != "" {
		return "", errors.New("give either a root key (ORCHESTRIX_ROOT_KEY) or --root-key-file, not both")
	}
	data, err := os.ReadFile(c.RootKeyFile)
	if err != nil {
		return "", fmt.Errorf("--root-key-file: %w", err)
	}
	key := strings.TrimSpace(string(data))
	if key == "" {
		return "", fmt.Errorf("--root-key-file %s is empty; fill it with: orchestrix api-keys generate > %s", c.RootKeyFile, c.RootKeyFile)
	}
	return key, nil
}

// keyring returns the keys that seal documents, nil where there are none.
func (c Config) keyring() (*sealed.Keyring, error) {
	if c.SecretKeyFile == "" {
		return nil, nil
	}
	ring, err := sealed.ReadKeyring(c.SecretKeyFile)
	if err != nil {
		return nil, fmt.Errorf("--secret-key-file: %w", err)
	}
	return ring, nil
}

func (c Config) prefixes() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range c.AllowCIDR {
		p, err := netip.ParsePrefix(strings.TrimSpace(text))
		if err != nil {
			return nil, fmt.Errorf("--allow-cidr %q must be an address and a length, such as 10.0.0.0/8 or 127.0.0.1/32", text)
		}
		out = append(out, p)
	}
	return out, nil
}

func (c Config) proxy() (*push.Proxy, error) {
	if c.EgressProxy == "" {
		return nil, nil
	}
	p, err := push.ParseProxy(c.EgressProxy)
	if err != nil {
		return nil, fmt.Errorf("--egress-proxy %w", err)
	}
	return p, nil
}
