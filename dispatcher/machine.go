package dispatcher

import (
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/webhook/push"
)

// limits bound what a machine holds in memory and writes at once.
type limits struct {
	// WindowJobs and WindowBytes bound the ready jobs in memory. A lane may
	// always hold one job, whatever its size. WindowBytes changes with what the
	// node's other shards use (see windowed).
	WindowJobs  int
	WindowBytes int
	// EvenBytes is what WindowBytes is at least where all of the node's shards have a
	// backlog: lanes share that, so that the parts of many do not change while they
	// are read.
	EvenBytes int
	// QueueInFlight bounds the pushes in flight of one queue; 0 means that only
	// its configuration does.
	QueueInFlight int
	// Claims bounds the pushes of one commit.
	Claims int
	// Timers bounds how many timers are read at once.
	Timers int
	// SweepEvery is how often it is looked for queues of which nothing needs to be
	// remembered.
	SweepEvery time.Duration
	// Lease is how long the shard is held without being renewed.
	Lease time.Duration
}

// defaultLimits suit a node that owns 64 shards with a window of 128 MiB.
func defaultLimits() limits {
	return limits{WindowJobs: 16384, WindowBytes: 2 << 20, EvenBytes: 2 << 20, QueueInFlight: DefaultMaxInFlight / 2, Claims: 512, Timers: 512, SweepEvery: time.Minute, Lease: DefaultLease}
}

// machine is the state of one shard: pure, stepped by its loop alone.
type machine struct {
	limits limits
	cfg    *Config
	rng    *rand.Rand
	feed   feed

	serving map[string][]*Worker // by queue

	jobs     map[job.ID]*item
	zombies  map[attemptKey]*item // settled by a command while being pushed
	queues   map[string]*queue
	health   map[string]*health // by worker
	runnable fifo[*queue]       // queues that may have something to claim
	refill   []*lane            // lanes to be read
	backlogs []*lane            // of which the store may have more
	suspects []*item            // ready jobs that may be what killed a node
	claims   map[uint64]int

	ready       int // ready jobs in memory
	bytes       int // their sizes
	inFlight    int // pushes, from the claim to the answer
	slots       int // granted and not in flight
	suspect     suspectToken
	number      uint64 // of the next commit
	next        store.Commit
	pushes      []*item    // what next.Claim will start
	settled     []*job.Job // terminal jobs of the next commit
	current     inCommit
	due         []*item   // due jobs read from the timers in this step
	nextDue     time.Time // when a timer fires; zero where none is known
	throttled   time.Time // when the first throttled worker, or queue with a rate, may be used again
	limited     []*queue  // their limits changed since the last commit
	limitedKeys []*key    // so did theirs
	keyWakes    keyWakes
	crowded     []*keyed  // of keys that were parked since the last commit
	reorder     []*queue  // that have keys to be looked at
	strolling   []*queue  // their walks pause
	walkAt      time.Time // until then
	ghosts      []ghost
	accepted    acceptedHeap
	acceptedBy  map[attemptKey]*accepted
	schedules   schedules
	sweepAt     time.Time // when queues are to be swept again
	rules       *store.RetentionRules
	trimAt      time.Time // when it is to be asked for finished jobs that are kept no longer
	inbox       bool      // the inbox has something
	lookDue     time.Time // when to look for what other nodes have written; zero for not at all
	looksFrom   time.Time // and not before
	looked      bool      // askReads was done for the next commit
	asked       bool      // askSlots was
	wanted      want      // what it asked for
	hungry      bool      // and did not get
	pace        pace
	drain       bool
	handOver    string    // the node that hands the shard over; empty where none does
	handed      bool      // the list of its pushes is durable
	began       time.Time // when the shard was recovered
	started     bool
	now         time.Time // of the last step
	out         effects
}

// inCommit is what the commit under way is about.
type inCommit struct {
	busy    bool
	commit  store.Commit
	pushes  []*item
	settled []*job.Job
}

// suspectToken is the node's leave to push one suspect.
type suspectToken uint8

const (
	suspectNone suspectToken = iota
	suspectHeld
	suspectUsed
)

// attemptKey names one attempt of one job: a job that was settled while it was
// being pushed may be pushed anew before that push has ended.
type attemptKey struct {
	id      job.ID
	attempt int
}

