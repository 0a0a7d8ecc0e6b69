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

// What is not an answer fails, with a reason and at once: the deadline is far.
func TestBadAnswers(t *testing.T) {
	t.Parallel()
	head := func(lines ...string) string {
		return crlf(append(append([]string{"HTTP/1.1 200 OK"}, lines...), "", "")...)
	}
	chunked := func(body string) string { return head("Transfer-Encoding: chunked") + body }
	for name, c := range map[string]struct {
		answer string
		reason job.Reason
		status int
	}{
		"nothing":               {"", job.ReasonConnectionLost, 0},
		"half a head":           {"HTTP/1.1 200 OK\r\nContent-", job.ReasonConnectionLost, 0},
		"half a body":           {head("Content-Length: 5") + "abc", job.ReasonConnectionLost, 200},
		"half a chunk":          {chunked("5\r\nabc"), job.ReasonConnectionLost, 200},
		"no last chunk":         {chunked("3\r\nabc\r\n"), job.ReasonConnectionLost, 200},
		"no end of trailers":    {chunked("0\r\nA: b\r\n"), job.ReasonConnectionLost, 200},
		"not HTTP":              {"SSH-2.0-OpenSSH_9.6\r\n\r\n", job.ReasonBadAnswer, 0},
		"HTTP/0.9":              {"<html>hello</html>\n\n", job.ReasonBadAnswer, 0},
		"HTTP/2":                {"HTTP/2.0 200 OK\r\n\r\n", job.ReasonBadAnswer, 0},
		"HTTP/1.2":              {"HTTP/1.2 200 OK\r\n\r\n", job.ReasonBadAnswer, 0},
		"lower case":            {"http/1.1 200 OK\r\n\r\n", job.ReasonBadAnswer, 0},
		"two spaces":            {"HTTP/1.1  200 OK\r\n\r\n", job.ReasonBadAnswer, 0},
		"tab":                   {"HTTP/1.1 200\tOK\r\n\r\n", job.ReasonBadAnswer, 0},
		"status of two digits":  {"HTTP/1.1 20\r\n\r\n", job.ReasonBadAnswer, 0},
		"status of four digits": {"HTTP/1.1 2000 OK\r\n\r\n", job.ReasonBadAnswer, 0},
		"status 000":            {"HTTP/1.1 000 OK\r\n\r\n", job.ReasonBadAnswer, 0},
		"negative status":       {"HTTP/1.1 -20 OK\r\n\r\n", job.ReasonBadAnswer, 0},
		"empty line first":      {"\r\nHTTP/1.1 200 OK\r\n\r\n", job.ReasonBadAnswer, 0},
		"empty lines only":      {"\n\n", job.ReasonBadAnswer, 0},
		"NUL in the status":     {"HTTP/1.1 200 O\x00K\r\n\r\n", job.ReasonBadAnswer, 0},
		"NUL in a header":       {head("A: \x00"), job.ReasonBadAnswer, 0},
		"NUL in a name":         {head("A\x00: b"), job.ReasonBadAnswer, 0},
		"lone CR":               {head("A: b\rContent-Length: 5"), job.ReasonBadAnswer, 0},
		"DEL":                   {head("A: \x7f"), job.ReasonBadAnswer, 0},
		"folded":                {head("A: b", " c"), job.ReasonBadAnswer, 0},
		"folded at first":       {head("\tA: b"), job.ReasonBadAnswer, 0},
		"space before colon":    {head("Content-Length : 5"), job.ReasonBadAnswer, 0},
		"no colon":              {head("Content-Length 5"), job.ReasonBadAnswer, 0},
		"no name":               {head(": 5"), job.ReasonBadAnswer, 0},
		"too many headers":      {head(strings.Split(strings.TrimSuffix(repeated("A: b\n", MaxAnswerHeaders+1), "\n"), "\n")...), job.ReasonBadAnswer, 0},
		"1 MiB of headers":      {head("A: " + repeated("b", 1<<20)), job.ReasonBadAnswer, 0},
		"1 MiB of status":       {"HTTP/1.1 200 " + repeated("b", 1<<20), job.ReasonBadAnswer, 0},
		"1 MiB without lines":   {repeated("b", 1<<20), job.ReasonBadAnswer, 0},
		"negative length":       {head("Content-Length: -1"), job.ReasonBadAnswer, 0},
		"signed length":         {head("Content-Length: +1"), job.ReasonBadAnswer, 0},
		"empty length":          {head("Content-Length:"), job.ReasonBadAnswer, 0},
		"length with a unit":    {head("Content-Length: 1k"), job.ReasonBadAnswer, 0},
		"hexadecimal length":    {head("Content-Length: 0x1"), job.ReasonBadAnswer, 0},
		"listed lengths":        {head("Content-Length: 1, 1") + "x", job.ReasonBadAnswer, 0},
		"overflowing length":    {head("Content-Length: 9223372036854775808"), job.ReasonBadAnswer, 0},
		"two lengths":           {head("Content-Length: 1", "Content-Length: 2") + "xx", job.ReasonBadAnswer, 0},
		"length and chunks":     {head("Content-Length: 5", "Transfer-Encoding: chunked") + "0\r\n\r\n", job.ReasonBadAnswer, 0},
		"gzip, chunked":         {head("Transfer-Encoding: gzip, chunked"), job.ReasonBadAnswer, 0},
		"chunked twice":         {head("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), job.ReasonBadAnswer, 0},
		"identity":              {head("Transfer-Encoding: identity"), job.ReasonBadAnswer, 0},
		"chunked in HTTP/1.0":   {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", job.ReasonBadAnswer, 0},
		"no chunk size":         {chunked("\r\n"), job.ReasonBadAnswer, 200},
		"bogus chunk size":      {chunked("zz\r\n"), job.ReasonBadAnswer, 200},
		"negative chunk size":   {chunked("-1\r\n"), job.ReasonBadAnswer, 200},
		"prefixed chunk size":   {chunked("0x1\r\nx\r\n0\r\n\r\n"), job.ReasonBadAnswer, 200},
		"overflowing size":      {chunked("10000000000000000\r\n"), job.ReasonBadAnswer, 200},
		"many zeros":            {chunked(repeated("0", 4000) + "1\r\n"), job.ReasonBadAnswer, 200},
		"chunk too long":        {chunked("1\r\nxy\r\n0\r\n\r\n"), job.ReasonBadAnswer, 200},
		"bare line feed":        {chunked("\n"), job.ReasonBadAnswer, 200},
		"CR in a chunk line":    {chunked("0;\r0\r\n\r\n"), job.ReasonBadAnswer, 200},
		"chunk line feed":       {chunked("1\nx\n0\n\n"), job.ReasonBadAnswer, 200},
		"long chunk extension":  {chunked("1;" + repeated("x", 1<<20)), job.ReasonBadAnswer, 200},
		"chunk overhead":        {chunked(repeated("1;"+repeated("x", 4000)+"\r\nx\r\n", 1000)), job.ReasonBadAnswer, 200},
		"endless trailers":      {chunked("0\r\n" + repeated("A: b\r\n", 1<<18)), job.ReasonBadAnswer, 200},
		"101":                   {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", job.ReasonBadAnswer, 101},
		"1xx flood":             {repeated("HTTP/1.1 100 Continue\r\n\r\n", 1<<16), job.ReasonBadAnswer, 0},
		"1xx and no more":       {"HTTP/1.1 100 Continue\r\n\r\n", job.ReasonConnectionLost, 0},
		"splitting":             {head("A: b", "", "HTTP/1.1 200 OK\r\nContent-Length: 0\x00"), job.ReasonNone, 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serveRaw(t, answerWith(c.answer, true))
			a := newClient(t, Options{}).Push(context.Background(), newRequest(newDestination(t, server.url), "{}"))
			want := job.OutcomeFailed
			if c.reason == job.ReasonNone {
				want = job.OutcomeSucceeded
			}
			if a.Outcome != want || a.Reason != c.reason || a.StatusCode != c.status || !a.Sent || (a.Error == "") != (want == job.OutcomeSucceeded) {
				t.Errorf("got %s, %s, %d, %q", a.Outcome, a.Reason, a.StatusCode, a.Error)
			}
			if n := server.requests.Load(); n != 1 {
				t.Errorf("%d requests on the wire, want 1", n)
			}
		})
	}
}

// A reset after the head of an answer is a lost connection, never a success.
func TestResetAfterHead(t *testing.T) {
	t.Parallel()
	server := serveRaw(t, func(w *rawServer, c net.Conn, r *bufio.Reader) {
		w.readRequest(r)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
		reset(c)
	})
	a := newClient(t, Options{}).Push(context.Background(), newRequest(newDestination(t, server.url), "{}"))
	if a.Outcome != job.OutcomeFailed || a.Reason != job.ReasonConnectionLost {
		t.Errorf("got %+v", a)
	}
}

// Workers that never end cost their timeout and no more.
func TestEndlessWorkers(t *testing.T) {
	t.Parallel()
	const timeout = 300 * time.Millisecond
	endless := func(head, piece string, pause time.Duration) func(*rawServer, net.Conn, *bufio.Reader) {
		return func(w *rawServer, c net.Conn, r *bufio.Reader) {
			w.readRequest(r)
			tick := time.NewTicker(max(pause, time.Microsecond))
			defer tick.Stop()
			for _, err := io.WriteString(c, head); err == nil; _, err = io.WriteString(c, piece) {
				if pause > 0 {
					<-tick.C
				}
			}
		}
	}
	for name, c := range map[string]struct {
		serve func(*rawServer, net.Conn, *bufio.Reader)
		want  job.Outcome
		error string
	}{
		"says nothing":         {func(_ *rawServer, _ net.Conn, r *bufio.Reader) { hang(r) }, job.OutcomeTimedOut, "while waiting for the answer"},
		"a byte at a time":     {endless("HTTP/1.1 200 OK\r\nA: ", "x", 20*time.Millisecond), job.OutcomeTimedOut, "while waiting for the answer"},
		"a body byte a time":   {endless("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", "x", 20*time.Millisecond), job.OutcomeTimedOut, "while reading the answer"},
		"a chunk at a time":    {endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n", 20*time.Millisecond), job.OutcomeTimedOut, "while reading the answer"},
		"1xx at a time":        {endless("", "HTTP/1.1 102 Processing\r\n\r\n", 100*time.Millisecond), job.OutcomeTimedOut, "while waiting for the answer"},
		"body without end":     {endless("HTTP/1.1 200 OK\r\n\r\n", repeated("x", 1<<16), 0), job.OutcomeSucceeded, ""},
		"chunks without end":   {endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "400\r\n"+repeated("x", 1024)+"\r\n", 0), job.OutcomeSucceeded, ""},
		"headers without end":  {endless("HTTP/1.1 200 OK\r\n", "A: "+repeated("x", 1000)+"\r\n", 0), job.OutcomeFailed, "bad answer: its headers are longer than 64 KiB"},
		"trailers without end": {endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "A: b\r\n", 0), job.OutcomeFailed, "bad answer: its chunks have too much overhead"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serveRaw(t, c.serve)
			r := newRequest(newDestination(t, server.url), "{}")
			r.Deadline = time.Now().Add(timeout)
			if c.want != job.OutcomeTimedOut {
				r.Deadline = time.Now().Add(20 * time.Second)
			}
			a := newClient(t, Options{}).Push(context.Background(), r)
			if a.Outcome != c.want || !strings.Contains(a.Error, c.error) || len(a.Body) > MaxAnswerBody {
				t.Errorf("got %s, %q, %d bytes", a.Outcome, a.Error, len(a.Body))
			}
			// Generous: the machine may be busy, but not for the server's forever.
			if a.Outcome == job.OutcomeTimedOut && (a.Duration < timeout/2 || a.Duration > 10*time.Second) {
				t.Errorf("took %s with a timeout of %s", a.Duration, timeout)
			}
		})
	}
}

// endlessReader counts what is read of a stream that repeats itself.
type endlessReader struct {
	first, then string
	read        int
}

func (e *endlessReader) Read(p []byte) (int, error) {
	if e.first == "" {
		e.first = e.then
	}
	n := copy(p, e.first)
	e.first = e.first[n:]
	e.read += n
	return n, nil
}

// Of an endless answer no more is read than the bounds allow.
func TestReadingIsBounded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		first, then string
		most        int
	}{
		"status":    {"", "x", MaxAnswerHead},
		"headers":   {"HTTP/1.1 200 OK\r\n", "A: b\r\n", MaxAnswerHead},
		"1xx":       {"", "HTTP/1.1 100 x\r\nA: " + repeated("x", 60_000) + "\r\n\r\n", (maxInterim + 2) * MaxAnswerHead},
		"body":      {"HTTP/1.1 200 OK\r\n\r\n", "x", MaxAnswerBody + 2*firstRead},
		"length":    {"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", "x", MaxAnswerBody + 2*firstRead},
		"chunk":     {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7fffffff\r\n", "x", MaxAnswerBody + 2*firstRead},
		"chunks":    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n", maxFraming + MaxAnswerBody},
		"extension": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1;" + repeated("x", 4000) + "\r\nx\r\n", maxFraming + MaxAnswerBody},
		"size":      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "0", 4 * firstRead},
		"trailer":   {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "A: b\r\n", maxFraming + MaxAnswerBody},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := &endlessReader{first: c.first, then: c.then}
			var (
				x exchange
				a Answer
			)
			x.in.reset(src)
			keep, err := x.readAnswer(&a)
			if keep || err == nil && !a.Truncated || err != nil && !isBadAnswer(err) {
				t.Errorf("keep %v, error %v, truncated %v", keep, err, a.Truncated)
			}
			if src.read > c.most || len(a.Body) > MaxAnswerBody || cap(a.Body) > 2*MaxAnswerBody || len(x.in.buf) > MaxAnswerHead {
				t.Errorf("%d bytes read of at most %d; body %d (%d), buffer %d", src.read, c.most, len(a.Body), cap(a.Body), len(x.in.buf))
			}
		})
	}
}

// Before may refuse: then nothing is sent, and the connection serves the next.
func TestBefore(t *testing.T) {
	t.Parallel()
	server := serveRaw(t, answerWith("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", false))
	client := newClient(t, Options{})
	r := newRequest(newDestination(t, server.url), "{}")
	calls := 0
	r.Before = func() error { calls++; return errors.New("lease ran out") }
	a := client.Push(context.Background(), r)
	if a.Outcome != job.OutcomeLost || a.Reason != job.ReasonLost || a.Error != "not sent: lease ran out" || a.Sent {
		t.Errorf("got %+v", a)
	}
	r.Before = func() error { calls++; return nil }
	if a := client.Push(context.Background(), r); a.Outcome != job.OutcomeSucceeded || !a.Sent {
		t.Errorf("got %+v", a)
	}
	if calls != 2 || server.conns.Load() != 1 || server.requests.Load() != 1 {
		t.Errorf("%d calls, %d connections, %d requests", calls, server.conns.Load(), server.requests.Load())
	}
}
