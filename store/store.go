// Package store keeps jobs, lanes, timers, claims, the inbox, the outbox,
// documents and counts. It is written once, over the ordered map of any engine.
//
// It promises that what Enqueue and Commit acknowledged survives a crash as
// the engine declares it, that a commit is atomic, that a commit of a node that
// lost its shard changes nothing, and that no read slows down as finished jobs
// pile up. It holds no opinion on what should run when: that is the
// dispatcher's, who owns a shard (see Owner) and is the only one to change a
// stored job. Anybody may enqueue, read, and put commands into the inbox.
//
// Where a waiting job stands. A job that is ready stands in its lane, an index
// by (queue, priority, key, seq). A job that is due later, or that has been
// pushed before, stands among the timers, by (due, id). A job that is being
// pushed stands in a claim record and nowhere else. The key layout is drawn in
// keys.go.
package store

import (
	"errors"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
)

// NewJob is a job to be enqueued. Job must have ID, Queue, Type, Priority,
// ContentType, CreatedAt, PayloadSize and Status (Waiting) set; its Due is zero
// for a job that is ready at once. Job and Payload must not be changed
// afterwards; the store sets Job's Counted.
type NewJob struct {
	Job     *job.Job
	Payload []byte
	// Digest stands for the request's body as sent: a repeated idempotency key
	// with another digest is a conflict.
	Digest [32]byte
	// Backlog bounds what waits in the job's queue, this job included; nil bounds
	// nothing.
	Backlog *Backlog
}

// Enqueued is what became of one NewJob.
type Enqueued struct {
	// Job is the stored job: the new one, or the one that holds the idempotency
	// key.
	Job *job.Job
	// Existing says that the idempotency key was already held by Job, with the
	// same digest; nothing was stored.
	Existing bool
	// Conflict says that it is held by Job with another digest; nothing was
	// stored.
	Conflict bool
	// Held says that Job holds the unique lock on the new job's content; nothing
	// was stored.
	Held bool
	// Pending says that the idempotency key was given to a job of which the owner
	// has yet to say whether it is stored (see Replace); nothing was stored, and
	// Job is nil.
	Pending bool
	// Full says that the queue's Backlog left no room for the job; nothing was
	// stored, and Job is nil.
	Full *Full
}

// Arrivals are new jobs of one shard that one batch made visible, in the order
// of their sequence numbers. Delayed jobs have no number.
type Arrivals struct {
	Shard int
	// Ready jobs have the numbers FirstSeq, FirstSeq+1, and so on. Ordered jobs are
	// among them also where they are delayed.
	FirstSeq uint64
	Ready    []*Entry
	// Grown are the lanes of ready jobs that may have been stored by a batch whose
	// outcome is not known: they have to be read.
	Grown []Lane
	// NextDue is the earliest time at which a timer of the batch fires; zero
	// where it has none.
	NextDue time.Time
	// Inbox says that commands were put into the inbox.
	Inbox bool
}

// Entry is a waiting job with its payload and the place where it stands.
type Entry struct {
	Job     *job.Job
	Payload []byte
	Place   Place
	// Seq is the lane's sequence number where Place is InLane.
	Seq uint64
}

// Size returns how much memory an entry is counted with, in bytes.
func (e *Entry) Size() int { return len(e.Payload) + entryOverhead }

// entryOverhead is what an entry costs beside its payload: the job's struct and
// strings, its attempts and the dispatcher's item, measured on typical jobs.
const entryOverhead = 1 << 10

// Place is where a job stands in the store.
type Place uint8

// The places.
const (
	Nowhere Place = iota // terminal, or not stored
	InLane
	InTimers
	InClaim
	InAccepted // its attempt was accepted by its worker
)

// Lane names the jobs of one priority of one queue, over all keys. Jobs with a
// destination of their own (AdHoc) have lanes apart, since they need no worker
// and must not wait behind jobs that do.
type Lane struct {
	Queue    string
	Priority job.Priority
	AdHoc    bool
	// Ordered is the lane of the queue's ordered jobs, whatever their priority and
	// destination; the fields above but Queue are zero then. A job stands in it
	// from its enqueue until it is terminal, and only the first of each key may run:
	// see ReadHeads.
	Ordered bool
}

// LaneOf returns the lane that a job stands in when it is ready.
func LaneOf(j *job.Job) Lane {
	if j.Ordered {
		return Lane{Queue: j.Queue, Ordered: true}
	}
	return Lane{Queue: j.Queue, Priority: j.Priority, AdHoc: j.URL != ""}
}

// TimerKind says what has to be done when a timer fires.
type TimerKind uint8

