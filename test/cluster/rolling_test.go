package cluster_test

import (
	"syscall"
	"testing"
	"time"
)

// Three nodes are replaced one after the other under a steady load: a client that
// follows readiness sees no error, nothing is pushed twice, and no attempt is lost.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	perSecond := 1000
	if testing.Short() {
		perSecond = 60
	}
	c := start(t, 3, flaky())
	c.limit()
	begin := time.Now()
	l := c.load(perSecond)
	l.more(perSecond)
	for i, old := range c.all {
		old.signal(t, syscall.SIGTERM)
		if err := old.cmd.Wait(); err != nil {
			t.Errorf("a node did not end well: %v", err)
		}
		c.all[i] = startNode(t, c.url)
		l.use(c.all...)
		c.untilReady()
		c.untilServed()
		l.more(perSecond)
	}
	l.stop()
	t.Logf("%.0f jobs a second were accepted", float64(l.accepted.Load())/time.Since(begin).Seconds())
	if n := l.errors.Load(); n > 0 {
		t.Errorf("%d enqueues failed, the first by: %v", n, l.first)
	}
	c.verify(c.all[0])
}
