package dispatcher

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
)

// send adds new jobs to the machine's commit, for its outbox.
func (s *sim) send(c *store.Commit) {
	if s.healing || !s.chance(8) {
		return
	}
	for range 1 + s.rng.IntN(4) {
		var random [9]byte
		binary.BigEndian.PutUint64(random[1:], s.rng.Uint64())
		j := &job.Job{
			ID: job.MakeID(s.now, 0, random), Queue: queueName(s.rng.IntN(3)), Type: "t", Status: job.Waiting,
			Priority: job.Priorities()[s.rng.IntN(4)], ContentType: "application/json", CreatedAt: s.now, PayloadSize: 2,
		}
		if s.chance(4) {
			j.RunAt = s.now.Add(time.Duration(s.rng.IntN(3600)) * time.Second)
			j.Due = j.RunAt
		}
		c.Send = append(c.Send, store.Outgoing{Job: j, Payload: []byte("{}")})
	}
}

// bookSent notes what a durable commit has sent: from now on it must not be lost.
func (s *sim) bookSent() {
	for _, out := range s.commit.Send {
		if s.known[out.Job.ID] != nil {
			continue // booked when the store gave no answer
		}
		s.logf("  sent %s", out.Job.ID)
		s.known[out.Job.ID] = &simJob{job: out.Job, terminal: make(map[int]int)}
		s.ids = append(s.ids, out.Job.ID)
	}
}

// deliver does what the node's deliverer does when the machine has asked for it:
// some entries, with faults or without. Nothing else takes jobs from the outbox.
func (s *sim) deliver() {
	if !s.delivering {
		return
	}
	after := s.rng.IntN(6)
	fault := func() bool {
		after--
		return after == -1
	}
	switch {
	case s.healing:
	case s.chance(4):
		s.eng.Fail = func(string, int) error {
			if fault() {
				return store.ErrUnavailable
			}
			return nil
		}
	case s.chance(4):
		s.eng.Ambiguous = func(op string, _ int) bool { return op == "apply" && fault() }
	}
	n, more, err := s.owner.Deliver(context.Background(), 1+s.rng.IntN(6))
	s.eng.Fail, s.eng.Ambiguous = nil, nil
	s.logf("%s delivered %d more %v: %v", s.now.Format(time.DateTime), n, more, err)
	if err != nil && !errors.Is(err, store.ErrUnavailable) {
		s.must(err)
	}
	s.delivering = more || err != nil
}
