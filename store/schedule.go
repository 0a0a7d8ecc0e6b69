package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
)

// Schedule is the record of a schedule. It lies in the shard of its name, whose owner
// fires it; any node may change it. All of it is one value, so that a change is made
// where nobody else has made one since it was read, or not at all.
type Schedule struct {
	Name string
	// Version is 1 for a new schedule and rises with each change of Spec, Job or
	// Payload that ChangeSchedule makes.
	Version          uint64
	Created, Updated time.Time
	// Spec is how it fires, State how far it has come. The store knows nothing of what
	// is in them.
	Spec, State []byte
	// Job is what its runs are copies of, but for ID and times; Payload is theirs.
	Job     *job.Job
	Payload []byte
	// Next is when its owner is to look at it again; zero for never.
	Next time.Time
	// Last is the job of its last run; zero before the first. Awaits says that it
	// matters whether that has ended: then its runs are Awaited.
	Last   job.ID
	Awaits bool
	// Runs is how many entries its history has had.
	Runs uint64

	// LastLives says that the last run has not ended. Only an owner's reads fill it: for
	// a command always, for a timer where the schedule Awaits.
	LastLives bool

	stored []byte    // the record as it was read; nil of a new schedule
	timer  time.Time // Next as it was read
}

// The bounds of a schedule.
const (
	// MaxSchedulePayload bounds the payload in bytes.
	MaxSchedulePayload = 256 << 10
	// MaxScheduleSpec bounds Spec and State, each, in bytes.
	MaxScheduleSpec = 16 << 10
	// KeptRuns is how many entries of its history are kept.
	KeptRuns = 100
)

// fireBytes is about how many bytes of schedules ReadTimers loads at once, and maxFires
// about how many of them.
const (
	fireBytes = 2 << 20
	maxFires  = 128
)

// fireChunk is how many it loads at a time to see how long they are.
const fireChunk = 16

// Firing is a change of a schedule by its owner. It is carried out where the schedule
// is as it was read, and else left out, all of it; the owner sees that from what it
// reads next.
type Firing struct {
	// Schedule is what an owner's read returned, as it is to be stored now.
	Schedule *Schedule
	// Send is as Commit.Send.
	Send []Outgoing
	// Runs are new entries of its history, the oldest first, each at most MaxScheduleSpec
	// bytes.
	Runs [][]byte
	// Consumed are inbox entries that this answers.
	Consumed []uint64
	// Applied is set by Commit where it was certainly carried out.
	Applied bool
}

// ScheduleCommand returns a command to a schedule: see Command.Name. The random
// bytes tell it from others.
func (s *Store) ScheduleCommand(kind CommandKind, name string, random [9]byte) Command {
	return Command{Kind: kind, Name: name, ID: job.MakeID(time.UnixMilli(0), s.ShardOf(name), random)}
}

// GetSchedule returns a schedule, or ErrNotFound.
func (s *Store) GetSchedule(ctx context.Context, name string) (*Schedule, error) {
	found, err := s.schedules(ctx, s.ShardOf(name), []string{name})
	if err == nil && found[0] == nil {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("store: schedule %.64q: %w", name, err)
	}
	return found[0], nil
}

// ChangeSchedule changes, creates or deletes the schedule of that name. change gets
// the schedule as it stands, nil where there is none, and the store's time; it returns
// what is to be stored, nil to delete. It may be called more than once, where others
// change the schedule at the same time; the schedule it gets is its own to change. An
// error of change is returned as it is, and nothing is stored. After ErrUnavailable
// the change may have been made.
//
// A change that leaves Spec, Job and Payload as they are keeps the version.
func (s *Store) ChangeSchedule(ctx context.Context, name string, change func(old *Schedule, now time.Time) (*Schedule, error)) (*Schedule, error) {
	shard := s.ShardOf(name)
	for {
		now, err := s.engine.Now(ctx)
		if err != nil {
			return nil, fmt.Errorf("store: change schedule %.64q: %w", name, err)
		}
		found, err := s.schedules(ctx, shard, []string{name})
		if err != nil {
			return nil, fmt.Errorf("store: change schedule %.64q: %w", name, err)
		}
		old := found[0]
		next, err := change(old.clone(), now)
		if err != nil {
			return nil, err
		}
		if old == nil && next == nil {
			return nil, fmt.Errorf("store: change schedule %.64q: %w", name, ErrNotFound)
		}
		err = s.storeSchedule(ctx, name, old, next, now)
		if !errors.Is(err, errChanged) {
			if err != nil {
				return nil, fmt.Errorf("store: change schedule %.64q: %w", name, err)
			}
			return next, nil
		}
	}
}

