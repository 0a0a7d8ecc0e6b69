package push

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/job"
)

// stuck are workers that hold a push up in each of its phases. reached gets a
// value when the push is there.
var stuck = map[string]struct {
	tls   bool
	body  int
	serve func(c net.Conn, r *bufio.Reader, reached chan<- struct{})
	phase string
}{
	"handshake": {true, 2, func(_ net.Conn, r *bufio.Reader, reached chan<- struct{}) { r.ReadByte(); reached <- struct{}{} }, "during the TLS handshake"},
	"sending":   {false, 32 << 20, func(_ net.Conn, r *bufio.Reader, reached chan<- struct{}) { r.ReadByte(); reached <- struct{}{} }, "while waiting for the answer"},
	"waiting":   {false, 2, func(_ net.Conn, r *bufio.Reader, reached chan<- struct{}) { r.ReadByte(); reached <- struct{}{} }, "while waiting for the answer"},
	"in the head": {false, 2, func(c net.Conn, r *bufio.Reader, reached chan<- struct{}) {
		r.ReadByte()
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-")
		reached <- struct{}{}
	}, "while waiting for the answer"},
	"in the body": {false, 2, func(c net.Conn, r *bufio.Reader, reached chan<- struct{}) {
		r.ReadByte()
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
		reached <- struct{}{}
	}, "answer"},
}

func TestCancel(t *testing.T) {
	t.Parallel()
	for name, s := range stuck {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, reached, _ := newStuck(t, s.tls, s.body, s.serve)
			ctx, cancel := context.WithCancelCause(context.Background())
			go func() {
				<-reached
				cancel(errors.New("asked by a client"))
			}()
			a := newClient(t, Options{}).Push(ctx, r)
			if a.Outcome != job.OutcomeCancelled || a.Reason != job.ReasonCancelled ||
				!strings.Contains(a.Error, s.phase) || !strings.HasSuffix(a.Error, ": asked by a client") {
				t.Errorf("got %+v", a)
			}
			if a.Duration > 10*time.Second {
				t.Errorf("took %s", a.Duration)
			}
			if a.Sent == s.tls {
				t.Errorf("sent: %v", a.Sent)
			}
		})
	}
}

func TestDeadline(t *testing.T) {
	t.Parallel()
	for name, s := range stuck {
		for _, by := range []string{"request", "context"} {
			t.Run(name+" by "+by, func(t *testing.T) {
				t.Parallel()
				r, _, address := newStuck(t, s.tls, s.body, s.serve)
				client := newClient(t, Options{})
				var a Answer
				// A busy machine may not come as far as it is to be stuck in 150 ms:
				// then it gets more.
				for limit := 150 * time.Millisecond; limit < 10*time.Second; limit *= 4 {
					a = pushWithin(client, r, by, limit)
					if strings.Contains(a.Error, s.phase) {
						break
					}
				}
				if a.Outcome != job.OutcomeTimedOut || a.Reason != job.ReasonTimeout ||
					!strings.Contains(a.Error, s.phase) || !strings.HasSuffix(a.Error, ": "+address) {
					t.Errorf("got %+v", a)
				}
				if a.Duration > 10*time.Second {
					t.Errorf("took %s", a.Duration)
				}
			})
		}
	}
}

// pushWithin pushes with a limit that the request's deadline or the context sets.
func pushWithin(client *Client, r *Request, by string, limit time.Duration) Answer {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if by == "context" {
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	} else {
		r.Deadline = time.Now().Add(limit)
	}
	return client.Push(ctx, r)
}

func newStuck(t *testing.T, tls bool, body int, serve func(net.Conn, *bufio.Reader, chan<- struct{})) (r *Request, reached chan struct{}, address string) {
	reached = make(chan struct{}, 10)
	done := make(chan struct{})
	server := serveRaw(t, func(_ *rawServer, c net.Conn, r *bufio.Reader) {
		serve(c, r, reached)
		<-done
	})
	t.Cleanup(func() { close(done) })
	url := server.url
	if tls {
		url = strings.Replace(url, "http:", "https:", 1)
	}
	d := newDestination(t, url)
	return newRequest(d, repeated("x", body)), reached, d.Address()
}

