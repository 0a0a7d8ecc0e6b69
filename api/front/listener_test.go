package front

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// stand is a Listener before an http.Server with the same handler.
type stand struct {
	t     testing.TB
	front *Listener
	http  *http.Server
	log   bytes.Buffer
	ended chan error
}

// newStand serves what inner accepts. front may be nil: then it is net/http alone.
func newStand(t testing.TB, inner net.Listener, h http.HandlerFunc, alone bool) *stand {
	t.Helper()
	s := &stand{t: t, http: &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}, ended: make(chan error, 1)}
	s.http.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	if !alone {
		s.front = Listen(inner, Options{
			Handler: h, Targets: []string{"/jobs"}, FirstTimeout: 10 * time.Second, IdleTimeout: time.Minute,
			WriteTimeout: time.Minute, Log: slog.New(slog.NewTextHandler(&s.log, nil)),
		})
		inner = s.front
	}
	go func() { s.ended <- s.http.Serve(inner) }()
	t.Cleanup(s.close)
	return s
}

func (s *stand) close() {
	s.http.Close()
	if s.front != nil {
		if err := s.front.Drain(context.Background()); err != nil {
			s.t.Error(err)
		}
	}
	if err := <-s.ended; !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		s.t.Error(err)
	}
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// peer is a client that sees every byte.
type peer struct {
	net.Conn
	t  testing.TB
	in *bufio.Reader
}

func dial(t testing.TB, addr net.Addr) *peer {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &peer{c, t, bufio.NewReader(c)}
}

func (p *peer) send(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p, text); err != nil {
		p.t.Fatal(err)
	}
}

// answer reads one answer: its status, its headers but for the date, its body.
func (p *peer) answer() string {
	p.t.Helper()
	resp, err := http.ReadResponse(p.in, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := http.ParseTime(resp.Header.Get("Date")); err != nil && resp.StatusCode < 400 {
		p.t.Errorf("date: %v", err)
	}
	resp.Header.Del("Date")
	return fmt.Sprintf("%s %v %d close=%v\n%s", resp.Status, sorted(resp.Header), resp.ContentLength, resp.Close, body)
}

// ended reports whether the server has closed the connection.
func (p *peer) ended() bool {
	_, err := p.in.ReadByte()
	return err != nil
}

func sorted(h http.Header) []string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(h)) {
		lines = append(lines, fmt.Sprintf("%s=%q", name, h[name]))
	}
	return lines
}

// tell answers with all that a handler can see of its request.
func tell(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	h := w.Header()
	h["Content-Type"], h["X-Twice"] = []string{"text/plain"}, []string{"a", "b\r\nX-Evil: c"}
	switch r.Header.Get("Answer") {
	case "close":
		h.Set("Connection", "close")
	case "none":
		w.WriteHeader(http.StatusNoContent)
		return
	case "early":
		w.WriteHeader(http.StatusAccepted)
		w.WriteHeader(http.StatusOK) // too late
	}
	fmt.Fprintf(w, "%s %s %s %s host=%s length=%d from=%t %v body=%d:%.20q %v", r.Method, r.URL, r.RequestURI, r.Proto, r.Host, r.ContentLength, r.RemoteAddr != "", sorted(r.Header), len(body), body, err)
}

// Nobody can tell from the outside, nor a handler from the inside, that this is
// not net/http alone: whatever comes in whatever order on one connection.
func TestAnswersAsNetHTTPDoes(t *testing.T) {
	t.Parallel()
	for name, requests := range map[string][]string{
		"plain":             {post(`{"a":1}`, "Content-Type: application/json", "accept: a", "Accept: b")},
		"kept alive":        {post("1"), post("22", "A: b"), post("333")},
		"long, then short":  {post(strings.Repeat("x", 40_000)), post("1"), post(strings.Repeat("y", 5_000)), post("1")},
		"too long for it":   {post("1"), post(strings.Repeat("x", maxBody+1)), post("1")},
		"other, then plain": {"GET /jobs?a=b HTTP/1.1\r\nHost: a\r\n\r\n", post("1")},
		"plain, then other": {post("1"), "GET /other HTTP/1.1\r\nHost: a\r\n\r\n", post("1")},
		"chunked":           {post("1"), "POST /jobs HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", post("1")},
		"status":            {post("1", "Answer: early"), post("1", "Answer: none"), post("1")},
		"handler closes":    {post("1"), post("1", "Answer: close")},
		"client closes":     {post("1"), post("1", "Connection: close")},
		"nonsense":          {post("1"), "POST /jobs HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}"},
		"no host":           {"POST /jobs HTTP/1.1\r\nContent-Length: 1\r\n\r\n1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var told [2][]string
			for i := range told {
				l := listen(t)
				newStand(t, l, tell, i == 1)
				p := dial(t, l.Addr())
				for _, r := range requests {
					p.send(r)
					told[i] = append(told[i], p.answer())
				}
				p.send(strings.Join(requests, "")) // and all at once
				for range requests {
					if strings.Contains(told[i][len(told[i])-1], "close=true") {
						break
					}
					told[i] = append(told[i], p.answer())
				}
			}
			if !slices.Equal(told[0], told[1]) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(told[0], "\n"), strings.Join(told[1], "\n"))
			}
		})
	}
}

func TestRequestsInPieces(t *testing.T) {
	t.Parallel()
	l := listen(t)
	newStand(t, l, tell, false)
	p := dial(t, l.Addr())
	text := post("hello") + post("world", "A: b") + "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	for _, b := range []byte(text) {
		p.send(string(b))
	}
	for _, want := range []string{`body=5:"hello"`, `body=5:"world"`, "GET / "} {
		if got := p.answer(); !strings.Contains(got, want) {
			t.Errorf("answer %q, want %s", got, want)
		}
	}
}

