package pebble_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orchestrix/orchestrix/store/engine"
	"github.com/orchestrix/orchestrix/store/engine/pebble"
)

func TestReopenKeepsEverything(t *testing.T) {
	t.Parallel()
	ctx, dir := context.Background(), t.TempDir()
	e, err := pebble.Open(dir, pebble.Options{Shards: 4})
	if err != nil {
		t.Fatal(err)
	}
	head, err := e.Acquire(ctx, 2, engine.Nonce{1}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	res, err := e.Apply(ctx, 2, &engine.Batch{Fence: &head.Fence, Commit: 1, Groups: []engine.Group{{
		Guards:   []engine.Guard{{Key: []byte("a")}},
		Puts:     []engine.Entry{{Key: []byte("a"), Value: []byte{}}},
		Stamped:  []engine.Entry{{Key: []byte("s"), Value: []byte("v")}},
		Counters: []engine.Counter{{Name: []byte("n"), Value: 3}},
	}}})
	if err != nil || res.Groups[0].FirstSeq != 1 {
		t.Fatal(res, err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Get(ctx, 2, []byte("a")); !errors.Is(err, engine.ErrClosed) {
		t.Fatalf("after Close: %v", err)
	}
	e, err = pebble.Open(dir, pebble.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	entries, err := e.Scan(ctx, 2, engine.Range{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	want := []engine.Entry{
		{Key: []byte("a"), Value: []byte{}},
		{Key: []byte("s\x00\x00\x00\x00\x00\x00\x00\x01"), Value: []byte("v")},
	}
	if d := cmp.Diff(want, entries); d != "" {
		t.Error(d)
	}
	h, err := e.Head(ctx, 2)
	if err != nil {
		t.Fatal(err)
	}
	wantHead := engine.Head{Fence: engine.Fence{Epoch: head.Epoch}, Commit: 1, Seq: 1}
	if d := cmp.Diff(wantHead, h); d != "" {
		t.Error(d)
	}
	if c, err := e.Counters(ctx, 2, []byte("n")); err != nil || c[0] != 3 {
		t.Error(c, err)
	}
}
