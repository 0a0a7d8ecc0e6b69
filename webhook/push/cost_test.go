package push

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/job"
)

// socketBuffers is more than the kernel keeps of what nobody has read; an endless
// worker that could write more was read on and on.
const socketBuffers = 16 << 20

// bomb is 64 MiB of zeros, compressed.
func bomb(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	zeros := make([]byte, 1<<20)
	for range 64 {
		if _, err := z.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A hostile worker costs at most its time-out and a bounded buffer: each case is
// a real socket that sends a beginning and then, piece by piece, until the
// client closes it or 1 GiB is written.
func TestWhatAHostileWorkerCosts(t *testing.T) {
	t.Parallel()
	const ok, chunked = "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	bombed := bomb(t)
	flood := repeated("x", 1<<16)
	for name, c := range map[string]struct {
		first, then string
		outcome     job.Outcome
		reason      job.Reason
		body        int // bytes kept
	}{
		"never-ending body":    {ok + "\r\n", flood, job.OutcomeSucceeded, "", MaxAnswerBody},
		"gzip bomb":            {ok + "Content-Encoding: gzip\r\n\r\n" + bombed, flood, job.OutcomeSucceeded, "", MaxAnswerBody},
		"1 MiB of headers":     {ok, "A: " + repeated("x", 1<<20) + "\r\n", job.OutcomeFailed, job.ReasonBadAnswer, 0},
		"short headers":        {ok, repeated("A: b\r\n", 1<<13), job.OutcomeFailed, job.ReasonBadAnswer, 0},
		"1xx flood":            {"", repeated("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 1<<11), job.OutcomeFailed, job.ReasonBadAnswer, 0},
		"huge chunk":           {chunked + "7fffffffffffffff\r\n", flood, job.OutcomeSucceeded, "", MaxAnswerBody},
		"chunk over 63 bits":   {chunked + "ffffffffffffffff\r\n", flood, job.OutcomeFailed, job.ReasonBadAnswer, 0},
		"negative chunk":       {chunked + "-1\r\n", flood, job.OutcomeFailed, job.ReasonBadAnswer, 0},
		"tiny chunks":          {chunked, repeated("1\r\nx\r\n", 1<<13), job.OutcomeSucceeded, "", MaxAnswerBody},
		"chunk extension":      {chunked + "1;", flood, job.OutcomeFailed, job.ReasonBadAnswer, 0},
		"trailers":             {chunked + "0\r\n", repeated("A: b\r\n", 1<<13), job.OutcomeFailed, job.ReasonBadAnswer, 0},
		"huge content-length":  {ok + "Content-Length: 9223372036854775807\r\n\r\n", flood, job.OutcomeSucceeded, "", MaxAnswerBody},
		"more than its length": {ok + "Content-Length: 2\r\n\r\n", flood, job.OutcomeSucceeded, "", 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var wrote atomic.Int64
			closed := make(chan struct{})
			server := serveRaw(t, func(w *rawServer, conn net.Conn, r *bufio.Reader) {
				defer close(closed)
				w.readRequest(r)
				piece := c.first
				for wrote.Load() < 1<<30 {
					n, err := io.WriteString(conn, piece)
					if wrote.Add(int64(n)); err != nil {
						return
					}
					piece = c.then
				}
			})
			a := newClient(t, Options{}).Push(context.Background(), newRequest(newDestination(t, server.url), "{}"))
			<-closed
			if a.Outcome != c.outcome || a.Reason != c.reason || len(a.Body) != c.body || cap(a.Body) > 2*MaxAnswerBody {
				t.Errorf("got %s, %s, %q, %d bytes (%d)", a.Outcome, a.Reason, a.Error, len(a.Body), cap(a.Body))
			}
			if n := wrote.Load(); n > socketBuffers {
				t.Errorf("the worker could write %d bytes", n)
			}
			if a.Duration > 15*time.Second {
				t.Errorf("took %s, near its deadline", a.Duration)
			}
		})
	}
}

// A gzip bomb with its length is kept as it came, and never unpacked.
func TestGzipIsNotUnpacked(t *testing.T) {
	t.Parallel()
	packed := bomb(t)[:MaxAnswerBody/2]
	answer := "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n8000\r\n" + packed + "\r\n0\r\n\r\n"
	server := serveRaw(t, answerWith(answer, false))
	a := newClient(t, Options{}).Push(context.Background(), newRequest(newDestination(t, server.url), "{}"))
	if a.Outcome != job.OutcomeSucceeded || string(a.Body) != packed || a.Truncated {
		t.Errorf("got %s, %q, %d bytes", a.Outcome, a.Error, len(a.Body))
	}
}

// A worker that drips a byte now and then is left at the deadline, wherever in
// its answer it is.
func TestDrippingWorkers(t *testing.T) {
	t.Parallel()
	const timeout = 300 * time.Millisecond
	for name, c := range map[string]struct{ first, drip, where string }{
		"status":       {"HTTP/1.1 ", "2", "while waiting for the answer"},
		"header name":  {"HTTP/1.1 200 OK\r\n", "a", "while waiting for the answer"},
		"header lines": {"HTTP/1.1 200 OK\r\n", "a: b\r\n", "while waiting for the answer"},
		"body":         {"HTTP/1.1 200 OK\r\n\r\n", "x", "while reading the answer"},
		"chunk size":   {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "0", "while reading the answer"},
		"trailer":      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "a: b\r\n", "while reading the answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serveRaw(t, func(w *rawServer, conn net.Conn, r *bufio.Reader) {
				w.readRequest(r)
				tick := time.NewTicker(20 * time.Millisecond)
				defer tick.Stop()
				for _, err := io.WriteString(conn, c.first); err == nil; _, err = io.WriteString(conn, c.drip) {
					<-tick.C
				}
			})
			checkStalled(t, newDestination(t, server.url), timeout, c.where)
		})
	}
}

