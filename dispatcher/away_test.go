package dispatcher

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/store/engine"
	"github.com/orchestrix/orchestrix/store/engine/model"
)

// A node that died leaves its leases behind.
func TestStartWaitsOutALease(t *testing.T) {
	t.Parallel()
	e := model.New(4, nil)
	for shard := range 4 {
		if _, err := e.Acquire(t.Context(), shard, engine.Nonce{1}, 300*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	w := newWorld(t, e, nil)
	begin := time.Now()
	w.start()
	if took := time.Since(begin); took < 200*time.Millisecond {
		t.Errorf("the shards were taken after %s", took)
	}
	w.enqueue("q0", 5)
	w.untilSucceeded(5)
}

// A shard that was lost stops, loudly; the others are served, and it is too when
// it is back.
func TestShardIsMissing(t *testing.T) {
	t.Parallel()
	e := model.New(4, nil)
	var missing atomic.Bool
	var tries atomic.Int64
	lost := store.New(e).ShardOf("q0")
	missing.Store(true)
	e.Fail = func(_ string, shard int) error {
		if shard == lost && missing.Load() {
			tries.Add(1)
			return engine.ErrMissing
		}
		return nil
	}
	var log lines
	w := newWorld(t, e, nil, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	w.start()
	for _, queue := range []string{"q1", "q2"} {
		if w.store.ShardOf(queue) == lost {
			t.Fatal("the queues are of one shard")
		}
		w.enqueue(queue, 5)
	}
	w.until("the other shards are served", func() bool { n, _ := w.worker.count(); return n == 10 })
	if n := tries.Load(); n != 1 {
		t.Errorf("the lost shard was tried %d times", n)
	}
	if text := log.String(); strings.Count(text, "level=ERROR") != 1 || !strings.Contains(text, "its record is gone") {
		t.Errorf("log:\n%s", text)
	}
}

// lines is a log that many write.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func TestPauses(t *testing.T) {
	t.Parallel()
	for range 100 {
		p := pauses{10 * time.Millisecond, 2 * time.Second}
		for _, ms := range []int{10, 20, 40, 80, 160, 320, 640, 1280, 2000, 2000, 2000} {
			most := time.Duration(ms) * time.Millisecond
			if d := p.pause(); d < most/2 || d > most {
				t.Fatalf("a pause of %s, want %s to %s", d, most/2, most)
			}
		}
	}
}

func TestAwayIsToldNowAndThen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var a away
		var buf bytes.Buffer
		log := slog.New(slog.NewTextHandler(&buf, nil))
		for range 600 { // a minute of it
			a.tell(t.Context(), log, "tried again", 3, store.ErrUnavailable)
			time.Sleep(100 * time.Millisecond)
		}
		if n := strings.Count(buf.String(), "level=WARN"); n != 12 {
			t.Errorf("%d lines in a minute", n)
		}
	})
}
