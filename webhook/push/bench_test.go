//go:build unix

package push

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/job"
)

// What one push of 1 KiB costs, 256 at once: a bare net/http client, ready
// bytes on a kept connection, and a signed Push. All send the same headers. The
// worker is in the same process, so its share is in each number: that of
// net/http is what a real one costs, that of a raw socket is next to nothing and
// leaves the client's own.
func BenchmarkPost(b *testing.B) {
	for _, worker := range []struct {
		name  string
		start func(testing.TB) string
	}{{"nethttp", startNetHTTP}, {"raw", startRaw}} {
		for _, client := range []struct {
			name  string
			start func(testing.TB, string) func() error
		}{{"nethttp", postByNetHTTP}, {"bytes", postBytes}, {"push", postByPush}} {
			b.Run("worker="+worker.name+"/client="+client.name, func(b *testing.B) {
				post := client.start(b, worker.start(b))
				b.ReportAllocs()
				b.SetParallelism(max(1, benchConcurrency/runtime.GOMAXPROCS(0)))
				b.ResetTimer()
				before := cpuTime()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if err := post(); err != nil {
							b.Error(err)
							return
						}
					}
				})
				b.ReportMetric(float64(cpuTime()-before)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

// cpuTime is what the process has used of the CPU. On a busy machine it says
// more than the wall clock.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkHead is what a push costs before its first byte is written: the
// headers and both signatures.
func BenchmarkHead(b *testing.B) {
	r := newRequest(newDestination(b, "http://worker.example/hook"), benchBody)
	var out, lines []byte
	b.ReportAllocs()
	for b.Loop() {
		out, lines, _ = r.appendHead(out[:0], lines[:0], "Orchestrix/1.0", "", r.EnqueuedAt, r.Deadline)
	}
}

// A push allocates what outlives it, and what the context asks for.
//
//nolint:paralleltest // others' allocations would be counted
func TestPushAllocations(t *testing.T) {
	post := postByPush(t, startRaw(t))
	n := testing.AllocsPerRun(200, func() {
		if err := post(); err != nil {
			t.Error(err)
		}
	})
	const most = 8
	// The race detector makes sync.Pool drop entries at random.
	if n > most && !raceEnabled {
		t.Errorf("%v allocations a push, want at most %d", n, most)
	}
}

const benchConcurrency = 256

var benchBody = strings.Repeat("x", 1<<10)

func startNetHTTP(t testing.TB) string {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
	t.Cleanup(server.Close)
	return server.URL
}

// startRaw starts a worker that answers 200 where a body of the benchmark ends.
func startRaw(t testing.TB) string {
	answer, last := []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"), []byte("xx")
	return serveRaw(t, func(_ *rawServer, c net.Conn, _ *bufio.Reader) {
		for buf, n := make([]byte, 8<<10), 0; ; {
			m, err := c.Read(buf[n:])
			if err != nil {
				return
			}
			n += m
			// The head is followed by 1,024 bytes of the body.
			i := bytes.Index(buf[:n], []byte("\r\n\r\n"))
			if i < 0 || n < i+4+len(benchBody) || !bytes.HasSuffix(buf[:n], last) {
				continue
			}
			if n = 0; writeAll(c, answer) != nil {
				return
			}
		}
	}).url
}

func writeAll(c net.Conn, p []byte) error {
	_, err := c.Write(p)
	return err
}

func postByNetHTTP(t testing.TB, url string) func() error {
	transport := &http.Transport{MaxIdleConnsPerHost: benchConcurrency, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	client, header := &http.Client{Transport: transport}, sentHeader(t, url)
	return func() error {
		r, err := http.NewRequest(http.MethodPost, url, strings.NewReader(benchBody))
		if err != nil {
			return err
		}
		r.Header = header
		res, err := client.Do(r)
		if err != nil {
			return err
		}
		io.Copy(io.Discard, res.Body)
		return res.Body.Close()
	}
}

// postBytes is the least that any client can do.
func postBytes(t testing.TB, url string) func() error {
	r := newRequest(newDestination(t, url), benchBody)
	request, _, _ := r.appendHead(nil, nil, "Orchestrix", "", time.Now(), r.Deadline)
	request = append(request, r.Body...)
	free := make(chan net.Conn, benchConcurrency)
	t.Cleanup(func() {
		for len(free) > 0 {
			(<-free).Close()
		}
	})
	return func() error {
		c, err := takeConn(free, r.Destination.Address())
		if err != nil {
			return err
		}
		defer func() { free <- c }()
		if err := writeAll(c, request); err != nil {
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
	}
}

func takeConn(free chan net.Conn, address string) (net.Conn, error) {
	select {
	case c := <-free:
		return c, nil
	default:
		return net.Dial("tcp", address)
	}
}

func postByPush(t testing.TB, url string) func() error {
	client, d := newClient(t, Options{MaxIdlePerHost: benchConcurrency}), newDestination(t, url)
	template := newRequest(d, benchBody)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	return func() error {
		r := *template
		r.Deadline = time.Now().Add(DefaultTimeout)
		if a := client.Push(ctx, &r); a.Outcome != job.OutcomeSucceeded {
			return errorText(a.Error)
		}
		return nil
	}
}

type errorText string

func (e errorText) Error() string { return string(e) }

// sentHeader returns the headers of a Push for another client to send.
func sentHeader(t testing.TB, url string) http.Header {
	r := newRequest(newDestination(t, url), benchBody)
	head, _, err := r.appendHead(nil, nil, "Orchestrix", "", time.Now(), r.Deadline)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Header
}
