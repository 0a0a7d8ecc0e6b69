package cluster_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/orchestrix/orchestrix/app"
	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/store/engine/redis/redistest"
)

// serveStore in the environment makes this binary a node on that store; a durability
// may follow behind a blank.
const serveStore = "CLUSTER_SERVE_STORE"

// drainGrace is a node's: more than any push of these tests takes.
const drainGrace = 20 * time.Second

const shards = 16

func TestMain(m *testing.M) {
	if url := os.Getenv(serveStore); url != "" {
		if err := serve(url); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if err := redistest.End(); err != nil {
			panic(err)
		}
		os.Exit(code)
	}))
}

// serve prints its URL and serves until SIGTERM.
func serve(url string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	c := app.Defaults()
	c.Listen, c.Shards = "127.0.0.1:0", shards
	c.Store, c.Durability, _ = strings.Cut(url, " ")
	c.AllowCIDR = []string{"127.0.0.0/8", "::1/128"}
	c.DrainGrace = drainGrace
	c.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	a, err := app.New(ctx, c)
	if err != nil {
		return err
	}
	fmt.Println(a.URL())
	return a.Run(ctx)
}

// node is a process of its own.
type node struct {
	*client.Client
	once *client.Client // repeats nothing
	http *http.Client
	url  string
	cmd  *exec.Cmd
	said said
}

// said is what a process has written.
type said struct {
	mu   sync.Mutex
	text []byte
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = append(s.text, p...)
	return len(p), nil
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.text)
}

func startNode(t *testing.T, store string) *node {
	return startNodeBy(t, store, (*exec.Cmd).Start, nil)
}

// startNodeBy starts a node by start, whose API is reached by dial, where that is not
// nil.
func startNodeBy(t *testing.T, store string, start func(*exec.Cmd) error, dial dialer) *node {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	n := &node{cmd: exec.Command(self)}
	cmd := n.cmd
	cmd.Env = append(os.Environ(), serveStore+"="+store)
	cmd.Stderr = &n.said
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		n.kill()
		if said := n.said.String(); t.Failed() && said != "" {
			t.Logf("%s said:\n%s", n.url, last(said, 4000))
		}
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("the node did not say where it listens: %v\n%s", err, &n.said)
	}
	n.url = strings.TrimSpace(line)
	n.http = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DialContext: dial}}
	t.Cleanup(n.http.CloseIdleConnections)
	if n.Client, err = client.New(n.url, client.WithHTTPClient(n.http)); err != nil {
		t.Fatal(err)
	}
	if n.once, err = client.New(n.url, client.WithHTTPClient(n.http), client.WithRetries(0)); err != nil {
		t.Fatal(err)
	}
	return n
}

type dialer = func(ctx context.Context, network, address string) (net.Conn, error)

// last returns the end of a text.
func last(text string, most int) string { return text[max(0, len(text)-most):] }

// kill ends the process as a power cut would. It may be called again.
func (n *node) kill() {
	if n.cmd.ProcessState == nil {
		n.cmd.Process.Kill()
		n.cmd.Wait() // its error says that it was killed
	}
}

func (n *node) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := n.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// ready asks the node whether it is.
func (n *node) ready(ctx context.Context) bool { return n.probe(ctx, "/readyz") == http.StatusOK }

// probe returns the status of an answer, 0 where there was none.
func (n *node) probe(ctx context.Context, path string) int {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.url+path, http.NoBody)
	if err != nil {
		return 0
	}
	req.Close = true
	resp, err := n.http.Do(req)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// used returns how much CPU the process has used.
func (n *node) used(t *testing.T) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	// Behind the program's name, which is in brackets: fields 3 and on.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	var ticks int64
	for _, field := range fields[11:13] { // utime, stime
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100 // USER_HZ
}
