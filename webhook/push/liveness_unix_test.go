//go:build unix

package push

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

// An idle connection that was closed, reset or spoken on is not used again.
func TestDeadIdleConnections(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(c net.Conn){
		"closed":     func(c net.Conn) { c.Close() },
		"reset":      func(c net.Conn) { reset(c); c.Close() },
		"half-close": func(c net.Conn) { c.(*net.TCPConn).CloseWrite() },
		"spoken on":  func(c net.Conn) { io.WriteString(c, "HTTP/1.1 200 Poisoned\r\nContent-Length: 0\r\n\r\n") },
		"one byte":   func(c net.Conn) { io.WriteString(c, "\x00") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conns := make(chan net.Conn, 100)
			server := serveRaw(t, func(w *rawServer, c net.Conn, r *bufio.Reader) {
				w.readRequest(r)
				io.WriteString(c, okAnswer)
				conns <- c
				hang(r)
			})
			client, d := newClient(t, Options{}), newDestination(t, server.url)
			for range 10 {
				pushOK(t, client, d)
				spoil(<-conns)
				awaitReadable(t, client.pool.newest)
			}
			if n := server.conns.Load(); n != 10 {
				t.Errorf("%d connections, want 10", n)
			}
		})
	}
}

// awaitReadable waits until what the other side did has arrived.
func awaitReadable(t *testing.T, c *conn) {
	t.Helper()
	c.plain.SetReadDeadline(time.Now().Add(10 * time.Second))
	err := c.sys.Read(readable)
	if err != nil {
		t.Fatal(err)
	}
}

// readable reports whether a read of the socket would not block.
func readable(fd uintptr) bool {
	var b [1]byte
	_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return err != syscall.EAGAIN
}

// A worker may say goodbye in TLS right behind an answer, where no look at the
// socket would show it.
func TestTLSGoodbyeIsSeen(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	server := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, nil)}}, func(w *rawServer, c net.Conn, r *bufio.Reader) {
		w.readRequest(r)
		io.WriteString(c, okAnswer)
		c.(*tls.Conn).CloseWrite()
		hang(r)
	})
	client, d := newClient(t, Options{RootCAs: ca.pool}), newDestination(t, server.url)
	for i := range 10 {
		if i > 0 {
			awaitReadableTLS(t, client.pool.newest)
		}
		pushOK(t, client, d)
	}
	if n := server.conns.Load(); n != 10 {
		t.Errorf("%d connections, want 10", n)
	}
}

// awaitReadableTLS waits until the goodbye is on this side: in the socket, or
// read ahead with the answer.
func awaitReadableTLS(t *testing.T, c *conn) {
	t.Helper()
	if c != nil && c.quietTLS() {
		awaitReadable(t, c)
	}
}
