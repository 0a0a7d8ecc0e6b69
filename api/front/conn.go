package front

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"
)

const (
	// firstBuffer holds most requests whole; up to maxBuffer is kept between them.
	firstBuffer = 4 << 10
	maxBuffer   = 16 << 10
	// maxHead bounds the request line and headers of a plain request, and maxBody
	// its body: for what is longer it does not matter what the server takes.
	maxHead = 8 << 10
	maxBody = 64 << 10
	// patience is how long the rest of a request may take that has begun.
	patience = 5 * time.Second
	// slack is how much shorter than configured a deadline may be, so that most
	// requests need not set it anew.
	slack = 5 * time.Second
)

// The states of a connection.
const (
	idle   = iota // nothing of the next request has come
	busy          // a request has begun, or is being served
	closed        // while idle
)

// conn is a connection with all that its requests need, used for one after the
// other.
type conn struct {
	l     *Listener
	raw   net.Conn
	state atomic.Int32
	// The deadlines that are set.
	readBy, writeBy time.Time
	served          bool // a request at least

	buf      []byte
	begin, n int // buf[begin:n] was read and not served
	request  request
	response response
}

func newConn(l *Listener, raw net.Conn) *conn {
	c := &conn{l: l, raw: raw, buf: make([]byte, firstBuffer)}
	c.request.base.RemoteAddr = raw.RemoteAddr().String()
	c.request.base = *c.request.base.WithContext(l.ctx)
	c.response.header = make(http.Header)
	return c
}

// serve serves requests until one is not plain, or the connection ends.
func (c *conn) serve() {
	defer c.l.forget(c)
	for {
		switch c.next() {
		case plain:
			if !c.answer() {
				c.raw.Close()
				return
			}
		case foreign:
			c.raw.SetDeadline(time.Time{})
			c.l.handOver(&resumed{c.raw, c.buf[c.begin:c.n]})
			return
		default:
			c.raw.Close()
			return
		}
	}
}

// next reads until the next request is there. It returns plain, foreign, or
// incomplete where the connection has ended before anything came.
func (c *conn) next() verdict {
	c.request.reset()
	c.shift()
	for begun := c.n > 0; ; {
		if c.n > 0 {
			if v := c.request.parse(c.buf[:c.n], c.l.targets); v != incomplete {
				return v
			}
			if c.n == len(c.buf) || c.request.size() > len(c.buf) {
				c.grow()
			}
		}
		c.readUntil(begun)
		m, err := c.raw.Read(c.buf[c.n:])
		if !begun && !c.state.CompareAndSwap(idle, busy) {
			return incomplete
		}
		begun = true
		if c.n += m; err == nil {
			continue
		}
		if c.n == 0 {
			return incomplete
		}
		return foreign // half a request, or a slow one
	}
}

// shift moves what was read behind the last request to the front.
func (c *conn) shift() {
	if c.n > c.begin {
		copy(c.buf, c.buf[c.begin:c.n])
	}
	c.n -= c.begin
	c.begin = 0
	if len(c.buf) > maxBuffer && c.n <= firstBuffer {
		c.buf = append(make([]byte, 0, firstBuffer), c.buf[:c.n]...)[:firstBuffer]
	}
}

// grow makes room for the request: for all of it where its length is known.
func (c *conn) grow() {
	size := max(2*len(c.buf), c.request.size())
	c.buf = append(make([]byte, 0, size), c.buf...)[:size]
}

// readUntil sets the deadline of the next read, unless the one that is set will
// do.
func (c *conn) readUntil(begun bool) {
	now := time.Now()
	wait := c.l.o.IdleTimeout
	switch {
	case begun:
		if c.readBy.Sub(now) <= patience {
			return // the request's own
		}
		wait = patience
	case !c.served:
		wait = c.l.o.FirstTimeout
	case c.readBy.Sub(now) > wait-slack:
		return
	}
	c.readBy = now.Add(wait)
	c.raw.SetReadDeadline(c.readBy)
}

// answer has the request served and writes the answer. It reports whether the
// connection can be used again.
func (c *conn) answer() bool {
	now := time.Now()
	if c.writeBy.Sub(now) < c.l.o.WriteTimeout-slack {
		c.writeBy = now.Add(c.l.o.WriteTimeout)
		c.raw.SetWriteDeadline(c.writeBy)
	}
	r := &c.response
	r.reset()
	if !c.handle() {
		return false
	}
	c.begin, c.served = c.request.size(), true
	last := r.closes() || c.l.isClosed()
	if _, err := c.raw.Write(r.text(c.l.dates.at(now), last)); err != nil || last {
		return false
	}
	if c.n > c.begin {
		return true // the next request has begun
	}
	c.state.Store(idle)
	return !c.l.isClosed() || !c.state.CompareAndSwap(idle, closed)
}

// handle calls the handler. It reports false where the handler has panicked: the
// connection is then closed, as http.Server does.
func (c *conn) handle() (ok bool) {
	defer func() {
		p := recover()
		if err, is := p.(error); p != nil && !(is && errors.Is(err, http.ErrAbortHandler)) {
			c.l.o.Log.Error("panic while serving a request", slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
		}
	}()
	c.l.o.Handler.ServeHTTP(&c.response, c.request.use(c.buf))
	return true
}

// closeIdle closes the connection unless a request has begun.
func (c *conn) closeIdle() {
	if c.state.CompareAndSwap(idle, closed) {
		c.raw.Close()
	}
}

// resumed is a connection of which the first bytes were read already.
type resumed struct {
	net.Conn
	rest []byte
}

// Read implements net.Conn.
func (r *resumed) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return r.Conn.Read(p)
	}
	n := copy(p, r.rest)
	if r.rest = r.rest[n:]; len(r.rest) == 0 {
		r.rest = nil
	}
	return n, nil
}
