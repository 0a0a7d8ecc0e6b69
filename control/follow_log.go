package control

import (
	"context"
	"time"

	"github.com/orchestrix/orchestrix/job"
)

// LogEvent is one thing that is told of a job that is followed. One of its fields is set.
type LogEvent struct {
	Line     *LogLine
	Progress *Progress
	// Truncated says that the log is full.
	Truncated bool
	// Ended is the status of a job that has ended; it is the last event.
	Ended string
	// Idle says only that the job is still followed.
	Idle bool
}

const (
	// followLogEvery is how often a job is looked at without a hint.
	followLogEvery = time.Second
	// followLogPause keeps hints, which are for all of the shard, from becoming a flood.
	followLogPause = 100 * time.Millisecond
	// followLogIdle is how often Idle is told where there is nothing else.
	followLogIdle = 15 * time.Second
	// maxFollowers bounds those who follow at once, on this node.
	maxFollowers = 1000
)

// FollowLog tells of a job's log from the line after the number after, and of its
// progress, until the job has ended and all of it is told, tell fails or ctx ends. It
// holds one page of lines at most, and reads the next when tell has returned. It is Full
// where too many follow.
func (c *Control) FollowLog(ctx context.Context, id job.ID, after int, tell func(LogEvent) error) error {
	if c.followers.Add(1) > maxFollowers {
		c.followers.Add(-1)
		return &Error{Kind: Full, Code: "too_many_followers", RetryAfter: retryAfter, Detail: "too many follow the logs of jobs on this node"}
	}
	defer c.followers.Add(-1)
	hints, stop := c.store.Watch(id.Shard())
	defer stop()
	settled, unwatch := c.dispatch.Watch(id)
	defer unwatch()
	f := followed{c: c, id: id, after: after, tell: tell}
	tick := time.NewTicker(followLogEvery)
	defer tick.Stop()
	quiet := time.Now()
	for {
		told, ended, err := f.look(ctx)
		if err != nil || ended {
			return err
		}
		switch now := time.Now(); {
		case told:
			quiet = now
		case now.Sub(quiet) >= followLogIdle:
			if err := tell(LogEvent{Idle: true}); err != nil {
				return err
			}
			quiet = now
		}
		sleep(ctx, followLogPause)
		select {
		case <-hints:
		case <-tick.C:
		case <-settled:
			settled = nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// followed is how far somebody was told of a job.
type followed struct {
	c         *Control
	id        job.ID
	after     int
	progress  Progress
	truncated bool
	tell      func(LogEvent) error
}

// look tells what is new, and reports whether there was anything, and whether the job has
// ended.
func (f *followed) look(ctx context.Context) (told, ended bool, err error) {
	j, err := f.c.readJob(ctx, f.id) // before the log: of a job that has ended, it is whole
	if err != nil {
		return false, false, err
	}
	journal, err := f.c.store.Journal(ctx, f.id)
	if err != nil {
		return false, false, storeError("follow a log", err)
	}
	for f.after < journal.Lines {
		lines, err := f.c.store.LogLines(ctx, f.id, f.after, DefaultLogPage)
		if err != nil {
			return told, false, storeError("follow a log", err)
		}
		if len(lines) == 0 {
			break // deleted meanwhile
		}
		for i := range lines {
			if err := f.tell(LogEvent{Line: &lines[i]}); err != nil {
				return true, false, err
			}
			f.after = lines[i].Number
		}
		told = true
	}
	if journal.Progress != f.progress {
		told, f.progress = true, journal.Progress
		if err := f.tell(LogEvent{Progress: &f.progress}); err != nil {
			return true, false, err
		}
	}
	if journal.Truncated && !f.truncated {
		told, f.truncated = true, true
		if err := f.tell(LogEvent{Truncated: true}); err != nil {
			return true, false, err
		}
	}
	if !j.Settled() {
		return told, false, nil
	}
	return true, true, f.tell(LogEvent{Ended: j.Status.String()})
}
