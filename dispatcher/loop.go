package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/orchestrix/orchestrix/store"
)

// loop feeds one shard's machine with events and carries out its effects. Only
// its own goroutine touches the machine; everybody else posts.
type loop struct {
	d     *Dispatcher
	shard int

	mu        sync.Mutex
	wanted    bool // the node is to serve the shard
	listening bool // what is posted reaches a machine
	serving   bool // and queries do
	aborting  bool // no push begins any more
	events    []event
	results   []result
	gather    int // with fewer results than this the loop sleeps on
	queries   []query
	pushes    map[attemptKey]context.CancelFunc
	left      map[attemptKey]*leftover // pushes that go on after the shard was handed over
	withheld  bool                     // results are not for the machine
	posted    chan struct{}            // has a value while something is posted
	decided   chan struct{}            // has a value when wanted has changed

	lease    *lease
	owner    *store.Owner
	m        *machine
	trims    trimLog
	held     int // what the machine held after the last turn, in bytes
	commits  chan *store.Commit
	outcomes chan error
	outbox   chan struct{} // has a value while it may have entries
	notices  chan cancelNotice
	lost     chan error // why the lease cannot be renewed
	telling  chan shardLive
	stand    standstill
	fired    int  // schedules of this turn's commits
	bursts   bool // many schedules are due
	owes     bool // the outbox is to be delivered
	gauges   gauges
	polled   bool // by the poll for what others have written: it is time to tell them, too
}

// query is a question to the machine. What it waits for are the events that
// came with it: taken says that they are in a step.
type query struct {
	ask    func(*machine)
	events bool
	taken  bool
}

func newLoop(d *Dispatcher, shard int) *loop {
	return &loop{
		d: d, shard: shard, posted: make(chan struct{}, 1), decided: make(chan struct{}, 1),
		pushes: make(map[attemptKey]context.CancelFunc), left: make(map[attemptKey]*leftover),
	}
}

// run serves the shard, whenever that is wanted, until it was drained at the
// node's end or ctx ends. A shard that was lost, or a store that does not answer,
// is tried again for ever; only the first time that it is served, or cannot be, is
// reported to started.
func (l *loop) run(ctx context.Context, drain <-chan struct{}, started chan<- error) {
	report := func(err error) {
		if started != nil {
			started <- err
			started = nil
		}
	}
	if l.d.shared {
		report(nil)
	}
	first := pauses{100 * time.Millisecond, 5 * time.Second}
	for p := first; l.awaitWanted(ctx, drain); {
		err := l.serve(ctx, func() {
			report(nil)
			p = first
		})
		l.d.slots.leave(l.shard)
		if errors.Is(err, store.ErrFenced) {
			l.d.totals.fenced.Add(1)
		}
		if ctx.Err() != nil || l.d.draining.Load() {
			// A node that leaves need not take what it lost only to give it back.
			report(err)
			return
		}
		if err == nil {
			continue // it was given back, since another node is to serve it
		}
		if started != nil && !waitsOut(err) {
			report(l.start(err))
		}
		select {
		case <-time.After(l.tell(ctx, err, &p)):
		case <-l.decided:
		case <-drain:
		case <-ctx.Done():
		}
	}
	report(ctx.Err())
}

// serve owns the shard once: it returns nil when it was drained, and an error
// when the shard was lost or cannot be read.
func (l *loop) serve(ctx context.Context, ready func()) error {
	l.listen(true)
	defer l.listen(false)
	foreign := l.watch() // before it is read, so that nothing comes between
	defer foreign.stop()
	opening, err := l.open(ctx)
	if err != nil {
		return err
	}
	l.commits, l.outcomes = make(chan *store.Commit, 1), make(chan error, 1)
	var aside sync.WaitGroup
	renewing, stopRenewing := context.WithCancel(ctx)
	l.lost = make(chan error, 1)
	aside.Go(func() { l.renewAll(renewing) })
	aside.Go(func() { l.commitAll(ctx) })
	l.telling = make(chan shardLive, 1)
	aside.Go(func() { l.publishAll(renewing) })
	defer aside.Wait()
	l.outbox = make(chan struct{}, 1)
	aside.Go(func() { l.deliverAll(renewing) })
	l.notices = make(chan cancelNotice, maxNotices)
	aside.Go(func() { l.tellCancels(renewing) })
	defer close(l.telling)
	defer close(l.commits)
	defer stopRenewing()
	defer l.abortAll()
	l.d.slots.join(l.shard, func() { l.post(granted{}) })
	l.setServing(true)
	defer l.setServing(false)
	defer func() {
		l.d.window.change(-l.held)
		l.held = 0
		l.gauges.clear()
	}()
	defer func() { l.trims.tell(l.d.log, l.shard, time.Time{}, true) }()
	ready()
	return l.loop(ctx, opening, foreign)
}

