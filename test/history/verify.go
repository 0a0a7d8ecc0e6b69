package history

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/orchestrix/orchestrix/job"
)

// Rule names one thing that must hold.
type Rule string

// The rules.
const (
	Kept          Rule = "an accepted job is there"
	Ended         Rule = "a job ends"
	Wanted        Rule = "what is there, or pushed, was enqueued"
	Once          Rule = "one enqueue is one job"
	EndedOnce     Rule = "a job ends once"
	Agreed        Rule = "a job ends as its worker answered"
	Recorded      Rule = "the attempts are recorded as they were"
	NotRepeated   Rule = "only what failed or was lost is pushed again"
	Distinct      Rule = "an attempt's number is not used twice under one epoch"
	NotAfterEnd   Rule = "nothing is pushed after its end was recorded"
	WithinQueue   Rule = "a queue's concurrency holds"
	WithinKey     Rule = "a key's concurrency holds"
	WithinWorker  Rule = "a worker's concurrency holds"
	WithinRate    Rule = "a queue's rate holds"
	InOrder       Rule = "the jobs of a key are pushed in their order"
	NothingBurned Rule = "no attempt is lost but with its node"
)

// Violation is a rule that does not hold, and what shows it.
type Violation struct {
	Rule Rule
	Text string
}

// String is one line for a test's log.
func (v Violation) String() string { return string(v.Rule) + ": " + v.Text }

// Verify returns everything that must not be; nothing where the run was correct.
func (h *History) Verify() []Violation {
	c := &check{
		History: h, jobs: map[string]*Job{}, byID: map[string]*Enqueue{}, byRef: map[string]*Enqueue{},
		pushes: map[string][]*Push{}, asked: map[string]bool{}, ends: map[string][]Sighting{},
	}
	c.index()
	c.checkEnqueues()
	c.checkWanted()
	for id, pushes := range c.pushes {
		c.checkPushes(c.jobs[id], pushes)
	}
	for _, j := range c.jobs {
		c.checkEnd(j)
		c.checkAttempts(j)
	}
	c.checkLimits()
	c.checkOrder()
	slices.SortStableFunc(c.found, func(a, b Violation) int { return cmp.Compare(a.String(), b.String()) })
	return c.found
}

// check is a history with its indexes.
type check struct {
	*History
	jobs   map[string]*Job
	byID   map[string]*Enqueue
	byRef  map[string]*Enqueue
	pushes map[string][]*Push // by job, in the order of their beginning
	asked  map[string]bool    // to be cancelled
	ends   map[string][]Sighting
	found  []Violation
}

func (c *check) bad(r Rule, format string, args ...any) {
	c.found = append(c.found, Violation{r, fmt.Sprintf(format, args...)})
}

func (c *check) index() {
	for i := range c.Jobs {
		j := &c.Jobs[i]
		if other := c.jobs[j.ID]; other != nil {
			c.bad(EndedOnce, "%s is listed as %s and as %s", j.ID, other.Status, j.Status)
		}
		c.jobs[j.ID] = j
	}
	for i := range c.Enqueues {
		e := &c.Enqueues[i]
		c.byRef[e.Ref] = e
		if e.Told == Accepted {
			c.byID[e.ID] = e
		}
	}
	for i := range c.Pushes {
		p := &c.Pushes[i]
		c.pushes[p.ID] = append(c.pushes[p.ID], p)
	}
	for _, pushes := range c.pushes {
		slices.SortStableFunc(pushes, func(a, b *Push) int { return a.Begin.Compare(b.Begin) })
	}
	for _, a := range c.Cancels {
		c.asked[a.ID] = true
	}
	for _, s := range c.Sightings {
		c.ends[s.ID] = append(c.ends[s.ID], s)
	}
}

// ended reports whether a status is one of a job that has come to its end.
func ended(status string) bool {
	s, ok := job.ParseStatus(status)
	return ok && s.Terminal()
}

func (c *check) checkEnqueues() {
	for _, e := range c.Enqueues {
		if e.Told != Accepted {
			continue
		}
		if c.jobs[e.ID] == nil && !c.tail(e.Queue, e.End) {
			c.bad(Kept, "%s (%s in %s) was accepted, and the store does not have it", e.ID, e.Ref, e.Queue)
		}
		if first := c.byID[e.ID]; first.Ref != e.Ref {
			c.bad(Once, "%s is what both %s and %s were told", e.ID, first.Ref, e.Ref)
		}
	}
}

