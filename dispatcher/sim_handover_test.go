package dispatcher

import (
	"context"
	"maps"
	"slices"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/webhook/push"
)

// move begins to give the shard up, or takes that back; or one of the nodes that go
// on with pushes dies, or a report comes that is late or repeated.
func (s *sim) move() {
	switch s.rng.IntN(6) {
	case 0: // as where no other node uses the store
		s.post(resuming{})
		s.post(draining{})
	case 1, 2:
		s.post(draining{s.node})
	case 3:
		s.post(resuming{})
	case 4:
		s.die()
	default:
		s.repeat()
	}
}

// living are the nodes that are not dead, as they are seen now.
func (s *sim) living() living {
	nodes := []string{s.node}
	for _, p := range s.inFlight {
		if p.async == nil && !s.dead[p.node] && !slices.Contains(nodes, p.node) {
			nodes = append(nodes, p.node)
		}
	}
	return living{nodes}
}

// die ends a node that has handed the shard over and goes on with pushes. Its pushes
// may go on at their worker.
func (s *sim) die() {
	var nodes []string
	for _, p := range s.inFlight {
		if p.async == nil && p.node != s.node && !s.dead[p.node] {
			nodes = append(nodes, p.node)
		}
	}
	if len(nodes) > 0 {
		slices.Sort(nodes)
		dies := nodes[s.rng.IntN(len(nodes))]
		s.logf("%s dies", dies)
		s.dead[dies] = true
		for _, p := range s.inFlight {
			p.done = p.done || p.async == nil && p.node == dies
		}
	}
	if s.chance(2) {
		s.post(s.living())
	}
}

// report has a node that goes on with a push tell how it ended, perhaps twice.
func (s *sim) report(key attemptKey, a push.Answer) {
	r := result{key.id, key.attempt, a}
	for again := true; again; again = s.chance(4) {
		_, err := s.store.Send(context.Background(), reportOf(&r))
		s.must(err)
	}
	if s.healing || s.chance(2) {
		s.post(foreign{})
	}
}

// repeat reports an attempt that was settled long ago otherwise.
func (s *sim) repeat() {
	if len(s.ids) == 0 {
		return
	}
	id := s.ids[s.rng.IntN(len(s.ids))]
	j, err := s.store.Job(context.Background(), id)
	if err != nil || j.Attempt == 0 {
		return
	}
	s.report(attemptKey{id, 1 + s.rng.IntN(j.Attempt)}, push.Answer{Outcome: job.OutcomeSucceeded, StatusCode: 299})
}

// answers reports whether a push will be answered.
func (s *sim) answers() bool {
	for _, p := range s.inFlight {
		if !p.done && p.async.reports() {
			return true
		}
	}
	return false
}

// resultsOf are the answers in an event that are news.
func (s *sim) resultsOf(ev event) (results []result) {
	switch ev := ev.(type) {
	case pushed:
		return ev.Results
	case inboxRead:
		for i := range ev.Commands {
			c := &ev.Commands[i]
			if p := s.inFlight[attemptKey{c.ID, c.Attempt}]; c.Kind == store.CommandReport && p != nil {
				a, ok := parseAnswer(c.Report)
				if !ok {
					s.fail("the report of %s attempt %d cannot be read", c.ID, c.Attempt)
				}
				results = append(results, result{c.ID, c.Attempt, a})
			}
		}
	}
	return results
}

// checkHandedOver checks that the machine waits for each push that another node goes
// on with, until that is dead or the push's time is over.
func (s *sim) checkHandedOver() {
	if !s.m.started {
		return
	}
	for _, key := range slices.SortedFunc(maps.Keys(s.inFlight), func(a, b attemptKey) int {
		return slices.Compare(append(a.id[:], byte(a.attempt)), append(b.id[:], byte(b.attempt)))
	}) {
		p := s.inFlight[key]
		if p.async != nil {
			s.checkWaited(key, p)
			continue
		}
		if p.node == s.node || slices.ContainsFunc(s.m.ghosts, func(g ghost) bool { return g.item.attemptKey() == key }) {
			continue
		}
		over := !s.now.Before(p.until.Add(reportGrace)) || s.dead[p.node] && !s.now.Before(s.began.Add(simLease))
		if s.young && !over { // or nobody waits for it over a change of owners: its job was cancelled
			j, err := s.store.Job(context.Background(), key.id)
			over = err != nil || j.Attempt >= key.attempt
		}
		if !over {
			s.fail("job %s attempt %d, which %s goes on with until %s, is given up at %s", key.id, key.attempt, p.node, p.until, s.now)
		}
		s.lingering = append(s.lingering, lingering{p.order.Entry.Job, p.until})
		delete(s.inFlight, key)
	}
	s.young = false
}

// giveUp lets the next node take the shard, once it may: this one goes on with its
// pushes, and reports what the machine was not told.
func (s *sim) giveUp() {
	if s.m.handOver == "" || !s.m.quiet() || s.commit != nil {
		return
	}
	s.logf("%s %s hands over", s.now, s.node)
	s.must(s.owner.Release(context.Background()))
	var ended []result
	for _, ev := range s.events {
		if p, ok := ev.(pushed); ok {
			ended = append(ended, p.Results...)
		}
	}
	s.start()
	for _, r := range ended {
		s.report(attemptKey{r.ID, r.Attempt}, r.Answer)
	}
}
