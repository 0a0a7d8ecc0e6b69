package cluster_test

import (
	"bufio"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/cluster"
	"github.com/orchestrix/orchestrix/job"
)

// An owner is frozen for twice its lease, with pushes in flight, and goes on: others
// have taken its shards and pushed those jobs again. What it writes then is refused
// and counted, and no job has ended twice.
func TestFreezeAnOwner(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it waits for leases to run out")
	}
	release := make(chan struct{})
	c := start(t, 3, func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("orchestrix-attempt") == "1" {
			<-release
		}
	})
	frozen, other := c.all[1], c.all[0]
	queues := c.owned(frozen)
	ids := make([]string, 2*len(queues))
	for i := range ids {
		ids[i] = c.submit(other, client.NewJob{Queue: queues[i%len(queues)]})
	}
	c.until("all are being pushed", func() bool { return c.worker.count() == len(ids) })
	from := time.Now()
	frozen.signal(t, syscall.SIGSTOP)
	<-time.NewTimer(2 * cluster.Lease).C
	c.until("the others have pushed them again", func() bool { return c.counts(other, job.Succeeded.String()) == int64(len(ids)) })
	frozen.signal(t, syscall.SIGCONT)
	close(release)
	c.until("what it writes is refused", func() bool { return metric(t, c, frozen, "orchestrix_fenced_commits_total") > 0 })
	c.untilServed()
	if got := metric(t, c, frozen, "orchestrix_shards_owned"); got == 0 {
		t.Error("the node that goes on serves nothing")
	}
	c.lose(from, queues...)
	for _, id := range ids {
		j, err := other.Job(c.ctx, id, 0)
		if err != nil || j.Status != job.Succeeded.String() || j.Attempt != 2 || len(j.Attempts) != 2 || j.Incarnation != 0 {
			t.Errorf("%+v, %v; want one lost attempt and one that succeeded", j, err)
		}
	}
	if n := c.counts(other, job.Succeeded.String()); n != int64(len(ids)) {
		t.Errorf("%d jobs are counted as succeeded, want %d", n, len(ids))
	}
	c.verify(other)
}

// metric returns a metric of a node; 0 where it does not answer just now.
func metric(t *testing.T, c *nodes, n *node, name string) float64 {
	t.Helper()
	req, err := http.NewRequestWithContext(c.ctx, http.MethodGet, n.url+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			value, err := strconv.ParseFloat(text, 64)
			if err != nil {
				t.Fatal(err)
			}
			return value
		}
	}
	return 0
}
