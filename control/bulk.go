package control

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
)

// JobSelection says which jobs an operation is about: those that all of the
// fields allow, of which at least one must be set.
type JobSelection struct {
	// All, which stands alone, says in so many words that every job is meant.
	All bool `json:"all,omitempty"`
	// Status is one of job.ShownStatuses, and one that the operation can change.
	// Without it all of those are meant; of a retry, the dead jobs.
	Status string            `json:"status,omitempty"`
	Queue  string            `json:"queue,omitempty"`
	Type   string            `json:"type,omitempty"`
	Key    string            `json:"key,omitempty"`
	Labels map[string]string `json:"label,omitempty"`
	// CreatedAfter, inclusive, and CreatedBefore, exclusive, bound the time of
	// creation.
	CreatedAfter  time.Time `json:"created_after,omitzero"`
	CreatedBefore time.Time `json:"created_before,omitzero"`
}

func (s *JobSelection) query() JobQuery {
	return JobQuery{
		Status: s.Status, Queue: s.Queue, Type: s.Type, Key: s.Key, Labels: s.Labels,
		CreatedAfter: s.CreatedAfter, CreatedBefore: s.CreatedBefore,
	}
}

func (s *JobSelection) empty() bool {
	return s.Status == "" && s.Queue == "" && s.Type == "" && s.Key == "" && len(s.Labels) == 0 &&
		s.CreatedAfter.IsZero() && s.CreatedBefore.IsZero()
}

// bulk is what a kind of operation does to each job.
type bulk struct {
	command store.CommandKind
	// live says that it is for jobs that have not ended, otherwise for those that
	// have.
	live bool
	// later says that of those it is for jobs that wait for a time to come.
	later bool
	// done reports whether the job, nil where it is gone, was changed by now in the
	// incarnation that was meant.
	done func(j *job.Job, incarnation int, now time.Time) bool
}

var bulks = map[string]bulk{
	OperationCancel: {command: store.CommandCancel, live: true, done: wasCancelled},
	OperationPurge:  {command: store.CommandPurge, live: true, done: wasCancelled},
	OperationRetry:  {command: store.CommandRetry, done: func(j *job.Job, incarnation int, _ time.Time) bool { return j != nil && j.Incarnation > incarnation }},
	OperationRunNow: {command: store.CommandRunNow, live: true, later: true, done: waitsNoMore},
	OperationDelete: {command: store.CommandDelete, done: func(j *job.Job, _ int, _ time.Time) bool { return j == nil }},
}

func wasCancelled(j *job.Job, incarnation int, _ time.Time) bool {
	return j != nil && j.Status == job.Cancelled && j.Incarnation == incarnation
}

// waitsNoMore reports whether a job that was made due has come to its turn: a
// command that was answered leaves it due, and it may have been pushed, failed
// and wait for its next attempt since. One that was cancelled has not.
func waitsNoMore(j *job.Job, incarnation int, now time.Time) bool {
	switch {
	case j == nil || j.Incarnation != incarnation || j.Status == job.Cancelled:
		return false
	case j.Status != job.Waiting || !j.Due.After(now):
		return true
	}
	n := len(j.Attempts)
	return n > 0 && now.Sub(j.Attempts[n-1].StartedAt) < justNow
}

// justNow is how long ago an attempt may have begun that a command has caused.
const justNow = 10 * time.Second

// statuses are the shown statuses of jobs that it can change.
func (b *bulk) statuses() []string {
	if b.later {
		return []string{job.ShownScheduled, job.ShownRetrying}
	}
	return slices.DeleteFunc(job.ShownStatuses(), func(s string) bool {
		_, ended := job.ParseStatus(s)
		return ended == b.live
	})
}

// check returns what is wrong with the selection for a kind of operation, and
// fills in what it leaves out.
func (s *JobSelection) check(kind string) error {
	b := bulks[kind]
	q := s.query()
	f := q.faults("filter.")
	switch {
	case s.All && !s.empty():
		f.add("filter.all", "must stand alone: it means every job")
	case !s.All && s.empty():
		f.add("filter", `must say which jobs to `+kind+`: at least one of status, queue, type, key, label, created_after and created_before, or {"all": true} for every job`)
	case s.Status == "":
	case !slices.Contains(b.statuses(), s.Status) && len(f) == 0:
		f.add("filter.status", "must be one of "+strings.Join(b.statuses(), ", ")+": no other job can be changed so")
	}
	if len(f) > 0 {
		return invalid(f...)
	}
	if kind == OperationRetry && s.Status == "" {
		s.Status = job.Dead.String()
	}
	return nil
}

