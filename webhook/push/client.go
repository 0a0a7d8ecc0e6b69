package push

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"time"
)

// Options configures a Client. The zero value of each field is its default.
type Options struct {
	// Guard judges every address that is dialled; nil means NewGuard(nil, false).
	Guard *Guard
	// Proxy is what connections are made through; nil means directly. What the
	// environment says of proxies is not used.
	Proxy *Proxy
	// RootCAs are the authorities whose certificates are trusted; nil means the
	// system's.
	RootCAs *x509.CertPool
	// MaxIdle bounds the idle connections of all hosts; 0 means DefaultMaxIdle.
	MaxIdle int
	// MaxIdlePerHost bounds those of one host; 0 means DefaultMaxIdlePerHost.
	MaxIdlePerHost int
	// MaxConnsPerHost bounds all connections of one host; a push over it waits
	// within its own deadline. 0 means no bound.
	MaxConnsPerHost int
	// IdleTimeout closes a connection that was idle for so long; 0 means
	// DefaultIdleTimeout.
	IdleTimeout time.Duration
	// DialTimeout bounds resolving, connecting and the TLS handshake together,
	// within the push's deadline; 0 means DefaultDialTimeout.
	DialTimeout time.Duration
	// UserAgent is sent with each push; empty means "Orchestrix".
	UserAgent string
	// Now is the clock of timestamps, Started, Duration and the ends of access
	// tokens; nil means time.Now.
	// Deadlines are those of the real clock.
	Now func() time.Time
}

// The defaults of Options.
const (
	DefaultMaxIdle        = 2048
	DefaultMaxIdlePerHost = 2048
	DefaultIdleTimeout    = 30 * time.Second
	DefaultDialTimeout    = 10 * time.Second
	defaultUserAgent      = "Orchestrix"
	// maxSessions is how many hosts' TLS sessions are kept, which make the next
	// handshake cheap.
	maxSessions = 256
)

// Client pushes jobs to workers and keeps connections to them. It may be used
// concurrently. It has no goroutine of its own, but one while it asks a token
// endpoint.
type Client struct {
	dialer      net.Dialer
	guard       *Guard
	proxy       *Proxy
	dialTimeout time.Duration
	tls         *tls.Config
	userAgent   string
	now         func() time.Time
	pool        pool
	// life ends with Close; calls of token endpoints are made within it.
	life        context.Context
	end         context.CancelFunc
	tokenClient *http.Client
}

// New returns a client. It panics where UserAgent is not valid in a header,
// since that is a constant of the program.
func New(o Options) *Client {
	o = o.withDefaults()
	if !isFieldValue(o.UserAgent) {
		panic("push: invalid user agent")
	}
	c := &Client{
		dialer:      net.Dialer{Control: o.Guard.control},
		guard:       o.Guard,
		proxy:       o.Proxy,
		dialTimeout: o.DialTimeout,
		tls: &tls.Config{
			MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, RootCAs: o.RootCAs,
			ClientSessionCache: tls.NewLRUClientSessionCache(maxSessions),
		},
		userAgent: o.UserAgent,
		now:       o.Now,
		pool: pool{
			maxIdle: o.MaxIdle, maxIdlePerHost: o.MaxIdlePerHost, maxPerHost: o.MaxConnsPerHost,
			idleTimeout: o.IdleTimeout, hosts: make(map[string]*host),
		},
	}
	c.life, c.end = context.WithCancel(context.Background())
	c.tokenClient = c.newTokenClient()
	return c
}

func (o Options) withDefaults() Options {
	if o.Guard == nil {
		o.Guard = NewGuard(nil, false)
	}
	if o.MaxIdle <= 0 {
		o.MaxIdle = DefaultMaxIdle
	}
	if o.MaxIdlePerHost <= 0 {
		o.MaxIdlePerHost = DefaultMaxIdlePerHost
	}
	if o.IdleTimeout <= 0 {
		o.IdleTimeout = DefaultIdleTimeout
	}
	if o.DialTimeout <= 0 {
		o.DialTimeout = DefaultDialTimeout
	}
	if o.UserAgent == "" {
		o.UserAgent = defaultUserAgent
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Close closes the idle connections. Pushes under way go on, theirs are closed
// as they end; a later Push is cancelled with job.ReasonShutdown. It may be
// called more than once.
func (c *Client) Close() {
	c.end()
	c.pool.close()
}

// Push sends the request once and reads the answer. It returns when the answer
// is complete, the deadline has passed or ctx has ended, whichever is first,
// and always with an Outcome: what went wrong is in the Answer.
func (c *Client) Push(ctx context.Context, r *Request) Answer {
	x := newExchange(c, r)
	defer x.free()
	a := Answer{Started: x.started}
	err := x.run(ctx, &a)
	ended := c.now()
	a.Sent, a.Duration = x.sent, max(ended.Sub(x.started), 0)
	if err != nil {
		x.failure(ctx, err, &a)
	} else {
		a.judge(&x.head, r, ended)
	}
	if x.token != "" && a.StatusCode == http.StatusUnauthorized {
		r.Destination.tokens.refused(x.token, ended)
	}
	return a
}
