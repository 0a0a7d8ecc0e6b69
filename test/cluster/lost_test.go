package cluster_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine/redis/redistest"
)

// Redis has lost everything under running nodes, and a node that starts then does
// not begin a new store. When the loss is accepted, nodes that start serve what is
// left: nothing.
func TestLostStore(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it is for the long form")
	}
	server := redistest.Start(t)
	c := startOn(t, server.URL(""), 2, nil)
	old := c.submit(c.all[0], client.NewJob{Queue: c.queues[0]})
	c.until("it is recorded", func() bool { return c.waiting(c.all[0]) == 0 })
	record := server.Do(t, "GET", "{orchestrix}:store")
	server.Do(t, "FLUSHALL")
	c.until("the nodes have written the store's record again", func() bool {
		return server.Do(t, "GET", "{orchestrix}:store") == record
	})
	ctx, cancel := context.WithTimeout(c.ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), serveStore+"="+c.url)
	if said, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(said), "accept-loss") {
		t.Errorf("a node that starts on nothing: %v\n%s", err, said)
	}
	for _, n := range c.all {
		if _, err := n.once.Enqueue(c.ctx, client.NewJob{Queue: c.queues[0], Type: "t"}); !client.HasStatus(err, 503) {
			t.Errorf("Enqueue = %v, want 503", err)
		}
	}

	e := c.open()
	missing, err := e.Missing(c.ctx)
	if err != nil || len(missing) != shards {
		t.Fatalf("%+v, %v", missing, err)
	}
	for _, m := range missing {
		if _, err := e.AcceptLoss(c.ctx, m.Shard); err != nil {
			t.Fatal(err)
		}
	}
	for i, n := range c.all {
		n.kill()
		c.all[i] = startNode(t, c.url)
	}
	c.begin() // which registers the worker
	id := c.submit(c.all[1], client.NewJob{Queue: c.queues[0]})
	if j, err := c.all[0].Wait(c.ctx, id); err != nil || j.Status != job.Succeeded.String() {
		t.Errorf("%+v, %v", j, err)
	}
	if _, err := c.all[0].Job(c.ctx, old, 0); !client.HasStatus(err, 404) {
		t.Errorf("the job that is lost: %v, want 404", err)
	}
}
