package redistest

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// patience is how long a server may take for what it does at once on an idle
// machine.
const patience = 30 * time.Second

// Server is a Redis server.
type Server struct {
	// Port is where it listens, on 127.0.0.1.
	Port int

	dir     string
	config  []string
	process *exec.Cmd
	client  *redis.Client
	tls     *tls.Config
}

// Start starts a server with the given lines of configuration beside its own: it
// listens on loopback, saves no snapshots, and keeps an append-only file that is
// synced with every write. It ends with the test.
func Start(t testing.TB, config ...string) *Server {
	t.Helper()
	program := find(t)
	s, err := start(program, t.TempDir(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return s
}

// findSeveral is for what takes seconds to come about: it is not started in the
// short form of the tests.
func findSeveral(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("several servers are not for the short form")
	}
	return find(t)
}

func find(t testing.TB) string {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	switch {
	case err == nil:
	case os.Getenv("CI") != "":
		t.Fatalf("%v: tools/need-redis.sh installs it", err)
	default:
		t.Skipf("%v: tools/need-redis.sh installs it", err)
	}
	return program
}

// start tries again where somebody took the port before the server did.
func start(program, dir string, config []string) (*Server, error) {
	for tries := 1; ; tries++ {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		s := &Server{Port: port, dir: dir, config: config}
		if err = s.run(program); err == nil || tries == 5 || !errors.Is(err, errTaken) {
			return s, err
		}
	}
}

func freePort() (int, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (s *Server) run(program string) error {
	listen, err := s.listen(s.config)
	if err != nil {
		return err
	}
	text := listen + "save \"\"\nappendonly yes\nappendfsync always\n"
	for _, line := range s.config {
		text += line + "\n"
	}
	file := filepath.Join(s.dir, "redis.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	return s.exec(program, file)
}

// listen returns the lines that say where the server listens, and where its files
// are.
func (s *Server) listen(config []string) (string, error) {
	where := fmt.Sprintf("bind 127.0.0.1\ndir %s\n", s.dir)
	if !slices.Contains(config, TLS) {
		return where + fmt.Sprintf("port %d\n", s.Port), nil
	}
	secure, err := s.secure()
	return where + secure, err
}

var errTaken = errors.New("the port was taken meanwhile")

// exec starts the process and waits until it answers.
func (s *Server) exec(program, file string, more ...string) error {
	log, err := os.Create(s.logName())
	if err != nil {
		return err
	}
	defer log.Close()
	s.process = exec.CommandContext(context.Background(), program, append([]string{file}, more...)...)
	s.process.Stdout, s.process.Stderr = log, log
	dieWithParent(s.process)
	if err := s.process.Start(); err != nil {
		return err
	}
	err = Eventually(func() error {
		said, _ := os.ReadFile(s.logName())
		if bytes.Contains(said, []byte("ddress already in use")) || bytes.Contains(said, []byte("Failed listening")) {
			return errTaken
		}
		c, err := new(net.Dialer).DialContext(context.Background(), "tcp", s.Address())
		if err != nil {
			return err
		}
		c.Close()
		return s.Client().Ping(context.Background()).Err()
	})
	if err != nil {
		s.Kill()
		said, _ := os.ReadFile(s.logName())
		return fmt.Errorf("start redis-server: %w\n%s", err, said)
	}
	return nil
}

func (s *Server) logName() string { return filepath.Join(s.dir, "log") }

// Eventually calls f until it returns nil, or for too long: then it returns f's
// last error. A taken port is not waited for.
func Eventually(f func() error) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		err := f()
		if err == nil || errors.Is(err, errTaken) || time.Now().After(deadline) {
			return err
		}
	}
}

// Address is host and port.
func (s *Server) Address() string { return "127.0.0.1:" + strconv.Itoa(s.Port) }

// URL is where an engine finds the server; query is appended, and may be "".
func (s *Server) URL(query string) string { return s.url("", "/", query) }

// Client returns a client for the test's own commands, which ends with the server.
func (s *Server) Client() *redis.Client {
	if s.client == nil {
		s.client = redis.NewClient(&redis.Options{
			Addr: s.Address(), TLSConfig: s.tls, Protocol: 2, DisableIdentity: true, MaxRetries: -1, DialerRetries: 1,
			MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		})
	}
	return s.client
}

// Do runs a command on the server, and fails the test where it fails.
func (s *Server) Do(t testing.TB, command ...any) any {
	t.Helper()
	answer, err := s.Client().Do(context.Background(), command...).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		t.Fatalf("%v: %v", command, err)
	}
	return answer
}

// Kill ends the server at once, as a crash of its process does. A server that has
// ended already, or is none, is left as it is.
func (s *Server) Kill() {
	if s == nil {
		return
	}
	if s.client != nil {
		s.client.Close()
		s.client = nil
	}
	if s.process != nil {
		_ = s.process.Process.Kill()
		_ = s.process.Wait() // says that it was killed
		s.process = nil
	}
}

// Freeze stops the server's process, so that it answers nobody; Thaw lets it go on.
// They are not for Windows.
func (s *Server) Freeze(t testing.TB) { t.Helper(); s.signal(t, stop) }

// Thaw is the end of a Freeze.
func (s *Server) Thaw(t testing.TB) { t.Helper(); s.signal(t, goOn) }

func (s *Server) signal(t testing.TB, which os.Signal) {
	t.Helper()
	if err := s.process.Process.Signal(which); err != nil {
		t.Fatal(err)
	}
}

// Restart starts a server that was killed again, on its port and its data.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	if err := s.run(find(t)); err != nil {
		t.Fatal(err)
	}
}