// open takes the shard and reads what its last owner left.
func (l *loop) open(ctx context.Context) (recovered, error) {
	begun := time.Now()
	owner, err := l.d.store.Own(ctx, l.shard, l.d.nonce, l.d.lease)
	if err != nil {
		return recovered{}, fmt.Errorf("take shard %d: %w", l.shard, err)
	}
	l.lease = l.d.newLease(begun)
	claims, err := owner.Recover(ctx)
	if err != nil {
		return recovered{}, fmt.Errorf("recover shard %d: %w", l.shard, err)
	}
	lanes, err := owner.Lanes(ctx)
	if err != nil {
		return recovered{}, fmt.Errorf("read lanes of shard %d: %w", l.shard, err)
	}
	limits, err := owner.Limits(ctx)
	if err != nil {
		return recovered{}, fmt.Errorf("read limits of shard %d: %w", l.shard, err)
	}
	accepted, err := owner.Accepted(ctx)
	if err != nil {
		return recovered{}, fmt.Errorf("read accepted attempts of shard %d: %w", l.shard, err)
	}
	l.owner = owner
	l.m = newMachine(l.d.config.Load(), l.d.limits, owner.NextCommit(), owner.Epoch(), owner)
	return recovered{claims, lanes, limits, accepted}, nil
}

func (l *loop) loop(ctx context.Context, opening recovered, other foreignChanges) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	events := []event{opening}
	if l.d.shared {
		events = append(events, foreign{})
		if nodes := l.d.living.Load(); nodes != nil {
			events = append(events, living{*nodes})
		}
	}
	if l.d.draining.Load() || !l.isWanted() {
		events = append(events, l.d.drainEvent())
	}
	for {
		wake, err := time.Duration(0), ctx.Err()
		l.d.gate.pass(ctx, l.bursts, func() { wake, err = l.turn(ctx, events) })
		if err != nil {
			return err
		}
		if l.polled {
			l.polled = false
			l.publish()
		}
		if l.m.drain && l.m.quiet() {
			return l.giveUp(ctx)
		}
		timer.Reset(wake)
		if events, err = l.await(ctx, events[:0], timer.C, other); err != nil {
			return err
		}
	}
}

// giveUp lets another node have the shard, and goes on with the pushes that were
// handed over. That the shard cannot be released changes nothing for them: the list
// is durable.
func (l *loop) giveUp(ctx context.Context) error {
	l.lease.over.Store(true)
	if o := l.leaveBehind(); o != nil {
		defer l.d.background.Go(func() { o.run(ctx) })
	}
	return l.owner.Release(context.WithoutCancel(ctx))
}

