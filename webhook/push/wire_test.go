package push

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/webhook"
)

const okAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

// The request, byte by byte.
func TestRequestOnTheWire(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	server := serveRaw(t, func(_ *rawServer, c net.Conn, r *bufio.Reader) {
		var b strings.Builder
		for !strings.HasSuffix(b.String(), "\r\n\r\n{}") {
			line, err := r.ReadByte()
			if err != nil {
				return
			}
			b.WriteByte(line)
		}
		got <- b.String()
		io.WriteString(c, okAnswer)
		hang(r)
	})
	secret, err := webhook.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	d, err := NewDestination(DestinationConfig{
		URL: server.url + "/hook/ü?a=b c&d", Secrets: []webhook.Secret{secret, secret},
		Headers: map[string]string{"X-Worker": "1", "Authorization": "Bearer w", "traceless": ""},
	})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 123_456_789, time.FixedZone("CET", 3600))
	id := job.MakeID(at, 5, [9]byte{})
	r := &Request{
		Destination: d, JobID: id, Incarnation: 2, Attempt: 3, MaxAttempts: 10, Type: "größe changed", Queue: "billing", Key: "a\r\nb",
		Epoch: 1 << 63, EnqueuedAt: at, Deadline: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC), ContentType: "text/plain",
		Headers: map[string]string{"authorization": "Bearer j"}, Body: []byte("{}"),
		Schedule: "nightly.report", ScheduledFor: time.Date(2026, 3, 1, 2, 30, 0, 0, at.Location()),
		CallbackURL: "http://c/v1", AttemptToken: "t0", HeartbeatTimeout: 90*time.Second + time.Millisecond,
	}
	client := newClient(t, Options{UserAgent: "Orchestrix/1.2.3", Now: func() time.Time { return at }})
	if a := client.Push(context.Background(), r); a.Outcome != job.OutcomeSucceeded {
		t.Fatalf("got %+v", a)
	}
	signer, _ := webhook.NewSigner(secret, secret)
	message := id.String() + "_r2"
	var lines, headers string
	for _, h := range [][2]string{
		{"attempt", "3"},
		{"attempt-token", "t0"},
		{"callback-url", "http://c/v1"},
		{"deadline", "2099-01-01T00:00:00Z"},
		{"enqueued-at", "2026-03-01T11:00:00.123Z"},
		{"epoch", "9223372036854775808"},
		{"heartbeat-timeout", "90s"},
		{"incarnation", "2"},
		{"job-type", "gr%C3%B6%C3%9Fe%20changed"},
		{"key", "a%0D%0Ab"},
		{"max-attempts", "10"},
		{"queue", "billing"},
		{"schedule", "nightly.report"},
		{"scheduled-for", "2026-03-01T01:30:00Z"},
	} {
		lines += "orchestrix-" + h[0] + ":" + h[1] + "\n"
		headers += "orchestrix-" + h[0] + ": " + h[1] + "\r\n"
	}
	want := crlf(
		"POST /hook/%C3%BC?a=b%20c&d HTTP/1.1",
		"Host: "+strings.TrimPrefix(server.url, "http://"),
		"User-Agent: Orchestrix/1.2.3",
		"Accept-Encoding: identity",
		"Content-Length: 2",
		"Content-Type: text/plain",
		"authorization: Bearer j",
		"X-Worker: 1",
		"traceless: ",
		headers+"webhook-id: "+message,
		fmt.Sprintf("webhook-timestamp: %d", at.Unix()),
		"webhook-signature: "+string(signer.AppendSignature(nil, message, at.Unix(), r.Body)),
		"orchestrix-signature: "+string(signer.AppendOwnSignature(nil, message, at.Unix(), []byte(lines), r.Body)),
		"", "{}",
	)
	if diff := cmp.Diff(strings.Split(want, "\r\n"), strings.Split(<-got, "\r\n")); diff != "" {
		t.Error(diff)
	}
}

// What is empty is left out, and a push without a deadline gets one.
func TestOptionalHeaders(t *testing.T) {
	t.Parallel()
	headers := make(chan map[string][]string, 1)
	server := serveRaw(t, func(w *rawServer, c net.Conn, r *bufio.Reader) {
		q, _ := w.readRequest(r)
		headers <- q.Header
		io.WriteString(c, okAnswer)
	})
	r := &Request{Destination: newDestination(t, server.url), JobID: job.NewID(time.Now(), 0)}
	before := time.Now()
	if a := newClient(t, Options{}).Push(context.Background(), r); a.Outcome != job.OutcomeSucceeded {
		t.Fatalf("got %+v", a)
	}
	h := <-headers
	for _, name := range []string{"Orchestrix-Job-Type", "Orchestrix-Queue", "Orchestrix-Key", "Orchestrix-Enqueued-At", "Orchestrix-Schedule", "Orchestrix-Scheduled-For"} {
		if v, ok := h[name]; ok {
			t.Errorf("%s: %q", name, v)
		}
	}
	if got := h["Content-Type"]; !cmp.Equal(got, []string{"application/json"}) {
		t.Errorf("content type %q", got)
	}
	deadline, err := time.Parse(time.RFC3339Nano, h["Orchestrix-Deadline"][0])
	if left := deadline.Sub(before); err != nil || left < DefaultTimeout-time.Second || left > DefaultTimeout+10*time.Second {
		t.Errorf("deadline %v, %v", deadline, err)
	}
}

