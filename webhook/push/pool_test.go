package push

import (
	"bufio"
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/orchestrix/orchestrix/job"
)

func pushOK(t testing.TB, c *Client, d *Destination) {
	t.Helper()
	if a := c.Push(context.Background(), newRequest(d, "{}")); a.Outcome != job.OutcomeSucceeded {
		t.Fatalf("got %s, %s: %s", a.Outcome, a.Reason, a.Error)
	}
}

func TestKeepAlive(t *testing.T) {
	t.Parallel()
	server := serveRaw(t, answerWith(okAnswer, false))
	client, d := newClient(t, Options{}), newDestination(t, server.url)
	for range 50 {
		pushOK(t, client, d)
	}
	if n := server.conns.Load(); n != 1 {
		t.Errorf("%d connections for 50 pushes, want 1", n)
	}
}

// Idle connections close by themselves, and then nothing ticks any more.
func TestIdleTimeout(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	server := serveRaw(t, func(w *rawServer, c net.Conn, r *bufio.Reader) {
		w.readRequest(r)
		io.WriteString(c, okAnswer)
		hang(r)
		close(ended)
	})
	client := newClient(t, Options{IdleTimeout: 30 * time.Millisecond})
	pushOK(t, client, newDestination(t, server.url))
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Fatal("the idle connection was not closed")
	}
	client.pool.mu.Lock()
	defer client.pool.mu.Unlock()
	if client.pool.timer != nil || len(client.pool.hosts) != 0 || client.pool.idle != 0 {
		t.Errorf("left: timer %v, hosts %d, idle %d", client.pool.timer, len(client.pool.hosts), client.pool.idle)
	}
}

// A host has no more connections than it may; the others wait their turn.
func TestMaxConnsPerHost(t *testing.T) {
	t.Parallel()
	server := serveRaw(t, answerWith(okAnswer, false))
	client, d := newClient(t, Options{MaxConnsPerHost: 3}), newDestination(t, server.url)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range 10 {
				pushOK(t, client, d)
			}
		})
	}
	wg.Wait()
	if n := server.maxOpen.Load(); n > 3 {
		t.Errorf("%d connections at once, want at most 3", n)
	}
}

// Who waits for a connection in vain ends with its deadline or its context.
func TestWaitingForAConnection(t *testing.T) {
	t.Parallel()
	reached, release := make(chan struct{}, 1), make(chan struct{})
	server := serveRaw(t, func(w *rawServer, c net.Conn, r *bufio.Reader) {
		for {
			if q, _ := w.readRequest(r); q == nil {
				return
			}
			select {
			case reached <- struct{}{}:
			default:
			}
			<-release
			io.WriteString(c, okAnswer)
		}
	})
	client, d := newClient(t, Options{MaxConnsPerHost: 1}), newDestination(t, server.url)
	first := make(chan Answer, 1)
	go func() { first <- client.Push(context.Background(), newRequest(d, "{}")) }()
	<-reached
	late := newRequest(d, "{}")
	late.Deadline = time.Now().Add(20 * time.Millisecond)
	if a := client.Push(context.Background(), late); a.Outcome != job.OutcomeTimedOut || a.Sent {
		t.Errorf("got %+v", a)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if a := client.Push(ctx, newRequest(d, "{}")); a.Outcome != job.OutcomeTimedOut || a.Sent {
		t.Errorf("got %+v", a)
	}
	ctx, cancel = context.WithCancel(context.Background())
	time.AfterFunc(20*time.Millisecond, cancel)
	if a := client.Push(ctx, newRequest(d, "{}")); a.Outcome != job.OutcomeCancelled || a.Sent {
		t.Errorf("got %+v", a)
	}
	close(release)
	if a := <-first; a.Outcome != job.OutcomeSucceeded {
		t.Errorf("got %+v", a)
	}
	pushOK(t, client, d)
}

func TestClose(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{}, 1)
	server := serveRaw(t, func(w *rawServer, c net.Conn, r *bufio.Reader) {
		w.readRequest(r)
		io.WriteString(c, okAnswer)
		hang(r)
		ended <- struct{}{}
	})
	client, d := newClient(t, Options{}), newDestination(t, server.url)
	pushOK(t, client, d)
	client.Close()
	client.Close()
	<-ended
	a := client.Push(context.Background(), newRequest(d, "{}"))
	if a.Outcome != job.OutcomeCancelled || a.Reason != job.ReasonShutdown || a.Sent {
		t.Errorf("got %+v", a)
	}
}

// A push under way when the client is closed goes on; its connection is not
// kept.
func TestCloseDuringAPush(t *testing.T) {
	t.Parallel()
	reached, release, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	server := serveRaw(t, func(w *rawServer, c net.Conn, r *bufio.Reader) {
		w.readRequest(r)
		close(reached)
		<-release
		io.WriteString(c, okAnswer)
		hang(r)
		close(ended)
	})
	client := newClient(t, Options{})
	go func() {
		<-reached
		client.Close()
		close(release)
	}()
	pushOK(t, client, newDestination(t, server.url))
	<-ended
}