// await waits until the machine has to be stepped.
func (l *loop) await(ctx context.Context, events []event, timer <-chan time.Time, other foreignChanges) ([]event, error) {
	for {
		select {
		case <-l.posted:
			return events, nil
		case <-timer:
			l.stand.passed = true
			return events, nil
		case err := <-l.outcomes:
			// What was enqueued before a command that the commit has answered is told
			// first: the machine would take it for news of what it has forgotten.
			return append(l.collect(events), committed{}), err
		case err := <-l.lost:
			return nil, err
		case <-other.poll:
			l.polled = true
			return append(events, foreign{}), nil
		case <-other.hints:
			if l.m.lookDue.IsZero() { // otherwise the machine is about to look
				return append(events, foreign{}), nil
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// renewAll renews the lease until ctx ends or the shard is lost. Where the store
// does not answer the shard is kept: what is written later is fenced, and the
// lease may be renewed late.
func (l *loop) renewAll(ctx context.Context) {
	renew := time.NewTicker(l.d.lease / 3)
	defer renew.Stop()
	for {
		select {
		case <-renew.C:
		case <-ctx.Done():
			return
		}
		begun := time.Now()
		err := l.owner.Renew(ctx, l.d.lease)
		switch {
		case ctx.Err() != nil:
		case err == nil:
			l.lease.renewed(begun)
		case errors.Is(err, store.ErrUnavailable):
			l.d.away.tell(ctx, l.d.log, "the lease is not renewed", l.shard, err)
		default:
			l.lost <- fmt.Errorf("renew shard %d: %w", l.shard, err)
			return
		}
	}
}

// idleWait is how long a loop sleeps that nothing but an event concerns.
const idleWait = time.Hour

// turn steps the machine until it has nothing more to read, and returns for
// how long it may sleep.
func (l *loop) turn(ctx context.Context, events []event) (time.Duration, error) {
	l.d.totals.turns.Add(1)
	events = append(l.collect(events), windowed{l.d.window.allow(l.held)})
	defer l.weigh()
	for {
		var now time.Time
		err := l.patiently(ctx, func() (err error) {
			now, err = l.d.store.Now(ctx)
			return err
		})
		if err != nil {
			return 0, fmt.Errorf("read the store's time: %w", err)
		}
		out := l.m.step(now, events...)
		l.withhold(l.m.handed)
		wait := idleWait
		if !out.Wake.IsZero() {
			wait = max(0, out.Wake.Sub(now))
		}
		events, err = l.carry(ctx, out, events[:0], now)
		if err != nil {
			return 0, err
		}
		if len(events) == 0 {
			l.answer(func(q *query) bool { return q.taken })
			l.sleepUntil(out.Gather)
			l.send()
			return l.stand.wait(now, out.Wake, wait), nil
		}
	}
}

// send has the outbox delivered, unless many schedules still are due: all of what they
// make is taken to its shards together.
func (l *loop) send() {
	l.bursts, l.fired = l.fired >= burst, 0
	if !l.owes || l.bursts {
		return
	}
	l.owes = false
	select {
	case l.outbox <- struct{}{}:
	default: // it has not begun with what it was told before
	}
}

// standstill notices that the store's time does not go on as this machine's does, which
// is so after a clock was set back: without it a loop would look all the time whether
// the moment has come that it waits for.
type standstill struct {
	passed bool      // it was waited for wake by this machine's time
	wake   time.Time // by the store's
	early  int       // how often in a row the store's time had not come that far
}

// longestStand bounds how late it is noticed that the store's time goes on.
const longestStand = time.Second

// wait returns for how long to wait at now for wake, which is as long as given where
// the times agree.
func (s *standstill) wait(now, wake time.Time, as time.Duration) time.Duration {
	if s.passed && now.Before(s.wake) {
		s.early++
		as = max(as, min(time.Millisecond<<min(s.early-1, 10), longestStand))
	} else {
		s.early = 0
	}
	s.passed, s.wake = false, wake
	return as
}

// weigh notes how much the machine holds, and shows it.
func (l *loop) weigh() {
	l.d.window.change(l.m.bytes - l.held)
	l.held = l.m.bytes
	l.gauges.show(l.m)
}

// patiently carries out a read. A store that does not answer is asked until it
// does: the shard is still this node's and its pushes go on, while to take it
// anew would book them as lost. Who only asks is answered meanwhile.
func (l *loop) patiently(ctx context.Context, read func() error) error {
	for p := (pauses{10 * time.Millisecond, 500 * time.Millisecond}); ; {
		err := read()
		if !errors.Is(err, store.ErrUnavailable) {
			return err
		}
		l.d.away.tell(ctx, l.d.log, "a read is tried again", l.shard, err)
		l.answer(func(q *query) bool { return !q.events })
		select {
		case <-time.After(p.pause()):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// carry carries out the effects of one step and appends what comes back at
// once to events.
func (l *loop) carry(ctx context.Context, out *effects, events []event, now time.Time) ([]event, error) {
	if out.Free != (want{}) || out.Want != (want{}) {
		g := l.d.slots.exchange(l.shard, out.Free, out.Want)
		if out.Want != (want{}) {
			events = append(events, g)
		}
	}
	if out.Sated {
		l.d.slots.sated(l.shard)
	}
	for _, a := range out.Abort {
		l.abort(a)
	}
	for i := range out.Push {
		l.push(&out.Push[i], now)
	}
	for _, n := range out.Cancel {
		select {
		case l.notices <- n:
		default: // too many at once: its next report tells the worker
		}
	}
	for _, c := range out.Concluded {
		l.d.totals.outcome(c.Outcome)
		l.d.meter.Attempt(c.Queue, c.Worker, c.Outcome, 0)
	}
	l.d.totals.lost.Add(int64(out.Lost))
	l.d.totals.missed.Add(int64(out.Missed))
	l.d.totals.skipped.Add(int64(out.Skipped))
	for _, late := range out.Fired {
		l.d.totals.lateness.add(late)
	}
	for _, j := range out.Settled {
		l.d.totals.settled[j.Status].Add(1)
		l.d.meter.Settled(j)
		l.d.watchers.settled(j.ID)
	}
	for _, t := range out.Trimmed {
		l.d.totals.trim(t)
		l.trims.add(t, now)
	}
	l.trims.tell(l.d.log, l.shard, now, false)
	for _, worker := range out.Gone {
		if l.d.onGone != nil {
			l.d.callbacks.Go(func() { l.d.onGone(worker) })
		}
	}
	for _, f := range out.Failing {
		if l.d.onFailing != nil {
			l.d.callbacks.Go(func() { l.d.onFailing(f) })
		}
	}
	for _, c := range out.Circuits {
		l.circuit(c)
	}
	if out.Commit != nil {
		l.fired += len(out.Commit.Fire)
		l.d.totals.commits.Add(1)
		l.commits <- out.Commit
	}
	l.owes = l.owes || out.Deliver
	return l.read(ctx, out, events, now)
}

// circuit tells of a circuit that was opened or closed.
func (l *loop) circuit(c circuitChange) {
	if !c.open {
		l.d.log.Info("the circuit of a worker is closed again", "worker", c.worker, "queue", c.queue)
		return
	}
	l.d.totals.circuitsOpened.Add(1)
	l.d.log.Warn("the circuit of a worker is open, since too many pushes have failed", "worker", c.worker, "queue", c.queue, "until", c.until)
}

// read answers the reads of one step.
func (l *loop) read(ctx context.Context, out *effects, events []event, now time.Time) ([]event, error) {
	for _, r := range out.ReadKeys {
		if err := l.patiently(ctx, func() error {
			read, err := readKey(ctx, l.owner, r)
			events = appended(events, err, read)
			return err
		}); err != nil {
			return nil, fmt.Errorf("read key of queue %q: %w", r.Lane.Queue, err)
		}
	}
	if len(out.ReadLanes) > 0 {
		if err := l.patiently(ctx, func() error {
			reads, err := readLanes(ctx, l.owner, l.m, out.ReadLanes)
			for _, read := range reads {
				events = appended(events, err, read)
			}
			return err
		}); err != nil {
			return nil, fmt.Errorf("read lanes: %w", err)
		}
	}
	for _, r := range out.ReadHeads {
		if err := l.patiently(ctx, func() error {
			read, err := readHeads(ctx, l.owner, r)
			events = appended(events, err, read)
			return err
		}); err != nil {
			return nil, fmt.Errorf("read ordered jobs of queue %q: %w", r.Queue, err)
		}
	}
	if out.ReadTimers > 0 {
		if err := l.patiently(ctx, func() error {
			timers, next, err := l.owner.ReadTimers(ctx, now, out.ReadTimers)
			events = appended(events, err, timersRead{timers, next})
			return err
		}); err != nil {
			return nil, fmt.Errorf("read timers: %w", err)
		}
	}
	if out.ReadInbox > 0 {
		if err := l.patiently(ctx, func() error {
			commands, more, err := l.owner.ReadInbox(ctx, out.ReadInbox)
			events = appended(events, err, inboxRead{commands, more})
			return err
		}); err != nil {
			return nil, fmt.Errorf("read inbox: %w", err)
		}
	}
	if out.Look {
		if err := l.patiently(ctx, func() error {
			lanes, again, err := l.owner.Look(ctx)
			events = appended(events, err, looked{lanes, again})
			return err
		}); err != nil {
			return nil, fmt.Errorf("look for what other nodes have written: %w", err)
		}
	}
	if len(out.ReadBeats) > 0 {
		if err := l.patiently(ctx, func() error {
			until, err := l.owner.ReadBeats(ctx, out.ReadBeats)
			events = appended(events, err, beatsRead{slices.Clone(out.ReadBeats), until})
			return err
		}); err != nil {
			return nil, fmt.Errorf("read heartbeats: %w", err)
		}
	}
	if out.ReadFinished > 0 {
		if err := l.patiently(ctx, func() error {
			trims, next, err := l.owner.ReadFinished(ctx, l.m.rules, now, out.ReadFinished)
			events = appended(events, err, finishedRead{trims, next})
			return err
		}); err != nil {
			return nil, fmt.Errorf("read finished jobs: %w", err)
		}
	}
	return events, nil
}

// readKey answers one read of a key.
func readKey(ctx context.Context, o *store.Owner, r laneRequest) (laneRead, error) {
	entries, more, err := o.ReadKey(ctx, r.Lane, r.Key.name, r.Limit, r.Bytes)
	return laneRead{Lane: r.Lane, Key: r.Key, Entries: entries, More: more}, err
}

// readLanes answers the reads of lanes of one step.
func readLanes(ctx context.Context, o *store.Owner, m *machine, requests []laneRequest) ([]laneRead, error) {
	reads := make([]store.LaneRead, len(requests))
	for i, r := range requests {
		reads[i] = store.LaneRead{Lane: r.Lane, Limit: r.Limit, MaxBytes: r.Bytes, Skip: m.skips(r.Lane)}
	}
	if err := o.ReadLanes(ctx, reads); err != nil {
		return nil, err
	}
	answers := make([]laneRead, len(reads))
	for i, r := range reads {
		answers[i] = laneRead{Lane: r.Lane, Entries: r.Entries, Skipped: r.Skipped, More: r.More}
	}
	return answers, nil
}

// readHeads answers one read of ordered jobs.
func readHeads(ctx context.Context, o *store.Owner, r headsRequest) (read headsRead, err error) {
	read.Queue, read.Walk = r.Queue, r.Walk
	if !r.Walk {
		read.Entries, err = o.ReadHeads(ctx, r.Queue, r.Keys)
		return read, err
	}
	read.Entries, read.Last, read.More, err = o.WalkHeads(ctx, r.Queue, r.Behind, r.Limit)
	return read, err
}

// appended is events with the answer of a read, if it came.
func appended(events []event, err error, answer event) []event {
	if err != nil {
		return events
	}
	return append(events, answer)
}

// commitAll makes commits durable, one after the other. A store that does not
// answer is asked again with the same commit, for ever: its number makes the
// repetition harmless.
func (l *loop) commitAll(ctx context.Context) {
	for c := range l.commits {
		begun, made := time.Now(), changes(c) // before it is carried out: then it is the machine's again
		err := l.owner.Commit(ctx, c)
		for p := (pauses{50 * time.Millisecond, 2 * time.Second}); err != nil && !lostShard(err) && errors.Is(err, store.ErrUnavailable); {
			l.d.away.tell(ctx, l.d.log, "a commit is tried again", l.shard, err)
			select {
			case <-time.After(p.pause()):
			case <-ctx.Done():
				l.outcomes <- ctx.Err()
				return
			}
			err = l.owner.Commit(ctx, c)
		}
		if err != nil {
			err = fmt.Errorf("commit to shard %d: %w", l.shard, err)
		} else {
			l.d.meter.Commit(made, time.Since(begun))
		}
		l.outcomes <- err
	}
}