func TestInvalidRequests(t *testing.T) {
	t.Parallel()
	server := serveRaw(t, answerWith(okAnswer, false))
	d := newDestination(t, server.url)
	for name, r := range map[string]*Request{
		"no destination":    {},
		"content type":      {Destination: d, ContentType: "text/plain\r\nX-Evil: 1"},
		"long content type": {Destination: d, ContentType: repeated("x", MaxHeaderValue+1)},
		"header value":      {Destination: d, Headers: map[string]string{"X-A": "b\r\nX-Evil: 1"}},
		"header name":       {Destination: d, Headers: map[string]string{"X-A: b\r\nX-Evil": "1"}},
		"reserved header":   {Destination: d, Headers: map[string]string{"Orchestrix-Attempt": "1"}},
		"framing header":    {Destination: d, Headers: map[string]string{"content-length": "0"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := newClient(t, Options{}).Push(context.Background(), r)
			if a.Outcome != job.OutcomeFailed || a.Reason != job.ReasonInvalidRequest || a.Sent || a.Error == "" {
				t.Errorf("got %+v", a)
			}
		})
	}
	if n := server.requests.Load(); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

// Whatever the worker does to a connection, the request is sent once.
func TestOneRequestOnTheWire(t *testing.T) {
	t.Parallel()
	for name, serve := range map[string]func(w *rawServer, c net.Conn, r *bufio.Reader){
		"closes after reading": func(w *rawServer, _ net.Conn, r *bufio.Reader) { w.readRequest(r) },
		"resets after reading": func(w *rawServer, c net.Conn, r *bufio.Reader) { w.readRequest(r); reset(c) },
		"closes at once":       func(w *rawServer, _ net.Conn, _ *bufio.Reader) { w.requests.Add(1) },
		"resets at once":       func(w *rawServer, c net.Conn, _ *bufio.Reader) { w.requests.Add(1); reset(c) },
		"closes after a byte":  func(w *rawServer, _ net.Conn, r *bufio.Reader) { w.requests.Add(1); r.ReadByte() },
		"closes mid-answer": func(w *rawServer, c net.Conn, r *bufio.Reader) {
			w.readRequest(r)
			io.WriteString(c, "HTTP/1.1 2")
		},
		"closes a kept connection": func(w *rawServer, c net.Conn, r *bufio.Reader) {
			w.readRequest(r)
			io.WriteString(c, okAnswer)
			w.readRequest(r)
		},
		"asks for a retry": func(w *rawServer, c net.Conn, r *bufio.Reader) {
			w.readRequest(r)
			io.WriteString(c, "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n")
		},
		"goes elsewhere": func(w *rawServer, c net.Conn, r *bufio.Reader) {
			w.readRequest(r)
			io.WriteString(c, "HTTP/1.1 307 Temporary Redirect\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serveRaw(t, serve)
			client := newClient(t, Options{})
			const pushes = 4
			for range pushes {
				r := newRequest(newDestination(t, server.url), "{}")
				// What makes net/http send a request again.
				r.Headers = map[string]string{"Idempotency-Key": "1"}
				if a := client.Push(context.Background(), r); a.Outcome == 0 {
					t.Fatalf("no outcome: %+v", a)
				}
			}
			if n := server.requests.Load(); n > pushes {
				t.Errorf("%d requests for %d pushes", n, pushes)
			}
		})
	}
}

// A worker may answer before it has read the request, and go.
func TestEarlyAnswers(t *testing.T) {
	t.Parallel()
	const tooLarge = "HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nsize"
	for name, leave := range map[string]func(c net.Conn, r *bufio.Reader){
		"closes":          func(net.Conn, *bufio.Reader) {},
		"half-closes":     func(c net.Conn, r *bufio.Reader) { c.(*net.TCPConn).CloseWrite(); hang(r) },
		"resets":          func(c net.Conn, r *bufio.Reader) { r.ReadByte(); defer reset(c); r.ReadByte() },
		"reads the rest":  func(_ net.Conn, r *bufio.Reader) { hang(r) },
		"reads some more": func(_ net.Conn, r *bufio.Reader) { io.CopyN(io.Discard, r, 1<<15) },
	} {
		for _, size := range []int{1, 8 << 10, maxInline, maxInline + 1, 1 << 20, 4 << 20} {
			t.Run(fmt.Sprintf("%s/%d", name, size), func(t *testing.T) {
				t.Parallel()
				server := serveRaw(t, func(_ *rawServer, c net.Conn, r *bufio.Reader) {
					for line := "-"; len(line) > 2; {
						line, _ = r.ReadString('\n')
					}
					io.WriteString(c, tooLarge)
					leave(c, r)
				})
				client := newClient(t, Options{})
				for range 3 {
					a := client.Push(context.Background(), newRequest(newDestination(t, server.url), repeated("x", size)))
					if a.StatusCode != http.StatusRequestEntityTooLarge || string(a.Body) != "size" || a.Reason != job.ReasonHTTPStatus {
						t.Fatalf("got %+v", a)
					}
				}
			})
		}
	}
}

// deafConn takes nothing and has an answer ready.
type deafConn struct {
	net.Conn
	answer io.Reader
}

func (c deafConn) Write([]byte) (int, error)  { return 0, syscall.EPIPE }
func (c deafConn) Read(p []byte) (int, error) { return c.answer.Read(p) }

// Where writing fails, an answer that came before counts; the connection is
// not used again, and without an answer it is the write's error that is told.
func TestAnswerBehindAFailedWrite(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]struct {
		status int
		err    error
	}{"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n": {503, nil}, "": {0, syscall.EPIPE}, "HTTP/1.1 5": {0, syscall.EPIPE}} {
		x := newExchange(newClient(t, Options{}), newRequest(newDestination(t, "http://a/"), "{}"))
		c, err := newConn(deafConn{answer: strings.NewReader(answer)})
		if err != nil {
			t.Fatal(err)
		}
		var a Answer
		keep, err := x.converse(c, &a)
		if keep || x.sent || a.StatusCode != want.status || !errors.Is(err, want.err) {
			t.Errorf("%q: keep %v, sent %v, status %d, error %v", answer, keep, x.sent, a.StatusCode, err)
		}
	}
}