// pipes are connections for a pool without sockets.
func pipes(t *testing.T, n int) []*conn {
	conns := make([]*conn, n)
	for i := range conns {
		here, there := net.Pipe()
		t.Cleanup(func() { here.Close(); there.Close() })
		c, err := newConn(here)
		if err != nil {
			t.Fatal(err)
		}
		conns[i] = c
	}
	return conns
}

func isClosed(c *conn) bool { return c.plain.SetDeadline(time.Time{}) != nil }

func newPool(maxIdle, perHost int, timeout time.Duration) *pool {
	return &pool{maxIdle: maxIdle, maxIdlePerHost: perHost, idleTimeout: timeout, hosts: make(map[string]*host)}
}

func putIdle(t *testing.T, p *pool, key string, c *conn) {
	t.Helper()
	h, err := p.enter(context.Background(), key, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	p.leave(h, c)
}

// Each connection is closed when its own time is over, not before.
func TestSweep(t *testing.T) {
	t.Parallel()
	conns := pipes(t, 3)
	synctest.Test(t, func(t *testing.T) {
		p := newPool(10, 10, time.Minute)
		defer p.close()
		for i, c := range conns {
			putIdle(t, p, []string{"a", "b", "a"}[i], c)
			time.Sleep(20 * time.Second)
		}
		for i, c := range conns { // now 60 s after the first
			synctest.Wait()
			if !isClosed(c) || i < 2 && isClosed(conns[i+1]) {
				t.Errorf("after %d s: closed %v %v %v", 60+20*i, isClosed(conns[0]), isClosed(conns[1]), isClosed(conns[2]))
			}
			time.Sleep(20 * time.Second)
		}
	})
}

func TestPoolBounds(t *testing.T) {
	t.Parallel()
	conns := pipes(t, 4)
	p := newPool(2, 1, time.Hour)
	defer p.close()
	putIdle(t, p, "a", conns[0])
	putIdle(t, p, "a", conns[1]) // over the host's bound: the new one goes
	putIdle(t, p, "b", conns[2])
	putIdle(t, p, "c", conns[3]) // over the pool's bound: the oldest goes
	for i, want := range []bool{true, true, false, false} {
		if isClosed(conns[i]) != want {
			t.Errorf("connection %d: closed %v, want %v", i, !want, want)
		}
	}
	if len(p.hosts) != 2 || p.idle != 2 {
		t.Errorf("%d hosts, %d idle, want 2 and 2", len(p.hosts), p.idle)
	}
}

// The pool against the plainest model of it, under random calls.
func TestPoolModel(t *testing.T) {
	t.Parallel()
	conns := pipes(t, 400)
	rapid.Check(t, func(r *rapid.T) {
		maxIdle, perHost := rapid.IntRange(1, 6).Draw(r, "maxIdle"), rapid.IntRange(1, 4).Draw(r, "perHost")
		p := newPool(maxIdle, perHost, time.Hour)
		defer p.close()
		type idle struct {
			key  string
			conn *conn
		}
		var model []idle // oldest first
		next := 0
		fresh := func() *conn { // a copy: the pipes are shared by all runs
			c := *conns[next%len(conns)]
			c.plain = nopCloser{}
			next++
			return &c
		}
		for range rapid.IntRange(1, 60).Draw(r, "steps") {
			key := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(r, "host")
			h, err := p.enter(context.Background(), key, time.Time{})
			if err != nil {
				r.Fatal(err)
			}
			var want *conn
			for i := len(model) - 1; i >= 0; i-- {
				if model[i].key == key {
					want = model[i].conn
					model = append(model[:i:i], model[i+1:]...)
					break
				}
			}
			c := p.take(h)
			if c != want {
				r.Fatalf("took %p, want %p", c, want)
			}
			if c == nil {
				c = fresh()
			}
			if !rapid.Bool().Draw(r, "keep") {
				p.leave(h, nil)
				continue
			}
			// A second one of the same host, so that its stack grows.
			h2, _ := p.enter(context.Background(), key, time.Time{})
			for _, put := range []struct {
				h *host
				c *conn
			}{{h, c}, {h2, fresh()}} {
				p.leave(put.h, put.c)
				n := 0
				for _, m := range model {
					if m.key == key {
						n++
					}
				}
				if n >= perHost {
					continue
				}
				if len(model) >= maxIdle {
					model = model[1:]
				}
				model = append(model, idle{key, put.c})
			}
			if p.idle != len(model) {
				r.Fatalf("%d idle, want %d", p.idle, len(model))
			}
			hosts := map[string]bool{}
			for _, m := range model {
				hosts[m.key] = true
			}
			if len(p.hosts) != len(hosts) {
				r.Fatalf("%d hosts, want %d", len(p.hosts), len(hosts))
			}
		}
	})
}

type nopCloser struct{ net.Conn }

func (nopCloser) Close() error { return nil }