// A push that has no time left, or is cancelled already, does not even dial.
func TestEndedBeforehand(t *testing.T) {
	t.Parallel()
	server := serveRaw(t, answerWith(okAnswer, false))
	client, d := newClient(t, Options{}), newDestination(t, server.url)
	r := newRequest(d, "{}")
	r.Deadline = time.Now().Add(-time.Second)
	if a := client.Push(context.Background(), r); a.Outcome != job.OutcomeTimedOut || a.Sent {
		t.Errorf("got %+v", a)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if a := client.Push(ctx, newRequest(d, "{}")); a.Outcome != job.OutcomeCancelled || a.Sent {
		t.Errorf("got %+v", a)
	}
	if n := server.conns.Load(); n != 0 {
		t.Errorf("%d connections", n)
	}
}

// Resolving is part of the push: it ends with it.
func TestCancelWhileResolving(t *testing.T) {
	t.Parallel()
	client := newClient(t, Options{})
	asked := make(chan struct{}, 10)
	client.dialer.Resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		asked <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	d := newDestination(t, "http://worker.example")
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-asked
		cancel()
	}()
	if a := client.Push(ctx, newRequest(d, "{}")); a.Outcome != job.OutcomeCancelled || a.Error != "cancelled while connecting" {
		t.Errorf("got %+v", a)
	}
	r := newRequest(d, "{}")
	r.Deadline = time.Now().Add(30 * time.Millisecond)
	if a := client.Push(context.Background(), r); a.Outcome != job.OutcomeTimedOut || !strings.Contains(a.Error, "while connecting") {
		t.Errorf("got %+v", a)
	}
}

func TestDialTimeout(t *testing.T) {
	t.Parallel()
	r, _, _ := newStuck(t, true, 2, stuck["handshake"].serve)
	a := newClient(t, Options{DialTimeout: 30 * time.Millisecond}).Push(context.Background(), r)
	if a.Outcome != job.OutcomeTimedOut || a.Duration > 10*time.Second {
		t.Errorf("got %+v", a)
	}
}

// A cancelled push leaves no connection that the next one would use.
func TestCancelledConnectionIsClosed(t *testing.T) {
	t.Parallel()
	reached := make(chan struct{}, 10)
	server := serveRaw(t, func(w *rawServer, c net.Conn, r *bufio.Reader) {
		if w.conns.Load() == 1 {
			w.readRequest(r)
			reached <- struct{}{}
			hang(r)
			return
		}
		answerWith(okAnswer, false)(w, c, r)
	})
	client, d := newClient(t, Options{}), newDestination(t, server.url)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-reached
		cancel()
	}()
	if a := client.Push(ctx, newRequest(d, "{}")); a.Outcome != job.OutcomeCancelled {
		t.Errorf("got %+v", a)
	}
	pushOK(t, client, d)
	if n := server.conns.Load(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}

// Once its context has ended, a connection may be aborted at any moment: it is
// not kept, whole as it may be.
func TestEndedContextSpoilsTheConnection(t *testing.T) {
	t.Parallel()
	server := serveRaw(t, answerWith(okAnswer, false))
	client := newClient(t, Options{})
	ctx, cancel := context.WithCancel(context.Background())
	r := newRequest(newDestination(t, server.url), "{}")
	r.Before = func() error { cancel(); return errors.New("no") }
	if a := client.Push(ctx, r); a.Outcome != job.OutcomeLost {
		t.Errorf("got %+v", a)
	}
	if client.pool.idle != 0 {
		t.Error("the connection was kept")
	}
}

func TestConnectFailures(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	a := newClient(t, Options{}).Push(context.Background(), newRequest(newDestination(t, "http://"+address+"/x?token=s3cret"), "{}"))
	if a.Outcome != job.OutcomeFailed || a.Reason != job.ReasonConnect || a.Error != "connection refused: "+address || a.Sent {
		t.Errorf("got %+v", a)
	}
}

// What has arrived is read although the push was aborted: it may say that the worker has
// taken the attempt over. Nothing more is written.
func TestAbortReadsWhatHasArrived(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	near, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := newConn(near)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	far, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	if _, err := io.WriteString(far, "202"); err != nil {
		t.Fatal(err)
	}
	c.abort()
	if _, err := c.Write([]byte("more")); !isTimeout(err) {
		t.Errorf("a write after it: %v", err)
	}
	got := make([]byte, 3)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "202" {
		t.Errorf("read %q, %v", got, err)
	}
	if _, err := c.Read(got); !isTimeout(err) {
		t.Errorf("a read of what never comes: %v", err)
	}
}