// The kinds of timers. The numbers are stored and must not change.
const (
	TimerDue     TimerKind = 1 // the job is ready for its next attempt
	TimerExpire  TimerKind = 2 // expires_at has come
	TimerRelease TimerKind = 3 // the job's idempotency key is free again
	TimerUnlock  TimerKind = 4 // the job's unique lock ends
	TimerFire    TimerKind = 5 // a schedule is to fire
)

// Timer is a due timer with its job.
type Timer struct {
	Kind TimerKind
	At   time.Time
	ID   job.ID
	// Entry is the job as it stands, with its payload where Kind is TimerDue;
	// nil where the job is not there any more.
	Entry *Entry
	// Schedule is what a TimerFire is about, as it stands; nil where it is gone, or
	// is to fire at another time.
	Schedule *Schedule

	name        string // of a TimerFire: the schedule's
	retrying    bool   // of a TimerDue: how it is counted
	held        []byte // of a TimerRelease: the idempotency entry's key
	incarnation int    // of a TimerRelease: the one that ended
}

// CommandKind is what a client asks of a shard's owner.
type CommandKind uint8

// The kinds of commands. The numbers are stored and must not change.
const (
	CommandCancel  CommandKind = 1 // a waiting job, also while it is being pushed
	CommandRetry   CommandKind = 2 // a terminal job, under a new incarnation
	CommandRunNow  CommandKind = 3 // a waiting job, at once
	CommandDelete  CommandKind = 4 // a terminal job, with all that is stored of it
	CommandPurge   CommandKind = 5 // a waiting job, unless it is being pushed
	CommandReplace CommandKind = 6 // a waiting job, by a new one: see Replace
	CommandReport  CommandKind = 7 // how a push has ended that was handed over
	CommandTrigger CommandKind = 8 // a schedule is to fire in addition: see Schedule
	CommandEnded   CommandKind = 9 // a schedule's run has ended
)

// Command is one entry of a shard's inbox.
type Command struct {
	// Seq is its place in the inbox.
	Seq  uint64
	Kind CommandKind
	ID   job.ID
	At   time.Time
	// Incarnation, counted from 1, is the only one of the job's that is meant: the
	// command does nothing to a later one, however often it is sent. 0 means
	// whichever stands.
	Incarnation int
	// Entry is the job as it stands, without its payload; nil where it is not
	// there. Only ReadInbox fills it.
	Entry *Entry
	// New is the job that a CommandReplace asks for. Holds says that the job with
	// the ID has the unique lock on New's content; only ReadInbox fills it.
	New   *job.Job
	Holds bool
	// Attempt is the one that a CommandReport is about, Report what became of it, at
	// most MaxReport bytes. The store knows nothing of what is in it.
	Attempt int
	Report  []byte
	// Name is the schedule that a CommandTrigger or CommandEnded is about; then ID
	// says nothing but the schedule's shard (see ScheduleCommand). Run is the job to be
	// made, with what is asked of it in Report, or the one that has ended, with how it
	// has, Outcome. Schedule is the schedule as it stands, nil where it is gone; only
	// ReadInbox fills it.
	Name     string
	Run      job.ID
	Outcome  job.Status
	Schedule *Schedule
}

// MaxReport bounds a Command's report in bytes.
const MaxReport = 128 << 10

// Means reports whether the command is meant for the job as it stands.
func (c *Command) Means(j *job.Job) bool {
	return c.Incarnation == 0 || c.Incarnation == j.Incarnation+1
}

// Claim is the record of one batch of pushes: while it is there, its jobs are
// being pushed by its writer.
type Claim struct {
	// Number is that of the commit that wrote it.
	Number  uint64
	Entries []ClaimEntry
	// Node is the node that goes on with the pushes, where their shard was given up
	// meanwhile (see HandOver); empty where its writer owned the shard.
	Node string
}

// HandOver is the claim record of all the pushes that a node goes on with while it
// gives up their shard.
type HandOver struct {
	Node    string
	Entries []ClaimEntry
}

// ClaimEntry is one push of a claim.
type ClaimEntry struct {
	Entry    *Entry
	Attempt  int
	Worker   string
	Started  time.Time
	Deadline time.Time
	// Probe says that a push that is handed over probes its worker's circuit.
	Probe bool
}

// Standing is where a job stands and how it is counted: what a commit has to
// know to take it away from there.
type Standing struct {
	Status job.Status
	Place  Place
	// Due is the stored job's Due; it is part of the timer's key.
	Due time.Time
	// Seq is the lane's sequence number, 0 where it is not known: the lane's
	// entry is then left behind, found stale when the lane is read, and removed.
	Seq uint64
	// Retrying says that a timer is counted as retrying and not as scheduled.
	Retrying bool
	// Blocks says that a dead ordered job is still in its lane.
	Blocks bool
}

