package dev

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/job"
)

// Sample is a kind of sample jobs and how they have to end.
type Sample struct {
	// Shows is what there is to see, in a few words.
	Shows string
	Job   client.NewJob
	// Count is how many of them one round has.
	Count int
	// Status and Attempts are how each of them ends with the sample worker.
	Status   job.Status
	Attempts int
	// Fails is how many attempts the sample worker fails, and Answer what it
	// fails them with.
	Fails  int
	Answer int
	// Works is how long the sample worker takes.
	Works time.Duration
	// Expires is how long after it was enqueued the job expires; 0 is never.
	Expires time.Duration
	// Cancel asks for the job's cancellation once it is enqueued.
	Cancel bool
}

// always fails each attempt there is.
const always = 1 << 20

// unserved is a queue that no worker serves.
const unserved = "unserved"

// Samples returns the kinds of sample jobs.
func Samples() []Sample {
	retry := func(attempts int) *job.Policy {
		return &job.Policy{
			MaxAttempts: attempts, Backoff: job.BackoffExponential,
			InitialDelay: job.Duration(200 * time.Millisecond), Factor: 2, Jitter: job.JitterNone,
		}
	}
	return []Sample{
		{
			Shows: "pushed at once", Count: 10, Status: job.Succeeded, Attempts: 1,
			Job: client.NewJob{Queue: "emails", Type: "email.send", Retry: retry(3)},
		},
		{
			Shows: "served first", Count: 3, Status: job.Succeeded, Attempts: 1,
			Job: client.NewJob{Queue: "emails", Type: "email.reset", Priority: "critical", Retry: retry(3)},
		},
		{
			Shows: "fails twice, then succeeds", Count: 4, Status: job.Succeeded, Attempts: 3, Fails: 2, Answer: 500,
			Job: client.NewJob{Queue: "payments", Type: "payment.charge", Priority: "high", Retry: retry(5)},
		},
		{
			Shows: "slow, and starts a second later", Count: 3, Status: job.Succeeded, Attempts: 1, Works: 300 * time.Millisecond,
			Job: client.NewJob{Queue: "reports", Type: "report.render", Priority: "low", Delay: job.Duration(time.Second), Retry: retry(3)},
		},
		{
			Shows: "always fails: dead after 3", Count: 1, Status: job.Dead, Attempts: 3, Fails: always, Answer: 503,
			Job: client.NewJob{Queue: "partners", Type: "partner.notify", Retry: retry(3)},
		},
		{
			Shows: "told never to retry: dead at once", Count: 1, Status: job.Dead, Attempts: 1, Fails: always, Answer: 422,
			Job: client.NewJob{
				Queue: "partners", Type: "partner.import",
				Retry: &job.Policy{MaxAttempts: 3, FatalStatuses: []int{422}},
			},
		},
		{
			Shows: "due in an hour, cancelled", Count: 1, Status: job.Cancelled, Cancel: true,
			Job: client.NewJob{Queue: "reports", Type: "report.yearly", Delay: job.Duration(time.Hour)},
		},
		{
			Shows: "no worker serves it: expires", Count: 1, Status: job.Expired, Expires: 1500 * time.Millisecond,
			Job: client.NewJob{Queue: unserved, Type: "offer.send"},
		},
	}
}

// servedQueues are those that the sample worker, or the user's, serve.
func servedQueues() []string { return []string{"emails", "payments", "reports", "partners"} }

// instance returns the nth job of the sample, with a payload to look at.
func (s *Sample) instance(n int) client.NewJob {
	j := s.Job
	customer := fmt.Sprintf("customer-%d", 1+n%4)
	j.Key = customer
	if s.Expires > 0 {
		j.ExpiresAt = time.Now().Add(s.Expires)
	}
	j.Labels = map[string]string{"sample": s.Job.Type}
	j.Payload = map[string]any{"n": n, "customer": customer, "amount": 10 + rand.IntN(90)}
	return j
}
