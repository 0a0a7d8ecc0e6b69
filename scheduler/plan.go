package scheduler

import (
	"cmp"
	"container/heap"
	"iter"
	"time"
)

// Firing is a slot of one of several schedules.
type Firing struct {
	Schedule string `json:"schedule"`
	Slot
}

// Plan goes through the slots of all timetables from an instant to before
// another, in the order of their times and then of their names, as a clock would
// that runs at will. MaxRuns counts from the first.
func Plan(tables []*Timetable, from, to time.Time) iter.Seq[Firing] {
	return func(yield func(Firing) bool) {
		var next cursors
		for _, t := range tables {
			if c := (&cursor{table: t, at: from.Add(-1)}); c.advance(to) {
				next = append(next, c)
			}
		}
		heap.Init(&next)
		for len(next) > 0 {
			c := next[0]
			if !yield(Firing{c.table.name, c.slot}) {
				return
			}
			if c.advance(to) {
				heap.Fix(&next, 0)
			} else {
				heap.Pop(&next)
			}
		}
	}
}

// cursor is how far a plan has come with one timetable.
type cursor struct {
	table *Timetable
	at    time.Time
	slot  Slot
	runs  int
}

// advance goes to the next slot. It reports whether there is one before to.
func (c *cursor) advance(to time.Time) bool {
	slots := c.table.Upcoming(c.at, c.runs, 1)
	if len(slots) == 0 || !slots[0].At.Before(to) {
		return false
	}
	c.slot, c.at = slots[0], slots[0].At
	c.runs++
	return true
}

// cursors is a heap by time and name.
type cursors []*cursor

func (h cursors) Len() int      { return len(h) }
func (h cursors) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *cursors) Push(x any)   { *h = append(*h, x.(*cursor)) }

func (h cursors) Less(i, j int) bool {
	return cmp.Or(h[i].at.Compare(h[j].at), cmp.Compare(h[i].table.name, h[j].table.name)) < 0
}

func (h *cursors) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
