package pebble_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orchestrix/orchestrix/store/engine"
	"github.com/orchestrix/orchestrix/store/engine/pebble"
)

// A damaged store is refused with a message that says what to do; and once the
// damage is undone, all is there.
func TestDamageIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, dir string)
	}{
		{"manifest truncated", onFile("MANIFEST-*", truncate)},
		{"manifest emptied", onFile("MANIFEST-*", empty)},
		{"manifest garbled", onFile("MANIFEST-*", garble)},
		{"manifest removed", onFile("MANIFEST-*", remove)},
		{"manifest marker removed", onFile("marker.manifest.*", remove)},
		{"format marker removed", onFile("marker.format-version.*", remove)},
		{"both markers removed", func(t *testing.T, dir string) {
			onFile("marker.manifest.*", remove)(t, dir)
			onFile("marker.format-version.*", remove)(t, dir)
		}},
		{"table truncated", onFile("*.sst", truncate)},
		{"table emptied", onFile("*.sst", empty)},
		{"table garbled", onFile("*.sst", garble)},
		{"table removed", onFile("*.sst", remove)},
		{"log removed", onFile("*.log", remove)},
		{"all but the log removed", func(t *testing.T, dir string) {
			for _, pattern := range []string{"MANIFEST-*", "marker.*", "*.sst", "OPTIONS-*"} {
				onFile(pattern, remove)(t, dir)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			written := fill(t, dir, true)
			intact := snapshot(t, dir)
			c.damage(t, dir)
			damaged := snapshot(t, dir)
			e, err := pebble.Open(dir, pebble.Options{Logger: discard})
			if err == nil && c.name == "manifest truncated" {
				// A manifest that ends early is what a crash leaves too. Where the log of
				// what it lacks was not deleted yet, nothing is lost: it is read again.
				checkBatches(t, e, written)
				if err := e.Close(); err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, engine.ErrCorrupt) {
				t.Fatalf("Open: %v, want ErrCorrupt", err)
			}
			for _, want := range []string{dir, "restore a backup", "move it away"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("message %q lacks %q", err, want)
				}
			}
			for name, content := range intact {
				if now, there := damaged[name]; there && now == content {
					continue
				}
				if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			checkBatches(t, openStore(t, dir, pebble.Options{}), written)
		})
	}
}

// A record torn or garbled at the log's end is cut off, with nothing before it.
func TestTornLogIsRecovered(t *testing.T) {
	t.Parallel()
	source := t.TempDir()
	e := openStore(t, source, pebble.Options{Shards: 1})
	const batches = 20
	for i := range batches {
		apply(t, e, 0, batch(fmt.Sprintf("%02d", i))...)
	}
	for name, tear := range map[string]func(log []byte, end int) []byte{
		"cut in the last record":      func(log []byte, end int) []byte { return log[:end-100] },
		"cut in its header":           func(log []byte, end int) []byte { return log[:end-1400] },
		"cut some records before":     func(log []byte, end int) []byte { return log[:end/2] },
		"last record zeroed":          func(log []byte, end int) []byte { clear(log[end-200:]); return log },
		"last bytes garbled":          func(log []byte, end int) []byte { return flip(log, end-50, end) },
		"garbage after the end":       func(log []byte, end int) []byte { return append(log[:end], rubbish(5000)...) },
		"nothing wrong, not closed":   func(log []byte, _ int) []byte { return log },
		"cut to nothing":              func(log []byte, _ int) []byte { return log[:0] },
		"cut one byte before its end": func(log []byte, end int) []byte { return log[:end-1] },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			copyStore(t, source, dir)
			onFile(latest(t, dir, "*.log"), func(b []byte) []byte { return tear(b, len(bytes.TrimRight(b, "\x00"))) })(t, dir)
			torn := openStore(t, dir, pebble.Options{})
			checkBatches(t, torn, nil)
			kept := len(scanAll(t, torn, 0, "batch/")) / len(parts)
			if name == "nothing wrong, not closed" && kept != batches {
				t.Errorf("%d of %d batches", kept, batches)
			}
			if name == "cut in the last record" && kept != batches-1 {
				t.Errorf("%d of %d batches, only the last was torn", kept, batches)
			}
			for i, en := range scanAll(t, torn, 0, "batch/") {
				if want := fmt.Sprintf("batch/%02d/%s", i/len(parts), parts[i%len(parts)]); string(en.Key) != want {
					t.Fatalf("%s follows, want %s", en.Key, want)
				}
			}
			apply(t, torn, 0, batch("new")...)
		})
	}
}

// Damage in the middle of the log is not taken for its end: what comes after it
// was acknowledged.
func TestGarbledLogIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fill(t, dir, false)
	onFile(latest(t, dir, "*.log"), func(b []byte) []byte {
		end := len(bytes.TrimRight(b, "\x00"))
		return flip(b, end/3, end/3+20)
	})(t, dir)
	if _, err := pebble.Open(dir, pebble.Options{}); !errors.Is(err, engine.ErrCorrupt) {
		t.Errorf("Open: %v, want ErrCorrupt", err)
	}
}

