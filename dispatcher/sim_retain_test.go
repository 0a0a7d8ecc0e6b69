package dispatcher

import (
	"context"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
)

// retention returns what a queue is given as its own retention, mostly nothing.
func (s *sim) retention() *store.Retention {
	if !s.chance(3) {
		return nil
	}
	r := &store.Retention{Ages: map[job.Status]time.Duration{}, MaxBytes: int64(s.rng.IntN(3) * s.rng.IntN(8000))}
	for _, status := range job.Statuses() {
		if status.Terminal() && s.chance(2) {
			r.Ages[status] = time.Duration(s.rng.IntN(3)) * time.Hour
		}
	}
	return r
}

// checkTrims checks that the commit trims what has ended, and nothing before its
// time.
func (s *sim) checkTrims(c *store.Commit) {
	for _, t := range c.Trim {
		ages, own := s.m.cfg.Retention, s.m.cfg.Queues[t.Job.Queue].Retention
		if own != nil {
			ages = own.Ages
		}
		age, ok := ages[t.Job.Status]
		switch {
		case !t.Job.Status.Terminal():
			s.fail("job %s is trimmed and is %s", t.Job.ID, t.Job.Status)
		case t.Why == store.TrimBytes && (own == nil || own.MaxBytes == 0):
			s.fail("job %s is trimmed for bytes that nothing bounds", t.Job.ID)
		case t.Why == store.TrimAge && (!ok || t.Job.FinishedAt.Add(age).After(s.now)):
			s.fail("job %s, %s at %s, is trimmed at %s", t.Job.ID, t.Job.Status, t.Job.FinishedAt, s.now)
		}
	}
}

// checkKept checks that the jobs that are left are what is counted in bytes.
func (s *sim) checkKept() {
	kept := make(map[string]int64)
	for id, k := range s.known {
		if k.deleted {
			continue
		}
		j, err := s.store.Job(context.Background(), id)
		s.must(err)
		kept[j.Queue] += int64(j.Counted)
	}
	for i := range 3 {
		c, err := s.store.Counts(context.Background(), queueName(i))
		s.must(err)
		if c.Kept != kept[queueName(i)] || c.Bytes != 0 {
			s.fail("queue %s counts %+v, its jobs take %d bytes", queueName(i), c, kept[queueName(i)])
		}
	}
}
