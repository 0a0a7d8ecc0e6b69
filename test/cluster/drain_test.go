package cluster_test

import (
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/job"
)

// A node that is drained through another hands its shards over, answers on, and takes
// shards again when it is resumed.
func TestDrainANode(t *testing.T) {
	t.Parallel()
	c := start(t, 2, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(200 * time.Millisecond):
		case <-r.Context().Done():
		}
	})
	a, b := c.all[0], c.all[1]
	find := func() client.Node {
		t.Helper()
		all, err := a.Nodes(c.ctx)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(all, func(n client.Node) bool { return n.Address == b.url })
		return all[i]
	}
	ids := c.enqueue(200)
	if n, err := a.DrainNode(c.ctx, find().ID); err != nil || n.State != "draining" {
		t.Fatalf("%+v, %v", n, err)
	}
	c.until("the node is drained", func() bool { return find().State == "drained" })
	if b.ready(c.ctx) || !a.ready(c.ctx) {
		t.Error("the drained node is ready, or the other is not")
	}
	var refused *client.Problem
	if _, err := b.DrainNode(c.ctx, "x"); !errors.As(err, &refused) || refused.Status != http.StatusNotFound {
		t.Errorf("a node that is not there: %v", err)
	}
	r, err := b.Enqueue(c.ctx, client.NewJob{Queue: c.queues[0], Type: "t"})
	if err != nil {
		t.Fatalf("the drained node does not answer: %v", err)
	}
	c.until("all jobs are recorded", func() bool { return c.counts(a, job.Succeeded.String()) == int64(len(ids)+1) })
	if n := c.worker.repeats(); n != 0 || c.worker.pushed(r.ID).IsZero() {
		t.Errorf("%d pushes were repeated", n)
	}
	if n, err := a.ResumeNode(c.ctx, find().ID); err != nil || n.State != "alive" {
		t.Errorf("%+v, %v", n, err)
	}
	c.until("the node serves shards again", func() bool { return b.ready(c.ctx) && len(find().Shards) > 0 })
}
