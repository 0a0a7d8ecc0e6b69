package dispatcher

import (
	"fmt"
	"maps"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
)

// someCircuit is a circuit that opens soon, or none.
func (s *sim) someCircuit() job.Circuit {
	if s.chance(2) {
		return job.Circuit{}
	}
	return job.Circuit{
		Mode: job.On, Window: job.Duration(time.Second * time.Duration(1+s.rng.IntN(600))),
		MinPushes: 1 + s.rng.IntN(4), FailureRatio: float64(1+s.rng.IntN(10)) / 10,
		OpenFor: job.Duration(time.Second * time.Duration(1+s.rng.IntN(60))), MaxOpen: job.Duration(2 * time.Minute),
	}
}

// resume returns when something was last resumed: mostly as before.
func (s *sim) resume(at *time.Time) time.Time {
	if s.chance(4) {
		*at = s.now
	}
	return *at
}

// circuitsAfter returns the circuits of the workers on a queue that are open when
// the commit is durable.
func (s *sim) circuitsAfter(c *store.Commit, queue string) map[string]circuit {
	for _, l := range c.Limits {
		if l.Queue != queue || l.Key != "" {
			continue
		}
		open := make(map[string]circuit)
		fields(l.State, func(field protowire.Number, _ int64, state []byte) {
			if field == fieldWorker {
				readCircuit(state, open)
			}
		})
		return open
	}
	return s.open[queue]
}

func readCircuit(state []byte, into map[string]circuit) {
	var name string
	var c circuit
	fields(state, func(field protowire.Number, number int64, text []byte) {
		switch field {
		case fieldName:
			name = string(text)
		case fieldOpened:
			c.opened = time.Unix(0, number).UTC()
		case fieldOpens:
			c.opens = int(number)
		}
	})
	if c.opens > 0 {
		into[name] = c
	}
}

// noteProbe remembers that the probe of a circuit has shown that its worker works:
// it has succeeded, or the worker has said that this job is not to be tried again.
func (s *sim) noteProbe(r *result) {
	key := attemptKey{r.ID, r.Attempt}
	if p := s.inFlight[key]; p != nil && p.order.Worker != nil && (r.Answer.Outcome == job.OutcomeSucceeded || r.Answer.NoRetry) {
		at := onQueue(p.order.Entry.Job.Queue, p.order.Worker.Name)
		s.closed[at] = s.closed[at] || s.probes[at] == key
	}
}

// checkAllCircuits checks a commit when it is made.
func (s *sim) checkAllCircuits(c *store.Commit) {
	s.seen = maps.Clone(s.absences)
	s.checkClosed(c)
	s.checkCircuits(c)
}

// checkClosed checks that a circuit is closed only by a probe, or by who resumes
// its worker.
func (s *sim) checkClosed(c *store.Commit) {
	for _, l := range c.Limits {
		after := s.circuitsAfter(c, l.Queue)
		for name, open := range s.open[l.Queue] {
			at := onQueue(l.Queue, name)
			if w := s.worker(name); w == nil || w.Circuit.MinPushes == 0 || !open.opened.After(w.Resumed) || s.closed[at] {
				continue
			}
			if now, ok := after[name]; !ok || now.opens < open.opens {
				s.fail("the circuit of %s went from %d to %d without a probe", at, open.opens, now.opens)
			}
		}
	}
}

// checkCircuits checks that a worker with an open circuit gets nothing, and with a
// half-open one a single push at a time, whoever owns the shard.
func (s *sim) checkCircuits(c *store.Commit) {
	for i := range c.Claim {
		e := &c.Claim[i]
		j := e.Entry.Job
		w := s.worker(e.Worker)
		if w == nil || w.Circuit.MinPushes == 0 {
			continue
		}
		open, ok := s.circuitsAfter(c, j.Queue)[w.Name]
		if !ok || !open.opened.After(w.Resumed) {
			continue
		}
		at := onQueue(j.Queue, w.Name)
		if e.Started.Before(open.until(w.Circuit)) {
			s.fail("job %s is pushed at %s to %s, whose circuit is open until %s", j.ID, e.Started, at, open.until(w.Circuit))
		}
		// A claim that a crash has undone may have been made again, of another worker.
		if probe, ok := s.probes[at]; ok && s.pushedTo(probe) == w.Name {
			s.fail("job %s is pushed to %s while it is probed by %v", j.ID, at, probe)
		}
		s.probes[at] = attemptKey{j.ID, e.Attempt}
		for k := range c.Claim[:i] {
			if o := &c.Claim[k]; o.Worker == w.Name && o.Entry.Job.Queue == j.Queue {
				s.fail("jobs %s and %s probe %s at once", o.Entry.Job.ID, j.ID, at)
			}
		}
	}
}

// pushedTo returns the worker of a push in flight; "" where there is no such push.
func (s *sim) pushedTo(key attemptKey) string {
	if p := s.inFlight[key]; p != nil && p.order.Worker != nil {
		return p.order.Worker.Name
	}
	return ""
}

// worker returns a worker as the machine knows it; nil where it knows none.
func (s *sim) worker(name string) *Worker {
	for _, w := range s.m.cfg.Workers {
		if w.Name == name {
			return w
		}
	}
	return nil
}

// bookCircuits takes over what the durable commit says of circuits.
func (s *sim) bookCircuits() {
	for _, l := range s.commit.Limits {
		if l.Key == "" {
			after := s.circuitsAfter(s.commit, l.Queue)
			for name, open := range s.open[l.Queue] {
				if !after[name].opened.Equal(open.opened) {
					delete(s.closed, onQueue(l.Queue, name))
				}
			}
			for name := range after {
				if at := onQueue(l.Queue, name); s.absences[at] != s.seen[at] {
					delete(after, name) // forgotten after the commit was made
				}
			}
			s.open[l.Queue] = after
		}
	}
}

// forgetCircuits forgets the circuits of workers that do not serve a queue by a
// configuration: whoever takes a worker from a queue and gives it back begins anew.
func (s *sim) forgetCircuits(cfg *Config) {
	serves := servesBy(cfg)
	for queue := range 3 {
		for worker := range 3 {
			queue, name := queueName(queue), fmt.Sprintf("w%d", worker)
			if at := onQueue(queue, name); !serves[at] {
				s.absences[at]++
				delete(s.open[queue], name)
			}
		}
	}
}

// rampedUp is the limit as far as it was ramped up since.
func rampedUp(limit int, ramp bool, since, now time.Time) int {
	if !ramp || since.IsZero() {
		return limit
	}
	share := 0.1
	for passed := now.Sub(since); passed >= time.Second && share < 1; passed -= time.Second {
		share *= 2
	}
	return max(1, min(limit, int(share*float64(limit)+0.999)))
}
