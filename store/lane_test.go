package store

import (
	"errors"
	"fmt"
	"testing"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
)

// take offers all that arrived and returns which numbers were taken.
func (f *fixture) take() (taken []uint64) {
	for _, a := range f.offered {
		for _, e := range a.Ready {
			if f.owner.Take(LaneOf(e.Job), e) {
				taken = append(taken, e.Seq)
			}
		}
	}
	f.offered = nil
	return taken
}

func seqs(entries []*Entry) (seqs []uint64) {
	for _, e := range entries {
		seqs = append(seqs, e.Seq)
	}
	return seqs
}

func TestTake(t *testing.T) {
	t.Parallel()
	overEngines(t, 1, func(t *testing.T, f *fixture) {
		f.own(0)
		f.enqueue(f.job("q", nil), f.job("q", nil))
		f.equal("before the first read", f.take(), []uint64(nil))
		f.equal("the first read", seqs(f.readLane(lane("q"))), []uint64{1, 2})
		f.enqueue(f.job("q", nil), f.job("q", func(j *job.Job) { j.Key = "k" }))
		f.equal("caught up", f.take(), []uint64{3, 4})
		f.equal("nothing is left", seqs(f.readLane(lane("q"))), []uint64(nil))
		f.one("p", nil)
		f.equal("a lane that was never read", f.take(), []uint64(nil))
		f.one("q", nil)
		f.equal("the other lane is not held up", f.take(), []uint64{6})

		f.one("q", nil) // of another node: never offered
		f.offered = nil
		f.one("q", nil)
		f.equal("above a hole", f.take(), []uint64(nil))
		f.one("q", nil)
		f.equal("after a hole", f.take(), []uint64(nil))
		f.equal("what was missed", seqs(f.readLane(lane("q"))), []uint64{7, 8, 9})
		f.one("q", nil)
		f.equal("caught up again", f.take(), []uint64{10})
		f.equal("the other lane", seqs(f.readLane(lane("p"))), []uint64{5})
	})
}

func TestTakeOfWhatWasRead(t *testing.T) {
	t.Parallel()
	f, _ := modelFixture(t, 1)
	f.own(0)
	f.readLane(lane("q"))
	f.one("q", nil)
	f.equal("read before it is offered", seqs(f.readLane(lane("q"))), []uint64{1})
	f.equal("offered late", f.take(), []uint64(nil))
	f.equal("not again", seqs(f.readLane(lane("q"))), []uint64(nil))
	f.one("q", nil)
	f.equal("the next", f.take(), []uint64{2})
}

// A number that the owner itself used is no hole.
func TestTakeBesideOwnNumbers(t *testing.T) {
	t.Parallel()
	overEngines(t, 1, func(t *testing.T, f *fixture) {
		f.own(0)
		f.readLane(lane("q"))
		f.readLane(lane("p"))
		delayed := f.one("p", func(j *job.Job) { j.Due = start.Add(1000) })
		target := f.one("q", nil)
		f.equal("first", f.take(), []uint64{1})
		f.clock.advance(1000)
		_, err := f.Send(ctx(), Command{Kind: CommandCancel, ID: target.ID}) // number 2
		f.check(err)
		if commands, _, err := f.owner.ReadInbox(ctx(), 10); err != nil || len(commands) != 1 || commands[0].Seq != 2 {
			t.Fatalf("inbox %+v, %v", commands, err)
		}
		timers, _, err := f.owner.ReadTimers(ctx(), f.clock.Now(), 10)
		f.check(err)
		f.one("q", nil) // number 3, offered after the promotion has taken number 4
		f.commit(&Commit{Promote: []*Entry{timers[0].Entry}})
		f.one("q", nil) // number 5
		f.equal("beside", f.take(), []uint64{3, 5})
		f.equal("promoted", ids(f.readLane(lane("p"))), []job.ID{delayed.ID})
		f.audit(0)
	})
}

