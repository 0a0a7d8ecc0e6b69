package dispatcher

import (
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
)

// retention returns the rules by which finished jobs are kept.
func (c *Config) retention() *store.RetentionRules {
	if c.rules != nil {
		return c.rules
	}
	rules := &store.RetentionRules{Ages: c.Retention, Own: make(map[string]store.Retention)}
	for name, q := range c.Queues {
		if q.Retention != nil {
			rules.Own[name] = *q.Retention
		}
	}
	return rules
}

// retainBy takes over rules. What was to be removed by those before stays: it is
// found again, if the new ones say so too.
func (m *machine) retainBy(rules *store.RetentionRules, now time.Time) {
	for _, t := range m.next.Trim {
		delete(m.jobs, t.Job.ID)
	}
	m.next.Trim = nil
	m.rules, m.trimAt = rules, now
}

// askFinished asks for finished jobs that are not to be kept any longer.
func (m *machine) askFinished(now time.Time) {
	if now.Before(m.trimAt) || m.rules.Empty() {
		return
	}
	m.trimAt = now.Add(m.limits.SweepEvery) // until the answer says better
	m.out.ReadFinished = m.limits.Timers
}

// onFinishedRead removes what is not to be kept any longer.
func (m *machine) onFinishedRead(ev finishedRead) {
	m.trimAt = ev.Next
	for _, t := range ev.Trims {
		if m.jobs[t.Job.ID] != nil {
			continue // a command has found it too
		}
		m.deleting(&item{entry: &store.Entry{Job: t.Job}, queue: m.queue(t.Job.Queue)})
		m.next.Trim = append(m.next.Trim, t)
	}
}

// trimSoon is how long jobs may end in a queue before it is looked at whether
// they take too much together.
const trimSoon = time.Second

// noteFinished notes that a job has ended, in a queue whose bytes may be bounded.
func (m *machine) noteFinished(now time.Time, j *job.Job) {
	if m.rules.Own[j.Queue].MaxBytes > 0 && m.trimAt.After(now.Add(trimSoon)) {
		m.trimAt = now.Add(trimSoon)
	}
}

// trimmed tells that finished jobs are gone that nobody asked to be removed.
type trimmed struct {
	Queue  string
	Status job.Status
	Why    store.TrimReason
	Jobs   int64
}

// onTrimmed tells what a durable commit has trimmed.
func (m *machine) onTrimmed(trims []store.Trim) {
	for _, t := range trims {
		if it := m.jobs[t.Job.ID]; it != nil {
			m.forget(it)
		}
		if t.Job.Blocks {
			m.lookAt(m.queue(t.Job.Queue), t.Job.Key)
		}
		m.countTrimmed(trimmed{t.Job.Queue, t.Job.Status, t.Why, 1})
	}
}

// countTrimmed adds to what is told. A commit is mostly of few queues, and one
// after the other.
func (m *machine) countTrimmed(t trimmed) {
	if n := len(m.out.Trimmed); n > 0 {
		last := &m.out.Trimmed[n-1]
		if last.Queue == t.Queue && last.Status == t.Status && last.Why == t.Why {
			last.Jobs += t.Jobs
			return
		}
	}
	m.out.Trimmed = append(m.out.Trimmed, t)
}
