package store

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine/pebble"
)

// TestCrash loses everything that was not made durable, in the middle of
// enqueues, claims and settles. What was acknowledged must be there, each job
// in one place, and the next owner can go on.
func TestCrash(t *testing.T) {
	t.Parallel()
	crashes := 8
	if testing.Short() {
		crashes = 3
	}
	for n := range crashes {
		fs := vfs.NewCrashableMem()
		f, closeStore := openDirectory(t, fs)
		f.own(0)
		traffic := f.traffic(50 * (n + 1))
		<-traffic.enough
		acknowledged := traffic.acknowledged()
		crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rand.New(rand.NewPCG(uint64(n), 1))})
		traffic.stop()
		closeStore()
		afterCrash(t, crashed, acknowledged)
	}
}

func openDirectory(t *testing.T, fs vfs.FS) (*fixture, func()) {
	t.Helper()
	e, err := pebble.Open("data", pebble.Options{Shards: 1, FS: fs, MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	return newFixture(t, e, &clock{now: start}), func() { e.Close() }
}

// traffic enqueues and works off jobs until it is stopped.
type traffic struct {
	mu     sync.Mutex
	ids    []job.ID
	enough chan struct{} // closed when so many are acknowledged, or none will be
	stop   func()
}

func (f *fixture) traffic(enough int) *traffic {
	var wg sync.WaitGroup
	done := make(chan struct{})
	tr := &traffic{enough: make(chan struct{}), stop: func() { close(done); wg.Wait() }}
	wg.Go(func() {
		reached := sync.OnceFunc(func() { close(tr.enough) })
		defer reached()
		for running(done) {
			if err := tr.enqueue(f); err != nil {
				f.Error(err)
				return
			}
			if len(tr.acknowledged()) >= enough {
				reached()
			}
		}
	})
	wg.Go(func() {
		for running(done) {
			if err := f.workOff(); err != nil {
				f.Error(err)
				return
			}
		}
	})
	return tr
}

func (tr *traffic) acknowledged() []job.ID {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return slices.Clone(tr.ids)
}

func (tr *traffic) enqueue(f *fixture) error {
	var jobs []NewJob
	for range 5 {
		jobs = append(jobs, f.job("q", nil))
	}
	brief := []NewJob{f.job("brief", nil), f.job("brief", nil)}
	if _, err := f.Enqueue(ctx(), 0, brief); err != nil {
		return err
	}
	if _, err := f.Enqueue(ctx(), 0, jobs); err != nil {
		return err
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for _, nj := range jobs {
		tr.ids = append(tr.ids, nj.Job.ID)
	}
	return nil
}

func running(done <-chan struct{}) bool {
	select {
	case <-done:
		return false
	default:
		return true
	}
}

// workOff ends some jobs of each queue, and trims those of the second.
func (f *fixture) workOff() error {
	if err := f.endSome("q"); err != nil {
		return err
	}
	if err := f.endSome("brief"); err != nil {
		return err
	}
	trims, _, err := f.owner.ReadFinished(ctx(), briefRetention, f.clock.Now(), 5)
	if err != nil || len(trims) == 0 {
		return err
	}
	return f.owner.Commit(ctx(), &Commit{Trim: trims})
}

var briefRetention = &RetentionRules{Own: map[string]Retention{"brief": {MaxBytes: 1_000}}}

func (f *fixture) endSome(queue string) error {
	entries, _, err := f.owner.ReadLane(ctx(), lane(queue), 3, 1<<20)
	if err != nil || len(entries) == 0 {
		return err
	}
	claim := f.owner.NextCommit()
	if err := f.owner.Commit(ctx(), f.claimAll(entries)); err != nil {
		return err
	}
	return f.owner.Commit(ctx(), f.settleAll(entries, claim))
}

func afterCrash(t *testing.T, fs vfs.FS, acknowledged []job.ID) {
	t.Helper()
	f, closeStore := openDirectory(t, fs)
	defer closeStore()
	f.audit(0)
	for _, id := range acknowledged {
		if _, err := f.Job(ctx(), id); err != nil {
			t.Fatalf("acknowledged before the crash: %v", err)
		}
	}
	f.own(0)
	claims, err := f.owner.Recover(ctx())
	f.check(err)
	for _, c := range claims {
		commit := &Commit{ClaimsDone: []uint64{c.Number}}
		for _, e := range c.Entries {
			commit.Settle = append(commit.Settle, Settle{Job: f.settled(e.Entry.Job, job.Dead, job.OutcomeLost), Was: e.Entry.Standing()})
		}
		f.commit(commit)
	}
	for _, l := range f.lanes() {
		entries := f.readLane(l)
		claim := f.owner.NextCommit()
		f.commit(f.claimAll(entries))
		f.commit(f.settleAll(entries, claim))
	}
	counts, err := f.Counts(ctx(), "q")
	f.check(err)
	if counts.Waiting != 0 || counts.Dead+counts.Succeeded == 0 {
		t.Errorf("after all was worked off: %+v", counts)
	}
	f.trim(briefRetention, 50)
	if brief, err := f.Counts(ctx(), "brief"); err != nil || brief.Kept > 1_000 || brief.Waiting != 0 || brief.Bytes != 0 {
		t.Errorf("the trimmed queue: %+v, %v", brief, err)
	}
	f.audit(0)
}

func (f *fixture) lanes() []Lane {
	f.Helper()
	lanes, err := f.owner.Lanes(ctx())
	f.check(err)
	return lanes
}
