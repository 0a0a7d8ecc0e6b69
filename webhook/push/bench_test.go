package push

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/orchestrix/orchestrix/job"
)

// The three benchmarks post 1 KiB to one server in the same process, 256 at
// once, so that the server's share is the same in each: bare net/http, bare
// bytes over a kept connection, and a signed Push.

const benchConcurrency = 256

var benchBody = strings.Repeat("x", 1<<10)

func benchServer(b *testing.B) string {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
	b.Cleanup(server.Close)
	return server.URL
}

func inParallel(b *testing.B, post func() error) {
	b.ReportAllocs()
	b.SetParallelism(max(1, benchConcurrency/runtime.GOMAXPROCS(0)))
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := post(); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkNetHTTP(b *testing.B) {
	url := benchServer(b)
	transport := &http.Transport{MaxIdleConnsPerHost: benchConcurrency, DisableCompression: true}
	b.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport}
	inParallel(b, func() error {
		res, err := client.Post(url, "application/json", strings.NewReader(benchBody))
		if err != nil {
			return err
		}
		io.Copy(io.Discard, res.Body)
		return res.Body.Close()
	})
}

func BenchmarkRawSocket(b *testing.B) {
	address := strings.TrimPrefix(benchServer(b), "http://")
	request := []byte("POST / HTTP/1.1\r\nhost: " + address + "\r\ncontent-length: 1024\r\n\r\n" + benchBody)
	free := make(chan net.Conn, benchConcurrency)
	b.Cleanup(func() {
		for len(free) > 0 {
			(<-free).Close()
		}
	})
	inParallel(b, func() error {
		var c net.Conn
		select {
		case c = <-free:
		default:
			var err error
			if c, err = net.Dial("tcp", address); err != nil {
				return err
			}
		}
		defer func() { free <- c }()
		if _, err := c.Write(request); err != nil {
			return err
		}
		var answer [1024]byte
		for n := 0; !bytes.Contains(answer[:n], []byte("\r\n\r\n")); {
			m, err := c.Read(answer[n:])
			if err != nil {
				return err
			}
			n += m
		}
		return nil
	})
}

func BenchmarkPush(b *testing.B) {
	d := newDestination(b, benchServer(b))
	c := newClient(b, Options{MaxIdlePerHost: benchConcurrency})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	inParallel(b, func() error {
		if a := c.Push(ctx, newRequest(d, benchBody)); a.Outcome != job.OutcomeSucceeded {
			b.Error(a.Error)
		}
		return nil
	})
}

// BenchmarkHead is what a push costs before the first byte is written: the
// headers and both signatures.
func BenchmarkHead(b *testing.B) {
	d := newDestination(b, "http://worker.example/hook")
	r := newRequest(d, benchBody)
	var out, lines []byte
	b.ReportAllocs()
	for b.Loop() {
		out, lines, _ = r.appendHead(out[:0], lines[:0], "Orchestrix/1.0", r.EnqueuedAt, r.Deadline)
	}
}
