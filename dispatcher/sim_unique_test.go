package dispatcher

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/store/engine"
)

// simUnique is what the simulator knows of unique locks: who holds which, by what
// it was told, and which jobs were asked for in the place of others.
type simUnique struct {
	holders map[string]job.ID // by the lock's key in the store
	told    bool              // what the commit under way changes is in holders
	asked   []simAsked
}

// simAsked is a job that a client wants in the place of another.
type simAsked struct {
	nj  store.NewJob
	seq uint64 // of its command
}

func lockKeyOf(j *job.Job) string { return "u" + j.Queue + "\x00" + string(j.Unique.Digest[:]) }

// someUnique makes some jobs unique, of so few contents that they meet.
func (s *sim) someUnique(nj *store.NewJob) {
	if !s.chance(3) {
		return
	}
	u := job.Unique{
		By:         [][]job.UniquePart{nil, {job.PartType}, {job.PartKey}, {job.PartType, job.PartKey}}[s.rng.IntN(4)],
		Until:      []job.UniqueUntil{job.UntilStarted, job.UntilTerminal, job.UntilTTL}[s.rng.IntN(3)],
		OnConflict: []job.UniqueConflict{job.ConflictReturn, job.ConflictReplace, job.ConflictReplace}[s.rng.IntN(3)],
	}
	if u.Until == job.UntilTTL {
		u.TTL = job.Duration(1+s.rng.IntN(600)) * job.Duration(time.Second)
	}
	nj.Job.Unique = u.WithDefaults()
	nj.Job.Unique.SetDigest(nj.Job, nj.Payload)
}

// enqueued notes what a client is told of jobs that it has enqueued, and returns
// those that were stored.
func (s *sim) enqueued(jobs []store.NewJob, results []store.Enqueued) (stored []*job.Job) {
	for i, r := range results {
		if r.Job == nil || r.Job.ID != jobs[i].Job.ID || s.known[r.Job.ID] != nil {
			continue
		}
		s.known[r.Job.ID] = &simJob{job: r.Job, terminal: make(map[int]int)}
		s.ids = append(s.ids, r.Job.ID)
		stored = append(stored, r.Job)
		if r.Job.Unique == nil {
			continue
		}
		if holder, held := s.unique.holders[lockKeyOf(r.Job)]; held {
			s.fail("job %s was stored while %s holds its lock", r.Job.ID, holder)
		}
		s.unique.holders[lockKeyOf(r.Job)] = r.Job.ID
	}
	for i, r := range results {
		nj := jobs[i]
		switch {
		case r.Pending && !s.pending(nj.Job):
			s.fail("the idempotency key of job %s is said to be pending, and no such job was asked for", nj.Job.ID)
		case r.Held && s.unique.holders[lockKeyOf(nj.Job)] != r.Job.ID:
			s.fail("job %s is said to hold the lock that %s has", r.Job.ID, s.unique.holders[lockKeyOf(nj.Job)])
		case r.Held && nj.Job.Unique.OnConflict == job.ConflictReplace && !s.healing && s.chance(2):
			s.ask(nj, r.Job.ID)
		}
	}
	s.checkLocks()
	return stored
}

// pending reports whether another job was asked for under the same idempotency
// key, of which the owner has perhaps yet to say whether it is stored.
func (s *sim) pending(j *job.Job) bool {
	return slices.ContainsFunc(s.unique.asked, func(a simAsked) bool {
		return a.nj.Job.Queue == j.Queue && a.nj.Job.IdempotencyKey == j.IdempotencyKey
	})
}

// ask has a client ask for a job in the place of another. One that gets no answer
// does not ask again.
func (s *sim) ask(nj store.NewJob, holder job.ID) {
	if s.chance(8) {
		s.eng.Ambiguous = func(string, int) bool { s.eng.Ambiguous = nil; return true }
	}
	seq, err := s.store.Replace(context.Background(), 0, []store.NewJob{nj}, []job.ID{holder})
	s.eng.Ambiguous = nil
	s.logf("ask for %s in the place of %s: %d %v", nj.Job.ID, holder, seq, err)
	s.unique.asked = append(s.unique.asked, simAsked{nj, seq})
	s.post(inboxGrew{})
}

// lookAgain has the clients look whose commands are answered: either their job is
// there, or they enqueue it once more.
func (s *sim) lookAgain() {
	if s.silent {
		return // what the commit has deleted is not known yet
	}
	ctx := context.Background()
	var again []store.NewJob
	s.unique.asked = slices.DeleteFunc(s.unique.asked, func(a simAsked) bool {
		if a.seq == 0 {
			return false // whether it was sent is not known
		}
		waits, err := s.store.InboxPending(ctx, 0, a.seq)
		s.must(err)
		if k := s.known[a.nj.Job.ID]; !waits && (k == nil || !k.deleted) { // who looks at once does not come too late
			again = append(again, a.nj)
		}
		return !waits
	})
	if len(again) == 0 {
		return
	}
	results, err := s.store.Enqueue(ctx, 0, again)
	s.must(err)
	for _, j := range s.enqueued(again, results) {
		s.takeTurn(j)
	}
}

