package cluster_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/store/engine/redis/redistest"
)

// The primary dies under load and Sentinel makes the replica one. With writes that
// wait for the replica nothing that was acknowledged is lost; they fail until there
// are two servers again.
func TestSentinelFailsOver(t *testing.T) {
	t.Parallel()
	s := redistest.StartSentinel(t)
	c := startOn(t, s.URL("")+" replicas=1", 2, flaky())
	c.limit()
	l := c.load(100)
	l.more(500)
	from := time.Now()
	s.Primary.Kill()
	s.Promoted(t)
	l.untilErrors(1)
	s.Primary.Restart(t) // Sentinel makes it a replica
	l.more(500)
	c.untilReady()
	c.untilServed()
	c.lose(from)
	l.more(500)
	l.stop()
	t.Logf("%d calls failed, the first by: %v", l.errors.Load(), l.first)
	c.verify(c.all[0])
}

// Slots that hold shards move to other nodes of a Redis Cluster under load. A call
// that meets half a shard fails and may come again; nothing is lost or repeated.
func TestSlotsMoveUnderLoad(t *testing.T) {
	t.Parallel()
	r := redistest.StartCluster(t)
	c := startOn(t, r.URL(""), 2, flaky())
	c.limit()
	l := c.load(100)
	l.more(500)
	for shard := range 6 {
		moveSlot(t, r, "{orchestrix:"+strconv.Itoa(shard)+"}:head")
		l.more(50)
	}
	c.untilReady()
	l.more(500)
	l.stop()
	t.Logf("%d calls failed, the first by: %v", l.errors.Load(), l.first)
	c.verify(c.all[0])
}

// moveSlot moves the slot of a key from the node that has it to another, key by key.
func moveSlot(t *testing.T, r *redistest.Cluster, key string) {
	t.Helper()
	slot := r.Nodes[0].Do(t, "CLUSTER", "KEYSLOT", key)
	var from, to *redistest.Server
	for _, n := range r.Nodes {
		if n.Do(t, "CLUSTER", "COUNTKEYSINSLOT", slot).(int64) > 0 {
			from = n
		} else {
			to = n
		}
	}
	source, target := from.Do(t, "CLUSTER", "MYID"), to.Do(t, "CLUSTER", "MYID")
	to.Do(t, "CLUSTER", "SETSLOT", slot, "IMPORTING", source)
	from.Do(t, "CLUSTER", "SETSLOT", slot, "MIGRATING", target)
	for {
		keys := from.Do(t, "CLUSTER", "GETKEYSINSLOT", slot, 1).([]any)
		if len(keys) == 0 {
			break
		}
		from.Do(t, "MIGRATE", "127.0.0.1", to.Port, keys[0], 0, 5000)
	}
	to.Do(t, "CLUSTER", "SETSLOT", slot, "NODE", target)
	from.Do(t, "CLUSTER", "SETSLOT", slot, "NODE", target)
}
