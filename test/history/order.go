package history

import (
	"slices"
	"time"
)

// checkOrder looks at the queues whose keys keep their order: a job is pushed when
// all pushes are over of those that were certainly enqueued before it, and never
// again after one that was certainly enqueued after it.
func (c *check) checkOrder() {
	type key struct{ queue, key string }
	keys := map[key][]*Enqueue{}
	for i := range c.Enqueues {
		e := &c.Enqueues[i]
		if c.Limits[e.Queue].KeyConcurrency == 1 && e.Key != "" && len(c.pushes[e.ID]) > 0 && e.Told == Accepted {
			k := key{e.Queue, e.Key}
			keys[k] = append(keys[k], e)
		}
	}
	for _, jobs := range keys {
		c.checkKeyOrder(jobs)
	}
}

func (c *check) checkKeyOrder(jobs []*Enqueue) {
	byEnd := slices.Clone(jobs)
	slices.SortStableFunc(byEnd, func(a, b *Enqueue) int { return a.End.Compare(b.End) })
	slices.SortStableFunc(jobs, func(a, b *Enqueue) int {
		if order := a.Begin.Compare(b.Begin); order != 0 {
			return order
		}
		return a.Place - b.Place
	})
	var before *Enqueue // of those told before this one was asked for, whose pushes ended last
	at := 0
	later := func(a, b *Enqueue) *Enqueue {
		if a == nil || b != nil && c.lastEnd(b).After(c.lastEnd(a)) {
			return b
		}
		return a
	}
	var batch *Enqueue // the same within the batch
	for i, e := range jobs {
		for ; at < len(byEnd) && byEnd[at].End.Before(e.Begin); at++ {
			before = later(before, byEnd[at])
		}
		if i > 0 && jobs[i-1].Begin.Equal(e.Begin) {
			batch = later(batch, jobs[i-1])
		} else {
			batch = nil
		}
		first := c.pushes[e.ID][0]
		if a := later(before, batch); a != nil && first.Begin.Before(c.lastEnd(a)) {
			c.bad(InOrder, "%s of %s, key %q, was pushed while %s, enqueued before it, had pushes to come or in flight", e.ID, e.Queue, e.Key, a.ID)
		}
	}
}

// lastEnd returns when the last push of a job was over.
func (c *check) lastEnd(e *Enqueue) (at time.Time) {
	for _, p := range c.pushes[e.ID] {
		if end := p.over(c.Wire); end.After(at) {
			at = end
		}
	}
	return at
}