func TestKeysAreServedInTurn(t *testing.T) {
	t.Parallel()
	overEngines(t, 1, func(t *testing.T, f *fixture) {
		for i := range 300 {
			f.one("q", func(j *job.Job) { j.Key = "deep" })
			if i%100 == 99 {
				f.one("q", func(j *job.Job) { j.Key = fmt.Sprint("shallow", i) })
			}
		}
		f.own(0)
		served := map[string]int{}
		last := uint64(0)
		for range 4 {
			entries, more, err := f.owner.ReadLane(ctx(), lane("q"), 20, 1<<20)
			f.check(err)
			if len(entries) != 20 || !more {
				t.Fatalf("%d entries, more: %v", len(entries), more)
			}
			for _, e := range entries {
				served[e.Job.Key]++
				if e.Job.Key == "deep" && e.Seq <= last {
					t.Fatalf("seq %d after %d", e.Seq, last)
				} else if e.Job.Key == "deep" {
					last = e.Seq
				}
			}
		}
		f.equal("served", served, map[string]int{"deep": 77, "shallow99": 1, "shallow199": 1, "shallow299": 1})
	})
}

// With more keys than a call may serve, all are served in the end, once each.
func TestManyKeys(t *testing.T) {
	t.Parallel()
	overEngines(t, 1, func(t *testing.T, f *fixture) {
		const keys = 500
		var jobs []NewJob
		for i := range 2 * keys {
			jobs = append(jobs, f.job("q", func(j *job.Job) { j.Key = fmt.Sprint(i % keys) }))
		}
		f.enqueue(jobs...)
		f.own(0)
		entries := f.readLane(lane("q"))
		seen := map[job.ID]bool{}
		for _, e := range entries {
			seen[e.Job.ID] = true
		}
		if len(entries) != 2*keys || len(seen) != 2*keys {
			t.Fatalf("%d entries of %d jobs", len(entries), len(seen))
		}
		claim := f.owner.NextCommit()
		f.commit(f.claimAll(entries))
		f.commit(f.settleAll(entries, claim))
		if n := len(f.owner.tracker.readers[lane("q")].cursors); n > maxIdleCursors {
			t.Errorf("%d cursors are kept at rest", n)
		}
		f.audit(0)
	})
}

func TestReadLaneHeedsTheBytes(t *testing.T) {
	t.Parallel()
	f, _ := modelFixture(t, 1)
	for range 5 {
		nj := f.job("q", nil)
		nj.Payload = append([]byte("payload "), make([]byte, 92)...)
		nj.Job.PayloadSize = len(nj.Payload)
		f.enqueue(nj)
	}
	f.own(0)
	for _, step := range []struct {
		bytes int
		want  []uint64
		more  bool
	}{{250, []uint64{1, 2}, true}, {1, []uint64{3}, true}, {1000, []uint64{4, 5}, false}, {1000, nil, false}} {
		entries, more, err := f.owner.ReadLane(ctx(), lane("q"), 10, step.bytes)
		f.check(err)
		f.equal(fmt.Sprintf("with %d bytes", step.bytes), seqs(entries), step.want)
		if more != step.more {
			t.Errorf("with %d bytes: more = %v", step.bytes, more)
		}
	}
}

func TestStaleEntriesAreDropped(t *testing.T) {
	t.Parallel()
	overEngines(t, 1, func(t *testing.T, f *fixture) {
		var jobs []*job.Job
		for range 10 {
			jobs = append(jobs, f.one("q", nil))
		}
		f.own(0)
		c := &Commit{}
		for i, j := range jobs {
			if i == 4 {
				continue // stays alive between the others
			}
			next := *j
			next.Status, next.FinishedAt = job.Cancelled, start
			c.Settle = append(c.Settle, Settle{Job: &next, Was: Standing{Status: job.Waiting, Place: InLane}})
		}
		f.commit(c)
		f.audit(0)
		f.equal("alive", ids(f.readLane(lane("q"))), []job.ID{jobs[4].ID})
		f.commit(&Commit{})
		left, err := f.engine.Scan(ctx(), 0, engine.Range{From: []byte{spaceLane}, To: []byte{spaceLane + 1}, Limit: 100})
		f.check(err)
		if len(left) != 1 {
			t.Errorf("%d entries are left in the lane, want 1", len(left))
		}
		if r := f.owner.tracker.readers[lane("q")]; r.outstanding != 1 {
			t.Errorf("%d entries are outstanding, want 1", r.outstanding)
		}
	})
}