func TestPanics(t *testing.T) {
	t.Parallel()
	l := listen(t)
	s := newStand(t, l, func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Abort") != "" {
			panic(http.ErrAbortHandler)
		}
		panic("oops")
	}, false)
	for _, request := range []string{post("1", "Abort: yes"), post("1")} {
		p := dial(t, l.Addr())
		p.send(request)
		if !p.ended() {
			t.Error("the connection is still there after a panic")
		}
	}
	if err := s.front.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if text := s.log.String(); strings.Count(text, "panic=") != 1 || !strings.Contains(text, "panic=oops") {
		t.Errorf("log: %s", text)
	}
}

// gate is a handler that says that it was called and waits.
type gate struct{ entered, leave chan struct{} }

func newGate() gate { return gate{make(chan struct{}, 1), make(chan struct{})} }

func (g gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.entered <- struct{}{}
	select {
	case <-g.leave:
	case <-r.Context().Done():
	}
	tell(w, r)
}

func TestDrain(t *testing.T) {
	t.Parallel()
	l, g := listen(t), newGate()
	s := newStand(t, l, g.ServeHTTP, false)
	idle, fresh, busy := dial(t, l.Addr()), dial(t, l.Addr()), dial(t, l.Addr())
	idle.send(post("1"))
	<-g.entered
	g.leave <- struct{}{}
	idle.answer()
	busy.send(post("2"))
	<-g.entered

	drained := make(chan error, 1)
	go func() { drained <- s.front.Drain(context.Background()) }()
	if !idle.ended() || !fresh.ended() {
		t.Error("an idle connection outlives Close")
	}
	select {
	case err := <-drained:
		t.Fatalf("Drain = %v while a request is served", err)
	default:
	}
	close(g.leave)
	if got := busy.answer(); !strings.Contains(got, "200 OK") || !strings.Contains(got, "close=true") || !busy.ended() {
		t.Errorf("the last answer is %q", got)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
	if c, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr().String()); err == nil {
		c.Close()
		t.Error("it still listens")
	}
}

func TestDrainGivesUp(t *testing.T) {
	t.Parallel()
	l, g := listen(t), newGate()
	s := newStand(t, l, g.ServeHTTP, false)
	p := dial(t, l.Addr())
	p.send(post("1"))
	<-g.entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.front.Drain(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Drain = %v", err)
	}
	if !p.ended() {
		t.Error("the connection is still there")
	}
}

// pipes is a listener whose connections are in memory, so that time can be
// turned.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (*pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial(t testing.TB) *peer {
	client, server := net.Pipe()
	p.conns <- server
	t.Cleanup(func() { client.Close() })
	return &peer{client, t, bufio.NewReader(client)}
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		send []string
		// least and most are when the connection is to be closed.
		least, most time.Duration
	}{
		"nothing sent":   {nil, 10 * time.Second, 10 * time.Second},
		"idle":           {[]string{post("1")}, time.Minute - slack, time.Minute},
		"idle again":     {[]string{post("1"), post("2")}, time.Minute - slack, time.Minute},
		"half a request": {[]string{post("1"), post("2")[:20]}, patience, patience + time.Minute}, // net/http's, after ours
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newPipes()
				s := newStand(t, l, tell, false)
				p := l.dial(t)
				for _, text := range c.send {
					p.send(text)
					if strings.Contains(text, "\r\n\r\n") {
						p.answer()
					}
				}
				began := time.Now()
				io.Copy(io.Discard, p.in)
				if took := time.Since(began); took < c.least || took > c.most {
					t.Errorf("closed after %v, want %v to %v", took, c.least, c.most)
				}
				s.http.Shutdown(t.Context())
			})
		})
	}
}

// A client that does not read its answers holds a connection no longer than the
// write time-out.
func TestWriteTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		s := newStand(t, l, tell, false)
		p := l.dial(t)
		p.send(post("1"))
		synctest.Wait()
		began := time.Now()
		if err := s.front.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took < time.Minute-slack || took > time.Minute {
			t.Errorf("the write ended after %v", took)
		}
	})
}

// Half a request must not cost more than any other once its rest has come.
func TestSlowRequestIsHandedOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		s := newStand(t, l, tell, false)
		p := l.dial(t)
		text := post("hello")
		p.send(text[:len(text)-3])
		time.Sleep(patience + time.Second)
		p.send(text[len(text)-3:])
		if got := p.answer(); !strings.Contains(got, `body=5:"hello"`) {
			t.Errorf("answer %q", got)
		}
		s.http.Shutdown(t.Context())
	})
}

// failing is a listener that fails a few times and then is closed.
type failing struct {
	net.Listener
	left int
}

var errAccept = errors.New("no more descriptors")

func (f *failing) Accept() (net.Conn, error) {
	if f.left--; f.left >= 0 {
		return nil, errAccept
	}
	return f.Listener.Accept()
}

func TestErrorsOfAcceptAreForTheServer(t *testing.T) {
	t.Parallel()
	l := Listen(&failing{newPipes(), 2}, Options{Handler: http.HandlerFunc(tell)})
	for range 2 {
		if _, err := l.Accept(); !errors.Is(err, errAccept) {
			t.Errorf("Accept = %v", err)
		}
	}
	if err := l.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close = %v", err)
	}
}