// checkWanted looks for jobs and pushes that nobody asked for.
func (c *check) checkWanted() {
	ids := map[string]string{} // by ref
	for _, e := range c.byID {
		ids[e.Ref] = e.ID
	}
	for i := range c.Pushes {
		p := &c.Pushes[i]
		e := c.byRef[p.Ref]
		if e == nil || e.Told == Refused {
			c.bad(Wanted, "%s (%s) was pushed, and was never accepted", p.ID, p.Ref)
			continue
		}
		if id := ids[p.Ref]; id == "" {
			ids[p.Ref] = p.ID
		} else if id != p.ID {
			c.bad(Once, "%s was pushed as %s and is %s too", p.Ref, p.ID, id)
		}
		if c.jobs[p.ID] == nil && !c.tail(p.Queue, p.Begin) {
			c.bad(Kept, "%s (%s) was pushed, and the store does not have it", p.ID, p.Ref)
		}
		if p.Queue != e.Queue || p.Key != e.Key {
			c.bad(Wanted, "%s was pushed as of %s, key %q; it is of %s, key %q", p.ID, p.Queue, p.Key, e.Queue, e.Key)
		}
	}
	known := map[string]bool{}
	for _, id := range ids {
		known[id] = true
	}
	unknown := slices.ContainsFunc(c.Enqueues, func(e Enqueue) bool { return e.Told == Unknown })
	for id := range c.jobs {
		// One that was never pushed tells no ref: an unknown enqueue may have made it.
		if !known[id] && !unknown {
			c.bad(Wanted, "the store has %s, which nobody enqueued", id)
		}
	}
}

// tail reports whether the store may have lost what it acknowledged then.
func (c *check) tail(queue string, at time.Time) bool {
	return slices.ContainsFunc(c.Losses, func(l Loss) bool {
		return l.of(queue) && l.Tail > 0 && !at.Before(l.From.Add(-l.Tail)) && !at.After(l.To)
	})
}

// loss returns the declared loss that a push was in flight in, nil where it was in
// none.
func (c *check) loss(p *Push) *Loss {
	for i := range c.Losses {
		l := &c.Losses[i]
		if l.of(p.Queue) && !p.Begin.After(l.To.Add(c.Wire)) && !p.End.Before(l.From.Add(-c.Settle)) {
			return l
		}
	}
	return nil
}

func (l *Loss) of(queue string) bool { return l.Queues == nil || slices.Contains(l.Queues, queue) }

// checkPushes looks at all pushes of a job, which the store may not have.
func (c *check) checkPushes(j *Job, pushes []*Push) {
	var newest uint64
	for _, p := range pushes {
		newest = max(newest, p.Epoch)
	}
	type number struct {
		attempt int
		epoch   uint64
	}
	seen := map[number]bool{}
	end := c.end(j)
	for i, p := range pushes {
		if n := (number{p.Attempt, p.Epoch}); seen[n] {
			c.bad(Distinct, "%s was pushed twice as attempt %d under epoch %d", p.ID, p.Attempt, p.Epoch)
		} else {
			seen[n] = true
		}
		stale := p.Epoch < newest && c.loss(p) != nil
		if !end.IsZero() && p.Begin.After(end.Add(c.Wire)) && !stale {
			c.bad(NotAfterEnd, "%s was pushed %s after its end, as attempt %d", p.ID, p.Begin.Sub(end), p.Attempt)
		}
		if i > 0 {
			c.checkRepeat(j, pushes[i-1], p)
		}
	}
}

// end returns the first moment at which a job was known to have ended; zero where
// it never was.
func (c *check) end(j *Job) (at time.Time) {
	if j == nil {
		return at
	}
	if ended(j.Status) {
		at = j.Finished
	}
	for _, s := range c.ends[j.ID] {
		if at.IsZero() || s.At.Before(at) {
			at = s.At
		}
	}
	return at
}