func TestDrop(t *testing.T) {
	t.Parallel()
	f, _ := modelFixture(t, 1)
	j := f.one("q", nil)
	f.own(0)
	e := f.readLane(lane("q"))[0]
	next := *j
	next.Status, next.FinishedAt = job.Cancelled, start
	f.commit(&Commit{Settle: []Settle{{Job: &next, Was: Standing{Status: job.Waiting, Place: InLane}}}})
	f.owner.Drop(e)
	f.commit(&Commit{})
	lanes, err := f.owner.Lanes(ctx())
	f.check(err)
	if len(lanes) != 0 || f.owner.tracker.readers[lane("q")].outstanding != 0 {
		t.Errorf("lanes %v are left", lanes)
	}
}

func TestLanes(t *testing.T) {
	t.Parallel()
	overEngines(t, 1, func(t *testing.T, f *fixture) {
		f.own(0)
		for _, queue := range []string{"b", "a", "a.b"} {
			for _, p := range []job.Priority{job.Low, job.Critical} {
				for range 3 {
					f.one(queue, func(j *job.Job) { j.Priority = p })
				}
			}
		}
		f.one("a", func(j *job.Job) { j.URL = "https://example.com"; j.Key = "k" })
		lanes, err := f.owner.Lanes(ctx())
		f.check(err)
		f.equal("lanes", lanes, []Lane{
			{Queue: "a", Priority: job.Critical, AdHoc: false},
			{Queue: "a", Priority: job.Normal, AdHoc: true},
			{Queue: "a", Priority: job.Low, AdHoc: false},
			{Queue: "a.b", Priority: job.Critical, AdHoc: false},
			{Queue: "a.b", Priority: job.Low, AdHoc: false},
			{Queue: "b", Priority: job.Critical, AdHoc: false},
			{Queue: "b", Priority: job.Low, AdHoc: false},
		})
	})
}

// Several lanes are read at once, each as by itself; where the store fails, none has
// handed out anything.
func TestReadLanes(t *testing.T) {
	t.Parallel()
	f, e := modelFixture(t, 1)
	f.own(0)
	for range 3 {
		f.one("a", nil)
		f.one("b", func(j *job.Job) { j.Key = "k" })
	}
	reads := func() []LaneRead {
		return []LaneRead{
			{Lane: lane("a"), Limit: 2, MaxBytes: 1 << 20},
			{Lane: lane("b"), Limit: 10, MaxBytes: 1 << 20, Skip: func(key string) bool { return key == "k" }},
			{Lane: lane("c"), Limit: 10, MaxBytes: 1 << 20},
		}
	}
	e.Fail = func(op string, n int) error {
		if op == "get" {
			return engine.ErrUnavailable
		}
		return nil
	}
	failed := reads()
	if err := f.owner.ReadLanes(ctx(), failed); !errors.Is(err, ErrUnavailable) || failed[0].Entries != nil {
		t.Fatalf("%v, %v", err, failed[0].Entries)
	}
	e.Fail = nil
	got := reads()
	if err := f.owner.ReadLanes(ctx(), got); err != nil {
		t.Fatal(err)
	}
	f.equal("a", seqs(got[0].Entries), []uint64{1, 3})
	f.equal("more of a", got[0].More, true)
	f.equal("payload", string(got[0].Entries[1].Payload), "payload 3")
	f.equal("the rest of a", seqs(f.readLane(lane("a"))), []uint64{5})
	f.equal("b", seqs(got[1].Entries), []uint64(nil))
	f.equal("skipped of b", got[1].Skipped, []string{"k"})
	f.equal("c", len(got[2].Entries), 0)
	f.equal("more of c", got[2].More, false)
}
