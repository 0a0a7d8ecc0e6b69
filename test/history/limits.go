package history

import (
	"slices"
	"time"
)

// checkLimits looks at each queue's pushes in the order of their beginning.
func (c *check) checkLimits() {
	queues := map[string][]*Push{}
	for i := range c.Pushes {
		p := &c.Pushes[i]
		queues[p.Queue] = append(queues[p.Queue], p)
	}
	for queue, pushes := range queues {
		l := c.Limits[queue]
		slices.SortStableFunc(pushes, func(a, b *Push) int { return a.Begin.Compare(b.Begin) })
		c.checkAtOnce(WithinQueue, l.Concurrency, pushes, func(*Push) string { return queue })
		c.checkAtOnce(WithinKey, l.KeyConcurrency, pushes, func(p *Push) string { return queue + ", key " + p.Key })
		c.checkAtOnce(WithinWorker, l.WorkerConcurrency, pushes, func(p *Push) string { return queue + ", worker " + p.Worker })
		c.checkRate(queue, l, pushes)
	}
}

// checkAtOnce counts, at each beginning, the pushes of the same group that are in
// flight. What the group's earlier owner had in flight at its loss is not counted
// by its later one.
func (c *check) checkAtOnce(r Rule, limit int, pushes []*Push, group func(*Push) string) {
	if limit == 0 {
		return
	}
	open := map[string][]*Push{}
	for _, p := range pushes {
		g := group(p)
		if r == WithinKey && p.Key == "" {
			continue
		}
		open[g] = slices.DeleteFunc(open[g], func(q *Push) bool { return !q.End.After(p.Begin) })
		open[g] = append(open[g], p)
		n := 0
		for _, q := range open[g] {
			if l := c.loss(q); l == nil || q.Epoch >= p.Epoch || p.Begin.Before(l.From) {
				n++
			}
		}
		if n > limit {
			c.bad(r, "%d pushes of %s were in flight when attempt %d of %s began; the limit is %d", n, g, p.Attempt, p.ID, limit)
		}
	}
}

// checkRate is a bucket that holds as many starts as may come at once, Wire's worth
// included, since those that were sent in that time may be seen at once.
func (c *check) checkRate(queue string, l Limits, pushes []*Push) {
	if l.Rate.IsZero() {
		return
	}
	interval := l.Rate.Interval()
	room := time.Duration(l.Rate.Starts()-1)*interval + c.Wire
	var full time.Time // when the bucket is at rest again
	for _, p := range pushes {
		if full.Before(p.Begin) {
			full = p.Begin
		}
		if ahead := full.Sub(p.Begin); ahead > room {
			c.bad(WithinRate, "attempt %d of %s began %s too early for the rate of %s", p.Attempt, p.ID, ahead-room, queue)
			full = p.Begin // a burst is told once
		}
		full = full.Add(interval)
	}
}
