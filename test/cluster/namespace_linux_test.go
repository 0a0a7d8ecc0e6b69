package cluster_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// namespace is a network namespace with one link to the outside.
type namespace struct {
	t               *testing.T
	name            string
	file            *os.File
	outer           string // the link's end outside
	outside, inside string // addresses of both ends
}

// newNamespace makes one, which ends with the test. Where that is not permitted the
// test is skipped.
func newNamespace(t *testing.T) *namespace {
	t.Helper()
	pid := os.Getpid()
	n := &namespace{t: t, name: fmt.Sprintf("orx%d", pid), outer: fmt.Sprintf("orx%do", pid)}
	inner := fmt.Sprintf("orx%di", pid)
	n.outside, n.inside = fmt.Sprintf("10.213.%d.1", pid%250), fmt.Sprintf("10.213.%d.2", pid%250)
	if err := ip("netns", "add", n.name); err != nil {
		t.Skipf("no network namespace can be made here (that takes root and iproute2): %v", err)
	}
	t.Cleanup(func() {
		if n.file != nil {
			n.file.Close()
		}
		if err := ip("netns", "del", n.name); err != nil { // its end of the link goes with it, and so the other
			t.Error(err)
		}
	})
	for _, words := range [][]string{
		{"link", "add", n.outer, "type", "veth", "peer", "name", inner, "netns", n.name},
		{"addr", "add", n.outside + "/30", "dev", n.outer},
		{"link", "set", n.outer, "up"},
		{"-n", n.name, "addr", "add", n.inside + "/30", "dev", inner},
		{"-n", n.name, "link", "set", inner, "up"},
		{"-n", n.name, "link", "set", "lo", "up"},
	} {
		if err := ip(words...); err != nil {
			t.Skipf("no link to a network namespace can be made here: %v", err)
		}
	}
	file, err := os.Open("/var/run/netns/" + n.name)
	if err != nil {
		t.Fatal(err)
	}
	n.file = file
	return n
}

func ip(words ...string) error {
	out, err := exec.Command("ip", words...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(words, " "), err, out)
	}
	return nil
}

// do calls f on a thread that is in the namespace: sockets that it makes, and
// processes that it starts, stay there.
func (n *namespace) do(f func() error) error {
	done := make(chan error)
	go func() {
		done <- func() error {
			runtime.LockOSThread()
			own, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
			if err != nil {
				return err
			}
			defer own.Close()
			if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
				return err
			}
			err = f()
			if back := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); back != nil {
				return back // the thread ends with the goroutine
			}
			runtime.UnlockOSThread()
			return err
		}()
	}()
	return <-done
}

// start starts a process in it.
func (n *namespace) start(cmd *exec.Cmd) error { return n.do(cmd.Start) }

// dial connects from within it.
func (n *namespace) dial(ctx context.Context, network, address string) (c net.Conn, err error) {
	err = n.do(func() error {
		c, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// serve serves a handler at an address within it.
func (n *namespace) serve(address string, h http.Handler) {
	n.t.Helper()
	var l net.Listener
	err := n.do(func() (err error) {
		l, err = new(net.ListenConfig).Listen(n.t.Context(), "tcp", address)
		return err
	})
	if err != nil {
		n.t.Fatal(err)
	}
	server := &http.Server{Handler: h}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(l)
	}()
	n.t.Cleanup(func() { server.Close(); <-done })
}

// link puts the link up or down.
func (n *namespace) link(state string) {
	n.t.Helper()
	if err := ip("link", "set", n.outer, state); err != nil {
		n.t.Fatal(err)
	}
}
