package push

import (
	"bufio"
	"context"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/job"
)

// egress is an HTTP proxy that notes what it was asked for.
type egress struct {
	net.Listener
	mu    sync.Mutex
	asked []string
	auth  []string
}

// newEgress starts a proxy that answers CONNECT with refuse or, where that is
// empty, with a connection.
func newEgress(t *testing.T, refuse string) *egress {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &egress{Listener: l}
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wait.Go(func() { e.serve(c, refuse) })
		}
	})
	t.Cleanup(func() { l.Close(); wait.Wait() })
	return e
}

func (e *egress) serve(c net.Conn, refuse string) {
	defer c.Close()
	r := bufio.NewReader(c)
	req, err := http.ReadRequest(r)
	if err != nil {
		return
	}
	e.mu.Lock()
	e.asked = append(e.asked, req.Method+" "+req.Host)
	e.auth = append(e.auth, req.Header.Get("Proxy-Authorization"))
	e.mu.Unlock()
	if refuse != "" {
		io.WriteString(c, refuse)
		return
	}
	to, err := net.Dial("tcp", req.Host)
	if err != nil {
		io.WriteString(c, "HTTP/1.1 502 Bad Gateway\r\n\r\n")
		return
	}
	defer to.Close()
	io.WriteString(c, "HTTP/1.1 200 Connection established\r\n\r\n")
	var wait sync.WaitGroup
	wait.Go(func() { io.Copy(to, r); to.(*net.TCPConn).CloseWrite() })
	io.Copy(c, to)
	c.Close()
	wait.Wait()
}

func (e *egress) seen() (asked, auth []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.asked, e.auth
}

func (e *egress) client(t *testing.T, o Options) *Client {
	t.Helper()
	var err error
	if o.Proxy, err = ParseProxy("http://user:pass%20word@" + e.Addr().String()); err != nil {
		t.Fatal(err)
	}
	return newClient(t, o)
}

func TestPushesGoThroughTheProxy(t *testing.T) {
	t.Parallel()
	e := newEgress(t, "")
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "plain") }))
	defer plain.Close()
	c := e.client(t, Options{})
	d := newDestination(t, plain.URL)
	for range 2 {
		if a := c.Push(context.Background(), newRequest(d, "{}")); a.Outcome != job.OutcomeSucceeded || string(a.Body) != "plain" {
			t.Fatalf("answer %+v", a)
		}
	}
	asked, auth := e.seen()
	if len(asked) != 1 || asked[0] != "CONNECT "+strings.TrimPrefix(plain.URL, "http://") { // and the connection is kept
		t.Errorf("asked %q", asked)
	}
	if want := "Basic " + base64.StdEncoding.EncodeToString([]byte("user:pass word")); auth[0] != want {
		t.Errorf("authorization %q, want %q", auth[0], want)
	}
}

func TestTLSGoesThroughTheProxy(t *testing.T) {
	t.Parallel()
	e := newEgress(t, "")
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "secure") }))
	defer secure.Close()
	roots := secure.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	a := e.client(t, Options{RootCAs: roots}).Push(context.Background(), newRequest(newDestination(t, secure.URL), "{}"))
	if a.Outcome != job.OutcomeSucceeded || string(a.Body) != "secure" {
		t.Fatalf("answer %+v", a)
	}
	if asked, _ := e.seen(); len(asked) != 1 {
		t.Errorf("asked %q", asked)
	}
}

// Access tokens come through the proxy too.
func TestTokensComeThroughTheProxy(t *testing.T) {
	t.Parallel()
	e := newEgress(t, "")
	i := newIssuer(t, issue)
	worker := tokenWorker(t, none)
	a := e.client(t, Options{}).Push(context.Background(), newRequest(newAuthDestination(t, worker, i.auth()), "{}"))
	if a.Outcome != job.OutcomeSucceeded {
		t.Fatalf("answer %+v", a)
	}
	if asked, _ := e.seen(); len(asked) != 2 || asked[0] != "CONNECT "+strings.TrimPrefix(i.URL, "http://") {
		t.Errorf("asked %q", asked)
	}
}