// Standing returns where the entry stands.
func (e *Entry) Standing() Standing {
	return Standing{e.Job.Status, e.Place, e.Job.Due, e.Seq, Retrying(e.Job), e.Job.Blocks}
}

// Settle is a change of one stored job.
type Settle struct {
	// Job is its new state, stored as it is: either terminal, or Waiting with
	// Due set, in which case it is put among the timers.
	Job *job.Job
	// Was is where it stood before the change.
	Was Standing
	// Answer is the worker's whole answer to the last of the job's attempts, whose
	// AnswerSize is its length. It is the job's result, with its content type; nil
	// keeps what is stored.
	Answer     []byte
	AnswerType string
}

// Limit is the state of the limits of a queue, or of one of its keys, that a new owner has to know. The
// store knows nothing of what is in it.
type Limit struct {
	Queue string
	// Key is the key of the queue whose limits they are; empty for those of the
	// queue itself.
	Key string
	// State is at most MaxLimitState bytes; nil where the limits are at rest.
	State []byte
}

// MaxLimitState bounds a Limit's state in bytes.
const MaxLimitState = 4 << 10

// Commit is one fenced, atomic change of a shard by its owner.
type Commit struct {
	// Claim are the pushes that begin when the commit is durable. Their entries
	// leave their lanes and timers.
	Claim []ClaimEntry
	// HandOver takes the place of the claim records that are in ClaimsDone with it. A
	// commit with it claims nothing.
	HandOver *HandOver
	// ClaimsDone are the numbers of claim records whose last live entry this
	// commit, or an earlier one, settled.
	ClaimsDone []uint64
	Settle     []Settle
	// Accept are attempts that their workers have taken over. Their claim records are
	// done with them, as with those that are settled.
	Accept []Accepted
	// Promote are due jobs that move from the timers to the end of their lanes,
	// since they cannot be pushed now.
	Promote []*Entry
	// TimersDone are fired timers of the kinds TimerExpire, TimerRelease and
	// TimerUnlock, and TimerDue ones that have become stale. A TimerRelease among
	// them also frees the idempotency key, if its job is terminal or gone, and a
	// TimerUnlock the unique lock.
	TimersDone []Timer
	// Consumed are the inbox entries that this commit answers.
	Consumed []uint64
	// Limits replace the state of the queues' limits.
	Limits []Limit
	// Delete are terminal jobs to be removed with all that is stored of them.
	Delete []*job.Job
	// Trim are terminal jobs to be removed in the same way since they are not kept
	// any longer. The dead ones are counted (Counts.Trimmed).
	Trim []Trim
	// Replace are new jobs that take the unique lock of a job that the commit
	// settles as cancelled: those of commands, less than MaxReplaceAge after these
	// were sent. Like an enqueued job each goes to the end of its lane, or among the
	// timers.
	Replace []*job.Job
	// Refuse are new jobs that were to replace another and cannot: what was stored
	// of them is removed.
	Refuse []*job.Job
	// Send are new jobs for queues of any shard, and commands, which Deliver takes
	// there.
	Send []Outgoing
	// Fire are schedules that fire, or change otherwise, each in one Firing at most.
	Fire []Firing
}

// Empty reports whether the commit would change nothing.
func (c *Commit) Empty() bool {
	return c.HandOver == nil && len(c.Claim)+len(c.ClaimsDone)+len(c.Settle)+len(c.Promote)+len(c.TimersDone)+len(c.Consumed)+len(c.Limits)+len(c.Delete)+len(c.Trim)+len(c.Replace)+len(c.Refuse)+len(c.Send)+len(c.Fire)+len(c.Accept) == 0
}

// Sends reports whether the commit adds to the outbox.
func (c *Commit) Sends() bool {
	if len(c.Send)+len(c.Fire) > 0 {
		return true
	}
	for i := range c.Settle {
		if c.Settle[i].told() {
			return true
		}
	}
	return false
}

// Retrying reports whether a waiting job among the timers is counted as
// retrying rather than as scheduled.
func Retrying(j *job.Job) bool { return j.Failures > 0 || j.Losses > 0 }

// The errors of the store beside the engine's.
var (
	// ErrNotFound: there is no such job, payload, result or document.
	ErrNotFound = errors.New("not found")
	// ErrVersion: a document's version is not the expected one.
	ErrVersion = errors.New("version differs from the expected one")
	// ErrInvalid: the call breaks a rule of the method's comment; it is a
	// programming error, and nothing was changed.
	ErrInvalid = errors.New("invalid store call")
)

// Re-exported so that callers above the store need not know the engine.
var (
	ErrUnavailable = engine.ErrUnavailable
	ErrFenced      = engine.ErrFenced
	ErrHistory     = engine.ErrHistory
)
