package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// process is a child of the benchmark that has said where it listens.
type process struct {
	cmd *exec.Cmd
	url string
	// complaints is the end of what it wrote to standard error.
	complaints *tail
}

// startTimeout bounds how long a child may take to say where it listens.
const startTimeout = 20 * time.Second

// start runs this program with other arguments and reads its first line, which
// urlOf turns into the child's URL.
func start(ctx context.Context, executable string, urlOf func(line string) (string, error), args ...string) (*process, error) {
	p := &process{cmd: exec.CommandContext(ctx, executable, args...), complaints: &tail{}}
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = 5 * time.Second
	p.cmd.Stderr = p.complaints
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", strings.Join(args, " "), err)
	}
	line := make(chan string, 1)
	go func() {
		text, _ := bufio.NewReader(stdout).ReadString('\n')
		line <- strings.TrimSpace(text)
		_, _ = io.Copy(io.Discard, stdout) // a full pipe would stop the child
	}()
	select {
	case text := <-line:
		if p.url, err = urlOf(text); err != nil {
			p.stop()
			return nil, fmt.Errorf("%s did not start: %s", strings.Join(args, " "), p.complaints)
		}
		return p, nil
	case <-time.After(startTimeout):
		p.stop()
		return nil, fmt.Errorf("%s did not start within %s: %s", strings.Join(args, " "), startTimeout, p.complaints)
	}
}

func (p *process) cpu() (time.Duration, error) { return processCPU(p.cmd.Process.Pid) }

// stop ends the child and waits for it. How it ended says nothing about what
// was measured before; a child that is gone already cannot be signalled.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	killer := time.AfterFunc(10*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer killer.Stop()
	_ = p.cmd.Wait()
}

// tail keeps the last bytes that were written to it. Only the child's copier
// writes, and it is read after the child has ended.
type tail struct{ data []byte }

const tailSize = 2 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.data = append(t.data, p...)
	t.data = t.data[max(len(t.data)-tailSize, 0):]
	return len(p), nil
}

func (t *tail) String() string { return strings.TrimSpace(string(t.data)) }
