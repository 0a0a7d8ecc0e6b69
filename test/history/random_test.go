package history

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/orchestrix/orchestrix/job"
)

// interval is how many milliseconds a start takes up of the rate.
const interval = 10

// dispatch is a dispatcher of one queue that does nothing wrong, in steps of a
// millisecond.
type dispatch struct {
	*rapid.T
	h       *History
	queue   string
	limits  Limits
	epoch   uint64
	credit  int        // milliseconds towards the next starts
	waiting []*pending // in the order of their enqueue
	open    []*pending
	now     int
}

type pending struct {
	ref, key string
	attempt  int
	job      Job
	push     int // place in the history
	end      int
	answer   int
}

func (d *dispatch) chance(percent int) bool {
	return rapid.IntRange(1, 100).Draw(d.T, "chance") <= percent
}

func (d *dispatch) enqueue(n int) {
	for range n {
		p := &pending{ref: fmt.Sprintf("%s-%d", d.queue, len(d.h.Enqueues))}
		p.job = Job{ID: "id-" + p.ref, Queue: d.queue}
		if d.limits.KeyConcurrency > 0 {
			p.key = rapid.SampledFrom([]string{"a", "b"}).Draw(d.T, "key")
		}
		e := Enqueue{Ref: p.ref, ID: p.job.ID, Queue: d.queue, Key: p.key, Told: Accepted, Begin: at(d.now), End: at(d.now), Place: n}
		switch {
		case d.chance(5):
			e.Told, e.ID = Refused, ""
		case d.chance(5):
			e.Told, e.ID = Unknown, ""
		}
		d.h.Enqueues = append(d.h.Enqueues, e)
		if e.Told != Refused {
			d.waiting = append(d.waiting, p)
		}
		d.now++
	}
}

func (d *dispatch) settle(p *pending, outcome job.Outcome) {
	p.job.Attempts = append(p.job.Attempts, Attempt{p.attempt, outcome.String(), d.h.Pushes[p.push].Begin})
	p.job.Attempt = p.attempt
	if outcome == job.OutcomeSucceeded {
		p.job.Status, p.job.Finished = job.Succeeded.String(), at(d.now)
		d.h.Jobs = append(d.h.Jobs, p.job)
		if d.chance(20) {
			d.h.Sightings = append(d.h.Sightings, Sighting{p.job.ID, p.job.Status, at(d.now)})
		}
		return
	}
	d.waiting = append([]*pending{p}, d.waiting...)
}

// finish ends the pushes whose time has come.
func (d *dispatch) finish() {
	open := d.open
	d.open = nil
	for _, p := range open {
		if p.end > d.now {
			d.open = append(d.open, p)
			continue
		}
		d.h.Pushes[p.push].End, d.h.Pushes[p.push].Answer = at(p.end), p.answer
		if p.answer == 200 {
			d.settle(p, job.OutcomeSucceeded)
		} else {
			d.settle(p, job.OutcomeFailed)
		}
	}
}

// kill loses what is in flight; the worker may have answered, or go on for a while.
func (d *dispatch) kill() {
	d.h.Losses = append(d.h.Losses, Loss{From: at(d.now), To: at(d.now), Queues: []string{d.queue}})
	d.epoch++
	for _, p := range d.open {
		push := &d.h.Pushes[p.push]
		push.End, push.Answer = at(d.now+rapid.IntRange(0, 5).Draw(d.T, "on")), rapid.SampledFrom([]int{0, 200}).Draw(d.T, "answer")
		if d.limits.KeyConcurrency > 0 {
			push.End = at(d.now) // it is waited for
		}
		d.settle(p, job.OutcomeLost)
	}
	d.open = nil
}

func (d *dispatch) begin() {
	for i := 0; i < len(d.waiting) && d.credit >= interval && len(d.open) < d.limits.Concurrency; i++ {
		p := d.waiting[i]
		if p.key != "" && (slices.ContainsFunc(d.open, func(o *pending) bool { return o.key == p.key }) ||
			slices.ContainsFunc(d.waiting[:i], func(o *pending) bool { return o.key == p.key })) {
			continue
		}
		d.waiting = slices.Delete(d.waiting, i, i+1)
		i--
		d.credit -= interval
		p.attempt++
		p.end = d.now + rapid.IntRange(1, 10).Draw(d.T, "took")
		p.answer = rapid.SampledFrom([]int{200, 200, 200, 500}).Draw(d.T, "answer")
		p.push = len(d.h.Pushes)
		d.h.Pushes = append(d.h.Pushes, Push{
			ID: p.job.ID, Ref: p.ref, Queue: d.queue, Key: p.key, Worker: "w", Attempt: p.attempt, Epoch: d.epoch, Begin: at(d.now),
		})
		d.open = append(d.open, p)
	}
}

// run goes on until all has ended.
func (d *dispatch) run() {
	d.enqueue(rapid.IntRange(0, 20).Draw(d.T, "jobs"))
	for d.h.Limits[d.queue] = d.limits; len(d.waiting)+len(d.open) > 0; d.now++ {
		d.credit = min(d.credit+1, interval*d.limits.Rate.Burst)
		d.finish()
		if d.chance(3) {
			d.kill()
		}
		d.begin()
	}
}

// Whatever a dispatcher does that keeps all promises is no violation.
func TestAnyCorrectRunHasNoViolation(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := &History{Limits: map[string]Limits{}}
		rate := job.Rate{Limit: 1000 / interval, Period: job.Duration(time.Second), Burst: rapid.IntRange(1, 5).Draw(t, "burst")}
		concurrency := rapid.IntRange(1, 5).Draw(t, "concurrency")
		free := Limits{Concurrency: concurrency, WorkerConcurrency: concurrency, Rate: rate}
		(&dispatch{T: t, h: h, queue: "free", limits: free, epoch: 1}).run()
		(&dispatch{T: t, h: h, queue: "ordered", limits: Limits{Concurrency: concurrency, KeyConcurrency: 1, Rate: rate}, epoch: 1}).run()
		for _, v := range h.Verify() {
			t.Error(v)
		}
	})
}
