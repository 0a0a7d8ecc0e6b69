package control

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/store/engine/model"
	"github.com/orchestrix/orchestrix/webhook/push"
)

// counted counts how often the workers are listed, as each reload does.
type counted struct {
	*store.Store
	lists atomic.Int64
}

func (c *counted) ListDocuments(ctx context.Context, kind, after string, limit int) ([]store.Document, error) {
	if kind == kindWorker {
		c.lists.Add(1)
	}
	return c.Store.ListDocuments(ctx, kind, after, limit)
}

// shared is one of several nodes on a store.
func shared(t *testing.T, s *store.Store) (*Control, *counted) {
	t.Helper()
	read := &counted{Store: s}
	c := New(Options{Store: read, Dispatcher: newIdle(), Guard: push.NewGuard(nil, true), Shared: true})
	if _, err := c.Load(As(context.Background(), Root())); err != nil {
		t.Fatal(err)
	}
	return c, read
}

func TestChangesOfAnotherNodeAreFollowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := store.New(model.New(1, nil))
		ctx := As(context.Background(), Root())
		a, readByA := shared(t, s)
		b, readByB := shared(t, s)
		defer a.Close()
		defer b.Close()
		time.Sleep(time.Minute)
		if a, b := readByA.lists.Swap(0), readByB.lists.Swap(0); a > 2 || b > 2 { // b has made, or found, the signing key
			t.Errorf("nothing changes, and it was read %d and %d times", a, b)
		}
		if _, err := a.PauseQueue(ctx, "q", "x"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(followEvery)
		b.mu.RLock()
		paused := b.live.queues["q"].Value.Paused
		b.mu.RUnlock()
		if !paused {
			t.Error("after a second the other node does not know the change")
		}
		for range 5 { // b's own changes are known to it
			if _, err := b.ResumeQueue(ctx, "q"); err != nil {
				t.Fatal(err)
			}
			if _, err := b.PauseQueue(ctx, "q", "y"); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		if n := readByB.lists.Load(); n != 1 {
			t.Errorf("one change of another node was read %d times", n)
		}
		if n := readByA.lists.Load(); n == 0 || n > 10 {
			t.Errorf("ten changes of another node were read %d times", n)
		}
	})
}

// What is not known of a store that is away is read when it is back.
func TestFollowingAStoreThatIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := store.New(model.New(1, nil))
		f := &flaky{Store: s, down: make(chan error, 3)}
		d := newIdle()
		c := New(Options{Store: f, Dispatcher: d, Guard: push.NewGuard(nil, true), Shared: true})
		if _, err := c.Load(As(context.Background(), Root())); err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		time.Sleep(time.Minute)
		if _, _, err := s.PutDocument(context.Background(), kindQueue, "q", []byte(`{"concurrency":7}`), store.ExpectAny); err != nil {
			t.Fatal(err)
		}
		for range cap(f.down) {
			f.down <- store.ErrUnavailable
		}
		time.Sleep(time.Minute)
		c.mu.RLock()
		defer c.mu.RUnlock()
		if q := c.live.queues["q"]; q.Value.Concurrency != 7 {
			t.Errorf("live: %+v", q)
		}
	})
}

func TestReadyAsksTheNode(t *testing.T) {
	t.Parallel()
	why := errors.New("no member")
	c := New(Options{Store: store.New(model.New(1, nil)), Dispatcher: newIdle(), Ready: func() error { return why }})
	if err := c.Ready(t.Context()); KindOf(err) != Unavailable || err.Error() != why.Error() {
		t.Errorf("Ready = %v", err)
	}
	why = nil
	if err := c.Ready(t.Context()); err != nil {
		t.Errorf("Ready = %v", err)
	}
}
