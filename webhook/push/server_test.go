package push

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// rawServer is a worker that speaks bytes, so that it can misbehave.
type rawServer struct {
	url      string
	conns    atomic.Int32
	requests atomic.Int32
	open     atomic.Int32
	maxOpen  atomic.Int32
}

// serveRaw runs serve for each connection until it returns. All connections
// are closed, and serve has returned, when the test ends.
func serveRaw(t testing.TB, serve func(w *rawServer, c net.Conn, r *bufio.Reader)) *rawServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveListener(t, l, "http://"+l.Addr().String(), serve)
}

func serveListener(t testing.TB, l net.Listener, url string, serve func(w *rawServer, c net.Conn, r *bufio.Reader)) *rawServer {
	w := &rawServer{url: url}
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		conns []net.Conn
	)
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			w.conns.Add(1)
			w.maxOpen.Store(max(w.maxOpen.Load(), w.open.Add(1)))
			wg.Go(func() {
				defer c.Close()
				defer w.open.Add(-1)
				serve(w, c, bufio.NewReader(c))
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return w
}

// readRequest reads one request whole; nil at the connection's end.
func (w *rawServer) readRequest(r *bufio.Reader) (*http.Request, []byte) {
	q, err := http.ReadRequest(r)
	if err != nil {
		return nil, nil
	}
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return nil, nil
	}
	w.requests.Add(1)
	return q, body
}

// answerWith gives the same answer to every request; with closes the connection
// is closed behind it.
func answerWith(answer string, closes bool) func(*rawServer, net.Conn, *bufio.Reader) {
	return func(w *rawServer, c net.Conn, r *bufio.Reader) {
		for {
			if q, _ := w.readRequest(r); q == nil {
				return
			}
			if _, err := io.WriteString(c, answer); err != nil || closes {
				return
			}
		}
	}
}

// hang waits until the client closes the connection.
func hang(r io.Reader) { io.Copy(io.Discard, r) }

// reset makes the next Close of c send RST.
func reset(c net.Conn) { c.(*net.TCPConn).SetLinger(0) }

// crlf writes an answer's lines with their line ends, the last one the body.
func crlf(lines ...string) string { return strings.Join(lines, "\r\n") }

func repeated(s string, n int) string { return string(bytes.Repeat([]byte(s), n)) }
