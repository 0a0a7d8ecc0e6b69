package dispatcher

import (
	"slices"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/webhook/push"
)

// event is what happens to a shard's machine.
type event interface{ event() }

type (
	// recovered opens a machine's life: what the shard's last owner left behind.
	recovered struct {
		Claims []store.Claim
		Lanes  []store.Lane
		Limits []store.Limit
		// Accepted are the attempts that workers have taken over.
		Accepted []store.Accepted
	}
	// beatsRead answers effects.ReadBeats, as store.Owner.ReadBeats returned it.
	beatsRead struct {
		Asked []job.ID
		Until map[job.ID]time.Time
	}
	// cancelTold says that a worker has confirmed that an attempt is cancelled.
	cancelTold attemptKey
	// arrived are entries that were just enqueued on this node and that the
	// window takes over without reading them.
	arrived struct{ Entries []*store.Entry }
	// laneGrew says that a lane has entries that are not in the window.
	laneGrew struct{ Lane store.Lane }
	// timerSet says that a timer fires at At.
	timerSet struct{ At time.Time }
	// laneRead answers effects.ReadKeys and ReadLanes. Skipped and More are as
	// store.Owner.ReadLaneExcept returned them, or as ReadKey did where one key
	// was read.
	laneRead struct {
		Lane    store.Lane
		Key     *keyed
		Entries []*store.Entry
		Skipped []string
		More    bool
	}
	// headsRead answers effects.ReadHeads. Last and More are about a walk: the last
	// key that was looked at, and whether there are others behind it.
	headsRead struct {
		Queue   string
		Entries []*store.Entry
		Walk    bool
		Last    string
		More    bool
	}
	// timersRead answers effects.ReadTimers. Next is when the first timer fires
	// that was not read; zero where there is none.
	timersRead struct {
		Timers []store.Timer
		Next   time.Time
	}
	// inboxGrew says that a command waits in the inbox.
	inboxGrew struct{}
	// foreign says that another node may have enqueued or sent a command.
	foreign struct{}
	// looked answers effects.Look, as store.Owner.Look returned it.
	looked struct {
		Lanes []store.Lane
		Again bool
	}
	// inboxRead answers effects.ReadInbox.
	inboxRead struct {
		Commands []store.Command
		More     bool
	}
	// finishedRead answers effects.ReadFinished.
	// Next is when to ask again; at once, where it is not after now.
	finishedRead struct {
		Trims []store.Trim
		Next  time.Time
	}
	// committed says that the last effects.Commit is durable.
	committed struct{}
	// pushed are attempts that have ended.
	pushed struct{ Results []result }
	// granted answers effects.Want at once. One that comes unasked grants nothing
	// and says that it is worth to ask again.
	granted struct {
		Slots   int
		Suspect bool
	}
	// configured replaces the configuration.
	configured struct{ Config *Config }
	// windowed says how many bytes of ready jobs the shard may hold from now on.
	// What is over that stays until it is pushed.
	windowed struct{ Bytes int }
	// draining asks the machine to claim nothing more, resuming to claim again. With
	// HandOver, the node's name, the shard is handed over with the pushes in flight;
	// without it they end first.
	draining struct{ HandOver string }
	// living are the nodes that are not dead.
	living   struct{ Nodes []string }
	resuming struct{}
)

func (recovered) event()    {}
func (beatsRead) event()    {}
func (cancelTold) event()   {}
func (arrived) event()      {}
func (laneGrew) event()     {}
func (timerSet) event()     {}
func (laneRead) event()     {}
func (headsRead) event()    {}
func (timersRead) event()   {}
func (inboxGrew) event()    {}
func (foreign) event()      {}
func (looked) event()       {}
func (inboxRead) event()    {}
func (finishedRead) event() {}
func (committed) event()    {}
func (pushed) event()       {}
func (granted) event()      {}
func (configured) event()   {}
func (windowed) event()     {}
func (draining) event()     {}
func (living) event()       {}
func (resuming) event()     {}

// result is how one attempt ended.
type result struct {
	ID      job.ID
	Attempt int
	Answer  push.Answer
}

// asked reports whether a sign of life of the job was asked for.
func (r *beatsRead) asked(id job.ID) bool { return slices.Contains(r.Asked, id) }

