package cluster_test

import (
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/job"
)

// A node that is told to leave under a steady load costs a client that follows
// readiness no enqueue, and no push is made twice.
func TestLeaveUnderLoad(t *testing.T) {
	t.Parallel()
	c := start(t, 3, nil)
	leaver := c.all[1]
	perClient := 300
	if testing.Short() {
		perClient = 100
	}
	var enqueued atomic.Int64
	var clients sync.WaitGroup
	for k := range 4 {
		clients.Go(func() {
			for i := range perClient {
				n := c.all[(k+i)%len(c.all)]
				if !n.ready(c.ctx) {
					n = c.all[0]
				}
				if _, err := n.Enqueue(c.ctx, client.NewJob{Queue: c.queues[(k*perClient+i)%len(c.queues)], Type: "t"}); err != nil {
					t.Errorf("an enqueue failed: %v", err)
				}
				enqueued.Add(1)
			}
		})
	}
	total := int64(4 * perClient)
	c.until("a third is enqueued", func() bool { return enqueued.Load() >= total/3 })
	leaver.signal(t, syscall.SIGTERM)
	told := time.Now()
	if err := leaver.cmd.Wait(); err != nil {
		t.Errorf("the node did not end well: %v", err)
	}
	t.Logf("the node has left after %s", time.Since(told))
	clients.Wait()
	c.until("all jobs are recorded", func() bool { return c.counts(c.all[0], job.Succeeded.String()) == total })
	if n := c.worker.repeats(); n != 0 || int64(c.worker.count()) != total {
		t.Errorf("%d jobs were pushed, want %d; %d pushes were repeated", c.worker.count(), total, n)
	}
	c.untilServed()
	if nodes, err := c.member.Nodes(c.ctx); err != nil || len(nodes) != 2 {
		t.Errorf("nodes: %+v, %v", nodes, err)
	}
}
