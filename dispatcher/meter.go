package dispatcher

import (
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
)

// Meter is told what a dispatcher does, once for each attempt, ended job and commit.
// Its methods are called concurrently and on the way of every job: they must not
// block. observability.Metrics is one.
type Meter interface {
	// Pushed is told of a push that has ended. worker is empty where the job had a
	// destination of its own; waited is from the time at which the job was due to the
	// push, took what the push took.
	Pushed(queue, worker string, waited, took time.Duration)
	// Attempt is told of an attempt that has ended: with its push, or later where the
	// worker had taken it over. status is 0 where no answer began, and for what a worker
	// has reported.
	Attempt(queue, worker string, o job.Outcome, status int)
	// Settled is told of a job whose terminal status has become durable. It must not
	// change the job.
	Settled(j *job.Job)
	// Commit is told of a durable write, of how many changes it was made and how long
	// it took, repetitions included.
	Commit(changes int, took time.Duration)
}

// noMeter is told and forgets.
type noMeter struct{}

func (noMeter) Pushed(string, string, time.Duration, time.Duration) {}
func (noMeter) Attempt(string, string, job.Outcome, int)            {}
func (noMeter) Settled(*job.Job)                                    {}
func (noMeter) Commit(int, time.Duration)                           {}

// concluded is an accepted attempt that has ended.
type concluded struct {
	Queue, Worker string
	Outcome       job.Outcome
}

// waited returns for how long a job that is pushed now was due.
func waited(j *job.Job, now time.Time) time.Duration {
	due := j.Due
	if due.IsZero() {
		due = j.CreatedAt
	}
	return max(now.Sub(due), 0)
}

// changes counts what a commit is made of.
func changes(c *store.Commit) int {
	n := len(c.Claim) + len(c.ClaimsDone) + len(c.Settle) + len(c.Promote) + len(c.TimersDone) + len(c.Consumed) +
		len(c.Limits) + len(c.Delete) + len(c.Trim) + len(c.Replace) + len(c.Refuse) + len(c.Send) + len(c.Fire)
	if c.HandOver != nil {
		n += len(c.HandOver.Entries)
	}
	return n
}
