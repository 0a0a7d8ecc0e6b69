package pebble_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"go.uber.org/goleak"

	"github.com/orchestrix/orchestrix/store/engine"
	"github.com/orchestrix/orchestrix/store/engine/pebble"
)

// childTask names, in the environment, what the test binary does instead of
// testing: a part that has to die, or to be another process.
const childTask = "ORCHESTRIX_TEST_CHILD"

var tasks = map[string]func(dir string) error{
	"write":    writeForever,
	"hold":     holdLock,
	"badfsync": writeOnBadDisk,
}

func TestMain(m *testing.M) {
	task := os.Getenv(childTask)
	if task == "" {
		goleak.VerifyTestMain(m)
		return
	}
	if err := tasks[task](os.Args[len(os.Args)-1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// child is a command that runs a task on a directory in another process.
func child(t *testing.T, task, dir string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, dir)
	cmd.Env = append(os.Environ(), childTask+"="+task)
	return cmd
}

// writeForever writes batches from several goroutines and prints each one's name
// once it is acknowledged.
func writeForever(dir string) error {
	e, err := pebble.Open(dir, pebble.Options{Shards: 2})
	if err != nil {
		return err
	}
	const writers = 6
	errs := make(chan error, writers)
	for w := range writers {
		go func() { errs <- writeBatches(e, w%2, fmt.Sprintf("%d.%d", os.Getpid(), w), os.Stdout) }()
	}
	return <-errs
}

// writeBatches never ends but by an error.
func writeBatches(e engine.Engine, shard int, writer string, out *os.File) error {
	for n := 0; ; n++ {
		name := fmt.Sprintf("%s.%d", writer, n)
		if _, err := e.Apply(context.Background(), shard, &engine.Batch{Groups: batch(name)}); err != nil {
			return err
		}
		fmt.Fprintf(out, "%d %s\n", shard, name)
	}
}

// parts of a batch, which must all be there or none.
var parts = []string{"a", "b", "c"}

func batch(name string) []engine.Group {
	var groups []engine.Group
	for _, part := range parts {
		groups = append(groups, engine.Group{
			Puts:     []engine.Entry{{Key: []byte("batch/" + name + "/" + part), Value: []byte(strings.Repeat(part, 300))}},
			Stamped:  []engine.Entry{{Key: []byte("lane/")}},
			Counters: []engine.Counter{{Name: []byte("parts"), Value: 1}},
		})
	}
	return groups
}

func holdLock(dir string) error {
	if _, err := pebble.Open(dir, pebble.Options{}); err != nil {
		return err
	}
	fmt.Println("open")
	select {}
}

// writeOnBadDisk writes one batch before the log's fsyncs fail and one after.
func writeOnBadDisk(dir string) error {
	var once sync.Once
	broken := make(chan struct{})
	fs := errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
		select {
		case <-broken:
		default:
			return nil
		}
		sync := op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo
		if sync && strings.HasSuffix(op.Path, ".log") {
			return errorfs.ErrInjected
		}
		return nil
	}))
	e, err := pebble.Open(dir, pebble.Options{Shards: 1, FS: fs})
	if err != nil {
		return err
	}
	for _, name := range []string{"first", "second"} {
		if _, err := e.Apply(context.Background(), 0, &engine.Batch{Groups: batch(name)}); err != nil {
			return err
		}
		fmt.Println("acknowledged", name)
		once.Do(func() { close(broken) })
	}
	return nil
}
