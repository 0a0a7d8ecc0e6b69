package pebble_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/orchestrix/orchestrix/store/engine"
	"github.com/orchestrix/orchestrix/store/engine/pebble"
)

var discard = slog.New(slog.DiscardHandler)

func TestSecondProcessIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := child(t, "hold", dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	if in := bufio.NewScanner(out); !in.Scan() {
		t.Fatal("the other process did not start")
	}
	wantLocked(t, dir)
}

func TestSecondOpenIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := openStore(t, dir, pebble.Options{Shards: 1})
	wantLocked(t, dir)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	wantLocked(t, link)
	apply(t, e, 0, batch("x")...)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	openStore(t, link, pebble.Options{})
}

func wantLocked(t *testing.T, dir string) {
	t.Helper()
	_, err := pebble.Open(dir, pebble.Options{})
	if !errors.Is(err, engine.ErrLocked) || !strings.Contains(err.Error(), "stop that process") {
		t.Errorf("Open: %v, want ErrLocked", err)
	}
	if real, _ := filepath.EvalSymlinks(dir); !strings.Contains(err.Error(), real) {
		t.Errorf("message %q lacks the directory", err)
	}
}

func TestShards(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, bad := range []int{-1, pebble.MaxShards + 1} {
		if _, err := pebble.Open(dir, pebble.Options{Shards: bad}); !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("%d shards: %v, want ErrInvalid", bad, err)
		}
	}
	e := openStore(t, filepath.Join(dir, "default"), pebble.Options{})
	if e.Shards() != pebble.DefaultShards {
		t.Errorf("%d shards", e.Shards())
	}
	most := openStore(t, filepath.Join(dir, "most"), pebble.Options{Shards: pebble.MaxShards})
	apply(t, most, pebble.MaxShards-1, batch("x")...)
	if err := most.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := pebble.Open(filepath.Join(dir, "most"), pebble.Options{Shards: 64})
	if !errors.Is(err, engine.ErrInvalid) || !strings.Contains(err.Error(), "has 4096 shards") {
		t.Errorf("other number of shards: %v", err)
	}
	most = openStore(t, filepath.Join(dir, "most"), pebble.Options{Shards: pebble.MaxShards})
	if len(scanAll(t, most, pebble.MaxShards-1, "batch/x/")) != len(parts) {
		t.Error("the last shard lost its batch")
	}
}

func TestNewerLayoutIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := openStore(t, dir, pebble.Options{Shards: 1})
	newer := append(binary.BigEndian.AppendUint32(nil, 2), "whatever a newer version writes"...)
	if err := errors.Join(e.Overwrite(-1, newer), e.Close()); err != nil {
		t.Fatal(err)
	}
	_, err := pebble.Open(dir, pebble.Options{})
	if err == nil || errors.Is(err, engine.ErrCorrupt) || !strings.Contains(err.Error(), "newer version") || !strings.Contains(err.Error(), "run that version") {
		t.Errorf("Open: %v", err)
	}
}

