package cluster_test

import (
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/cluster"
	"github.com/orchestrix/orchestrix/store/engine/redis/redistest"
)

// A node loses its link to Redis and to the others, and reaches the worker all the
// same: it pushes nothing beyond its lease, the others take its shards over, and it
// is one of them again when the link is back.
func TestPartition(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	s := redistest.Start(t, "bind 127.0.0.1 "+ns.outside, "protected-mode no")
	c := prepare(t, s.URL(""), flaky())
	for range 2 {
		c.all = append(c.all, startNode(t, c.url))
	}
	within := startNodeBy(t, fmt.Sprintf("redis://%s:%d/", ns.outside, s.Port), func(cmd *exec.Cmd) error { return ns.start(cmd) }, ns.dial)
	c.all = append(c.all, within)
	// The worker has the same address on both sides.
	var pushes, latest atomic.Int64
	ns.serve(c.worker.Listener.Addr().String(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pushes.Add(1)
		latest.Store(time.Now().UnixNano())
		c.worker.Config.Handler.ServeHTTP(w, r)
	}))
	c.begin()
	c.limit()
	queues := c.owned(within)
	l := c.load(50)
	l.use(c.all[:2]...)
	c.until("the node within pushes", func() bool { return pushes.Load() >= 30 })

	cut := time.Now()
	ns.link("down")
	c.until("the node is dead to the others", func() bool {
		nodes, err := c.member.Nodes(c.ctx)
		return err == nil && !slices.ContainsFunc(nodes, func(n cluster.Node) bool { return n.Alive && n.Address == within.url })
	})
	c.untilServed()
	t.Logf("the others have its %d queues after %s", len(queues), time.Since(cut))
	c.until("it is not ready", func() bool { return !within.ready(c.ctx) })
	l.more(100)
	used, from := within.used(t), time.Now()
	l.more(100)
	if used, took := within.used(t)-used, time.Since(from); used > took/2 {
		t.Errorf("the node used %s of CPU in %s while it was alone", used, took)
	}
	after := time.Unix(0, latest.Load()).Sub(cut)
	t.Logf("its last push began %s after it was cut off", after)
	if after > cluster.Lease+time.Second {
		t.Errorf("it pushed until %s after it was cut off; its lease is %s", after, cluster.Lease)
	}
	alone := pushes.Load()

	ns.link("up")
	c.untilReady()
	c.untilServed()
	c.lose(cut, append(queues, orderedQueue, ratedQueue)...)
	c.until("it pushes again", func() bool { return pushes.Load() > alone })
	l.more(100)
	l.stop()
	if strings.Contains(within.said.String(), "panic") {
		t.Error("the node panicked")
	}
	c.verify(c.all[0])
}
