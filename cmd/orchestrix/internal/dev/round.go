package dev

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/orchestrix/orchestrix/client"
)

// tracked is one sample job as it was last seen.
type tracked struct {
	sample *Sample
	job    client.Job
}

// round is the sample jobs that are being watched.
type round struct {
	api  *client.Client
	jobs []*tracked
	made map[string]int // jobs made so far, by type
}

func newRound(api *client.Client) *round { return &round{api: api, made: map[string]int{}} }

// add enqueues count jobs of a sample in one batch.
func (r *round) add(ctx context.Context, s *Sample, count int) error {
	jobs := make([]client.NewJob, count)
	for i := range jobs {
		r.made[s.Job.Type]++
		jobs[i] = s.instance(r.made[s.Job.Type])
	}
	results, err := r.api.EnqueueBatch(ctx, jobs)
	if err != nil {
		return err
	}
	for i, result := range results {
		if result.Error != nil {
			return fmt.Errorf("enqueue %s: %w", s.Job.Type, result.Error)
		}
		seen := client.Job{ID: result.ID, Queue: jobs[i].Queue, Type: jobs[i].Type, Status: result.Status, Key: jobs[i].Key, CreatedAt: time.Now()}
		r.jobs = append(r.jobs, &tracked{s, seen})
		if !s.Cancel {
			continue
		}
		if _, err := r.api.CancelJob(ctx, result.ID); err != nil {
			return err
		}
	}
	return nil
}

// refresh reads the jobs that have not ended, and returns those whose status or
// attempts changed.
func (r *round) refresh(ctx context.Context) ([]*tracked, error) {
	var changed []*tracked
	for _, t := range r.jobs {
		if t.job.Terminal() {
			continue
		}
		j, err := r.api.Job(ctx, t.job.ID, 0)
		if err != nil {
			return changed, err
		}
		if j.Status != t.job.Status || j.Attempt != t.job.Attempt {
			changed = append(changed, t)
		}
		t.job = *j
	}
	return changed, nil
}

// open returns how many jobs have not ended.
func (r *round) open() int {
	n := 0
	for _, t := range r.jobs {
		if !t.job.Terminal() {
			n++
		}
	}
	return n
}

// forget drops the oldest ended jobs over keep, so that a long stream does not
// grow.
func (r *round) forget(keep int) {
	over := len(r.jobs) - keep
	r.jobs = slices.DeleteFunc(r.jobs, func(t *tracked) bool {
		if over > 0 && t.job.Terminal() {
			over--
			return true
		}
		return false
	})
}

// latest returns the n newest jobs, newest first.
func (r *round) latest(n int) []client.Job {
	jobs := make([]client.Job, 0, len(r.jobs))
	for _, t := range r.jobs {
		jobs = append(jobs, t.job)
	}
	slices.SortStableFunc(jobs, func(a, b client.Job) int { return cmp.Compare(b.ID, a.ID) })
	return jobs[:min(n, len(jobs))]
}
