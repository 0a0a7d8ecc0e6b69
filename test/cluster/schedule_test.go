package cluster_test

import (
	"flag"
	"slices"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/job"
)

var firing = flag.Duration("firing", 40*time.Second, "how long TestScheduleFiresWhileNodesDie has a schedule fire")

// While the leader and the owner of a schedule are killed in turn, each of its slots fires
// once, within seconds.
func TestScheduleFiresWhileNodesDie(t *testing.T) {
	t.Parallel()
	c := start(t, 3, nil)
	const name, every, pause = "every-5s", 5 * time.Second, 14300 * time.Millisecond // not a multiple: nodes die at each distance from a slot
	if _, err := c.all[0].PutSchedule(c.ctx, name, client.ScheduleConfig{
		Every: job.Duration(every), Job: client.ScheduledJob{Queue: c.queues[0], Type: "t"},
	}); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	for kills := 0; time.Since(begun) < *firing; kills++ {
		c.sleep(pause)
		victim := c.leader()
		if kills%2 == 1 {
			victim = c.owner(job.ShardOf(name, shards))
		}
		if victim < 0 {
			continue // nobody leads, or has the shard, at this moment: the next one is killed
		}
		c.all[victim].kill()
		c.all[victim] = startNode(t, c.url)
	}
	c.untilReady()
	stop := time.Now()
	c.sleep(every + time.Second)
	var slots []time.Time
	worst := time.Duration(0)
	for run, err := range c.all[0].ScheduleRuns(c.ctx, name) {
		if err != nil {
			t.Fatal(err)
		}
		if run.Kind != "fired" || run.By != "slot" {
			t.Errorf("slot %s: %+v", run.Slot, run)
		}
		slots = append(slots, run.Slot)
		worst = max(worst, run.Lateness.Std())
		c.until("its job is pushed", func() bool { return !c.worker.pushed(run.Job).IsZero() })
	}
	slices.Reverse(slots)
	for i, slot := range slots {
		if !slot.Equal(slots[0].Add(time.Duration(i) * every)) {
			t.Fatalf("slot %d is %s, the first was %s", i, slot, slots[0])
		}
	}
	if last := slots[len(slots)-1]; last.Before(stop.Add(-every)) || slots[0].After(begun.Add(2*every)) {
		t.Errorf("from %s to %s it has fired for %s to %s", begun, stop, slots[0], last)
	}
	t.Logf("%d slots, the worst %s late", len(slots), worst)
	limit := 6 * time.Second
	if *firing < time.Minute {
		limit = 20 * time.Second // the short form runs beside much else
	}
	if worst > limit {
		t.Errorf("a slot was %s late", worst)
	}
}

// sleep lets time pass.
func (c *nodes) sleep(d time.Duration) {
	c.t.Helper()
	select {
	case <-time.After(d):
	case <-c.ctx.Done():
		c.t.Fatal(c.ctx.Err())
	}
}

// leader returns which of the nodes leads, -1 where none does.
func (c *nodes) leader() int {
	c.t.Helper()
	for _, n := range c.all {
		all, err := n.Nodes(c.ctx)
		if err != nil {
			continue // it has not begun to serve
		}
		for _, o := range all {
			if i := slices.IndexFunc(c.all, func(n *node) bool { return n.url == o.Address }); o.Leader && i >= 0 {
				return i
			}
		}
		return -1
	}
	return -1
}

// owner returns which of the nodes serves a shard, -1 where none does.
func (c *nodes) owner(shard int) int {
	c.t.Helper()
	all, err := c.member.Nodes(c.ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, o := range all {
		if slices.Contains(o.Shards, shard) {
			if i := slices.IndexFunc(c.all, func(n *node) bool { return n.url == o.Address }); i >= 0 {
				return i
			}
		}
	}
	return -1
}
