package history

import (
	"fmt"
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
// by its later one, but for a key that keeps its order: that is waited for.
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
		open[g] = slices.DeleteFunc(open[g], func(q *Push) bool { return q != p && !q.over(c.Wire).After(p.Begin) })
		open[g] = append(open[g], p)
		n, others := 0, ""
		for _, q := range open[g] {
			if l := c.loss(q); l == nil || r == WithinKey && limit == 1 || q.Epoch >= p.Epoch || p.Begin.Before(l.From) {
				n++
				if q != p {
					others += fmt.Sprintf("; attempt %d of %s, epoch %d, from %s before to %s after, answer %d",
						q.Attempt, q.ID, q.Epoch, p.Begin.Sub(q.Begin), q.End.Sub(p.Begin), q.Answer)
				}
			}
		}
		if n > limit {
			c.bad(r, "%d pushes of %s were in flight when attempt %d of %s began, epoch %d; the limit is %d%s", n, g, p.Attempt, p.ID, p.Epoch, limit, others)
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
