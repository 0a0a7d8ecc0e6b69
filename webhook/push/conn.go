package push

import (
	"context"
	"crypto/tls"
	"net"
	"syscall"
	"time"
)

// conn is a connection to a worker. It is used by one push at a time.
type conn struct {
	net.Conn          // TLS or plain
	plain    net.Conn // the TCP connection beneath
	host     *host

	sys     syscall.RawConn
	probe   func(fd uintptr) bool
	probed  error
	scratch [1]byte

	abort func() // ends all writes at once, and reads after a last look

	// Of an idle connection: since when, and its neighbours by that time.
	idleSince  time.Time
	prev, next *conn
}

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// lastLook is how long an aborted push goes on to read. A worker may just have answered
// that it takes the attempt over: then it has to be told of the cancel, since the end of
// a request that it has answered tells it nothing.
const lastLook = 100 * time.Millisecond

func newConn(plain net.Conn) (*conn, error) {
	c := &conn{Conn: plain, plain: plain}
	// Not Close: it would wait for a write of TLS under way.
	c.abort = func() {
		plain.SetWriteDeadline(longAgo)
		plain.SetReadDeadline(time.Now().Add(lastLook))
	}
	c.probe = c.probeFD
	if s, ok := plain.(syscall.Conn); ok {
		var err error
		if c.sys, err = s.SyscallConn(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// close ends the connection without TLS's farewell, for which it would wait.
func (c *conn) close() { c.plain.Close() }

// usable reports whether an idle connection may carry a push, and gives it the
// push's deadline.
func (c *conn) usable(deadline time.Time) bool {
	if c.Conn != c.plain && !c.quietTLS() {
		return false
	}
	return c.plain.SetDeadline(deadline) == nil && c.quiet()
}

// quietTLS looks for what TLS has read ahead: a close_notify that came with the
// last answer, say. With a deadline in the past nothing new is read.
func (c *conn) quietTLS() bool {
	if c.plain.SetReadDeadline(longAgo) != nil {
		return false
	}
	n, err := c.Conn.Read(c.scratch[:])
	return n == 0 && isTimeout(err)
}

// dial connects to the destination within the deadline, the guard judging each
// address, and sets the deadline on the connection.
func (x *exchange) dial(ctx context.Context) (*conn, error) {
	limit := x.deadline
	if d := time.Now().Add(x.client.dialTimeout); d.Before(limit) {
		limit = d
	}
	ctx, cancel := context.WithDeadline(ctx, limit)
	defer cancel()
	t := x.request.Destination.target
	plain, err := x.client.connect(ctx, "tcp", t.address())
	if err != nil {
		return nil, err
	}
	c, err := newConn(plain)
	if err == nil && t.tls {
		x.phase = phaseHandshake
		err = c.handshake(ctx, x.client.tlsFor(x.request.Destination))
	}
	if err == nil {
		err = plain.SetDeadline(x.deadline)
	}
	if err != nil {
		plain.Close()
		return nil, err
	}
	return c, nil
}

func (c *conn) handshake(ctx context.Context, config *tls.Config) error {
	secured := tls.Client(c.plain, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		return err
	}
	c.Conn = secured
	return nil
}