// StartBulk begins to cancel, retry, run at once or delete all jobs that the selection
// allows and that are there now. It returns once that is durable; the work goes
// on until it is done, also over a restart.
func (c *Control) StartBulk(ctx context.Context, kind string, s JobSelection) (Operation, error) {
	if err := s.check(kind); err != nil {
		return Operation{}, err
	}
	if err := s.mayWrite(ctx); err != nil {
		return Operation{}, err
	}
	return c.startOperation(ctx, kind, s)
}

// PurgeQueue begins to cancel, with the reason purged, all jobs that wait in a
// queue now, whenever they are due; those that are being pushed go on. It
// returns as StartBulk does.
func (c *Control) PurgeQueue(ctx context.Context, name string) (Operation, error) {
	if err := c.purgeable(ctx, name); err != nil {
		return Operation{}, err
	}
	return c.startOperation(ctx, OperationPurge, JobSelection{Queue: name})
}

// purgeable returns an error unless the queue is there and the context's
// principal may purge it.
func (c *Control) purgeable(ctx context.Context, name string) error {
	if message := job.CheckName(name); message != "" {
		return invalidField("name", "%s", message)
	}
	if err := allow(ctx, ActionWriteJobs, name); err != nil {
		return err
	}
	counts, err := c.store.Counts(ctx, name)
	if err != nil {
		return storeError("count the queue's jobs", err)
	}
	if _, configured := c.configured()[name]; !configured && counts == (store.Counts{}) {
		return notFound("queue", name)
	}
	return nil
}

// Matches is how many jobs an operation would be about.
type Matches struct {
	Filter JobSelection
	Jobs   int64
	// More says that there may be more: not all jobs were looked at.
	More bool
}

// countedPages bounds how many pages of jobs one count looks at: half a million
// jobs, or 50,000 that match, which takes a second or two.
const countedPages = 50

// CountBulk counts the jobs that StartBulk would be about, and changes nothing.
func (c *Control) CountBulk(ctx context.Context, kind string, s JobSelection) (Matches, error) {
	if err := s.check(kind); err != nil {
		return Matches{}, err
	}
	if err := s.mayWrite(ctx); err != nil {
		return Matches{}, err
	}
	return c.count(ctx, kind, s)
}

// CountPurge counts the jobs that wait in a queue, those that are being pushed
// included, and changes nothing.
func (c *Control) CountPurge(ctx context.Context, name string) (Matches, error) {
	if err := c.purgeable(ctx, name); err != nil {
		return Matches{}, err
	}
	return c.count(ctx, OperationPurge, JobSelection{Queue: name})
}

func (c *Control) count(ctx context.Context, kind string, s JobSelection) (Matches, error) {
	m := Matches{Filter: s}
	if s.wholeQueue() { // which is counted already
		counts, err := c.store.Counts(ctx, s.Queue)
		if err != nil {
			return Matches{}, storeError("count the queue's jobs", err)
		}
		m.Jobs = countOf(&counts, kind, s.Status)
		return m, nil
	}
	now, err := c.store.Now(ctx)
	if err != nil {
		return Matches{}, storeError("count jobs", err)
	}
	r := operationRecord{Kind: kind, Filter: s, Until: untilNow(now)}
	for range countedPages {
		jobs, err := c.nextPage(ctx, &r, MaxPage)
		if err != nil {
			return Matches{}, err
		}
		m.Jobs += int64(len(jobs))
		if r.Listed {
			return m, nil
		}
	}
	m.More = true
	return m, nil
}

// wholeQueue reports whether the selection is all of a queue, perhaps in one
// terminal status.
func (s *JobSelection) wholeQueue() bool {
	rest := *s
	rest.Queue, rest.Status = "", ""
	_, stored := job.ParseStatus(s.Status)
	return s.Queue != "" && rest.empty() && (s.Status == "" || stored)
}