func (s *Schedule) clone() *Schedule {
	if s == nil {
		return nil
	}
	c := *s
	j := *s.Job
	c.Job = &j
	return &c
}

// storeSchedule makes next of old, either of which may be nil, where old still stands.
func (s *Store) storeSchedule(ctx context.Context, name string, old, next *Schedule, now time.Time) error {
	b := newBatch()
	defer b.free()
	key := appendScheduleKey(nil, name)
	guard := engine.Guard{Key: key}
	if old != nil {
		guard.Value = old.stored
		b.deleteFire(name, old.timer)
	}
	if next == nil {
		b.delete(key)
		runs := appendName(nil, spaceRun, name)
		b.deleteRange(runs, after(runs))
	} else {
		if err := s.checkSchedule(name, next); err != nil {
			return err
		}
		next.stamp(old, now)
		b.put(key, appendSchedule(nil, next))
		b.putFire(name, next.Next)
	}
	b.guards = []engine.Guard{guard}
	group := b.closeGroup()
	if added := scheduleCount(next) - scheduleCount(old); added != 0 {
		b.groups[group].Counters = []engine.Counter{{Name: []byte{spaceSchedules}, Value: added}}
	}
	result, err := s.engine.Apply(ctx, s.ShardOf(name), &engine.Batch{Groups: b.groups})
	switch {
	case err == nil && result.Groups[0].Skipped:
		return errChanged
	case next != nil && !next.Next.IsZero(): // perhaps, where there is an error
		s.announce(Arrivals{Shard: s.ShardOf(name), NextDue: next.Next})
	}
	return err
}

// scheduleCount is what a schedule adds to the number of them.
func scheduleCount(s *Schedule) int64 {
	if s == nil {
		return 0
	}
	return 1
}

// stamp gives a schedule that is stored instead of old its version and times.
func (s *Schedule) stamp(old *Schedule, now time.Time) {
	if old == nil {
		s.Version, s.Created, s.Updated = 1, now, now
		return
	}
	s.Version, s.Created, s.Updated = old.Version, old.Created, old.Updated
	if s.Differs(old) {
		s.Version, s.Updated = old.Version+1, now
	}
}

// Differs reports whether it has another Spec, Job or Payload than another schedule.
func (s *Schedule) Differs(other *Schedule) bool {
	return !bytes.Equal(s.Spec, other.Spec) || !bytes.Equal(s.Payload, other.Payload) || !bytes.Equal(appendJob(nil, s.Job), appendJob(nil, other.Job))
}

func (s *Store) checkSchedule(name string, c *Schedule) error {
	switch j := c.Job; {
	case c.Name != name || name == "" || len(name) > MaxDocumentName || bytes.IndexByte([]byte(name), 0) >= 0:
		return fmt.Errorf("%w: schedule %.64q", ErrInvalid, name)
	case j == nil || j.Status != job.Waiting || j.IdempotencyKey != "" || j.Unique != nil:
		return fmt.Errorf("%w: the job of schedule %.64q", ErrInvalid, name)
	case len(c.Payload) > MaxSchedulePayload || len(c.Spec) > MaxScheduleSpec || len(c.State) > MaxScheduleSpec:
		return fmt.Errorf("%w: schedule %.64q is too large", ErrInvalid, name)
	}
	return nil
}