// checkRepeat asks why a job was pushed again.
func (c *check) checkRepeat(j *Job, before, again *Push) {
	switch {
	case c.loss(before) != nil:
	case again.Begin.Before(before.over(c.Wire)):
		c.bad(NotRepeated, "%s was pushed as attempt %d while attempt %d was in flight", again.ID, again.Attempt, before.Attempt)
	case before.failed():
	case before.Answer == 0 && j != nil && slices.ContainsFunc(j.Attempts, func(a Attempt) bool {
		return a.Number == before.Attempt && (a.Outcome == job.OutcomeTimedOut.String() || a.Outcome == job.OutcomeFailed.String())
	}): // the sender gave up
	default:
		c.bad(NotRepeated, "%s was pushed as attempt %d, after attempt %d was answered %d and no loss was declared",
			again.ID, again.Attempt, before.Attempt, before.Answer)
	}
}

// checkEnd compares a job's end with what clients were told, and with the worker's
// answers.
func (c *check) checkEnd(j *Job) {
	for _, s := range c.ends[j.ID] {
		if s.Status != j.Status {
			c.bad(EndedOnce, "%s is %s; a client was told %s", j.ID, j.Status, s.Status)
		}
	}
	if !ended(j.Status) {
		c.bad(Ended, "%s is %s", j.ID, j.Status)
		return
	}
	succeeded, failed := false, false
	var unexcused *Push // which succeeded
	for _, p := range c.pushes[j.ID] {
		failed = failed || !p.succeeded()
		if p.succeeded() {
			succeeded = true
			if c.loss(p) == nil {
				unexcused = p
			}
		}
	}
	switch {
	case j.Status == job.Succeeded.String():
		if !succeeded {
			c.bad(Agreed, "%s succeeded, and no push of it did", j.ID)
		}
		return
	case unexcused != nil && !c.asked[j.ID]: // a cancel may come before the answer
		c.bad(Agreed, "%s is %s, and attempt %d was answered %d", j.ID, j.Status, unexcused.Attempt, unexcused.Answer)
	}
	if j.Status == job.Dead.String() && !failed {
		c.bad(Agreed, "%s is dead, and no push of it failed", j.ID)
	}
	if j.Status == job.Cancelled.String() && !c.asked[j.ID] {
		c.bad(Agreed, "%s is cancelled, and nobody asked for it", j.ID)
	}
}

// checkAttempts compares the recorded attempts with the pushes.
func (c *check) checkAttempts(j *Job) {
	latest := map[int]*Push{}
	for _, p := range c.pushes[j.ID] {
		if before := latest[p.Attempt]; before == nil || before.Epoch <= p.Epoch {
			latest[p.Attempt] = p
		}
		if ended(j.Status) && p.Attempt > j.Attempt && c.loss(p) == nil && !c.asked[j.ID] {
			c.bad(Recorded, "%s was pushed as attempt %d, and %d are recorded", j.ID, p.Attempt, j.Attempt)
		}
	}
	for _, a := range j.Attempts {
		p := latest[a.Number]
		switch a.Outcome {
		case job.OutcomeLost.String():
			c.checkLost(j, a, p)
		case job.OutcomeSucceeded.String():
			if p == nil || !p.succeeded() {
				c.bad(Recorded, "attempt %d of %s is recorded as succeeded, and was not", a.Number, j.ID)
			}
		case job.OutcomeFailed.String(), job.OutcomeThrottled.String(), job.OutcomeTimedOut.String():
			if p != nil && p.succeeded() && c.loss(p) == nil {
				c.bad(Recorded, "attempt %d of %s is recorded as %s, and was answered %d", a.Number, j.ID, a.Outcome, p.Answer)
			}
		}
	}
}

// checkLost asks which loss took an attempt; p is its push, nil where none was seen.
func (c *check) checkLost(j *Job, a Attempt, p *Push) {
	if p != nil && c.loss(p) != nil {
		return
	}
	if p == nil && slices.ContainsFunc(c.Losses, func(l Loss) bool {
		return l.of(j.Queue) && !a.Started.After(l.To.Add(c.Wire))
	}) {
		return
	}
	c.bad(NothingBurned, "attempt %d of %s is recorded as lost, and no loss was declared when it was in flight", a.Number, j.ID)
}
