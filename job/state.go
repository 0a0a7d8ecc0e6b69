package job

import (
	"fmt"
	"strings"
)

// Event is something that happens to a stored job.
type Event uint8

// The events of the state machine.
const (
	EventEnqueue  Event = iota + 1 // accepted and durable
	EventSucceed                   // an attempt succeeded
	EventRetry                     // an attempt failed or timed out and another is allowed
	EventThrottle                  // the worker asked to be left alone
	EventLose                      // the attempt's node died, or left before its end
	EventKill                      // told never to retry, or nothing is left of the policy
	EventExpire                    // expires_at passed while no attempt ran
	EventCancel                    // a client asked
	EventRedrive                   // a client asked for a terminal job to run again
)

var eventNames = [...]string{
	EventEnqueue: "enqueue", EventSucceed: "succeed", EventRetry: "retry", EventThrottle: "throttle",
	EventLose: "lose", EventKill: "kill", EventExpire: "expire", EventCancel: "cancel", EventRedrive: "redrive",
}

// String returns the event's name.
func (e Event) String() string {
	if int(e) < len(eventNames) && e != 0 {
		return eventNames[e]
	}
	return fmt.Sprintf("event(%d)", uint8(e))
}

// Transition is one row of the state machine.
type Transition struct {
	From Status // zero: the job does not exist yet
	On   Event
	To   Status
	// EndsAttempt says that the event settles an attempt.
	EndsAttempt bool
	// Counts says that the attempt counts against max_attempts.
	Counts bool
	// Meaning is the row's sentence in the documentation.
	Meaning string
}

// transitions is the state machine of a stored job. The code, the
// documentation (docs/job-states.md) and the tests are drawn from it.
var transitions = [...]Transition{
	{0, EventEnqueue, Waiting, false, false, "accepted: durable, and waiting for its first attempt"},
	{Waiting, EventSucceed, Succeeded, true, true, "a worker answered 2xx"},
	{Waiting, EventRetry, Waiting, true, true, "an attempt failed; the next one is due after the back-off"},
	{Waiting, EventThrottle, Waiting, true, false, "the worker asked to be left alone; the job waits"},
	{Waiting, EventLose, Waiting, true, false, "the node that pushed it died; it is pushed again"},
	{Waiting, EventKill, Dead, true, true, "attempts or time used up, lost too often, or told never to retry"},
	{Waiting, EventExpire, Expired, false, false, "expires_at passed before the next attempt could start"},
	{Waiting, EventCancel, Cancelled, false, false, "a client cancelled it; a running attempt is aborted"},
	{Succeeded, EventRedrive, Waiting, false, false, "run again, under a new incarnation"},
	{Dead, EventRedrive, Waiting, false, false, "run again, under a new incarnation"},
	{Cancelled, EventRedrive, Waiting, false, false, "run again, under a new incarnation"},
	{Expired, EventRedrive, Waiting, false, false, "run again, under a new incarnation"},
}

// Transitions returns a copy of the state machine's table.
func Transitions() []Transition { return append([]Transition(nil), transitions[:]...) }

// Next returns the row for an event in a status. ok is false where the event
// is not allowed there.
func Next(from Status, on Event) (t Transition, ok bool) {
	for i := range transitions {
		if transitions[i].From == from && transitions[i].On == on {
			return transitions[i], true
		}
	}
	return Transition{}, false
}

// Diagram returns the state machine as a Mermaid state diagram.
func Diagram() string {
	var b strings.Builder
	b.WriteString("stateDiagram-v2\n")
	for _, t := range transitions {
		from := "[*]"
		if t.From != 0 {
			from = t.From.String()
		}
		fmt.Fprintf(&b, "    %s --> %s: %s\n", from, t.To, t.On)
	}
	return b.String()
}
