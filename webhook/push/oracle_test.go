package push

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// Against one worker, net/http and we read the same status and body, or both
// fail.
func TestAgreesWithNetHTTP(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer string
		closes bool
	}{
		"length":        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", false},
		"no phrase":     {"HTTP/1.1 204\r\n\r\n", false},
		"chunked":       {"HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\nT: 1\r\n\r\n", false},
		"to the end":    {"HTTP/1.1 404 Not Found\r\n\r\nabc", true},
		"HTTP/1.0":      {"HTTP/1.0 200 OK\r\n\r\nabc", true},
		"304":           {"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", false},
		"interim":       {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 1\r\n\r\nx", false},
		"line feeds":    {"HTTP/1.1 200 OK\nContent-Length: 1\n\nx", false},
		"equal lengths": {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", false},
		"two lengths":   {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", true},
		"negative":      {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", true},
		"half a body":   {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", true},
		"half a chunk":  {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", true},
		"bogus chunk":   {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\nabc", true},
		"gzip, chunked": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", true},
		"nothing":       {"", true},
		"not HTTP":      {"hello\r\n\r\n", true},
		"1 MiB headers": {"HTTP/1.1 200 OK\r\nA: " + repeated("x", 1<<21) + "\r\n\r\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serveRaw(t, answerWith(c.answer, c.closes))
			a := newClient(t, Options{}).Push(context.Background(), newRequest(newDestination(t, server.url), "{}"))
			status, body, err := netHTTPPost(t, server.url)
			if (err == nil) != (a.Error == "" || strings.HasPrefix(a.Error, "answered ")) {
				t.Fatalf("net/http: %v, ours: %s %q", err, a.Reason, a.Error)
			}
			if err == nil && (a.StatusCode != status || !bytes.Equal(a.Body, body)) {
				t.Errorf("net/http: %d %q, ours: %d %q", status, body, a.StatusCode, a.Body)
			}
		})
	}
}

func netHTTPPost(t *testing.T, url string) (status int, body []byte, err error) {
	transport := &http.Transport{DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: MaxAnswerHead}
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport, Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	res, err := client.Post(url, "application/json", strings.NewReader("{}"))
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	body, err = io.ReadAll(res.Body)
	return res.StatusCode, body, err
}

// parsed is what reading an answer from a stream gives.
type parsed struct {
	Status    int
	Body      string
	Truncated bool
	Keep      bool
	Err       string
}

func parseStream(src io.Reader) parsed {
	var (
		x exchange
		a Answer
	)
	x.in.reset(src)
	keep, err := x.readAnswer(&a)
	p := parsed{a.StatusCode, string(a.Body), a.Truncated, keep, ""}
	if err != nil {
		p.Err = err.Error()
	}
	return p
}

// How an answer is cut into reads does not change what it says.
func TestReadsDoNotMatter(t *testing.T) {
	t.Parallel()
	chunk := rapid.Custom(func(t *rapid.T) string {
		s := rapid.StringN(1, 200, 400).Draw(t, "chunk")
		return fmt.Sprintf("%x\r\n%s\r\n", len(s), s)
	})
	rapid.Check(t, func(t *rapid.T) {
		headers := strings.Join(rapid.SliceOfN(rapid.StringMatching(`[A-Za-z-]{1,10}: [ -~]{0,300}\r\n`), 0, 30).Draw(t, "headers"), "")
		var answer string
		switch rapid.IntRange(0, 2).Draw(t, "framing") {
		case 0:
			body := rapid.StringN(0, 6000, 9000).Draw(t, "body")
			answer = fmt.Sprintf("HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s", headers, len(body), body)
		case 1:
			answer = "HTTP/1.1 200 OK\r\n" + headers + "Transfer-Encoding: chunked\r\n\r\n" + strings.Join(rapid.SliceOf(chunk).Draw(t, "chunks"), "") + "0\r\n\r\n"
		default:
			answer = "HTTP/1.1 103 Hints\r\n" + headers + "\r\nHTTP/1.1 404 X\r\n" + headers + "\r\n" + rapid.StringN(0, 6000, 9000).Draw(t, "body")
		}
		cut := rapid.IntRange(0, len(answer)).Draw(t, "cut") // sometimes an incomplete one
		if rapid.Bool().Draw(t, "whole") {
			cut = len(answer)
		}
		want := parseStream(strings.NewReader(answer[:cut]))
		size := rapid.IntRange(1, 2000).Draw(t, "read")
		for name, src := range map[string]io.Reader{
			"bytes":  iotest.OneByteReader(strings.NewReader(answer[:cut])),
			"pieces": &pieces{answer[:cut], size},
			"at end": iotest.DataErrReader(&pieces{answer[:cut], size}),
		} {
			if diff := cmp.Diff(want, parseStream(src)); diff != "" {
				t.Fatalf("%s: %s", name, diff)
			}
		}
	})
}

type pieces struct {
	rest string
	size int
}

func (p *pieces) Read(b []byte) (int, error) {
	if p.rest == "" {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), p.size)], p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// FuzzAnswer: the reader stays within its bounds, does not depend on how reads
// fall, and accepts nothing that net/http would read in another way.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nT: 1\r\n\r\n",
		"HTTP/1.0 404 Not Found\n\nabc",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 503 Busy\r\nRetry-After: 1e309\r\nOrchestrix-No-Retry: true\r\nLocation: /x\r\n\r\n",
		"HTTP/1.1 101 X\r\n\r\n", "\r\n\r\n", "HTTP/1.1 200\n\r\n", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		got := parseStream(bytes.NewReader(answer))
		if len(got.Body) > MaxAnswerBody {
			t.Fatalf("%d bytes", len(got.Body))
		}
		bytewise := parseStream(iotest.OneByteReader(bytes.NewReader(answer)))
		// What comes behind an answer is seen now or when the connection is used
		// again.
		got.Keep, bytewise.Keep = false, false
		if diff := cmp.Diff(got, bytewise); diff != "" {
			t.Fatal(diff)
		}
		if got.Err != "" || got.Truncated {
			return
		}
		status, body, err := netHTTPRead(answer)
		if err != nil || status != got.Status || string(body) != got.Body {
			t.Fatalf("net/http: %d %q %v, ours: %+v", status, body, err, got)
		}
	})
}

// netHTTPRead reads the final answer of the bytes with net/http.
func netHTTPRead(answer []byte) (status int, body []byte, err error) {
	r := bufio.NewReader(bytes.NewReader(answer))
	for range 100 {
		res, err := http.ReadResponse(r, &http.Request{Method: http.MethodPost})
		if err != nil {
			return 0, nil, err
		}
		if res.StatusCode >= 200 {
			body, err = io.ReadAll(res.Body)
			return res.StatusCode, body, err
		}
	}
	return 0, nil, errors.New("too many answers")
}