// A worker that answers a long request without reading it, and keeps the
// connection open, ends it at once.
func TestEarlyAnswerEndsALongRequest(t *testing.T) {
	t.Parallel()
	done := make(chan struct{})
	server := serveRaw(t, func(_ *rawServer, c net.Conn, _ *bufio.Reader) {
		io.WriteString(c, okAnswer)
		<-done
	})
	t.Cleanup(func() { close(done) }) // before the server's own clean-up
	r := newRequest(newDestination(t, server.url), repeated("x", 32<<20))
	client := newClient(t, Options{})
	if a := client.Push(context.Background(), r); a.Outcome != job.OutcomeSucceeded || a.Duration > 10*time.Second {
		t.Errorf("got %s after %s: %s", a.Outcome, a.Duration, a.Error)
	}
	if client.pool.idle != 0 {
		t.Error("a connection was kept in the middle of a request")
	}
}

func TestBodiesArriveWhole(t *testing.T) {
	t.Parallel()
	server := serveRaw(t, func(w *rawServer, c net.Conn, r *bufio.Reader) {
		for {
			q, body := w.readRequest(r)
			if q == nil {
				return
			}
			sum := fmt.Sprintf("%x", sha256.Sum256(body))
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(sum), sum)
		}
	})
	client := newClient(t, Options{})
	for _, size := range []int{0, 1, 4095, maxInline - 1, maxInline, maxInline + 1, 1 << 20, 9 << 20} {
		body := bytes.Repeat([]byte("0123456789abcde\n"), size/16+1)[:size]
		a := client.Push(context.Background(), newRequest(newDestination(t, server.url), string(body)))
		if want := fmt.Sprintf("%x", sha256.Sum256(body)); string(a.Body) != want {
			t.Errorf("%d bytes: got %q, %s", size, a.Body, a.Error)
		}
	}
	if n := server.conns.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// Many pushes at once, some cancelled on their way: buffers are pooled, and
// none may show in another push.
func TestPushesDoNotMix(t *testing.T) {
	t.Parallel()
	verifier := webhook.Verifier{Secrets: []webhook.Secret{testSecret}}
	server := serveRaw(t, func(w *rawServer, c net.Conn, r *bufio.Reader) {
		for {
			q, body := w.readRequest(r)
			if q == nil {
				return
			}
			status := 200
			if err := verifier.Verify(q.Header, body); err != nil {
				status = 401
			}
			fmt.Fprintf(c, "HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body)
		}
	})
	client := newClient(t, Options{MaxIdlePerHost: 8})
	d := newDestination(t, server.url)
	pushes := 400
	if testing.Short() {
		pushes = 40
	}
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			for i := range pushes {
				ctx, cancel := context.WithCancel(context.Background())
				body := strings.Repeat(fmt.Sprintf("%d/%d ", g, i), 1+i%40*100)
				if i%5 == 0 {
					go cancel()
				}
				a := client.Push(ctx, newRequest(d, body))
				switch want := body[:min(len(body), MaxAnswerBody)]; {
				case a.Outcome == job.OutcomeSucceeded && string(a.Body) != want:
					t.Errorf("push %d/%d got another's answer", g, i)
				case a.Outcome != job.OutcomeSucceeded && (i%5 != 0 || a.Outcome != job.OutcomeCancelled):
					t.Errorf("push %d/%d: %s, %s", g, i, a.Outcome, a.Error)
				}
				cancel()
			}
		})
	}
	wg.Wait()
}
