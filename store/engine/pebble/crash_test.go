package pebble_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/orchestrix/orchestrix/store/engine"
	"github.com/orchestrix/orchestrix/store/engine/pebble"
)

// A process killed while it writes loses nothing that it acknowledged, and leaves
// no batch in part; again and again on one directory.
func TestKilledWhileWriting(t *testing.T) {
	t.Parallel()
	rounds := 5
	if testing.Short() {
		rounds = 2
	}
	dir := t.TempDir()
	var acknowledged []string
	for range rounds {
		acknowledged = append(acknowledged, killWriter(t, dir, 150)...)
		e := openStore(t, dir, pebble.Options{})
		checkBatches(t, e, acknowledged)
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// killWriter starts a writer, kills it after some acknowledgements and returns
// all that it made.
func killWriter(t *testing.T, dir string, after int) []string {
	t.Helper()
	cmd := child(t, "write", dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for in := bufio.NewScanner(out); in.Scan(); {
		if lines = append(lines, in.Text()); len(lines) == after {
			_ = cmd.Process.Kill()
		}
	}
	if err := cmd.Wait(); len(lines) < after {
		t.Fatalf("writer ended after %d lines: %v\n%s", len(lines), err, &stderr)
	}
	return lines
}

// checkBatches checks that every acknowledged batch ("shard name") is there and
// that every batch that is there is whole, with its counters and numbers.
func checkBatches(t *testing.T, e engine.Engine, acknowledged []string) {
	t.Helper()
	found := map[string]int{}
	for shard := range e.Shards() {
		count := 0
		for _, en := range scanAll(t, e, shard, "batch/") {
			name := strings.Split(string(en.Key), "/")[1]
			found[fmt.Sprintf("%d %s", shard, name)]++
			count++
		}
		head, err := e.Head(context.Background(), shard)
		if err != nil {
			t.Fatal(err)
		}
		counters, err := e.Counters(context.Background(), shard, []byte("parts"))
		if err != nil {
			t.Fatal(err)
		}
		lane := len(scanAll(t, e, shard, "lane/"))
		if counters[0] != int64(count) || head.Seq != uint64(count) || lane != count {
			t.Errorf("shard %d: %d parts, counter %d, last number %d, %d numbered keys", shard, count, counters[0], head.Seq, lane)
		}
	}
	for _, name := range acknowledged {
		if found[name] == 0 {
			t.Errorf("acknowledged batch %q is lost", name)
		}
	}
	for name, n := range found {
		if n != len(parts) {
			t.Errorf("batch %q has %d of %d parts", name, n, len(parts))
		}
	}
}

func scanAll(t *testing.T, e engine.Engine, shard int, prefix string) []engine.Entry {
	t.Helper()
	r := engine.Range{From: []byte(prefix), To: []byte(prefix + "\xff"), Limit: engine.MaxScan}
	var all []engine.Entry
	for {
		page, err := e.Scan(context.Background(), shard, r)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page...)
		if len(page) < r.Limit {
			return all
		}
		r.From = append(page[len(page)-1].Key, 0)
	}
}

// The machine loses power at random moments: what was not synced is there in
// part, and what was acknowledged is there.
func TestPowerLossWhileWriting(t *testing.T) {
	t.Parallel()
	mem := vfs.NewCrashableMem()
	e := openStore(t, "store", pebble.Options{Shards: 2, FS: mem, MinFree: -1})
	var mu sync.Mutex
	var acknowledged []string
	acked := func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string{}, acknowledged...)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for n := 0; ctx.Err() == nil && n < 120; n++ {
				name := fmt.Sprintf("%d.%d", w, n)
				if _, err := e.Apply(context.Background(), w%2, &engine.Batch{Groups: batch(name)}); err != nil {
					t.Error(err)
				}
				mu.Lock()
				acknowledged = append(acknowledged, fmt.Sprintf("%d %s", w%2, name))
				mu.Unlock()
			}
		})
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 20 {
		for len(acked()) < 20*i {
			runtime.Gosched()
		}
		before := acked()
		clone := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50 * (i % 3), RNG: rng})
		crashed := openStore(t, "store", pebble.Options{FS: clone, MinFree: -1})
		checkBatches(t, crashed, before)
		if err := crashed.Close(); err != nil {
			t.Error(err)
		}
	}
	cancel()
	writers.Wait()
}

// A crash at any moment of a store's creation leaves a directory that can be
// opened, not one that is refused for ever.
func TestPowerLossWhileCreating(t *testing.T) {
	t.Parallel()
	mem := vfs.NewCrashableMem()
	rng := rand.New(rand.NewPCG(3, 4))
	var clones []*vfs.MemFS
	var mu sync.Mutex
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			mu.Lock()
			defer mu.Unlock()
			clones = append(clones, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50 * (len(clones) % 3), RNG: rng}))
		}
		return nil
	}))
	e := openStore(t, "a/store", pebble.Options{Shards: 2, FS: fs, MinFree: -1})
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if len(clones) < 20 {
		t.Fatalf("only %d moments", len(clones))
	}
	for i, clone := range clones {
		e, err := pebble.Open("a/store", pebble.Options{Shards: 2, FS: clone, MinFree: -1})
		if err != nil {
			t.Errorf("crash at moment %d of %d: %v", i, len(clones), err)
			continue
		}
		if _, err := e.Apply(context.Background(), 1, &engine.Batch{Groups: batch("x")}); err != nil {
			t.Error(err)
		}
		checkBatches(t, e, []string{"1 x"})
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A failed fsync ends the process before anything more is acknowledged.
func TestFsyncErrorEndsTheProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := child(t, "badfsync", dir)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != pebble.ExitCode {
		t.Errorf("ended with %v, want exit code %d\n%s", err, pebble.ExitCode, &stderr)
	}
	if got := stdout.String(); got != "acknowledged first\n" {
		t.Errorf("output %q", got)
	}
	if !strings.Contains(stderr.String(), "cannot write durably") || !strings.Contains(stderr.String(), dir) {
		t.Errorf("log %q", &stderr)
	}
	checkBatches(t, openStore(t, dir, pebble.Options{}), []string{"0 first"})
}

// A batch whose guard failed returns only when what stood there is durable.
func TestFailedGuardWaitsForWhatItSaw(t *testing.T) {
	t.Parallel()
	var gate sync.RWMutex
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo {
			gate.RLock()
			defer gate.RUnlock()
		}
		return nil
	}))
	e := openStore(t, "store", pebble.Options{Shards: 1, FS: fs, MinFree: -1})
	done := make(chan string, 2)
	create := func(value string) {
		_, err := e.Apply(context.Background(), 0, &engine.Batch{Groups: []engine.Group{{
			Guards: []engine.Guard{{Key: []byte("k")}}, Puts: []engine.Entry{{Key: []byte("k"), Value: []byte(value)}},
		}}})
		if err != nil {
			t.Error(err)
		}
		done <- value
	}
	gate.Lock()
	go create("first")
	for v := [][]byte{nil}; v[0] == nil; {
		var err error
		if v, err = e.Get(context.Background(), 0, []byte("k")); err != nil {
			t.Fatal(err)
		}
	}
	go create("second")
	select {
	case who := <-done:
		t.Errorf("the %s one returned before the fsync", who)
	case <-time.After(50 * time.Millisecond):
		// As long as it takes a wrong engine to return; a right one never does.
	}
	gate.Unlock()
	<-done
	<-done
}
