package job

import "fmt"

// Status is what is stored of a job: waiting, or one terminal status. The
// numbers are stored and must not change.
type Status uint8

// The statuses. The zero Status is invalid.
const (
	Waiting   Status = 1 // waits for its first or next attempt, or is being pushed
	Succeeded Status = 2
	Dead      Status = 3 // attempts used up, or told never to retry
	Cancelled Status = 4
	Expired   Status = 5 // expires_at passed before an attempt could start
)

var statusNames = [...]string{Waiting: "waiting", Succeeded: "succeeded", Dead: "dead", Cancelled: "cancelled", Expired: "expired"}

// Statuses lists all statuses.
func Statuses() []Status { return []Status{Waiting, Succeeded, Dead, Cancelled, Expired} }

// String returns the status's name in the API.
func (s Status) String() string {
	if int(s) < len(statusNames) && s != 0 {
		return statusNames[s]
	}
	return fmt.Sprintf("status(%d)", uint8(s))
}

// Terminal reports whether no attempt will ever follow, short of a redrive.
func (s Status) Terminal() bool { return s > Waiting && int(s) < len(statusNames) }

// ParseStatus returns the status of that name.
func ParseStatus(name string) (Status, bool) {
	for s, n := range statusNames {
		if n == name && n != "" {
			return Status(s), true
		}
	}
	return 0, false
}

// Outcome is how an attempt ended. The numbers are stored and must not change.
type Outcome uint8

// The outcomes. The zero Outcome is invalid.
const (
	OutcomeSucceeded Outcome = 1
	OutcomeFailed    Outcome = 2
	OutcomeTimedOut  Outcome = 3
	OutcomeCancelled Outcome = 4
	OutcomeThrottled Outcome = 5 // 429, or 503 with retry-after: does not use up max_attempts
	OutcomeLost      Outcome = 6 // its node died: does not use up max_attempts
)

var outcomeNames = [...]string{
	OutcomeSucceeded: "succeeded", OutcomeFailed: "failed", OutcomeTimedOut: "timed_out",
	OutcomeCancelled: "cancelled", OutcomeThrottled: "throttled", OutcomeLost: "lost",
}

// Outcomes lists all outcomes.
func Outcomes() []Outcome {
	return []Outcome{OutcomeSucceeded, OutcomeFailed, OutcomeTimedOut, OutcomeCancelled, OutcomeThrottled, OutcomeLost}
}

// String returns the outcome's name in the API.
func (o Outcome) String() string {
	if int(o) < len(outcomeNames) && o != 0 {
		return outcomeNames[o]
	}
	return fmt.Sprintf("outcome(%d)", uint8(o))
}

// Priority orders jobs within a queue. The numbers are stored, and lower is
// served first.
type Priority uint8

// The priorities. The zero Priority is invalid.
const (
	Critical Priority = 1
	High     Priority = 2
	Normal   Priority = 3
	Low      Priority = 4
)

var priorityNames = [...]string{Critical: "critical", High: "high", Normal: "normal", Low: "low"}

// Priorities lists all priorities, the most urgent first.
func Priorities() []Priority { return []Priority{Critical, High, Normal, Low} }

// String returns the priority's name in the API.
func (p Priority) String() string {
	if int(p) < len(priorityNames) && p != 0 {
		return priorityNames[p]
	}
	return fmt.Sprintf("priority(%d)", uint8(p))
}

// ParsePriority returns the priority of that name.
func ParsePriority(name string) (Priority, bool) {
	for p, n := range priorityNames {
		if n == name && n != "" {
			return Priority(p), true
		}
	}
	return 0, false
}

// Reason is the machine-readable cause of an outcome or of a terminal status:
// a snake_case word that the API and the metrics show.
type Reason string

// The reasons of the core. webhook/push adds none of its own.
const (
	ReasonNone             Reason = ""
	ReasonHTTPStatus       Reason = "http_status"       // an answer other than 2xx
	ReasonTimeout          Reason = "timeout"           // the attempt's deadline passed
	ReasonReported         Reason = "reported"          // the worker has reported that the attempt has failed
	ReasonHeartbeat        Reason = "heartbeat"         // the worker of an accepted attempt was silent for too long
	ReasonDNS              Reason = "dns"               // the name did not resolve
	ReasonConnect          Reason = "connect"           // refused, unreachable, reset while dialing
	ReasonTLS              Reason = "tls"               // handshake or certificate
	ReasonConnectionLost   Reason = "connection_lost"   // closed or reset after the request began
	ReasonBadAnswer        Reason = "bad_answer"        // not HTTP, or over the header limit
	ReasonBlockedAddress   Reason = "blocked_address"   // the guard refused the address
	ReasonInvalidRequest   Reason = "invalid_request"   // it could not be built (a bad URL or header)
	ReasonRedirect         Reason = "redirect"          // 3xx: redirects are not followed
	ReasonThrottled        Reason = "throttled"         // 429, or 503 with retry-after
	ReasonGone             Reason = "gone"              // 410
	ReasonNoRetry          Reason = "no_retry"          // orchestrix-no-retry: true
	ReasonFatalStatus      Reason = "fatal_status"      // a status in the policy's fatal_statuses
	ReasonAsyncUnsupported Reason = "async_unsupported" // 202 asked for asynchronous work, but nothing can be reported to this server
	ReasonMaxAttempts      Reason = "max_attempts"      // attempts used up
	ReasonMaxDuration      Reason = "max_duration"      // would be retried after max_duration
	ReasonExpired          Reason = "expired"           // expires_at passed
	ReasonCancelled        Reason = "cancelled"         // asked by a client
	ReasonPurged           Reason = "purged"            // its queue was purged
	ReasonReplaced         Reason = "replaced"          // a job with the same content has taken its place
	ReasonLost             Reason = "lost"              // its node died
	ReasonPoison           Reason = "poison"            // its node died MaxLosses times in a row
	ReasonShutdown         Reason = "shutdown"          // aborted by a node that left
	ReasonAuth             Reason = "auth"              // no access token could be had for the worker
	ReasonProxy            Reason = "proxy"             // the server's own egress proxy failed
	ReasonNoWorker         Reason = "no_worker"         // no worker serves the queue
)

// MaxLosses is how many attempts in a row may be lost with their node before
// the job is dead as poison.
const MaxLosses = 5
