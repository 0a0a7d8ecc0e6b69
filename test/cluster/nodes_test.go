package cluster_test

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/cluster"
	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/store/engine/redis"
	"github.com/orchestrix/orchestrix/store/engine/redis/redistest"
	"github.com/orchestrix/orchestrix/test/history"
)

const (
	// patience is how long a test may take on a machine that does much else.
	patience = 4 * time.Minute
	// pushTimeout is the worker's: after a crash, the jobs of a key that keeps its order
	// wait for it.
	pushTimeout = job.Duration(5 * time.Second)
)

// nodes are several nodes on one store, with one worker for all queues.
type nodes struct {
	t       *testing.T
	ctx     context.Context
	url     string // of the store, and perhaps its durability
	all     []*node
	member  *cluster.Member // only to look
	worker  *worker
	queues  []string
	history *history.Recorder
}

// start runs n nodes on a Redis of their own.
func start(t *testing.T, n int, answer http.HandlerFunc) *nodes {
	t.Helper()
	return startOn(t, redistest.Start(t).URL(""), n, answer)
}

// startOn runs n nodes on the store at url until each is ready and serves its part of
// the shards.
func startOn(t *testing.T, url string, n int, answer http.HandlerFunc) *nodes {
	t.Helper()
	c := prepare(t, url, answer)
	for range n {
		c.all = append(c.all, startNode(t, url))
	}
	c.begin()
	return c
}

// prepare is what comes before the first node.
func prepare(t *testing.T, url string, answer http.HandlerFunc) *nodes {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	c := &nodes{t: t, ctx: ctx, url: url, history: &history.Recorder{}}
	c.worker = startWorker(t, c.history, answer)
	for i := range 2 * shards {
		c.queues = append(c.queues, "q"+strconv.Itoa(i))
	}
	return c
}

// begin waits until all nodes are ready, has the worker serve the queues, and waits
// until the nodes serve their shards.
func (c *nodes) begin() {
	c.t.Helper()
	c.untilReady()
	e := c.open()
	c.member = cluster.New(cluster.Options{Store: store.New(e), Lock: cluster.Sole{}})
	if _, err := c.all[0].PutWorker(c.ctx, "w", client.WorkerConfig{
		URL: c.worker.URL, Queues: append(c.queues, orderedQueue, ratedQueue), SigningSecret: c.worker.secret.Reveal(),
		Timeout: pushTimeout, Circuit: &job.Circuit{Mode: job.Off},
	}); err != nil {
		c.t.Fatal(err)
	}
	c.untilServed()
}

// open opens the store beside the nodes, to look at it.
func (c *nodes) open() *redis.Engine {
	c.t.Helper()
	url, _, _ := strings.Cut(c.url, " ")
	target, err := redis.Parse(url)
	if err != nil {
		c.t.Fatal(err)
	}
	e, err := redis.Open(c.ctx, target, redis.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { e.Close() })
	return e
}

// untilReady waits until all nodes are ready.
func (c *nodes) untilReady() {
	c.t.Helper()
	c.until("all nodes are ready", func() bool {
		return !slices.ContainsFunc(c.all, func(n *node) bool { return !n.ready(c.ctx) })
	})
}

// untilServed waits until each shard is served by one of the nodes that live, and each
// node has its part.
func (c *nodes) untilServed() {
	c.t.Helper()
	c.until("each node serves its part", func() bool {
		nodes, err := c.member.Nodes(c.ctx)
		if err != nil {
			return false // the store may have been away
		}
		nodes = slices.DeleteFunc(nodes, func(n cluster.Node) bool { return !n.Serves() })
		served := make([]string, shards)
		for _, n := range nodes {
			for _, shard := range n.Shards {
				served[shard] += n.ID
			}
		}
		return len(nodes) > 0 && slices.Equal(served, cluster.Place(served, nodes))
	})
}

// owned returns the queues of the shards that a node serves.
func (c *nodes) owned(n *node) (queues []string) {
	c.t.Helper()
	all, err := c.member.Nodes(c.ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	at := slices.IndexFunc(all, func(other cluster.Node) bool { return other.Address == n.url })
	if at < 0 {
		c.t.Fatalf("%s has no record", n.url)
	}
	for _, q := range c.queues {
		if slices.Contains(all[at].Shards, job.ShardOf(q, shards)) {
			queues = append(queues, q)
		}
	}
	if len(queues) == 0 {
		c.t.Fatalf("%s serves nothing", n.url)
	}
	return queues
}

// until waits until it is so.
func (c *nodes) until(what string, so func() bool) {
	c.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-c.ctx.Done():
			c.t.Fatalf("never: %s", what)
		}
	}
}

// enqueue enqueues n jobs, spread over the queues, in batches to each node in turn,
// and returns their ids.
func (c *nodes) enqueue(n int) (ids []string) {
	c.t.Helper()
	const batch = 100
	for first := 0; first < n; first += batch {
		jobs, told := make([]client.NewJob, min(batch, n-first)), make([]history.Enqueue, min(batch, n-first))
		begin := time.Now()
		for i := range jobs {
			told[i] = history.Enqueue{Ref: newRef(), Queue: c.queues[(first+i)%len(c.queues)], Begin: begin, Place: i}
			jobs[i] = client.NewJob{Queue: told[i].Queue, Type: "t", Payload: told[i].Ref}
		}
		results, err := c.all[first/batch%len(c.all)].EnqueueBatch(c.ctx, jobs)
		if err != nil {
			c.t.Fatal(err)
		}
		end := time.Now()
		for i, r := range results {
			if r.Error != nil {
				c.t.Fatal(r.Error)
			}
			ids = append(ids, r.ID)
			told[i].ID, told[i].Told, told[i].End = r.ID, history.Accepted, end
		}
		c.history.Enqueue(told...)
	}
	return ids
}

// counts returns how many jobs of all queues have a status.
func (c *nodes) counts(n *node, status string) (total int64) {
	c.t.Helper()
	for q, err := range n.Queues(c.ctx) {
		if err != nil {
			c.t.Fatal(err)
		}
		total += q.Counts[status]
	}
	return total
}
