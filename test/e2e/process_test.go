package e2e_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/orchestrix/orchestrix/app"
	"github.com/orchestrix/orchestrix/client"
)

// serveDir in the environment makes this binary a server on that directory; publicURL is
// where workers report to it, where that is not where it listens.
const (
	serveDir  = "E2E_SERVE_DIR"
	publicURL = "E2E_PUBLIC_URL"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(serveDir); dir != "" {
		end(serve(dir))
		return
	}
	if secret := os.Getenv(workSecret); secret != "" {
		end(work(secret))
		return
	}
	flag.Parse()
	goleak.VerifyTestMain(m)
}

// end ends a child that has failed.
func end(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// serve prints its URL and serves until SIGTERM.
func serve(dir string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	c := app.Defaults()
	c.Store, c.Listen, c.Shards = "embedded:"+dir, "127.0.0.1:0", 8
	c.PublicURL = os.Getenv(publicURL)
	c.AllowCIDR = []string{"127.0.0.0/8", "::1/128"}
	c.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	a, err := app.New(ctx, c)
	if err != nil {
		return err
	}
	fmt.Println(a.URL())
	return a.Run(ctx)
}

// server is a server in a process of its own.
type server struct {
	*client.Client
	cmd *exec.Cmd
}

// startServer starts one on the directory. It is killed at the test's end.
func startServer(t *testing.T, dir string, env ...string) *server {
	t.Helper()
	s := &server{}
	var url string
	s.cmd, url, _ = startSelf(t, append(env, serveDir+"="+dir)...)
	transport := &http.Transport{MaxIdleConnsPerHost: 4}
	t.Cleanup(transport.CloseIdleConnections)
	var err error
	s.Client, err = client.New(url, client.WithHTTPClient(&http.Client{Transport: transport}))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// startSelf starts this binary as a child, and returns it with the line that it has
// written first, and what it writes next. It is killed at the test's end.
func startSelf(t *testing.T, env ...string) (cmd *exec.Cmd, line string, more *bufio.Reader) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command(self)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(cmd) })
	more = bufio.NewReader(stdout)
	line, err = more.ReadString('\n')
	if err != nil {
		t.Fatalf("the child did not say where it listens: %v", err)
	}
	return cmd, strings.TrimSpace(line), more
}

// kill ends the process as a power cut would: with SIGKILL, which it cannot see
// coming. It may be called again.
func (s *server) kill() { kill(s.cmd) }

func kill(cmd *exec.Cmd) {
	if cmd.ProcessState == nil {
		cmd.Process.Kill()
		cmd.Wait() // its error says that it was killed
	}
}

// terminate ends the process as an operator would, and fails the test where it
// does not end well.
func (s *server) terminate(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("the server did not end well: %v", err)
	}
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	t.Cleanup(cancel)
	return ctx
}
