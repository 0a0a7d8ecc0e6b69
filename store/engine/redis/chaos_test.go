package redis_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/store/engine"
	"github.com/orchestrix/orchestrix/store/engine/redis"
	"github.com/orchestrix/orchestrix/store/engine/redis/redistest"
)

// While connections break, scripts are forgotten and servers die, writers repeat
// what got no answer, as the contract allows it: fenced batches as they are, others
// where a key of theirs guards them. In the end each was carried out once.
func TestNothingIsLostOrDoubled(t *testing.T) {
	t.Parallel()
	tests := map[string]func(t *testing.T) (url string, o redis.Options, faults []func()){
		"single": func(t *testing.T) (string, redis.Options, []func()) {
			server := redistest.Start(t)
			return server.URL(""), redis.Options{}, []func(){
				func() { server.Do(t, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes") },
				func() { server.Do(t, "SCRIPT", "FLUSH") },
				func() { server.Kill(); server.Restart(t) },
				func() { server.Do(t, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes") },
				func() { server.Kill(); server.Restart(t) },
			}
		},
		"sentinel": func(t *testing.T) (string, redis.Options, []func()) {
			watched := redistest.StartSentinel(t)
			return watched.URL(""), redis.Options{Durability: redis.DurableReplicas(1)}, []func(){
				func() { watched.Primary.Do(t, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes") },
				// The Sentinel takes seconds to make the old primary a replica, which the
				// writes wait for.
				func() { watched.Primary.Kill(); watched.Promoted(t); watched.Primary.Restart(t) },
			}
		},
		"cluster": func(t *testing.T) (string, redis.Options, []func()) {
			c := redistest.StartCluster(t)
			return c.URL(""), redis.Options{}, []func(){
				func() { c.Nodes[0].Do(t, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes") },
				func() { c.Nodes[1].Do(t, "SCRIPT", "FLUSH") },
				func() { c.Nodes[2].Kill(); c.Nodes[2].Restart(t) },
				func() { c.Nodes[1].Kill(); c.Nodes[1].Restart(t) },
			}
		},
	}
	for name, start := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, o, faults := start(t)
			s := open(t, url, o)
			w := &writers{subject: s}
			w.start()
			for _, fault := range faults {
				w.progress(50)
				fault()
			}
			w.progress(50)
			w.stop()
			w.check()
		})
	}
}

// writers write until they are stopped: on each shard its owner, by commits, and
// two who are nobody.
type writers struct {
	*subject
	wait     sync.WaitGroup
	stopped  atomic.Bool
	done     atomic.Int64 // batches that were acknowledged
	away     atomic.Int64 // tries without a clear answer
	commits  [3]int64
	inserted [3]atomic.Int64
	last     atomic.Pointer[error] // that a try met
}

func (w *writers) start() {
	none := errors.New("none")
	w.last.Store(&none)
	for shard := range 3 {
		h := w.acquire(shard, alice)
		w.wait.Go(func() {
			for n := uint64(1); !w.stopped.Load(); n++ {
				w.repeat(func() error {
					_, err := w.Engine.Apply(ctx(), shard, &engine.Batch{Fence: &h.Fence, Commit: n, Groups: []engine.Group{add("commits", 1)}})
					return err
				})
				w.commits[shard]++
			}
		})
		for range 2 {
			w.wait.Go(func() {
				for !w.stopped.Load() {
					key := fmt.Sprintf("k%x", rand.Uint64())
					g := engine.Group{
						Guards: []engine.Guard{{Key: []byte(key)}}, Puts: put(key, "v").Puts,
						Stamped: put("s", "v").Puts, Counters: add("inserted", 1).Counters,
					}
					w.repeat(func() error { return w.try(shard, g) })
					w.inserted[shard].Add(1)
				}
			})
		}
	}
}

// repeat makes a call until it has a clear answer.
func (w *writers) repeat(call func() error) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); ; <-tick.C {
		err := call()
		if err == nil {
			w.done.Add(1)
			return
		}
		w.last.Store(&err)
		if w.away.Add(1); !errors.Is(err, engine.ErrUnavailable) || time.Now().After(deadline) {
			w.Error(err)
			w.stopped.Store(true)
			return
		}
	}
}

// progress waits until more batches were acknowledged.
func (w *writers) progress(n int64) {
	w.Helper()
	before := w.done.Load()
	w.eventually(func() error {
		if w.done.Load() < before+n && !w.stopped.Load() {
			return fmt.Errorf("%d batches; the last error is %w", w.done.Load()-before, *w.last.Load())
		}
		return nil
	})
}

func (w *writers) stop() {
	w.stopped.Store(true)
	w.wait.Wait()
}

func (w *writers) check() {
	for shard := range 3 {
		counts, err := w.Counters(ctx(), shard, []byte("commits"), []byte("inserted"))
		if err != nil {
			w.Fatal(err)
		}
		head, err := w.Head(ctx(), shard)
		if err != nil {
			w.Fatal(err)
		}
		inserted := w.inserted[shard].Load()
		w.equal("the commits", counts[0], w.commits[shard])
		w.equal("the last commit", int64(head.Commit), w.commits[shard])
		w.equal("the batches without a fence", counts[1], inserted)
		w.equal("the last sequence number", int64(head.Seq), inserted)
		keys, stamped := 0, 0
		for from := []byte(nil); ; {
			entries, err := w.Scan(ctx(), shard, engine.Range{From: from, Limit: engine.MaxScan})
			if err != nil {
				w.Fatal(err)
			}
			for _, en := range entries {
				if en.Key[0] == 'k' {
					keys++
				} else {
					stamped++
				}
			}
			if len(entries) < engine.MaxScan {
				break
			}
			from = append(entries[len(entries)-1].Key, 0)
		}
		w.equal("the keys", int64(keys), inserted)
		w.equal("the stamped keys", int64(stamped), inserted)
	}
	w.Logf("%d batches, %d tries without an answer", w.done.Load(), w.away.Load())
}
