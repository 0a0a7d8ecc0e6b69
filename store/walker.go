package store

import (
	"context"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
)

// walker looks through the finished jobs of one queue, or through those of all
// queues without a retention of their own, where queue is empty.
type walker struct {
	queue  string
	rule   Retention
	passes [len(trimOrder)]pass
	// full says that the queue's bytes are to be looked at.
	full bool
}

// trimOrder is the order in which a queue that holds too much gives up jobs.
var trimOrder = [...]job.Status{job.Succeeded, job.Cancelled, job.Expired, job.Dead}

func newWalker(queue string, rule Retention) *walker {
	w := &walker{queue: queue, rule: rule, full: rule.MaxBytes > 0}
	for i, status := range trimOrder {
		w.passes[i] = pass{status: status, low: greatestID}
	}
	return w
}

// follow takes over another rule: what was kept may be due now.
func (w *walker) follow(rule Retention) {
	if w.rule.equal(rule) {
		return
	}
	w.rule, w.full = rule, rule.MaxBytes > 0
	for i := range w.passes {
		w.passes[i].at, w.passes[i].began = time.Time{}, false
	}
}

func (w *walker) pass(s job.Status) *pass {
	for i := range w.passes {
		if w.passes[i].status == s {
			return &w.passes[i]
		}
	}
	return nil // no status is terminal beside those
}

// at returns when the walker has something to do.
func (w *walker) at() time.Time {
	if w.full {
		return time.Time{}
	}
	at := never
	for i := range w.passes {
		if _, kept := w.rule.Ages[w.passes[i].status]; kept && w.passes[i].at.Before(at) {
			at = w.passes[i].at
		}
	}
	return at
}

// never is later than any time that is looked at.
var never = time.UnixMilli(1 << 47).UTC()

// prefix returns how the index entries begin that the walker walks over.
func (w *walker) prefix(s job.Status) []byte {
	if w.queue == "" {
		return appendStatusPrefix(nil, s)
	}
	return appendQueueStatusPrefix(nil, w.queue, s)
}

// pass is a walk over the finished jobs of a status, oldest first.
type pass struct {
	status job.Status
	// base is where it begins: below stands nothing of the walker's but from low
	// on, the lowest id that became terminal since the pass began.
	base, low job.ID
	began     bool
	next      job.ID    // where it goes on
	first     job.ID    // the first that it found; zero before
	due       time.Time // when the first of those it left is due
	at        time.Time // when it goes on, or the next one begins
}

// greatestID is above every id.
var greatestID = job.MakeID(time.UnixMilli(1<<62), job.MaxShards-1, [9]byte{255, 255, 255, 255, 255, 255, 255, 255, 255})

// bottom returns the lowest id that may be there.
func (p *pass) bottom() job.ID {
	if compareIDs(p.low, p.base) < 0 {
		return p.low
	}
	return p.base
}

func (p *pass) ended(id job.ID) {
	if compareIDs(id, p.low) < 0 {
		p.low = id
	}
}

func (p *pass) begin() {
	if p.began {
		return
	}
	p.base = p.bottom()
	p.low, p.next = greatestID, p.base
	p.began, p.first, p.due = true, job.ID{}, never
}

// found notes a job that the pass is about.
func (p *pass) found(id job.ID) {
	if p.first.IsZero() {
		p.first = id
	}
}

// end ends the pass, which has looked at all jobs below an id; the next one that
// is there, if any, is peek.
func (p *pass) end(now time.Time, keep time.Duration, below, peek job.ID) {
	p.began = false
	p.base, p.at = below, now.Add(keep)
	if !peek.IsZero() {
		p.base = peek
		p.at = sooner(p.at, peek.Time().Add(keep)) // it cannot have ended before it was created
	}
	if !p.first.IsZero() {
		p.base = p.first
	}
	p.at = sooner(p.at, p.due)
	p.at = sooner(p.at, now.Add(passAtLeast))
	if soon := now.Add(passEvery); p.at.Before(soon) {
		p.at = soon
	}
}

