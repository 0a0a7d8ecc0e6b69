package control

import (
	"context"

	"github.com/orchestrix/orchestrix/job"
)

// running reports for each job whether it is being pushed.
func (c *Control) running(ctx context.Context, jobs ...*job.Job) []bool {
	ids := make([]job.ID, len(jobs))
	for i, j := range jobs {
		ids[i] = j.ID
	}
	running := c.dispatch.Running(ids...)
	if !c.o.Shared {
		return running
	}
	elsewhere := c.elsewhere(ctx)
	for i, j := range jobs {
		running[i] = running[i] || elsewhere(j)
	}
	return running
}

// elsewhere returns a function that reports whether a job is being pushed by
// another node. The store knows it; where that does not answer, it is not said of
// a job that it runs. The function reads a shard once.
func (c *Control) elsewhere(ctx context.Context) func(*job.Job) bool {
	shards := make(map[int]map[job.ID]int)
	return func(j *job.Job) bool {
		shard := j.ID.Shard()
		if !c.o.Shared || j.Status != job.Waiting || c.dispatch.Serves(shard) {
			return false
		}
		claimed, read := shards[shard]
		if !read {
			var err error
			if claimed, err = c.store.Claimed(ctx, shard); err != nil {
				c.log.DebugContext(ctx, "it is not known which jobs are running", "shard", shard, "error", err)
			}
			shards[shard] = claimed
		}
		return claimed[j.ID] > j.Attempt
	}
}
