package control

import (
	"context"
	"slices"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
)

// The bounds of a page.
const (
	MaxPage     = 1000
	DefaultPage = 100
)

// JobQuery says which jobs are listed; a zero field allows all.
type JobQuery struct {
	// Status is one of job.ShownStatuses.
	Status string
	Queue  string
	Type   string
	Key    string
	Labels map[string]string
	// CreatedAfter, inclusive, and CreatedBefore, exclusive, bound the time of
	// creation.
	CreatedAfter, CreatedBefore time.Time
	// Cursor is the one of the page before, for the same query; empty for the
	// first page.
	Cursor string
	// Limit is from 1 to MaxPage; 0 means DefaultPage.
	Limit int
}

// JobList is one page of jobs, newest first.
type JobList struct {
	Jobs []Job
	// Cursor leads to the next page; empty after the last one. A page may be
	// short although another one follows.
	Cursor string
}

// ListJobs returns a page of the jobs that the context's principal may read,
// without payloads and results.
func (c *Control) ListJobs(ctx context.Context, q JobQuery) (JobList, error) {
	see, err := visible(ctx)
	if err != nil {
		return JobList{}, err
	}
	if q.Queue != "" && see != nil && !see(q.Queue) {
		return JobList{}, forbidden("the key has no %s scope for this queue", ActionRead)
	}
	before, err := q.check()
	if err != nil {
		return JobList{}, err
	}
	now, err := c.store.Now(ctx)
	if err != nil {
		return JobList{}, storeError("list jobs", err)
	}
	page, err := c.store.ListJobs(ctx, c.filter(ctx, &q, see, now), before, q.Limit)
	if err != nil {
		return JobList{}, storeError("list jobs", err)
	}
	return c.jobList(ctx, &q, page, now), nil
}

func (c *Control) jobList(ctx context.Context, q *JobQuery, page store.JobPage, now time.Time) JobList {
	list := JobList{Jobs: make([]Job, len(page.Jobs))}
	running := c.running(ctx, page.Jobs...)
	for i, j := range page.Jobs {
		list.Jobs[i] = Job{Job: j, Shown: j.Display(now, running[i])}
	}
	if !page.Next.IsZero() {
		list.Cursor = q.cursorAfter(page.Next)
	}
	return list
}

// filter translates what is shown into what is stored.
func (c *Control) filter(ctx context.Context, q *JobQuery, see func(string) bool, now time.Time) store.JobFilter {
	f := store.JobFilter{
		Queue: q.Queue, Type: q.Type, Key: q.Key, Label: q.Labels,
		CreatedAfter: q.CreatedAfter, CreatedBefore: q.CreatedBefore,
	}
	wantShown := false
	if q.Status != "" {
		if s, ok := job.ParseStatus(q.Status); ok {
			f.Status = s
		} else {
			f.Status, wantShown = job.Waiting, true
		}
	}
	if !wantShown && see == nil {
		return f
	}
	elsewhere := c.elsewhere(ctx)
	f.Keep = func(j *job.Job) bool {
		if see != nil && !see(j.Queue) {
			return false
		}
		return !wantShown || j.Display(now, c.dispatch.Running(j.ID)[0] || elsewhere(j)) == q.Status
	}
	return f
}

// check fills in the default limit and returns the id before which the page
// begins.
func (q *JobQuery) check() (before job.ID, err error) {
	f := q.faults("")
	f.add("limit", checkLimit(&q.Limit))
	if q.Cursor != "" {
		if before, err = q.before(); err != nil {
			f.add("cursor", err.Error())
		}
	}
	if len(f) > 0 {
		return job.ID{}, invalid(f...)
	}
	return before, nil
}

// faults returns what is wrong with the query but for its page; prefix comes
// before the names of its fields.
func (q *JobQuery) faults(prefix string) (f faults) {
	if q.Status != "" && !slices.Contains(job.ShownStatuses(), q.Status) {
		f.add(prefix+"status", "must be one of scheduled, pending, retrying, running, succeeded, dead, cancelled, expired")
	}
	if q.Queue != "" {
		f.add(prefix+"queue", job.CheckName(q.Queue))
	}
	if q.Type != "" {
		f.add(prefix+"type", job.CheckType(q.Type))
	}
	if q.Key != "" {
		f.add(prefix+"key", job.CheckKey(q.Key))
	}
	if _, message := job.CheckLabels(q.Labels); message != "" {
		f.add(prefix+"label", message)
	}
	return f
}

// checkLimit fills in the default.
func checkLimit(limit *int) string {
	if *limit == 0 {
		*limit = DefaultPage
	}
	if *limit < 1 || *limit > MaxPage {
		return "must be from 1 to 1000"
	}
	return ""
}
