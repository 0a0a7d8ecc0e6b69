package push

import (
	"context"
	"errors"
	"sync"
	"time"
)

// maxInline is how long a body may be to be copied behind the head and written
// with it in one call. A longer one is written by a goroutine while the answer
// is read: a worker may answer, and stop reading, before it has all.
const maxInline = 16 << 10

// exchange is the state of one push. Its buffers are reused.
type exchange struct {
	client   *Client
	request  *Request
	started  time.Time
	deadline time.Time
	phase    phase
	sent     bool
	token    string // the access token that is sent, of type oauth2
	trace    *Trace

	out   []byte // the head, and the body where it is short
	lines []byte // what is signed of the headers
	in    reader
	head  head
}

var exchanges = sync.Pool{New: func() any { return new(exchange) }}

func newExchange(c *Client, r *Request) *exchange {
	x := exchanges.Get().(*exchange)
	x.client, x.request, x.started = c, r, c.now()
	x.deadline = r.Deadline
	if x.deadline.IsZero() {
		x.deadline = time.Now().Add(DefaultTimeout)
	}
	x.phase, x.sent, x.head, x.token, x.trace = phaseConnecting, false, head{}, "", r.Trace
	return x
}

// free returns the buffers for reuse, but for those that one push made large.
func (x *exchange) free() {
	x.client, x.request, x.in.src, x.token, x.trace = nil, nil, nil, "", nil
	if cap(x.out) > 4*maxInline {
		x.out = nil
	}
	if len(x.in.buf) > firstRead {
		x.in.buf = nil
	}
	exchanges.Put(x)
}

// run carries the push out on a connection of the pool, or on a new one.
func (x *exchange) run(ctx context.Context, a *Answer) error {
	if x.request.Destination == nil {
		return invalidRequest{errNoTarget}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := x.authenticate(ctx); err != nil {
		return err
	}
	pool := &x.client.pool
	h, err := pool.enter(ctx, x.request.Destination.target.key, x.deadline)
	if err != nil {
		return err
	}
	c, err := x.connect(ctx, h)
	if err != nil {
		pool.leave(h, nil)
		return err
	}
	stop := func() bool { return true }
	if ctx.Done() != nil {
		stop = context.AfterFunc(ctx, c.abort)
	}
	keep, err := x.converse(c, a)
	if !stop() || !keep {
		c.close()
		c = nil
	}
	pool.leave(h, c)
	return err
}

// authenticate gets the access token before the connection: to wait for it must
// not keep one from other pushes.
func (x *exchange) authenticate(ctx context.Context) (err error) {
	if t := x.request.Destination.tokens; t != nil {
		x.token, err = t.get(ctx, x.client, x.deadline)
	}
	return err
}

func (x *exchange) connect(ctx context.Context, h *host) (*conn, error) {
	for c := x.client.pool.take(h); c != nil; c = x.client.pool.take(h) {
		if c.usable(x.deadline) {
			return c, nil
		}
		c.close()
	}
	return x.dial(ctx)
}

// converse sends the request and reads the answer. It reports whether the
// connection may be used again.
func (x *exchange) converse(c *conn, a *Answer) (keep bool, err error) {
	x.phase = phaseSending
	x.out, x.lines, err = x.request.appendHead(x.out[:0], x.lines[:0], x.client.userAgent, x.token, x.client.now(), x.deadline)
	if err != nil {
		return true, invalidRequest{err}
	}
	if t := x.trace; t != nil {
		t.Request = fieldsOf(x.out)
	}
	if before := x.request.Before; before != nil {
		if err := before(); err != nil {
			return true, abandoned{err}
		}
	}
	x.in.reset(c)
	if len(x.request.Body) > maxInline {
		return x.sendLong(c, a)
	}
	return x.sendShort(c, a)
}

func (x *exchange) sendShort(c *conn, a *Answer) (keep bool, err error) {
	x.out = append(x.out, x.request.Body...)
	n, failed := c.Write(x.out)
	x.sent = n > 0
	if failed == nil {
		x.phase = phaseWaiting
	}
	// Even where the write failed, an answer may have come before.
	keep, err = x.readAnswer(a)
	if failed != nil && err != nil && !isBadAnswer(err) {
		return false, failed
	}
	return keep && failed == nil, err
}

func (x *exchange) sendLong(c *conn, a *Answer) (keep bool, err error) {
	w := startWriting(c, x.out, x.request.Body)
	x.phase = phaseWaiting
	keep, err = x.readAnswer(a)
	complete := w.stop()
	x.sent = w.wrote
	return keep && complete, err
}

func isBadAnswer(err error) bool {
	var bad badAnswer
	return errors.As(err, &bad)
}

// readAnswer reads up to the final answer's last byte.
func (x *exchange) readAnswer(a *Answer) (keep bool, err error) {
	if err := x.readHead(); err != nil {
		return false, err
	}
	x.phase = phaseReading
	a.StatusCode, a.ContentType = x.head.status, x.head.contentType
	if x.head.status == 101 {
		return false, badAnswer("it switches protocols, which nobody asked for")
	}
	framed := true
	if x.head.hasBody() {
		if framed, err = x.readBody(a); err != nil {
			return false, err
		}
	}
	return framed && !x.head.closes && !x.head.http10 && x.in.buffered() == 0, nil
}

// readHead skips interim answers: 100 and 103 may come unasked.
func (x *exchange) readHead() error {
	for range maxInterim + 1 {
		data, err := x.in.head()
		if err != nil {
			return unexpected(err)
		}
		if err := x.head.parse(data); err != nil {
			return err
		}
		if x.head.status >= 200 || x.head.status == 101 {
			if t := x.trace; t != nil {
				t.Answer = fieldsOf(data)
			}
			return nil
		}
	}
	return badAnswer("it has too many 1xx answers before it")
}

// readBody reads what is kept of the body. It reports whether the next answer
// would begin where it stopped.
func (x *exchange) readBody(a *Answer) (framed bool, err error) {
	h := &x.head
	switch {
	case h.chunked:
		a.Body, a.Truncated, err = x.in.chunked(nil, MaxAnswerBody)
		return !a.Truncated, err
	case h.length >= 0:
		size := int(min(h.length, MaxAnswerBody))
		a.Truncated = h.length > MaxAnswerBody
		a.Body, err = x.in.exactly(make([]byte, 0, min(size, firstRead)), size)
		return !a.Truncated, err
	default:
		a.Body, a.Truncated, err = x.in.toEnd(nil, MaxAnswerBody)
		return false, err
	}
}
