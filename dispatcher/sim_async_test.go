package dispatcher

import (
	"context"
	"errors"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
)

// simAsync is what is known of an attempt that its worker has taken over.
type simAsync struct {
	kept      bool // its record is durable
	cancelled bool
	until     time.Time // then nobody waits for it any more, where it is cancelled
	record    store.Accepted
}

// reports reports whether a worker can report on its attempt: at once where it answers
// the request, and else as soon as the store knows that it has taken it over.
func (a *simAsync) reports() bool { return a == nil || a.kept && !a.cancelled }

// ended notes what a push has come to: its worker has taken it over, or it has ended.
func (s *sim) ended(r *result) {
	key := attemptKey{r.ID, r.Attempt}
	p := s.inFlight[key]
	switch it := s.m.jobs[key.id]; {
	case p == nil || !r.Answer.Accepted || it == nil || it.state != itemRunning || it.attempt != key.attempt:
		delete(s.inFlight, key)
	case p.async == nil:
		p.done, p.async = false, &simAsync{}
	}
}

// beat has a worker tell that it goes on with an attempt.
func (s *sim) beat() {
	key, p := s.somePush()
	if p == nil || p.async == nil {
		return
	}
	switch err := s.store.Beat(context.Background(), key.id, key.attempt); {
	case errors.Is(err, store.ErrNotFound):
	case err != nil:
		s.must(err)
	case s.now.Sub(p.async.record.Beat) >= time.Second:
		p.async.record.Beat = s.now
	}
}

// cancelled notes that a worker is told to stop; perhaps it confirms that.
func (s *sim) cancelled(n *cancelNotice) {
	key := attemptKey{n.Job.ID, n.Attempt}
	if p := s.inFlight[key]; p != nil && p.async != nil {
		p.async.cancelled, p.async.until = true, earlier(p.async.record.Deadline, s.now.Add(p.async.record.Heartbeat))
		if p.async.record.Heartbeat == 0 {
			delete(s.inFlight, key) // it was never written that it was taken over
		}
	}
	if s.healing || s.chance(2) {
		s.post(cancelTold(key))
	}
}

// forgetCancelled forgets cancelled attempts that need not be waited for any more.
func (s *sim) forgetCancelled() {
	for key, p := range s.inFlight {
		if p.async != nil && p.async.cancelled && !p.async.until.After(s.now) {
			delete(s.inFlight, key)
		}
	}
}

// checkAccepted checks a commit when it is made: no attempt that was taken over ends for
// want of a sign of life before its time.
func (s *sim) checkAccepted(c *store.Commit) {
	for i := range c.Accept {
		a := &c.Accept[i]
		key := attemptKey{a.Entry.Job.ID, a.Attempt}
		p := s.inFlight[key]
		if p == nil { // what its node told is heard of only now
			p = &simPush{order: pushOrder{Entry: a.Entry, Attempt: a.Attempt, Worker: s.worker(a.Worker)}, async: &simAsync{}}
			s.inFlight[key] = p
		}
		if p.async == nil || !s.pushed[key] {
			s.fail("attempt %d of %s was not taken over", a.Attempt, a.Entry.Job.ID)
			continue
		}
		p.async.record = *a
	}
	for i := range c.Settle {
		j := c.Settle[i].Job
		if len(j.Attempts) == 0 {
			continue
		}
		last := j.Attempts[len(j.Attempts)-1]
		key := attemptKey{j.ID, last.Number}
		p := s.inFlight[key]
		if p == nil || p.async == nil || p.async.cancelled || last.Number != j.Attempt {
			continue
		}
		if until := p.async.record.Until(); last.Outcome == job.OutcomeTimedOut && s.now.Before(until) {
			s.fail("attempt %d of %s is given up at %s, its worker has until %s", last.Number, j.ID, s.now, until)
		}
		delete(s.inFlight, key)
	}
}

// bookAccepted notes which attempts are durably taken over.
func (s *sim) bookAccepted() {
	for i := range s.commit.Accept {
		a := &s.commit.Accept[i]
		if p := s.inFlight[attemptKey{a.Entry.Job.ID, a.Attempt}]; p != nil && p.async != nil {
			p.async.kept = true
		}
	}
}

// checkWaited checks that the machine waits for an attempt that was taken over.
func (s *sim) checkWaited(key attemptKey, p *simPush) {
	it := s.m.jobs[key.id]
	if !p.async.kept || p.async.cancelled || s.m.acceptedBy[key] != nil || it != nil && it.state == itemSettling {
		return
	}
	s.fail("attempt %d of %s, which was taken over, is not waited for", key.attempt, key.id)
}