// ListRuns returns the history of a schedule, the newest first, up to limit, from the
// entry before a number; 0 begins at the newest. The numbers are those of the entries,
// from 1.
func (s *Store) ListRuns(ctx context.Context, name string, before uint64, limit int) (runs [][]byte, numbers []uint64, err error) {
	prefix := appendName(nil, spaceRun, name)
	to := after(prefix)
	if before > 0 {
		to = appendRunKey(nil, name, before)
	}
	entries, err := s.engine.Scan(ctx, s.ShardOf(name), engine.Range{From: prefix, To: to, Limit: limit, Reverse: true})
	if err != nil {
		return nil, nil, fmt.Errorf("store: runs of schedule %.64q: %w", name, err)
	}
	for _, e := range entries {
		n, err := parseRunKey(e.Key)
		if err != nil {
			return nil, nil, err
		}
		runs, numbers = append(runs, e.Value), append(numbers, n)
	}
	return runs, numbers, nil
}

// schedules returns the schedules of one shard in the order of their names; nil for one
// that is not there.
func (s *Store) schedules(ctx context.Context, shard int, names []string) ([]*Schedule, error) {
	if len(names) == 0 {
		return nil, nil
	}
	keys := make([][]byte, len(names))
	for i, name := range names {
		keys[i] = appendScheduleKey(nil, name)
	}
	values, err := s.engine.Get(ctx, shard, keys...)
	if err != nil {
		return nil, err
	}
	found := make([]*Schedule, len(names))
	for i, v := range values {
		if v == nil {
			continue
		}
		if found[i], err = parseSchedule(names[i], v); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// loadFires loads the schedules of those of the timers that fire. It returns how many
// of the timers it got to, at least one of them.
func (o *Owner) loadFires(ctx context.Context, timers []Timer) (n int, err error) {
	size := 0
	var loaded []*Schedule
	for n < len(timers) && size < fireBytes && len(loaded) < maxFires {
		var names []string
		var of []*Timer
		for n < len(timers) && len(names) < fireChunk {
			if t := &timers[n]; t.Kind == TimerFire {
				names, of = append(names, t.name), append(of, t)
			}
			n++
		}
		found, err := o.store.schedules(ctx, o.shard, names)
		if err != nil {
			return 0, err
		}
		for i, s := range found {
			if s == nil || !s.Next.Equal(of[i].At) {
				continue
			}
			of[i].Schedule = s
			loaded = append(loaded, s)
			size += len(s.stored)
		}
	}
	return n, o.lookAfter(ctx, slices.DeleteFunc(loaded, func(s *Schedule) bool { return !s.Awaits }))
}

// loadAsked loads the schedules that commands are about; those about one share it. It
// returns how many of the commands it got to, at least one of them.
func (o *Owner) loadAsked(ctx context.Context, commands []Command) (n int, err error) {
	size := 0
	known := map[string]*Schedule{}
	var loaded []*Schedule
	for n < len(commands) && size < fireBytes {
		var names []string
		first := n
		for ; n < len(commands) && len(names) < fireChunk; n++ {
			name := commands[n].Name
			if _, ok := known[name]; name != "" && !ok {
				known[name] = nil
				names = append(names, name)
			}
		}
		found, err := o.store.schedules(ctx, o.shard, names)
		if err != nil {
			return 0, err
		}
		for i, s := range found {
			if known[names[i]] = s; s != nil {
				loaded = append(loaded, s)
				size += len(s.stored)
			}
		}
		for i := first; i < n; i++ {
			commands[i].Schedule = known[commands[i].Name]
		}
	}
	return n, o.lookAfter(ctx, loaded)
}

// lookAfter finds out which schedules' last runs have not ended. One that cannot be
// found has ended, and was removed, unless it is still in the outbox.
func (o *Owner) lookAfter(ctx context.Context, schedules []*Schedule) error {
	var ids []job.ID
	for _, s := range schedules {
		if !s.Last.IsZero() {
			ids = append(ids, s.Last)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	jobs, err := o.store.jobsAnywhere(ctx, ids)
	if err != nil {
		return err
	}
	var missing []job.ID
	for _, id := range ids {
		if jobs[id] == nil {
			missing = append(missing, id)
		}
	}
	under, err := o.underWay(ctx, missing)
	if err != nil {
		return err
	}
	for _, s := range schedules {
		j := jobs[s.Last]
		s.LastLives = under[s.Last] || j != nil && !j.Settled()
	}
	return nil
}

// underWay returns which of the jobs, that were not found, may still be delivered.
// What was delivered meanwhile is found when it is looked for after the outbox.
func (o *Owner) underWay(ctx context.Context, ids []job.ID) (map[job.ID]bool, error) {
	full := map[int]bool{}
	for _, id := range ids {
		shard := id.Shard()
		if _, ok := full[shard]; ok {
			continue
		}
		prefix := appendOutboxPrefix(nil, shard)
		entries, err := o.store.engine.Scan(ctx, o.shard, engine.Range{From: prefix, To: after(prefix), Limit: 1, KeysOnly: true})
		if err != nil {
			return nil, err
		}
		full[shard] = len(entries) > 0
	}
	jobs, err := o.store.jobsAnywhere(ctx, ids)
	if err != nil {
		return nil, err
	}
	under := make(map[job.ID]bool, len(ids))
	for _, id := range ids {
		j := jobs[id]
		under[id] = j == nil && full[id.Shard()] || j != nil && !j.Settled()
	}
	return under, nil
}

// encodeFirings makes the groups of a commit's firings, each with a guard of its own.
func (o *Owner) encodeFirings(p *pendingCommit) error {
	b := p.batch
	p.firings = len(b.groups)
	for i := range p.commit.Fire {
		f := &p.commit.Fire[i]
		s := f.Schedule
		if s.stored == nil || o.store.ShardOf(s.Name) != o.shard {
			return fmt.Errorf("%w: schedule %.64q was not read by the owner of its shard", ErrInvalid, s.Name)
		}
		if err := o.store.checkSchedule(s.Name, s); err != nil {
			return err
		}
		key := appendScheduleKey(nil, s.Name)
		if !s.timer.Equal(s.Next) {
			b.deleteFire(s.Name, s.timer)
			b.putFire(s.Name, s.Next)
			if !s.Next.IsZero() {
				o.timers.put(s.Next)
			}
		}
		for k, run := range f.Runs {
			n := s.Runs + uint64(k) + 1
			b.put(appendRunKey(nil, s.Name, n), run)
			if n > KeptRuns {
				b.delete(appendRunKey(nil, s.Name, n-KeptRuns))
			}
		}
		stored := *s
		stored.Runs += uint64(len(f.Runs))
		start := len(b.buf)
		b.buf = appendSchedule(b.buf, &stored)
		b.put(key, b.since(start))
		if err := o.putOutgoing(p, f.Send...); err != nil {
			return err
		}
		for _, seq := range f.Consumed {
			b.deleteNumber(spaceInbox, seq)
		}
		b.guards = []engine.Guard{{Key: key, Value: s.stored}}
		b.closeGroup()
	}
	return nil
}

// told reports whether a schedule is told of a job's end by this.
func (s *Settle) told() bool {
	return s.Job.Awaited && s.Was.Status == job.Waiting && s.Job.Settled()
}

// tellSchedules tells schedules of runs that the commit ends.
func (o *Owner) tellSchedules(p *pendingCommit) error {
	for i := range p.commit.Settle {
		s := &p.commit.Settle[i]
		if !s.told() {
			continue
		}
		c := o.store.ScheduleCommand(CommandEnded, s.Job.Schedule, [9]byte(s.Job.ID[7:]))
		c.Run, c.Outcome = s.Job.ID, s.Job.Status
		if err := o.putOutgoing(p, Outgoing{Command: &c}); err != nil {
			return err
		}
	}
	return nil
}
