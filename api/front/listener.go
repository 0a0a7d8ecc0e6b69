package front

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// Options are what a Listener is made of; all must be set.
type Options struct {
	// Handler serves the plain requests, and should be that of the http.Server. It
	// must not keep a request, its header or its body after it has returned; strings
	// in them may be kept.
	Handler http.Handler
	// Targets are the paths that are served here, without a query.
	Targets []string
	// IdleTimeout closes a connection on which nothing has come for so long after
	// an answer; FirstTimeout one on which nothing has come at all.
	IdleTimeout, FirstTimeout time.Duration
	// WriteTimeout bounds the time from a request to its answer's last byte.
	WriteTimeout time.Duration
	// Log is told of panics that the handler has let through.
	Log *slog.Logger
}

// Listener accepts connections and serves the plain requests on them; Accept
// returns the connections that have others, to be served by an http.Server. It
// may be used concurrently.
type Listener struct {
	o       Options
	inner   net.Listener
	targets map[string]*url.URL // by request line
	dates   dates

	ctx    context.Context // of all requests; ends with Abort
	cancel context.CancelFunc
	handed chan net.Conn
	failed chan error
	closed chan struct{}
	once   sync.Once

	mu      sync.Mutex
	conns   map[*conn]struct{}
	serving sync.WaitGroup
}

// Listen puts a Listener in front of inner, which it closes with itself.
func Listen(inner net.Listener, o Options) *Listener {
	l := &Listener{
		o: o, inner: inner, targets: make(map[string]*url.URL, len(o.Targets)),
		handed: make(chan net.Conn), failed: make(chan error), closed: make(chan struct{}),
		conns: make(map[*conn]struct{}),
	}
	for _, path := range o.Targets {
		l.targets["POST "+path+" HTTP/1.1"] = &url.URL{Path: path}
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.serving.Go(l.acceptAll)
	return l
}

// Accept returns the next connection that is not to be served here, or an error
// of the listener behind.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.handed:
		return c, nil
	case err := <-l.failed:
		return nil, err
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// acceptAll serves what the listener behind accepts. Its errors are for whoever
// accepts: that is who knows when to try again, and no try is made before.
func (l *Listener) acceptAll() {
	for {
		raw, err := l.inner.Accept()
		if err == nil {
			l.start(raw)
			continue
		}
		select {
		case l.failed <- err:
		case <-l.closed:
			return
		}
	}
}

func (l *Listener) start(raw net.Conn) {
	c := newConn(l, raw)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isClosed() {
		raw.Close()
		return
	}
	l.conns[c] = struct{}{}
	l.serving.Go(c.serve)
}

// handOver gives a connection away, or closes it where nobody accepts any more.
func (l *Listener) handOver(c net.Conn) {
	select {
	case l.handed <- c:
	case <-l.closed:
		c.Close()
	}
}

func (l *Listener) forget(c *conn) {
	l.mu.Lock()
	delete(l.conns, c)
	l.mu.Unlock()
}

func (l *Listener) isClosed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}

// Addr returns the address that is listened on.
func (l *Listener) Addr() net.Addr { return l.inner.Addr() }

// Close ends accepting and closes the connections on which no request is being
// served; the others are closed when they have answered. It may be called more
// than once.
func (l *Listener) Close() error {
	var err error
	l.once.Do(func() {
		l.mu.Lock() // so that start sees it, or is seen
		close(l.closed)
		for c := range l.conns {
			c.closeIdle()
		}
		l.mu.Unlock()
		err = l.inner.Close()
	})
	return err
}

// Drain closes the listener and waits until its last request is answered. Where
// ctx ends before, their contexts are cancelled, their connections are closed, and
// the error is that of ctx; handlers may then still be running.
func (l *Listener) Drain(ctx context.Context) error {
	closed := l.Close()
	done := make(chan struct{})
	go func() { l.serving.Wait(); close(done) }()
	select {
	case <-done:
		l.cancel()
		return closed
	case <-ctx.Done():
		l.abort()
		return errors.Join(closed, ctx.Err())
	}
}

func (l *Listener) abort() {
	l.cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		c.raw.Close()
	}
}
