package store

import (
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/job"
)

func (f *fixture) position(j *job.Job, limit int) Position {
	f.Helper()
	stored, err := f.Job(ctx(), j.ID)
	f.check(err)
	p, err := f.Position(ctx(), stored, limit)
	f.check(err)
	return p
}

func TestPosition(t *testing.T) {
	t.Parallel()
	overEngines(t, 1, func(t *testing.T, f *fixture) {
		f.own(0)
		var jobs []*job.Job
		for range 2*positionChunk + 2 {
			jobs = append(jobs, f.one("q", func(j *job.Job) { j.Key = "k" }))
			f.one("q", func(j *job.Job) { j.Key = "k\x00" })
		}
		for _, n := range []int{0, 1, positionChunk - 1, positionChunk, positionChunk + 1, 2*positionChunk + 1} {
			p := f.position(jobs[n], 10_000)
			if !p.Found || p.Cut || p.Before != n || p.First.ID != jobs[0].ID {
				t.Errorf("job %d: %+v", n, p)
			}
		}
		for limit, cut := range map[int]bool{2*positionChunk + 2: false, 2*positionChunk + 1: true, 10: true} {
			if p := f.position(jobs[2*positionChunk+1], limit); p.Cut != cut || p.Found == cut || p.Before != min(limit, 2*positionChunk+1) {
				t.Errorf("after %d entries: %+v", limit, p)
			}
		}
		// What does not stand in the lane any more is not counted, also where its
		// entry is left behind.
		entries := f.readLane(lane("q"))
		for _, e := range entries {
			if e.Job.ID == jobs[1].ID {
				f.commit(&Commit{Claim: []ClaimEntry{f.claimOf(e)}})
			}
		}
		cancelled := *jobs[2]
		cancelled.Status = job.Cancelled
		f.commit(&Commit{Settle: []Settle{{Job: &cancelled, Was: Standing{Status: job.Waiting, Place: InLane}}}})
		if p := f.position(jobs[3], 100); !p.Found || p.Before != 1 {
			t.Errorf("behind a claimed and a cancelled one: %+v", p)
		}
		if p := f.position(jobs[1], 10_000); p.Found || p.Cut {
			t.Errorf("a claimed one: %+v", p)
		}
		delayed := f.one("q", func(j *job.Job) { j.Due = start.Add(time.Minute) })
		if p := f.position(delayed, 10_000); p.Found || p.Cut || p.First != nil {
			t.Errorf("a delayed one: %+v", p)
		}
	})
}

func TestPositionOfOrdered(t *testing.T) {
	t.Parallel()
	overEngines(t, 1, func(t *testing.T, f *fixture) {
		f.own(0)
		first := f.ordered("k", func(j *job.Job) { j.Priority, j.Due = job.Low, start.Add(time.Minute) })
		second := f.ordered("k", func(j *job.Job) { j.Priority = job.Critical })
		f.ordered("l", nil)
		if p := f.position(second, 100); !p.Found || p.Before != 1 || p.First.ID != first.ID || p.First.Due.IsZero() {
			t.Errorf("behind a delayed one: %+v", p)
		}
		dead := *first
		dead.Status, dead.Blocks = job.Dead, true
		f.commit(&Commit{Settle: []Settle{{Job: &dead, Was: f.head("k").Standing()}}})
		if p := f.position(second, 100); p.Before != 1 || p.First.Status != job.Dead {
			t.Errorf("behind a dead one that blocks: %+v", p)
		}
	})
}