// feed hands out what stands in the lanes, and knows when a key is free again. It
// is in memory and answers at once; store.Owner is what it is outside tests, and
// says what the methods promise.
type feed interface {
	Take(store.Lane, *store.Entry) bool
	Pass(store.Lane, *store.Entry)
	PassKey(store.Lane, *store.Entry)
	Return(store.Lane, []*store.Entry)
	Grew(store.Lane)
	Drop(*store.Entry)
	SetTimer(time.Time)
	ReleaseTime(*job.Job) time.Time
	ShardOf(queue string) int
}

// newMachine returns the machine of a shard whose next commit has that number.
// Equal seeds and equal events give equal effects.
func newMachine(cfg *Config, l limits, number uint64, seed uint64, f feed) *machine {
	return &machine{
		limits: l, cfg: cfg, serving: cfg.serving(), rules: cfg.retention(), number: number, feed: f,
		rng:     rand.New(rand.NewPCG(seed, number)),
		jobs:    make(map[job.ID]*item),
		zombies: make(map[attemptKey]*item),
		queues:  make(map[string]*queue),
		health:  make(map[string]*health),
		claims:  make(map[uint64]int),
	}
}

// step takes events in their order and returns what is to be done. now never
// goes back. The effects are valid until the next step.
func (m *machine) step(now time.Time, events ...event) *effects {
	m.out.reset()
	m.now = now
	for _, ev := range events {
		m.apply(now, ev)
	}
	m.plan(now)
	return &m.out
}

func (m *machine) apply(now time.Time, ev event) {
	switch ev := ev.(type) {
	case pushed:
		for i := range ev.Results {
			m.pace.count(now, ev.Results[i].Answer.Duration)
			m.onPushed(now, &ev.Results[i])
		}
	case committed:
		m.onCommitted(now)
	case arrived:
		m.onArrived(ev.Entries)
	case laneGrew:
		if !ev.Lane.Ordered {
			m.feed.Grew(ev.Lane)
		}
		m.grow(ev.Lane)
	case timerSet:
		m.feed.SetTimer(ev.At)
		m.setTimer(ev.At)
	case laneRead:
		m.onLaneRead(ev)
	case headsRead:
		m.onHeadsRead(ev)
	case timersRead:
		m.onTimersRead(now, ev)
	case inboxGrew:
		m.inbox = true
	case inboxRead:
		m.onInboxRead(now, ev)
	case foreign:
		m.onForeign(now)
	case looked:
		m.onLooked(now, ev)
	case finishedRead:
		m.onFinishedRead(ev)
	case beatsRead:
		m.onBeatsRead(now, ev)
	case cancelTold:
		m.onCancelTold(now, attemptKey(ev))
	case granted:
		m.onGranted(ev)
	case windowed:
		m.limits.WindowBytes = ev.Bytes
	case configured:
		m.onConfigured(now, ev.Config)
	case draining:
		m.drain, m.handOver = true, ev.HandOver
	case living:
		m.onLiving(now, ev.Nodes)
	case resuming:
		m.resumeServing()
	case recovered:
		m.onRecovered(now, ev)
	}
}

// plan decides what to do now: read first, then claim, then commit all that
// has come together. Nothing is claimed or taken from the timers while a commit
// is under way, so that each commit holds as much as possible and the store
// shows what the machine knows.
func (m *machine) plan(now time.Time) {
	if !m.started {
		return
	}
	m.unthrottle(now)
	m.unparkDue(now)
	m.layGhosts(now)
	m.goOn(now)
	if m.current.busy {
		m.askRefill()
		m.gather(now)
		return
	}
	if m.handOver != "" {
		m.planHandOver(now)
		return
	}
	if !m.looked {
		m.looked = true
		m.askReads(now)
	}
	m.askRefill()
	if m.out.reads() {
		return
	}
	if !m.asked && m.holdCommit(now) {
		return
	}
	if m.askSlots(now) {
		return // answered at once: commit with what is granted
	}
	m.claimReady(now)
	m.promoteRest()
	m.moveSchedules(now)
	m.giveBack()
	m.writeLimits(now)
	m.commit()
	m.looked, m.asked = false, false
	m.release()
	m.askRefill()
	m.wake()
}

// askReads asks for what the next commit is to be made of, once a commit. It
// is read while no commit is under way.
func (m *machine) askReads(now time.Time) {
	m.askLook(now)
	if m.inbox {
		m.inbox = false
		m.out.ReadInbox = m.limits.Timers
	}
	if m.drain {
		return // what is left is for the next owner
	}
	if !m.nextDue.IsZero() && !now.Before(m.nextDue) {
		m.out.ReadTimers = m.limits.Timers
	}
	m.askBeats(now)
	if !now.Before(m.sweepAt) {
		m.sweepAt = now.Add(m.limits.SweepEvery)
		m.sweep(now)
	}
	m.askFinished(now)
}

