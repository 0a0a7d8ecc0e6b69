package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// redisServer is a redis-server of the benchmark's own, with an append-only file
// that is synced once a second: its default, and that of --durability.
type redisServer struct {
	cmd *exec.Cmd
	dir string
	url string
}

// startRedis starts one on an empty directory in parent, and waits until it
// answers.
func startRedis(ctx context.Context, parent string) (*redisServer, error) {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, errors.New("there is no redis-server in the PATH: install Redis 7.0 or newer")
	}
	dir, err := os.MkdirTemp(parent, "orchestrix-bench-redis-")
	if err != nil {
		return nil, err
	}
	port, err := freePort(ctx)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	r := &redisServer{dir: dir, url: "redis://127.0.0.1:" + strconv.Itoa(port)}
	r.cmd = exec.CommandContext(ctx, program, "--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", dir,
		"--save", "", "--appendonly", "yes", "--appendfsync", "everysec", "--logfile", filepath.Join(dir, "log"))
	if err := r.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start redis-server: %w", err), os.RemoveAll(dir))
	}
	if err := r.answers(ctx, port); err != nil {
		said, _ := os.ReadFile(filepath.Join(dir, "log"))
		r.stop()
		return nil, fmt.Errorf("redis-server: %w: %s", err, said)
	}
	return r, nil
}

// answers waits for the answer to a PING.
func (r *redisServer) answers(ctx context.Context, port int) (err error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		if err = ping(ctx, port); err == nil {
			return nil
		}
		if pause(ctx) != nil {
			return err
		}
	}
}

func ping(ctx context.Context, port int) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && !strings.HasPrefix(line, "+PONG") {
		err = fmt.Errorf("it answers %q", line)
	}
	return err
}

func freePort(ctx context.Context) (int, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (r *redisServer) cpu() (time.Duration, error) {
	if r == nil {
		return 0, nil
	}
	return processCPU(r.cmd.Process.Pid)
}

// stop ends it and removes its directory.
func (r *redisServer) stop() {
	_ = r.cmd.Process.Signal(syscall.SIGKILL)
	_ = r.cmd.Wait()
	os.RemoveAll(r.dir)
}