// cancelNotice tells a worker that an attempt is cancelled that it has taken over.
type cancelNotice struct {
	Job     *job.Job
	Attempt int
	Worker  *Worker // nil for an ad-hoc destination
}

// pushOrder is one push to be started.
type pushOrder struct {
	Entry   *store.Entry
	Attempt int
	Worker  *Worker // nil for an ad-hoc destination
	Max     int     // max_attempts
	Timeout time.Duration
}

// want is what a machine asks of its node: leave to have more pushes in
// flight.
type want struct {
	Slots   int
	Suspect bool
}

// laneRequest asks for entries of a lane, but for the keys that machine.skips
// names; among effects.ReadKeys, for entries of one key alone.
type laneRequest struct {
	Lane  store.Lane
	Limit int
	Bytes int
	Key   *keyed
}

// headsRequest asks for the first ordered jobs of keys of a queue: of Keys, or
// of up to Limit keys behind one.
type headsRequest struct {
	Queue  string
	Keys   []string
	Walk   bool
	Behind string
	Limit  int
}

// effects are what the loop has to do after a step. Reads are carried out
// before anything else happens to the machine, and answered in the next step:
// so the machine never sees a state that is older than what it knows.
type effects struct {
	ReadKeys     []laneRequest
	ReadLanes    []laneRequest // no lane twice
	ReadHeads    []headsRequest
	ReadTimers   int // how many; 0 for none
	ReadInbox    int
	ReadFinished int
	ReadBeats    []job.ID
	// Look asks whether other nodes have added to the lanes. It is carried out after
	// ReadInbox, which accounts for commands.
	Look bool
	// Want asks for slots; the answer may come later.
	Want want
	// Free gives slots back.
	Free want
	// Sated says that nothing is wanted any more of what an earlier Want was
	// refused.
	Sated bool
	// Commit is to be made durable, and answered with committed; never two at a
	// time.
	Commit *store.Commit
	// Deliver says that the outbox may have entries. It is carried out beside all else
	// and not answered: what is delivered arrives as enqueued.
	Deliver bool
	Push    []pushOrder
	Abort   []attemptKey
	Cancel  []cancelNotice
	// Concluded are accepted attempts that have ended.
	Concluded []concluded
	// Settled are jobs whose terminal status has become durable.
	Settled []*job.Job
	// Trimmed are jobs that retention has removed, now that it is durable.
	Trimmed []trimmed
	// Gone are workers that answered 410 and are to be paused.
	Gone []string
	// Fired are how late schedules fired, Missed and Skipped how many slots did not.
	Fired           []time.Duration
	Missed, Skipped int
	// Lost counts attempts that were booked as lost, since their nodes died.
	Lost int
	// Failing are workers that have had no success for so long that they are to be
	// paused.
	Failing []Failing
	// Circuits are those that were opened or closed.
	Circuits []circuitChange
	// Wake is when the machine wants to be stepped again, by the store's time;
	// zero where only an event matters.
	Wake time.Time
	// Gather is how many attempts have to end before it is worth a step, while
	// nothing else happens; 0 and 1 mean the first.
	Gather int
}

// reads reports whether the effects ask for anything to be read.
func (e *effects) reads() bool {
	return len(e.ReadKeys) > 0 || len(e.ReadLanes) > 0 || len(e.ReadHeads) > 0 || e.ReadTimers > 0 || e.ReadInbox > 0 || e.ReadFinished > 0 || len(e.ReadBeats) > 0 || e.Look
}

func (e *effects) reset() {
	clear(e.Push)
	clear(e.Settled)
	*e = effects{
		ReadKeys: e.ReadKeys[:0], ReadLanes: e.ReadLanes[:0], ReadHeads: e.ReadHeads[:0], Push: e.Push[:0], Abort: e.Abort[:0],
		Settled: e.Settled[:0], Gone: e.Gone[:0], Trimmed: e.Trimmed[:0],
		Failing: e.Failing[:0], Circuits: e.Circuits[:0], Fired: e.Fired[:0],
		ReadBeats: e.ReadBeats[:0], Cancel: e.Cancel[:0], Concluded: e.Concluded[:0],
	}
}