// askRefill asks for entries of lanes that run low and can be served, each for
// an equal part of what is left of the window.
func (m *machine) askRefill() {
	m.askHeads()
	if len(m.refill) == 0 {
		return
	}
	m.joinRefill()
	jobs := (m.limits.WindowJobs - m.ready) / len(m.refill)
	bytes := (m.limits.WindowBytes - m.bytes) / len(m.refill)
	for _, l := range m.refill {
		l.asked = false
		if !m.drain {
			m.askLane(l, jobs, bytes)
		}
	}
	m.refill = m.refill[:0]
}

// askLane asks for entries of the keys that are read by themselves, and then of
// the lane.
func (m *machine) askLane(l *lane, jobs, bytes int) {
	limit := m.room(l, jobs, bytes)
	for limit > 0 && len(l.wanting) > 0 {
		in := l.wanting[0]
		l.wanting = slices.Delete(l.wanting, 0, 1)
		n := min(limit, max(1, l.keyRoom(in.name)-in.ready()))
		limit -= n
		m.out.ReadKeys = append(m.out.ReadKeys, laneRequest{l.Lane, n, max(bytes-n*entryCost, 1), in})
	}
	if limit > 0 && l.more {
		l.asked = true
		m.out.ReadLanes = append(m.out.ReadLanes, laneRequest{l.Lane, limit, max(bytes-limit*entryCost, 1), nil})
	}
}

// askSlots asks the node, once a commit, for leave to push what could be
// claimed now. What the shard holds unused goes back in the same breath, so
// that the node can share fairly.
func (m *machine) askSlots(now time.Time) bool {
	if m.asked {
		return false
	}
	m.asked = true
	m.wanted = m.demand(now)
	if m.wanted == (want{}) {
		m.out.Sated, m.hungry = m.hungry, false
		return false
	}
	m.out.Want = m.wanted
	m.out.Free.Slots, m.slots = m.slots, 0
	return true
}

// holdCommit reports whether the next commit waits for more attempts to end.
// Commands and due timers do not wait.
func (m *machine) holdCommit(now time.Time) bool {
	if m.drain || len(m.next.Consumed)+len(m.next.TimersDone)+len(m.due)+len(m.schedules.moved) > 0 {
		return false
	}
	ended := len(m.next.Settle)
	until, held := m.pace.hold(now, ended)
	if held {
		m.out.Wake, m.out.Gather = until, m.pace.expected()-ended
	}
	return held
}

// gather lets attempts end unseen while a commit is under way: nothing would be
// done about them before it is durable.
func (m *machine) gather(now time.Time) {
	if m.inFlight > 0 {
		m.out.Wake, m.out.Gather = now.Add(maxUnseen), maxGather
	}
}

// commit emits what has come together.
func (m *machine) commit() {
	if m.next.Empty() {
		return
	}
	m.current = inCommit{true, m.next, m.pushes, m.settled}
	m.next, m.pushes, m.settled = store.Commit{}, nil, nil
	m.out.Commit = &m.current.commit
}

// onCommitted starts the pushes that were claimed and forgets what was settled.
func (m *machine) onCommitted(now time.Time) {
	c := &m.current
	m.number++
	for _, it := range c.pushes {
		m.startPush(now, it)
	}
	for i := range c.commit.Settle {
		j := c.commit.Settle[i].Job
		if it := m.jobs[j.ID]; it != nil && it.state == itemSettling {
			m.forget(it)
			if j.Ordered {
				m.turnOver(it, j)
			}
		}
		if j.Status.Terminal() {
			m.noteFinished(now, j)
			m.setTimer(m.feed.ReleaseTime(j))
		} else {
			m.setTimer(j.Due)
		}
	}
	for _, j := range c.commit.Delete {
		if it := m.jobs[j.ID]; it != nil {
			m.forget(it)
		}
		if j.Blocks {
			m.lookAt(m.queue(j.Queue), j.Key)
		}
	}
	m.onTrimmed(c.commit.Trim)
	for _, j := range c.commit.Replace {
		m.onReplaced(j)
	}
	for _, e := range c.commit.Promote {
		if e.Job.Ordered {
			m.lookAt(m.queue(e.Job.Queue), e.Job.Key)
			continue
		}
		m.grow(store.LaneOf(e.Job))
	}
	m.out.Settled = append(m.out.Settled, c.settled...)
	m.onFired(now, c.commit.Fire)
	m.out.Deliver = m.out.Deliver || c.commit.Sends()
	m.handed = m.handed || c.commit.HandOver != nil && m.handOver != ""
	*c = inCommit{}
}