// A greater minor version is one that this program may ignore, and leaves as it is.
func TestNewerMinorLayoutIsUsed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := openStore(t, dir, pebble.Options{Shards: 1})
	newer := append([]byte{0, 7, 0, 1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0}, "what a newer version adds"...)
	if err := errors.Join(e.Overwrite(-1, newer), e.Close()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := openStore(t, dir, pebble.Options{Shards: 1}).Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestStoreMustExist(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	if _, err := pebble.Open(dir, pebble.Options{MustExist: true}); err == nil || !strings.Contains(err.Error(), "--store-must-exist") {
		t.Errorf("Open: %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory was made: %v", err)
	}
	if err := openStore(t, dir, pebble.Options{}).Close(); err != nil {
		t.Fatal(err)
	}
	openStore(t, dir, pebble.Options{MustExist: true})
}

func TestDamagedRecordsAreRefused(t *testing.T) {
	t.Parallel()
	for name, overwrite := range map[string]func(e *pebble.Engine) error{
		"no store record":    func(e *pebble.Engine) error { return e.Overwrite(-1, nil) },
		"short store record": func(e *pebble.Engine) error { return e.Overwrite(-1, []byte{0, 0, 0, 1}) },
		"tiny store record":  func(e *pebble.Engine) error { return e.Overwrite(-1, []byte{0}) },
		"no shards":          func(e *pebble.Engine) error { return e.Overwrite(-1, append([]byte{0, 0, 0, 1}, make([]byte, 12)...)) },
		"short shard record": func(e *pebble.Engine) error { return e.Overwrite(1, []byte("x")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			e := openStore(t, dir, pebble.Options{Shards: 2})
			if err := errors.Join(overwrite(e), e.Close()); err != nil {
				t.Fatal(err)
			}
			if _, err := pebble.Open(dir, pebble.Options{}); !errors.Is(err, engine.ErrCorrupt) {
				t.Errorf("Open: %v, want ErrCorrupt", err)
			}
		})
	}
}

func TestMissingShardIsNotServed(t *testing.T) {
	t.Parallel()
	dir, ctx := t.TempDir(), context.Background()
	e := openStore(t, dir, pebble.Options{Shards: 2})
	apply(t, e, 0, batch("x")...)
	apply(t, e, 1, batch("x")...)
	if err := errors.Join(e.Overwrite(1, nil), e.Close()); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	e = openStore(t, dir, pebble.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if !strings.Contains(log.String(), "shard=1") {
		t.Errorf("log %q", &log)
	}
	_, apErr := e.Apply(ctx, 1, &engine.Batch{Groups: batch("y")})
	_, getErr := e.Get(ctx, 1, []byte("batch/x/a"))
	_, acErr := e.Acquire(ctx, 1, engine.Nonce{1}, time.Minute)
	for _, err := range []error{apErr, getErr, acErr} {
		if !errors.Is(err, engine.ErrMissing) {
			t.Errorf("%v, want ErrMissing", err)
		}
	}
	if got, err := e.Get(ctx, 0, []byte("batch/x/a")); err != nil || got[0] == nil {
		t.Errorf("other shard: %q, %v", got, err)
	}
}

// Open ends all leases: whoever held them is gone.
func TestReopenEndsLeases(t *testing.T) {
	t.Parallel()
	dir, ctx := t.TempDir(), context.Background()
	e := openStore(t, dir, pebble.Options{Shards: 1})
	h, err := e.Acquire(ctx, 0, engine.Nonce{1}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = openStore(t, dir, pebble.Options{})
	if err := e.Renew(ctx, 0, h.Fence, time.Hour); !errors.Is(err, engine.ErrFenced) {
		t.Errorf("Renew: %v, want ErrFenced", err)
	}
	next, err := e.Acquire(ctx, 0, engine.Nonce{2}, time.Hour)
	if err != nil || next.Epoch <= h.Epoch {
		t.Errorf("Acquire: %+v, %v", next, err)
	}
}

// Engine time holds while the clock is turned back, also over a restart.
func TestTimeNeverGoesBack(t *testing.T) {
	t.Parallel()
	dir, ctx := t.TempDir(), context.Background()
	var wall atomic.Int64
	wall.Store(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli())
	o := pebble.Options{Shards: 3, Now: func() time.Time { return time.UnixMilli(wall.Load()) }}
	e := openStore(t, dir, o)
	at := func() int64 {
		now, err := e.Now(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return now.UnixMilli()
	}
	high := wall.Add(5000)
	apply(t, e, 2, batch("x")...)
	wall.Add(-1e6)
	apply(t, e, 0, batch("y")...)
	if now := at(); now != high {
		t.Errorf("time %d, want %d", now, high)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = openStore(t, dir, o)
	if now := at(); now != high {
		t.Errorf("time after a restart %d, want %d", now, high)
	}
	if wall.Store(high + 1); at() != high+1 {
		t.Errorf("time does not go on: %d", at())
	}
}

// fullDisk is a file system that says how much is free.
type fullDisk struct {
	vfs.FS
	free atomic.Int64
	asks atomic.Int64
}

func (d *fullDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	d.asks.Add(1)
	if d.free.Load() < 0 {
		return vfs.DiskUsage{}, errors.New("statfs failed")
	}
	return vfs.DiskUsage{AvailBytes: uint64(d.free.Load())}, nil
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	ctx, clock := context.Background(), new(turnable)
	disk := &fullDisk{FS: vfs.NewMem()}
	disk.free.Store(pebble.DefaultMinFree)
	e := openStore(t, "store", pebble.Options{Shards: 2, FS: disk, Now: clock.now})
	h, err := e.Acquire(ctx, 0, engine.Nonce{1}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	write := func(shard int) error {
		_, err := e.Apply(ctx, shard, &engine.Batch{Groups: batch("x")})
		return err
	}
	if err := write(0); err != nil {
		t.Errorf("with just enough space: %v", err)
	}
	for _, free := range []int64{pebble.DefaultMinFree - 1, 0, -1} {
		disk.free.Store(free)
		clock.advance(2 * time.Second)
		if err := write(1); !errors.Is(err, engine.ErrUnavailable) {
			t.Errorf("%d bytes free: %v, want ErrUnavailable", free, err)
		}
		if err := write(1); free >= 0 && !strings.Contains(err.Error(), "store is full") {
			t.Errorf("message %q", err)
		}
	}
	if _, err := e.Apply(ctx, 0, &engine.Batch{Fence: &h.Fence, Commit: 1, Groups: batch("y")}); err != nil {
		t.Errorf("fenced: %v", err)
	}
	disk.free.Store(1 << 40)
	clock.advance(2 * time.Second)
	before := disk.asks.Load()
	for range 50 {
		if err := write(1); err != nil {
			t.Errorf("with space again: %v", err)
		}
	}
	if asks := disk.asks.Load() - before; asks > 10 {
		t.Errorf("the file system was asked %d times for 50 batches", asks)
	}
}

func TestFullDiskCheckOff(t *testing.T) {
	t.Parallel()
	disk := &fullDisk{FS: vfs.NewMem()}
	e := openStore(t, "store", pebble.Options{Shards: 1, FS: disk, MinFree: -1})
	apply(t, e, 0, batch("x")...)
}

// A normal life logs nothing that anybody sees.
func TestQuietLog(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	o := pebble.Options{Shards: 2, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelInfo}))}
	dir := t.TempDir()
	for range 2 {
		e := openStore(t, dir, o)
		apply(t, e, 0, batch("x")...)
		if err := errors.Join(e.Flush(), e.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if log.Len() > 0 {
		t.Errorf("log:\n%s", &log)
	}
}

func TestStats(t *testing.T) {
	t.Parallel()
	e := openStore(t, t.TempDir(), pebble.Options{Shards: 1})
	apply(t, e, 0, batch("x")...)
	s := e.Stats()
	if s.DiskBytes == 0 || s.LogBytes == 0 || s.WrittenBytes == 0 || s.MemoryBytes == 0 {
		t.Errorf("%+v", s)
	}
	if s.Fsyncs == 0 || s.FsyncSeconds <= 0 || len(s.FsyncBuckets) == 0 {
		t.Errorf("fsyncs %d in %v s, %d buckets", s.Fsyncs, s.FsyncSeconds, len(s.FsyncBuckets))
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if s := e.Stats(); s.DiskBytes != 0 {
		t.Errorf("after Close: %+v", s)
	}
}