func countOf(n *store.Counts, kind, status string) int64 {
	switch b := bulks[kind]; {
	case b.later:
		return n.Scheduled + n.Retrying
	case b.live:
		return n.Waiting
	}
	ended := map[string]int64{
		job.Succeeded.String(): n.Succeeded, job.Dead.String(): n.Dead,
		job.Cancelled.String(): n.Cancelled, job.Expired.String(): n.Expired,
	}
	if status != "" {
		return ended[status]
	}
	total := int64(0)
	for _, of := range ended {
		total += of
	}
	return total
}

// untilNow is the bound of jobs that are there now: ids know time in
// milliseconds.
func untilNow(now time.Time) time.Time { return millis(now).Add(time.Millisecond) }

// nextPage goes on with the list of an operation's jobs, newest first, and
// returns the next that match, up to limit; there may be none although the list
// has not ended.
func (c *Control) nextPage(ctx context.Context, r *operationRecord, limit int) ([]*job.Job, error) {
	page, err := c.store.ListJobs(ctx, r.filter(), r.Cursor, limit)
	if err != nil {
		return nil, storeError("list jobs", err)
	}
	r.Cursor, r.Listed = page.Next, page.Next.IsZero()
	later := bulks[r.Kind].later
	if _, stored := job.ParseStatus(r.Filter.Status); stored || r.Filter.Status == "" && !later || len(page.Jobs) == 0 {
		return page.Jobs, nil
	}
	now, err := c.store.Now(ctx)
	if err != nil {
		return nil, storeError("list jobs", err)
	}
	running := c.running(ctx, page.Jobs...)
	shown := page.Jobs[:0]
	for i, j := range page.Jobs {
		if later && !j.Due.After(now) || r.Filter.Status != "" && j.Display(now, running[i]) != r.Filter.Status {
			continue
		}
		shown = append(shown, j)
	}
	return shown, nil
}

// filter returns what the store can tell of an operation's jobs.
func (r *operationRecord) filter() store.JobFilter {
	s := &r.Filter
	f := store.JobFilter{
		Queue: s.Queue, Type: s.Type, Key: s.Key, Label: s.Labels,
		CreatedAfter: s.CreatedAfter, CreatedBefore: r.Until,
	}
	if !s.CreatedBefore.IsZero() && s.CreatedBefore.Before(r.Until) {
		f.CreatedBefore = s.CreatedBefore
	}
	switch status, stored := job.ParseStatus(s.Status); {
	case bulks[r.Kind].live:
		f.Status = job.Waiting
	case stored:
		f.Status = status
	default:
		f.Keep = (*job.Job).Settled
	}
	return f
}

// target is a job that is to be changed, in the incarnation in which it was
// found.
type target struct {
	id          job.ID
	incarnation int
}

// targets are stored as a text: a step's fits into a few kilobytes.
type targets []target

const targetLength = len(job.ID{}) + 4

// MarshalText implements encoding.TextMarshaler.
func (t targets) MarshalText() ([]byte, error) {
	raw := make([]byte, 0, len(t)*targetLength)
	for _, each := range t {
		raw = append(raw, each.id[:]...)
		raw = binary.BigEndian.AppendUint32(raw, uint32(each.incarnation))
	}
	return base64.RawStdEncoding.AppendEncode(nil, raw), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (t *targets) UnmarshalText(text []byte) error {
	raw, err := base64.RawStdEncoding.AppendDecode(nil, text)
	if err != nil || len(raw)%targetLength != 0 {
		return fmt.Errorf("a step of %d characters cannot be read", len(text))
	}
	*t = nil
	for each := range slices.Chunk(raw, targetLength) {
		id := job.ID(each[:targetLength-4])
		*t = append(*t, target{id, int(binary.BigEndian.Uint32(each[targetLength-4:]))})
	}
	return nil
}

func targetsOf(jobs []*job.Job) targets {
	t := make(targets, len(jobs))
	for i, j := range jobs {
		t[i] = target{j.ID, j.Incarnation}
	}
	return t
}