func sooner(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// walk looks at what one walker has to look at now. used is what it cost in rows.
func (o *Owner) walk(ctx context.Context, w *walker, now time.Time, limit, rows int) (trims []Trim, used int, err error) {
	for i := range w.passes {
		p := &w.passes[i]
		keep, ok := w.rule.Ages[p.status]
		if !ok || p.at.After(now) {
			continue
		}
		found, cost, err := o.goOn(ctx, w, p, keep, now, min(limit-len(trims), max(rows-used, 1)))
		if err != nil {
			return nil, 0, err
		}
		for _, j := range found {
			trims = append(trims, Trim{j, TrimAge})
		}
		if used += cost; len(trims) >= limit || used >= rows {
			return trims, used, nil
		}
	}
	if !w.full || len(trims) > 0 {
		return trims, used, nil // what goes anyway makes room first
	}
	trims, cost, err := o.makeRoom(ctx, w, limit)
	return trims, used + cost, err
}

// goOn goes on with a pass and returns jobs that were kept long enough.
func (o *Owner) goOn(ctx context.Context, w *walker, p *pass, keep time.Duration, now time.Time, limit int) (due []*job.Job, used int, err error) {
	p.begin()
	before := now.Add(-keep)
	// A job cannot have ended before it was created: the ids end the pass.
	end := job.MakeID(before.Add(time.Millisecond), 0, [9]byte{})
	ids, err := o.finishedIDs(ctx, w, p.status, p.next, end, limit)
	if err != nil {
		return nil, 0, err
	}
	jobs, err := o.store.jobs(ctx, o.shard, ids)
	if err != nil {
		return nil, 0, err
	}
	for _, id := range ids {
		j := jobs[id]
		if j == nil || j.Status != p.status || !w.minds(j, o.retain.own) {
			continue
		}
		p.found(id)
		if j.FinishedAt.After(before) {
			p.due = sooner(p.due, j.FinishedAt.Add(keep))
		} else {
			due = append(due, j)
		}
	}
	used = scanRows + len(ids)
	if len(ids) == limit {
		p.next, p.at = nextID(ids[len(ids)-1]), now
	} else {
		peek, err := o.finishedIDs(ctx, w, p.status, laterID(p.next, end), greatestID, 1)
		if err != nil {
			return nil, 0, err
		}
		used += scanRows
		p.end(now, keep, laterID(p.next, end), firstID(peek))
	}
	if vain := len(ids) - 2*len(due); vain > 0 {
		o.retain.rest = later(o.retain.rest, now).Add(time.Duration(vain) * vainPause)
		p.at = later(p.at, o.retain.rest)
	}
	return due, used, nil
}

// minds reports whether the job is one that the walker is there for.
func (w *walker) minds(j *job.Job, own map[string]*walker) bool {
	return w.queue != "" || own[j.Queue] == nil
}

// finishedIDs returns up to limit ids of the walker's index, from an id up to
// below another.
func (o *Owner) finishedIDs(ctx context.Context, w *walker, s job.Status, from, to job.ID, limit int) ([]job.ID, error) {
	if compareIDs(from, to) >= 0 {
		return nil, nil
	}
	prefix := w.prefix(s)
	entries, err := o.store.engine.Scan(ctx, o.shard, engine.Range{
		From: append(prefix[:len(prefix):len(prefix)], from[:]...), To: append(prefix[:len(prefix):len(prefix)], to[:]...),
		Limit: limit, KeysOnly: true,
	})
	if err != nil {
		return nil, err
	}
	ids := make([]job.ID, len(entries))
	for i, e := range entries {
		if ids[i], err = tailID(e.Key); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// makeRoom returns the jobs that a queue gives up whose finished jobs take more
// than they may. A job that was stored before bytes were counted goes with those
// that are younger, although it makes no room: it takes some all the same.
func (o *Owner) makeRoom(ctx context.Context, w *walker, limit int) (trims []Trim, used int, err error) {
	kept, err := o.store.engine.Counters(ctx, o.shard, appendCountName(nil, w.queue, classKept))
	if err != nil {
		return nil, 0, err
	}
	used = scanRows
	over := kept[0] - w.rule.MaxBytes
	for i := range w.passes {
		if over <= 0 || len(trims) >= limit {
			break
		}
		found, freed, err := o.oldest(ctx, w, &w.passes[i], over, limit-len(trims))
		if err != nil {
			return nil, 0, err
		}
		over -= freed
		used += scanRows + len(found)
		for _, j := range found {
			trims = append(trims, Trim{j, TrimBytes})
		}
	}
	w.full = len(trims) > 0 // to be looked at again when they are gone
	return trims, used, nil
}

// oldest returns the oldest jobs of a status that take so many bytes together.
func (o *Owner) oldest(ctx context.Context, w *walker, p *pass, bytes int64, limit int) (found []*job.Job, freed int64, err error) {
	ids, err := o.finishedIDs(ctx, w, p.status, p.bottom(), greatestID, limit)
	if err != nil {
		return nil, 0, err
	}
	if len(ids) > 0 {
		p.rise(ids[0])
	}
	jobs, err := o.store.jobs(ctx, o.shard, ids)
	if err != nil {
		return nil, 0, err
	}
	for _, id := range ids {
		if freed >= bytes {
			break
		}
		if j := jobs[id]; j != nil && j.Status == p.status {
			found = append(found, j)
			freed += int64(j.Counted)
		}
	}
	return found, freed, nil
}

// rise notes that nothing is there below an id.
func (p *pass) rise(id job.ID) {
	p.base = laterID(p.base, id)
	if compareIDs(p.low, id) < 0 {
		p.low = id
	}
}

// later and laterID return the greater of two.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func laterID(a, b job.ID) job.ID {
	if compareIDs(a, b) < 0 {
		return b
	}
	return a
}

func firstID(ids []job.ID) (first job.ID) {
	if len(ids) > 0 {
		first = ids[0]
	}
	return first
}

// nextID returns the least id above id.
func nextID(id job.ID) job.ID {
	for i := len(id) - 1; i >= 0; i-- {
		if id[i]++; id[i] != 0 {
			break
		}
	}
	return id
}