// What the proxy does not do is not the worker's fault, but for what it says it
// tried.
func TestProxyFailures(t *testing.T) {
	t.Parallel()
	d := newDestination(t, "http://127.0.0.1:9/")
	for name, test := range map[string]struct {
		answer  string
		reason  job.Reason
		outcome job.Outcome
	}{
		"credentials": {"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", job.ReasonProxy, job.OutcomeThrottled},
		"forbidden":   {"HTTP/1.1 403 Forbidden\r\n\r\n", job.ReasonProxy, job.OutcomeThrottled},
		"broken":      {"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops", job.ReasonProxy, job.OutcomeThrottled},
		"no HTTP":     {"220 smtp ready\r\n", job.ReasonProxy, job.OutcomeThrottled},
		"endless":     {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 2*maxProxyAnswer) + "\r\n\r\n", job.ReasonProxy, job.OutcomeThrottled},
		"talks first": {"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", job.ReasonProxy, job.OutcomeThrottled},
		"closes":      {"H", job.ReasonProxy, job.OutcomeThrottled},
		"tried":       {"HTTP/1.1 502 Bad Gateway\r\n\r\n", job.ReasonConnect, job.OutcomeFailed},
		"timed out":   {"HTTP/1.1 504 Gateway Timeout\r\n\r\n", job.ReasonConnect, job.OutcomeFailed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEgress(t, test.answer)
			a := e.client(t, Options{}).Push(context.Background(), newRequest(d, "{}"))
			if a.Outcome != test.outcome || a.Reason != test.reason || !strings.Contains(a.Error, e.Addr().String()) || strings.Contains(a.Error, "pass") {
				t.Errorf("answer %+v", a)
			}
		})
	}
	t.Run("gone", func(t *testing.T) {
		t.Parallel()
		e := newEgress(t, "")
		e.Close()
		a := e.client(t, Options{}).Push(context.Background(), newRequest(d, "{}"))
		if a.Outcome != job.OutcomeThrottled || a.Reason != job.ReasonProxy {
			t.Errorf("answer %+v", a)
		}
	})
}

// A proxy that hangs costs the attempt's time, and a push that is cancelled ends
// at once.
func TestProxyThatHangs(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	proxy, err := ParseProxy("http://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, Options{Proxy: proxy, DialTimeout: 50 * time.Millisecond})
	d := newDestination(t, "http://127.0.0.1:9/")
	if a := c.Push(context.Background(), newRequest(d, "{}")); a.Outcome != job.OutcomeThrottled || a.Reason != job.ReasonProxy {
		t.Errorf("answer %+v", a)
	}
	c = newClient(t, Options{Proxy: proxy})
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(20*time.Millisecond, cancel)
	if a := c.Push(ctx, newRequest(d, "{}")); a.Outcome != job.OutcomeCancelled {
		t.Errorf("answer %+v", a)
	}
}

// The guard judges what the proxy is asked for, and names are resolved here.
func TestProxyGetsNoForbiddenAddress(t *testing.T) {
	t.Parallel()
	e := newEgress(t, "HTTP/1.1 502 Bad Gateway\r\n\r\n")
	guard := NewGuard(prefixes("127.0.0.0/8"), false)
	guard.lookup = func(_ context.Context, _, host string) ([]netip.Addr, error) {
		if host == "metadata.test" {
			return []netip.Addr{netip.MustParseAddr("169.254.169.254"), netip.MustParseAddr("fd00::1")}, nil
		}
		return []netip.Addr{netip.MustParseAddr("::ffff:10.0.0.1"), netip.MustParseAddr("2606:4700::1"), netip.MustParseAddr("127.0.0.9")}, nil
	}
	c := e.client(t, Options{Guard: guard})
	for _, url := range []string{"http://169.254.169.254/", "http://metadata.test/", "http://10.0.0.1/"} {
		if a := c.Push(context.Background(), newRequest(newDestination(t, url), "{}")); a.Reason != job.ReasonBlockedAddress {
			t.Errorf("%s: %+v", url, a)
		}
	}
	if asked, _ := e.seen(); len(asked) > 0 {
		t.Errorf("asked %q", asked)
	}
	c.Push(context.Background(), newRequest(newDestination(t, "http://mixed.test:81/"), "{}"))
	if asked, _ := e.seen(); len(asked) != 2 || asked[0] != "CONNECT 127.0.0.9:81" || asked[1] != "CONNECT [2606:4700::1]:81" {
		t.Errorf("asked %q", asked)
	}
}

func TestParseProxy(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"http://proxy:3128": "proxy:3128", "http://u:p@[::1]:8080/": "[::1]:8080", "http://proxy": "proxy:80",
		"proxy:3128": "", "https://proxy": "", "socks5://proxy": "", "http://": "", "http://proxy/path": "", "http://proxy?x": "", "": "", "http://a b": "",
	} {
		p, err := ParseProxy(text)
		if (err == nil) != (want != "") || err == nil && p.String() != want {
			t.Errorf("%q: %v, %v", text, p, err)
		}
	}
}