// Damage that shows only later fails the reads that meet it, and nothing else.
func TestDamageFoundWhileReading(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := openStore(t, dir, pebble.Options{Shards: 2})
	value := rubbish(20 << 10)
	// The first entry keeps the heads and the second out of one block.
	apply(t, e, 0, engine.Group{Puts: []engine.Entry{{Key: []byte("a"), Value: rubbish(20 << 10)}, {Key: []byte("k"), Value: value}}})
	apply(t, e, 1, engine.Group{Puts: []engine.Entry{{Key: []byte("k"), Value: []byte("fine")}}})
	if err := errors.Join(e.Flush(), e.Close()); err != nil {
		t.Fatal(err)
	}
	garbled := 0
	onFile("*.sst", func(b []byte) []byte {
		if at := bytes.Index(b, value[1000:1100]); at >= 0 {
			garbled++
			flip(b, at, at+10)
		}
		return b
	})(t, dir)
	if garbled != 1 {
		t.Fatalf("%d tables hold the value", garbled)
	}
	e = openStore(t, dir, pebble.Options{Logger: discard})
	ctx, k := context.Background(), []byte("k")
	_, getErr := e.Get(ctx, 0, k)
	_, scanErr := e.Scan(ctx, 0, engine.Range{Limit: 10})
	_, guardErr := e.Apply(ctx, 0, &engine.Batch{Groups: []engine.Group{{Guards: []engine.Guard{{Key: k}}}}})
	for name, err := range map[string]error{"Get": getErr, "Scan": scanErr, "Apply": guardErr} {
		if !errors.Is(err, engine.ErrCorrupt) || !strings.Contains(err.Error(), "restore a backup") {
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		}
	}
	if got, err := e.Get(ctx, 1, k); err != nil || string(got[0]) != "fine" {
		t.Errorf("other shard: %q, %v", got, err)
	}
	apply(t, e, 0, batch("x")...)
}

// fill makes a store with tables and a log that has more than they, and returns
// the batches in it.
func fill(t *testing.T, dir string, flush bool) []string {
	t.Helper()
	var written []string
	e := openStore(t, dir, pebble.Options{Shards: 2})
	for i := range 30 {
		apply(t, e, i%2, batch(fmt.Sprint(i))...)
		written = append(written, fmt.Sprintf("%d %d", i%2, i))
		if flush && i == 20 {
			if err := e.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return written
}

func apply(t *testing.T, e engine.Engine, shard int, groups ...engine.Group) {
	t.Helper()
	if _, err := e.Apply(context.Background(), shard, &engine.Batch{Groups: groups}); err != nil {
		t.Fatal(err)
	}
}

// onFile changes every file of the store that matches; a change to nil removes
// it.
func onFile(pattern string, change func([]byte) []byte) func(t *testing.T, dir string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(names) == 0 {
			t.Fatalf("no %s in %s: %v", pattern, dir, err)
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if b = change(b); b == nil {
				err = os.Remove(name)
			} else {
				err = os.WriteFile(name, b, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// latest is the last of the files that match: an older log may lie there to be
// used again.
func latest(t *testing.T, dir, pattern string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(names) == 0 {
		t.Fatalf("no %s in %s: %v", pattern, dir, err)
	}
	return filepath.Base(names[len(names)-1])
}

func remove([]byte) []byte     { return nil }
func empty([]byte) []byte      { return []byte{} }
func truncate(b []byte) []byte { return b[:len(b)*2/3] }
func garble(b []byte) []byte   { return flip(b, 0, len(b)) }

func flip(b []byte, from, to int) []byte {
	for i := from; i < to; i++ {
		b[i] ^= 0x5a
	}
	return b
}

func rubbish(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

// copyStore copies a store that is open, as a crash of the process leaves it.
func copyStore(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// snapshot returns what is in a directory, but for the lock.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range entries {
		if f.Name() == "LOCK" || f.IsDir() {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[f.Name()] = string(b)
	}
	return files
}

// What is no store is not touched.
func TestForeignDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	for name, file := range map[string]string{
		"somebody's file":         "thesis.tex",
		"a file of another store": "CURRENT",
		"a hidden one":            ".bash_history",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, file), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
			before := snapshot(t, dir)
			_, err := pebble.Open(dir, pebble.Options{})
			if !errors.Is(err, pebble.ErrNotStore) || !strings.Contains(err.Error(), file) {
				t.Errorf("Open: %v, want ErrNotStore", err)
			}
			if d := cmp.Diff(before, snapshot(t, dir)); d != "" {
				t.Error(d)
			}
			if _, err := os.Stat(filepath.Join(dir, "LOCK")); err == nil {
				t.Error("a lock file was left in it")
			}
		})
	}
}

// A volume of its own has a lost+found.
func TestFreshVolume(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "lost+found"), 0o700); err != nil {
		t.Fatal(err)
	}
	apply(t, openStore(t, dir, pebble.Options{Shards: 1}), 0, batch("x")...)
}