// A TLS handshake that stalls, or never ends, is within the same deadline.
func TestStalledHandshakes(t *testing.T) {
	t.Parallel()
	for name, drip := range map[string]string{
		"says nothing":      "",
		"a record's length": "\x16\x03\x03\x40\x00",
		"a byte at a time":  "\x00",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serveRaw(t, func(_ *rawServer, conn net.Conn, r *bufio.Reader) {
				if drip == "" {
					hang(r)
					return
				}
				tick := time.NewTicker(20 * time.Millisecond)
				defer tick.Stop()
				for _, err := io.WriteString(conn, "\x16\x03\x03\x40\x00"); err == nil; _, err = io.WriteString(conn, drip[:1]) {
					<-tick.C
				}
			})
			url := "https" + strings.TrimPrefix(server.url, "http")
			checkStalled(t, newDestination(t, url), 300*time.Millisecond, "during the TLS handshake")
		})
	}
}

func checkStalled(t *testing.T, d *Destination, timeout time.Duration, where string) {
	t.Helper()
	r := newRequest(d, "{}")
	r.Deadline = time.Now().Add(timeout)
	a := newClient(t, Options{}).Push(context.Background(), r)
	if a.Outcome != job.OutcomeTimedOut || a.Reason != job.ReasonTimeout || !strings.Contains(a.Error, where) {
		t.Errorf("got %s, %s, %q", a.Outcome, a.Reason, a.Error)
	}
	// Generous: the machine may be busy.
	if a.Duration < timeout/2 || a.Duration > 10*time.Second || len(a.Body) > MaxAnswerBody {
		t.Errorf("took %s with a time-out of %s; %d bytes", a.Duration, timeout, len(a.Body))
	}
}

// What a worker asks for moves nothing beyond the bounds, and leads nowhere.
func TestHostileHeaders(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		head    string
		outcome job.Outcome
		reason  job.Reason
		wait    time.Duration
		says    string
	}{
		"503 for 1e309":  {"503 Busy\r\nRetry-After: 1e309", job.OutcomeFailed, job.ReasonHTTPStatus, 0, "answered 503"},
		"429 for 1e309":  {"429 Slow\r\nRetry-After: 1e309", job.OutcomeThrottled, job.ReasonThrottled, 0, "answered 429"},
		"429 for ever":   {"429 Slow\r\nRetry-After: " + repeated("9", 400), job.OutcomeThrottled, job.ReasonThrottled, MaxRetryAfter, "answered 429"},
		"429 for -1":     {"429 Slow\r\nRetry-After: -1", job.OutcomeThrottled, job.ReasonThrottled, 0, "answered 429"},
		"500 for 9999":   {"500 No\r\nRetry-After: Fri, 31 Dec 9999 23:59:59 GMT", job.OutcomeFailed, job.ReasonHTTPStatus, MaxRetryAfter, "answered 500"},
		"to metadata":    {"302 Found\r\nLocation: http://169.254.169.254/latest/meta-data/", job.OutcomeFailed, job.ReasonRedirect, 0, "to http://169.254.169.254/latest/meta-data/; redirects are not followed"},
		"307 to itself":  {"307 Again\r\nLocation: /", job.OutcomeFailed, job.ReasonRedirect, 0, "redirects are not followed"},
		"refresh header": {"200 OK\r\nRefresh: 0; url=http://169.254.169.254/", job.OutcomeSucceeded, "", 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serveRaw(t, answerWith("HTTP/1.1 "+c.head+"\r\nContent-Length: 0\r\n\r\n", false))
			a := newClient(t, Options{}).Push(context.Background(), newRequest(newDestination(t, server.url), "{}"))
			if a.Outcome != c.outcome || a.Reason != c.reason || a.RetryAfter != c.wait || !strings.Contains(a.Error, c.says) {
				t.Errorf("got %s, %s, %s, %q", a.Outcome, a.Reason, a.RetryAfter, a.Error)
			}
			if server.requests.Load() != 1 || server.conns.Load() != 1 {
				t.Errorf("%d requests over %d connections", server.requests.Load(), server.conns.Load())
			}
		})
	}
}

// A content-length that lies costs its connection: the rest must never be taken
// for the next answer.
func TestContentLengthLies(t *testing.T) {
	t.Parallel()
	server := serveRaw(t, answerWith("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", false))
	client := newClient(t, Options{})
	for range 2 {
		a := client.Push(context.Background(), newRequest(newDestination(t, server.url), "{}"))
		if a.Outcome != job.OutcomeSucceeded || string(a.Body) != "ok" {
			t.Errorf("got %s, %q, %q", a.Outcome, a.Error, a.Body)
		}
	}
	if n := server.conns.Load(); n != 2 {
		t.Errorf("%d connections, want one for each push", n)
	}
}
