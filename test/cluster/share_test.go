package cluster_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/job"
)

// What one node stores, another that serves the queue pushes at once, and a change
// of the configuration is live everywhere within a second.
func TestNodesShareOneStore(t *testing.T) {
	t.Parallel()
	c := start(t, 2, nil)
	a, b := c.all[0], c.all[1]
	q := c.owned(b)[0]

	t.Run("the nodes", func(t *testing.T) {
		nodes, err := a.Nodes(c.ctx)
		if err != nil || len(nodes) != 2 {
			t.Fatalf("%+v, %v", nodes, err)
		}
		shards := 0
		for _, n := range nodes {
			if n.State != "alive" || n.Address == "" || len(n.Shards) == 0 {
				t.Errorf("%+v", n)
			}
			shards += len(n.Shards)
		}
		if slices.Contains(nodes[0].Shards, nodes[1].Shards[0]) || shards < 2 {
			t.Errorf("both serve a shard: %+v", nodes)
		}
	})

	t.Run("a job of another node's queue", func(t *testing.T) {
		var took []time.Duration
		for range 20 {
			begin := time.Now()
			r, err := a.Enqueue(c.ctx, client.NewJob{Queue: q, Type: "t"})
			if err != nil {
				t.Fatal(err)
			}
			if j, err := a.Wait(c.ctx, r.ID); err != nil || j.Status != job.Succeeded.String() {
				t.Fatalf("%+v, %v", j, err)
			}
			took = append(took, c.worker.pushed(r.ID).Sub(begin))
		}
		slices.Sort(took)
		t.Logf("pushed after %s in the middle, %s at most", took[len(took)/2], took[len(took)-1])
		if took[len(took)/2] > 500*time.Millisecond { // 100 ms on a machine that does nothing else
			t.Errorf("pushed after %s", took)
		}
	})

	t.Run("a delayed job, and a command", func(t *testing.T) {
		soon, err := a.Enqueue(c.ctx, client.NewJob{Queue: q, Type: "t", Delay: job.Duration(50 * time.Millisecond)})
		if err != nil {
			t.Fatal(err)
		}
		late, err := a.Enqueue(c.ctx, client.NewJob{Queue: q, Type: "t", Delay: job.Duration(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		if j, err := a.CancelJob(c.ctx, late.ID); err != nil || j.Status != job.Cancelled.String() {
			t.Errorf("%+v, %v", j, err)
		}
		if j, err := a.Wait(c.ctx, soon.ID); err != nil || j.Status != job.Succeeded.String() {
			t.Errorf("%+v, %v", j, err)
		}
	})

	t.Run("a paused queue", func(t *testing.T) {
		begin := time.Now()
		if _, err := a.PauseQueue(c.ctx, q, "a test"); err != nil {
			t.Fatal(err)
		}
		var waits *client.Receipt
		c.until("the other node goes by it", func() bool {
			r, err := b.Enqueue(c.ctx, client.NewJob{Queue: q, Type: "t"})
			if err != nil {
				t.Fatal(err)
			}
			j, err := a.Job(c.ctx, r.ID, 300*time.Millisecond)
			if err != nil {
				t.Fatal(err)
			}
			waits = r
			return j.Status == job.ShownPending
		})
		took := time.Since(begin)
		t.Logf("live after %s", took)
		if took > 3*time.Second { // a second on a machine that does nothing else
			t.Errorf("live only after %s", took)
		}
		if shown, err := b.Queue(c.ctx, q); err != nil || !shown.Paused {
			t.Errorf("the other node shows %+v, %v", shown, err)
		}
		if _, err := b.ResumeQueue(c.ctx, q); err != nil {
			t.Fatal(err)
		}
		if j, err := a.Wait(c.ctx, waits.ID); err != nil || j.Status != job.Succeeded.String() {
			t.Errorf("of a queue that goes on: %+v, %v", j, err)
		}
	})
}

// Many enqueues under one idempotency key, to all nodes at once, are one job.
func TestOneKeyOverSeveralNodes(t *testing.T) {
	t.Parallel()
	c := start(t, 3, nil)
	ids := make([]string, 100)
	var wait sync.WaitGroup
	for i := range ids {
		wait.Go(func() {
			r, err := c.all[i%3].Enqueue(c.ctx, client.NewJob{Queue: c.queues[0], Type: "t", Payload: "the same", IdempotencyKey: "one"})
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = r.ID
		})
	}
	wait.Wait()
	slices.Sort(ids)
	if distinct := slices.Compact(ids); len(distinct) != 1 {
		t.Fatalf("%d jobs: %q", len(distinct), distinct)
	}
	if j, err := c.all[0].Wait(c.ctx, ids[0]); err != nil || j.Attempt != 1 {
		t.Errorf("%+v, %v", j, err)
	}
	if n := c.worker.repeats(); n != 0 || c.worker.count() != 1 {
		t.Errorf("%d jobs were pushed, %d pushes more than once", c.worker.count(), n)
	}
}
