package history

import (
	"time"

	"github.com/orchestrix/orchestrix/job"
)

// History is what was seen of one run, from its first enqueue to the moment when
// every accepted job had ended.
type History struct {
	Enqueues  []Enqueue
	Cancels   []Cancel
	Sightings []Sighting
	Pushes    []Push
	Jobs      []Job
	Losses    []Loss
	// Limits are those of the queues; one that is not here has none.
	Limits map[string]Limits
	// Wire is how much later than it was sent a push may be seen by the worker, and
	// Settle how much later than its answer it may be recorded.
	Wire, Settle time.Duration
}

// Told is what a client was told of an enqueue.
type Told int

// What a client may be told. Unknown is an error after which the job may be there
// or not: a broken connection, or a problem whose outcome is unknown.
const (
	Accepted Told = iota + 1
	Refused
	Unknown
)

// Enqueue is one job that a client wanted to have, however often it had to ask.
type Enqueue struct {
	// Ref is the test's own name of the job, which its payload carries.
	Ref        string
	ID         string // of an accepted one
	Queue, Key string
	Told       Told
	// Begin is before the first request, End after the answer. Those of one batch
	// have the same Begin, and Place is their order within it.
	Begin, End time.Time
	Place      int
}

// Cancel is a request to cancel a job, whatever its answer.
type Cancel struct{ ID string }

// Sighting is a job's terminal status as a client was told it, by whatever call.
type Sighting struct {
	ID, Status string
	At         time.Time // after the answer
}

// Push is one request that the worker saw.
type Push struct {
	ID, Ref            string
	Queue, Key, Worker string
	Attempt            int
	Epoch              uint64
	// Begin is when the worker had the request, End when it answered or when the
	// sender was gone.
	Begin, End time.Time
	// Answer is the status of the answer; 0 where the sender was gone before.
	Answer int
}

// Job is what the store says of a job in the end.
type Job struct {
	ID, Queue, Status string
	// Attempt is how many attempts have ended.
	Attempt  int
	Finished time.Time
	// Attempts may be left out, and then nothing is said about them.
	Attempts []Attempt
}

// Attempt is what the store says of an attempt.
type Attempt struct {
	Number  int
	Outcome string
	Started time.Time
}

// Loss declares that for a time a node, or all of them, could not record what was
// in flight: it was killed, frozen or cut off, or the store was away. What was in
// flight in that time, and only that, may be pushed again; where another node took
// the queue, it does not count against the queue's limits any more, but for a
// KeyConcurrency of 1.
type Loss struct {
	From, To time.Time
	// Queues are those that were served by the node; nil means all.
	Queues []string
	// Tail is how long before From the store may have acknowledged what it has lost
	// itself; 0 where it loses nothing.
	Tail time.Duration
}

// Limits are the flow control of one queue; 0 bounds nothing. With KeyConcurrency 1
// the jobs of a key are pushed in the order in which they were enqueued: then all of
// the queue's jobs must have one priority and no delay.
type Limits struct {
	Concurrency, KeyConcurrency int
	// WorkerConcurrency is that of each worker on this queue.
	WorkerConcurrency int
	Rate              job.Rate
}

// over returns when the sender was gone at the latest. The worker is told so a while
// after, wire at most.
func (p *Push) over(wire time.Duration) time.Time {
	if end := p.End.Add(-wire); p.Answer == 0 && end.After(p.Begin) {
		return end
	} else if p.Answer == 0 {
		return p.Begin
	}
	return p.End
}

func (p *Push) succeeded() bool { return p.Answer >= 200 && p.Answer < 300 }

func (p *Push) failed() bool { return p.Answer >= 300 }