// startPush orders the push of a claimed job. The attempt's time begins now and
// not at the claim: the worker gets all of it.
func (m *machine) startPush(now time.Time, it *item) {
	it.state = itemRunning
	it.started = now
	order := pushOrder{
		Entry: it.entry, Attempt: it.attempt, Max: m.policy(it.entry.Job).MaxAttempts,
		Timeout: m.timeout(it),
	}
	if !it.until.IsZero() {
		// Somebody relies on its end: what the claim took to become durable is lost.
		order.Timeout = min(order.Timeout, it.until.Sub(now))
	}
	if order.Timeout <= 0 {
		m.land(it)
		m.settleWith(it, m.decide(it, &push.Answer{Outcome: job.OutcomeLost, Error: "its claim was durable only after its deadline"}, now), nil)
		return
	}
	it.deadline = now.Add(order.Timeout)
	if it.pool != nil {
		order.Worker = it.pool.worker
	}
	m.out.Push = append(m.out.Push, order)
}

// setTimer notes that a timer fires at that time.
func (m *machine) setTimer(at time.Time) {
	if at.IsZero() {
		return
	}
	if m.nextDue.IsZero() || at.Before(m.nextDue) {
		m.nextDue = at
	}
}

// onGranted takes slots from the node.
func (m *machine) onGranted(g granted) {
	m.slots += g.Slots
	if g.Suspect {
		m.suspect = suspectHeld
	}
	if m.asked {
		m.hungry = g.Slots < m.wanted.Slots || g.Suspect != m.wanted.Suspect
	}
}

// release gives back what cannot be used now.
func (m *machine) release() {
	m.out.Free.Slots, m.slots = m.slots, 0
	if m.suspect == suspectHeld && (m.drain || m.nextSuspect(m.now) == nil) {
		m.suspect = suspectNone
		m.out.Free.Suspect = true
	}
}

// wake says when time alone will have something to do.
func (m *machine) wake() {
	if m.drain {
		return
	}
	wake := m.sweepAt
	times := [...]time.Time{m.nextDue, m.throttled, m.nextGhost(), {}, {}, {}, m.lookDue, m.accepted.next()}
	if len(m.strolling) > 0 {
		times[4] = m.walkAt
	}
	if len(m.keyWakes) > 0 {
		times[3] = m.keyWakes[0].at
	}
	if !m.rules.Empty() {
		times[5] = m.trimAt
	}
	for _, t := range times {
		if !t.IsZero() && t.Before(wake) {
			wake = t
		}
	}
	m.out.Wake = wake
}

// quiet reports whether nothing is in flight, but for what was handed over, and
// nothing waits to be written: a drained machine may be dropped.
func (m *machine) quiet() bool {
	return (m.inFlight == 0 || m.handed) && !m.current.busy && m.next.Empty() && len(m.schedules.moved) == 0
}

// forget drops what is known of a job.
func (m *machine) forget(it *item) {
	delete(m.jobs, it.entry.Job.ID)
}

// fifo is a queue over a ring buffer.
type fifo[T any] struct {
	items []T
	head  int
	n     int
}

func (f *fifo[T]) empty() bool { return f.n == 0 }

func (f *fifo[T]) push(v T) {
	if f.n == len(f.items) {
		grown := make([]T, max(16, 2*f.n))
		for i := range f.n {
			grown[i] = f.items[(f.head+i)%len(f.items)]
		}
		f.items, f.head = grown, 0
	}
	f.items[(f.head+f.n)%len(f.items)] = v
	f.n++
}

func (f *fifo[T]) pop() T {
	var zero T
	v := f.items[f.head]
	f.items[f.head] = zero
	f.head = (f.head + 1) % len(f.items)
	f.n--
	return v
}

// known returns the queues in the order of their names, so that equal seeds
// give equal effects.
func (m *machine) known() []*queue {
	queues := make([]*queue, 0, len(m.queues))
	for _, name := range slices.Sorted(maps.Keys(m.queues)) {
		queues = append(queues, m.queues[name])
	}
	return queues
}
