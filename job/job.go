package job

import (
	"bytes"
	"slices"
	"time"
	"unicode/utf8"
)

// Job is one unit of work: what a client enqueued, and what has become of it.
// The payload is not part of it: it is stored and read separately, so that a
// list of jobs never loads payloads.
//
// A Job is a plain value; it is not safe for concurrent modification.
type Job struct {
	ID    ID
	Queue string
	Type  string
	// Key is the optional label within a queue (a tenant, an order id).
	Key      string
	Priority Priority
	Labels   map[string]string
	// Headers are the job's own request headers, by canonical name.
	Headers map[string]string
	// URL is the destination of an ad-hoc job; empty means that a registered
	// worker of the queue gets it.
	URL string
	// Method is how an ad-hoc job is sent; empty means POST.
	Method string
	// ContentType is the payload's; empty where the request has no content.
	ContentType string
	// PayloadSize is the length of the payload in bytes.
	PayloadSize int
	// Counted is how many bytes the job is counted with in its queue, kept by the
	// store: what a later change has to take away again. It is 0 for a job that
	// was stored before bytes were counted.
	Counted int
	// Timeout bounds one attempt; zero means that the worker or server decides.
	Timeout Duration
	// Retry overrides the queue's and the server's policy field by field.
	Retry          Policy
	IdempotencyKey string
	// Unique is set on a job that may hold the unique lock on its content. It is
	// shared by copies of the Job, and never changed.
	Unique *Unique
	// Schedule is the name of the schedule that the job is a run of, ScheduledFor the
	// slot that it is the run for: the nominal time. Both are empty of any other job.
	Schedule     string
	ScheduledFor time.Time
	// Awaited says that its schedule is told of the job's end.
	Awaited bool
	// Ordered says that the jobs of its key run one after the other, in the order
	// in which they were enqueued.
	Ordered bool

	// CreatedAt is when the job was accepted, by the store's clock.
	CreatedAt time.Time
	// RunAt is the time before which the first attempt must not start; zero
	// means at once.
	RunAt time.Time
	// ExpiresAt bars any attempt from starting at or after it; zero means never.
	ExpiresAt time.Time

	Status Status
	// Reason says why a job is dead or cancelled, or why it last had to wait.
	Reason Reason
	// Incarnation counts redrives: 0 for the first life of a job.
	Incarnation int
	// Attempt is the number of attempts of this job that have been settled, over
	// all incarnations; the next push has number Attempt+1. A number is never
	// used twice.
	Attempt int
	// Failures is the number of attempts of this incarnation that count against
	// max_attempts.
	Failures int
	// Losses is the number of attempts in a row whose node died.
	Losses int
	// Due is the time before which a waiting job must not be pushed again; zero
	// means that it is ready.
	Due time.Time
	// StartedAt is the time of the first push of this incarnation; max_duration
	// counts from it. Zero before the first push was settled.
	StartedAt time.Time
	// FinishedAt is the time at which the job became terminal.
	FinishedAt time.Time
	// Turn is the number of an ordered job among those of its key, once its turn
	// had come; 0 before. A redrive keeps it.
	Turn uint64
	// Blocks says that a dead ordered job still holds up those behind it.
	Blocks bool
	// Attempts are the newest settled attempts, oldest first, at most
	// MaxAttemptsKept.
	Attempts []Attempt
}

// MaxAttemptsKept is how many attempts are kept with a job. Older ones are
// dropped; Attempt still counts them.
const MaxAttemptsKept = 50

// Attempt is one push of a job to a worker, with its outcome.
type Attempt struct {
	// Number counts from 1 and is never used twice for one job.
	Number      int
	Incarnation int
	// Worker is the registered worker's name; empty for an ad-hoc destination.
	Worker string
	// URL is where the push went, without query and user information.
	URL       string
	StartedAt time.Time
	// Duration is how long the push took, dial to last byte.
	Duration time.Duration
	Outcome  Outcome
	// StatusCode is the HTTP status of the answer; 0 when there was none.
	StatusCode int
	// Error says what went wrong, for a person; empty on success.
	Error string
	// Reason is the machine-readable form of Error.
	Reason Reason
	// Answer is the beginning of the answer's body, at most MaxAnswerKept bytes.
	Answer []byte
	// AnswerSize is how many bytes of the body were read (at most 64 KiB).
	AnswerSize int
	// AnswerType is the answer's content type.
	AnswerType string
	// Report tells which report of the worker ended an accepted attempt: its place in
	// the shard's inbox; 0 where none did.
	Report uint64
}

// MaxAnswerKept is how many bytes of a worker's answer are kept in each
// attempt. The whole answer of the last attempt, up to 64 KiB, is kept beside
// the job as its result.
const MaxAnswerKept = 1 << 10

// MaxErrorKept bounds Attempt.Error in bytes.
const MaxErrorKept = 512

// Settled reports whether the job has reached a terminal status.
func (j *Job) Settled() bool { return j.Status.Terminal() }

// AddAttempt appends a settled attempt, drops the oldest ones over
// MaxAttemptsKept, and cuts the answer and the error to their bounds. The list
// is copied: a Job copied earlier keeps the attempts it had.
func (j *Job) AddAttempt(a Attempt) {
	if len(a.Answer) > MaxAnswerKept {
		// A copy, so that the whole answer is not kept in memory under it.
		a.Answer = bytes.Clone(a.Answer[:MaxAnswerKept])
	}
	a.Error = CutText(a.Error, MaxErrorKept)
	kept := j.Attempts[max(len(j.Attempts)-MaxAttemptsKept+1, 0):]
	j.Attempts = append(slices.Clip(kept), a)
}

// CutText returns the beginning of s, at most limit bytes of it, without half a
// character at its end.
func CutText(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	end := limit
	for end > limit-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

// Expired reports whether expires_at bars an attempt from starting at now.
func (j *Job) Expired(now time.Time) bool {
	return !j.ExpiresAt.IsZero() && !now.Before(j.ExpiresAt)
}

// Display is what a person is shown of a job's status. It is computed on
// reading: of a waiting job the store knows only that it waits.
//
// running says whether a claim record holds the job now.
func (j *Job) Display(now time.Time, running bool) string {
	switch {
	case j.Status != Waiting:
		return j.Status.String()
	case running:
		return ShownRunning
	case j.Due.After(now) && (j.Failures > 0 || j.Losses > 0):
		return ShownRetrying
	case j.Due.After(now):
		return ShownScheduled
	default:
		return ShownPending
	}
}

// What is shown of a waiting job; a terminal job shows its Status.
const (
	ShownScheduled = "scheduled" // due later
	ShownPending   = "pending"   // due, waiting for capacity
	ShownRetrying  = "retrying"  // has failed, and its next attempt is due later
	ShownRunning   = "running"   // being pushed
)

// ShownStatuses lists every status a job can be shown with, in the order in
// which they are usually displayed.
func ShownStatuses() []string {
	return []string{
		ShownScheduled, ShownPending, ShownRetrying, ShownRunning,
		Succeeded.String(), Dead.String(), Cancelled.String(), Expired.String(),
	}
}
