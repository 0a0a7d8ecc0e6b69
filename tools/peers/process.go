package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a child with a directory of its own.
type process struct {
	cmd *exec.Cmd
	dir string
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	killer := time.AfterFunc(5*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer killer.Stop()
	_ = p.cmd.Wait()
	if p.dir != "" {
		_ = os.RemoveAll(p.dir)
	}
}

// cpu is that of the process and of its living children.
func (p *process) cpu() (time.Duration, error) {
	sum, err := cpuOf(p.cmd.Process.Pid)
	if err != nil {
		return 0, err
	}
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", p.cmd.Process.Pid, p.cmd.Process.Pid))
	for _, text := range strings.Fields(string(children)) {
		if pid, err := strconv.Atoi(text); err == nil {
			if used, err := cpuOf(pid); err == nil { // it may have ended meanwhile
				sum += used
			}
		}
	}
	return sum, nil
}

// cpuOf returns the CPU time that a process has used: its clock is named by its
// number, inverted, above the bits that ask for the scheduler's.
func cpuOf(pid int) (time.Duration, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &t); err != nil {
		return 0, fmt.Errorf("CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// startWorker starts the benchmark's worker, which says where it listens.
func startWorker(ctx context.Context, binary, secret string) (*process, string, error) {
	cmd := exec.CommandContext(ctx, binary, "bench", "worker", "--secret", secret)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, "", fmt.Errorf("the worker does not say where it listens: %w", err)
	}
	return &process{cmd: cmd}, strings.TrimSpace(line), nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// startRedis starts a redis-server as "orchestrix bench --redis" does.
func startRedis(ctx context.Context) (*process, string, error) {
	dir, err := os.MkdirTemp("", "peers-redis-")
	if err != nil {
		return nil, "", err
	}
	port, err := freePort()
	if err != nil {
		return nil, "", err
	}
	cmd := exec.CommandContext(ctx, "redis-server", "--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", dir,
		"--save", "", "--appendonly", "yes", "--appendfsync", "everysec", "--logfile", filepath.Join(dir, "log"))
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	p := &process{cmd: cmd, dir: dir}
	return p, address, listens(ctx, address)
}

// listens waits until somebody listens there.
func listens(ctx context.Context, address string) error {
	return eventually(ctx, func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// eventually tries until it works, for some seconds.
func eventually(ctx context.Context, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// startPostgreSQL starts a server with its defaults, and so with fsync. It does not
// run as root: then it is started as the user postgres.
func startPostgreSQL(ctx context.Context) (*process, string, error) {
	bin, err := postgresBin()
	if err != nil {
		return nil, "", err
	}
	dir, err := os.MkdirTemp("", "peers-postgres-")
	if err != nil {
		return nil, "", err
	}
	as := &syscall.SysProcAttr{}
	if os.Geteuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			return nil, "", err
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		if err := os.Chown(dir, uid, gid); err != nil {
			return nil, "", err
		}
		as.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	initdb := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", filepath.Join(dir, "data"), "-U", "peers", "-A", "trust", "-E", "UTF8")
	initdb.SysProcAttr, initdb.Dir = as, dir
	if said, err := initdb.CombinedOutput(); err != nil {
		return nil, "", fmt.Errorf("initdb: %w: %s", err, said)
	}
	port, err := freePort()
	if err != nil {
		return nil, "", err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "postgres"), "-D", filepath.Join(dir, "data"), "-h", "127.0.0.1", "-p", strconv.Itoa(port), "-k", dir)
	cmd.SysProcAttr, cmd.Dir = as, dir
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	url := fmt.Sprintf("postgres://peers@127.0.0.1:%d/postgres?pool_max_conns=32", port)
	return &process{cmd: cmd, dir: dir}, url, listens(ctx, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
}

// postgresBin is where the newest installed server's programs are.
func postgresBin() (string, error) {
	if at, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(at), nil
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return "", fmt.Errorf("there is no PostgreSQL: install postgresql")
	}
	slices.Sort(found)
	return filepath.Dir(found[len(found)-1]), nil
}