// bookLocks notes what a commit that is in the store has made of locks. A commit
// is in the store before the machine knows it, and clients see it then.
func (s *sim) bookLocks(c *store.Commit) {
	if s.unique.told {
		return
	}
	s.unique.told = true
	before := maps.Clone(s.unique.holders)
	release := func(j *job.Job) {
		if j.Unique != nil && s.unique.holders[lockKeyOf(j)] == j.ID {
			delete(s.unique.holders, lockKeyOf(j))
		}
	}
	for i := range c.Claim {
		if j := c.Claim[i].Entry.Job; j.Unique != nil && j.Unique.Until == job.UntilStarted {
			release(j)
		}
	}
	for i := range c.Settle {
		if j := c.Settle[i].Job; j.Unique != nil && j.Unique.Until != job.UntilTTL && j.Settled() {
			release(j)
		}
	}
	for i := range c.TimersDone {
		if t := &c.TimersDone[i]; t.Kind == store.TimerUnlock && t.Entry != nil {
			if end := t.Entry.Job.UniqueEnd(); end.IsZero() || end.After(s.now) {
				s.fail("the lock of %s is ended at %s, its time is %s", t.ID, s.now, end)
			}
			release(t.Entry.Job)
		}
	}
	for _, j := range removed(c) {
		release(j)
	}
	for i := range c.Settle {
		j := c.Settle[i].Job
		again := j.Unique != nil && j.Unique.Until != job.UntilTTL && c.Settle[i].Was.Status.Terminal() && j.Status == job.Waiting
		if _, held := before[lockKeyIf(again, j)]; again && !held {
			s.unique.holders[lockKeyOf(j)] = j.ID
		}
	}
	for _, j := range c.Replace {
		s.bookReplace(c, j, before[lockKeyOf(j)])
	}
	s.checkReplaced(c)
	s.checkLocks()
}

func lockKeyIf(unique bool, j *job.Job) string {
	if !unique {
		return ""
	}
	return lockKeyOf(j)
}

// bookReplace checks that a new job takes the lock of one that waited for its first
// attempt, and that ends in the same commit.
func (s *sim) bookReplace(c *store.Commit, j *job.Job, holder job.ID) {
	i := slices.IndexFunc(c.Settle, func(t store.Settle) bool { return t.Job.ID == holder })
	if i < 0 {
		s.fail("job %s takes the lock that %s holds, which goes on", j.ID, holder)
		return
	}
	was, old := c.Settle[i].Was, c.Settle[i].Job
	if was.Status != job.Waiting || was.Place == store.InClaim || !old.StartedAt.IsZero() || old.Status != job.Cancelled || old.Reason != job.ReasonReplaced || old.Unique.ReplacedBy != j.ID {
		s.fail("job %s takes the place of %+v, which was %+v", j.ID, old, was)
	}
	for key, p := range s.inFlight {
		if key.id == holder && p.order.Entry.Job.Incarnation == old.Incarnation {
			s.fail("job %s takes the place of %s, which is being pushed", j.ID, holder)
		}
	}
	s.unique.holders[lockKeyOf(j)] = j.ID
	if s.known[j.ID] != nil {
		s.fail("job %s was stored twice", j.ID)
	}
	s.known[j.ID] = &simJob{job: j, terminal: make(map[int]int)}
	s.ids = append(s.ids, j.ID)
}

// checkReplaced checks that no job is replaced by nothing.
func (s *sim) checkReplaced(c *store.Commit) {
	for i := range c.Settle {
		j := c.Settle[i].Job
		if j.Reason == job.ReasonReplaced && c.Settle[i].Was.Status == job.Waiting &&
			!slices.ContainsFunc(c.Replace, func(n *job.Job) bool { return n.ID == j.Unique.ReplacedBy }) {
			s.fail("job %s is cancelled as replaced, and nothing takes its place", j.ID)
		}
	}
}

// checkLocks checks that the store has just the locks that the simulator knows.
func (s *sim) checkLocks() {
	entries := s.scan('u')
	for _, e := range entries {
		if id := job.ID(e.Value); s.unique.holders[string(e.Key)] != id {
			s.fail("lock %q is held by %s in the store, known is %s", e.Key, id, s.unique.holders[string(e.Key)])
		}
	}
	if len(entries) != len(s.unique.holders) {
		s.fail("%d locks are in the store, %d are known: %v", len(entries), len(s.unique.holders), s.unique.holders)
	}
}

// scan returns all that the engine has in a space of the store's.
func (s *sim) scan(space byte) []engine.Entry {
	entries, err := s.eng.Scan(context.Background(), 0, engine.Range{From: []byte{space}, To: []byte{space + 1}, Limit: engine.MaxScan})
	s.must(err)
	return entries
}

// runOut lets time pass, as far as the machine asks for it, until every lock and
// idempotency key is free, and checks that nothing else is left of jobs either.
func (s *sim) runOut() {
	for range 1000 {
		if s.failure != nil || len(s.scan('u'))+len(s.scan('d')) == 0 {
			break
		}
		s.now = later(s.now, s.wake)
		s.step()
		s.finishCommit()
	}
	s.checkLocks()
	if locks, keys := s.scan('u'), s.scan('d'); len(locks)+len(keys) > 0 {
		s.fail("%d locks and %d idempotency keys are held at the end: %q %q", len(locks), len(keys), locks, keys)
	}
	if payloads, jobs := len(s.scan('p')), len(s.scan('j')); payloads != jobs {
		s.fail("%d payloads are left of %d jobs", payloads, jobs)
	}
}
