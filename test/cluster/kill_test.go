package cluster_test

import (
	"slices"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/test/history"
)

// concurrency is that of each queue.
const concurrency = 10

// A node that serves shards is killed in the middle of thousands of jobs: each job
// is pushed and recorded, what is repeated is at most what was in flight on that
// node, and its shards are served again within seconds.
func TestKillAnOwner(t *testing.T) {
	t.Parallel()
	jobs := 20_000
	if testing.Short() {
		jobs = 2_000
	}
	c := start(t, 3, nil)
	for _, q := range c.queues {
		if _, err := c.all[0].PutQueue(c.ctx, q, client.QueueConfig{Concurrency: concurrency}); err != nil {
			t.Fatal(err)
		}
		c.history.Limit(q, history.Limits{Concurrency: concurrency})
	}
	victim, rest := c.all[1], []*node{c.all[0], c.all[2]}
	queues := c.owned(victim)
	ids := c.enqueue(jobs)
	c.until("a third is pushed", func() bool { return c.worker.count() >= jobs/3 })
	killed := time.Now()
	victim.kill()
	c.lose(killed, queues...)

	probes := make([]string, len(queues))
	for i, q := range queues {
		probes[i] = c.submit(rest[i%2], client.NewJob{Queue: q, Priority: "critical"})
	}
	c.until("the queues of the dead node are served", func() bool {
		return !slices.ContainsFunc(probes, func(id string) bool { return c.worker.pushed(id).IsZero() })
	})
	var resumed time.Duration
	for _, id := range probes {
		resumed = max(resumed, c.worker.pushed(id).Sub(killed))
	}
	t.Logf("the %d queues of the dead node were served again after %s", len(queues), resumed)
	if resumed > 10*time.Second { // 4 s on a machine that does nothing else
		t.Errorf("the queues of the dead node were served again only after %s", resumed)
	}
	total := int64(len(ids) + len(probes))
	c.until("all jobs are recorded", func() bool { return c.counts(rest[0], job.Succeeded.String()) == total })
	if n := c.worker.repeats(); n > concurrency*len(queues) {
		t.Errorf("%d pushes were repeated, want at most the %d that may have been in flight on the dead node", n, concurrency*len(queues))
	}
	c.verify(rest[0])
}

// When the leader is killed, another leads within seconds, in a new term, and balances
// the shards again; meanwhile every queue is served.
func TestKillTheLeader(t *testing.T) {
	t.Parallel()
	c := start(t, 3, nil)
	leader := func(among []*node) (at int, term uint64) {
		t.Helper()
		all, err := among[0].Nodes(c.ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range all {
			if i := slices.IndexFunc(among, func(o *node) bool { return o.url == n.Address }); n.Leader && i >= 0 {
				return i, n.Term
			}
		}
		return -1, 0
	}
	var at int
	var term uint64
	c.until("a node leads", func() bool { at, term = leader(c.all); return at >= 0 })
	rest := slices.Delete(slices.Clone(c.all), at, at+1)
	c.all[at].kill()
	ids := make([]string, len(c.queues))
	for i, q := range c.queues {
		r, err := rest[i%2].Enqueue(c.ctx, client.NewJob{Queue: q, Type: "t"})
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = r.ID
	}
	c.until("all queues are served", func() bool {
		return !slices.ContainsFunc(ids, func(id string) bool { return c.worker.pushed(id).IsZero() })
	})
	var now uint64
	c.until("another node leads", func() bool { at, now = leader(rest); return at >= 0 })
	if now <= term {
		t.Errorf("it leads in term %d, the killed one did in %d", now, term)
	}
	c.untilServed()
}
