package dispatcher

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/webhook"
)

// turns is a worker whose pushes hang until they are let go one by one. It notes
// the keys of the jobs in the order of their pushes.
type turns struct {
	mu   sync.Mutex
	keys []string
	free chan struct{}
}

func (t *turns) answer(_ http.ResponseWriter, r *http.Request, _ int) {
	t.mu.Lock()
	t.keys = append(t.keys, r.Header.Get(webhook.HeaderKey))
	t.mu.Unlock()
	select {
	case <-t.free:
	case <-r.Context().Done():
	}
}

// since returns the keys of the pushes behind the first n.
func (t *turns) since(n int) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.keys[n:])
}

func ofKey(key string) func(*job.Job) { return func(j *job.Job) { j.Key = key } }

// However many jobs of one key stand in front, a job of another key is pushed
// within one round: at most what was claimed already, and what one commit claims
// beside it, is pushed before it. So it is for a key that comes while the queue is
// busy, and for one that a new owner finds.
func TestKeysTakeTurnsBeforeBacklog(t *testing.T) {
	t.Parallel()
	const concurrency = 4
	jobs := 100_000
	if testing.Short() {
		jobs = 5_000
	}
	for name, restart := range map[string]bool{"running": false, "new owner": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var ts turns
			ts.free = make(chan struct{})
			w := newWorld(t, memory(t, 1), ts.answer, func(o *Options) {
				o.Config.DefaultQueue.Concurrency = concurrency
				o.Config.Timeout = time.Hour // what hangs is to hang until it is let go
			})
			w.start()
			for range jobs / 1000 {
				w.enqueue("q0", 1000, ofKey("a"))
			}
			w.until("as many hang as may", func() bool { return len(ts.since(0)) == concurrency })
			w.enqueue("q0", 1, ofKey("b"))
			if restart {
				ended, cancel := context.WithCancel(context.Background())
				cancel()
				_ = w.d.Stop(ended) // says that it aborted pushes
				w.start()
				w.until("they are pushed again", func() bool { return len(ts.since(concurrency)) >= concurrency })
			}
			ts.until(w, "b", concurrency, 2*concurrency)
			ts.drain(w)
		})
	}
}

// until lets pushes go, one after the other, until one of that key begins: before
// most others have begun behind the first n.
func (t *turns) until(w *world, key string, n, most int) {
	w.t.Helper()
	for {
		begun := t.since(n)
		i := slices.Index(begun, key)
		if others := begun[:max(i, 0)]; i >= 0 && len(others) <= most {
			return
		}
		if i > most || i < 0 && len(begun) > most {
			w.t.Fatalf("key %s is not pushed before %d others: %v", key, most, begun)
		}
		t.free <- struct{}{}
		w.until("another push begins", func() bool { return len(t.since(n)) > len(begun) })
	}
}

// drain aborts what hangs, so that the world can end at once.
func (t *turns) drain(w *world) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_ = w.d.Stop(ended)
	if c, err := w.store.Counts(context.Background(), "q0"); err != nil || c.Waiting == 0 {
		w.t.Errorf("no backlog was left: %+v, %v", c, err)
	}
}
