package cluster_test

import (
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/webhook"
)

// delays are how long jobs took from the answer to their enqueue to the worker.
type delays struct {
	mu       sync.Mutex
	enqueued map[string]time.Time
}

func (d *delays) add(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.enqueued[id] = time.Now()
}

// longest returns the longest one of a job that was enqueued in that time.
func (d *delays) longest(w *worker, from, to time.Time) (longest time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, at := range d.enqueued {
		if !at.Before(from) && at.Before(to) {
			longest = max(longest, w.pushed(id).Sub(at))
		}
	}
	return longest
}

// A node that is told to leave under a steady load costs a client that follows
// readiness no enqueue; no push is made twice and no attempt lost; and its queues are
// served on at once, though some of its pushes take longer than that.
func TestLeaveUnderLoad(t *testing.T) {
	t.Parallel()
	var again atomic.Int64
	c := start(t, 3, func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get(webhook.HeaderAttempt) != "1" {
			again.Add(1)
		}
		if rand.IntN(20) > 0 {
			return
		}
		select {
		case <-time.After(1500 * time.Millisecond):
		case <-r.Context().Done():
		}
	})
	leaver := c.all[1]
	var total atomic.Int64
	enqueued := delays{enqueued: map[string]time.Time{}}
	left := make(chan struct{})
	var clients sync.WaitGroup
	for k := range 4 {
		clients.Go(func() {
			pace := time.NewTicker(10 * time.Millisecond)
			defer pace.Stop()
			for i := k; ; i++ {
				n := c.all[i%len(c.all)]
				if !n.ready(c.ctx) {
					n = c.all[0]
				}
				if r, err := n.Enqueue(c.ctx, client.NewJob{Queue: c.queues[rand.IntN(len(c.queues))], Type: "t"}); err != nil {
					t.Errorf("an enqueue failed: %v", err)
				} else {
					enqueued.add(r.ID)
				}
				total.Add(1)
				select {
				case <-pace.C:
				case <-left:
					return
				case <-c.ctx.Done():
					return
				}
			}
		})
	}
	begin := time.Now()
	c.until("it has gone on for a while", func() bool { return total.Load() >= 300 && time.Since(begin) > 2*time.Second })
	told := time.Now()
	leaver.signal(t, syscall.SIGTERM)
	if err := leaver.cmd.Wait(); err != nil {
		t.Errorf("the node did not end well: %v", err)
	}
	gone := time.Now()
	close(left)
	clients.Wait()
	c.until("all jobs are recorded", func() bool { return c.counts(c.all[0], job.Succeeded.String()) == total.Load() })
	if n := c.worker.repeats(); n != 0 || int64(c.worker.count()) != total.Load() || again.Load() != 0 {
		t.Errorf("%d jobs were pushed, want %d; %d pushes were repeated, %d by another attempt", c.worker.count(), total.Load(), n, again.Load())
	}
	before, after := enqueued.longest(c.worker, begin, told), enqueued.longest(c.worker, told, gone)
	t.Logf("the node has left after %s; jobs took at most %s before that, and %s while it left", gone.Sub(told), before, after)
	if after > 500*time.Millisecond+2*before { // on a machine that does other things too
		t.Errorf("a job took %s to be pushed while the node left, %s before", after, before)
	}
	c.untilServed()
	if nodes, err := c.member.Nodes(c.ctx); err != nil || len(nodes) != 2 {
		t.Errorf("nodes: %+v, %v", nodes, err)
	}
}
