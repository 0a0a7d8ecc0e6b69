package store

import (
	"fmt"
	"testing"

	"github.com/orchestrix/orchestrix/job"
)

func keyed(f *fixture, key string, n int) {
	for range n {
		f.one("q", func(j *job.Job) { j.Key = key })
	}
}

// A lane whose keys are skipped is read past them, and is caught up without
// them: what arrives for others is taken from memory.
func TestReadLaneExcept(t *testing.T) {
	t.Parallel()
	overEngines(t, 1, func(t *testing.T, f *fixture) {
		f.own(0)
		keyed(f, "deep", 100)
		keyed(f, "other", 2)
		f.take()
		entries, skipped, more, err := f.owner.ReadLaneExcept(ctx(), lane("q"), 10, 1<<20, func(key string) bool { return key == "deep" })
		f.check(err)
		f.equal("entries", seqs(entries), []uint64{101, 102})
		f.equal("skipped", skipped, []string{"deep"})
		f.equal("more", more, false)
		keyed(f, "other", 1)
		keyed(f, "deep", 1)
		f.equal("taken", f.take(), []uint64{103})
		f.equal("behind", seqs(f.readLane(lane("q"))), []uint64(nil))
		entries, more, err = f.owner.ReadKey(ctx(), lane("q"), "deep", 2, 1<<20)
		f.check(err)
		f.equal("read by key", fmt.Sprint(seqs(entries), more), "[1 2] true")
		f.owner.Return(lane("q"), entries[1:])
		entries, more, err = f.owner.ReadKey(ctx(), lane("q"), "deep", 1000, 1<<20)
		f.check(err)
		f.equal("all of it", fmt.Sprint(len(entries), entries[0].Seq, more), "100 2 false")
		keyed(f, "deep", 1)
		f.equal("as any other", f.take(), []uint64{105})
	})
}

// What becomes visible while a key is read to its end must not be forgotten.
func TestReadKeyIsToldOfWhatArrives(t *testing.T) {
	t.Parallel()
	f, _ := modelFixture(t, 1)
	f.own(0)
	f.readLane(lane("q"))
	r, told := f.owner.tracker.beginKeyRead(lane("q"), "k")
	keyed(f, "k", 1)
	f.equal("taken", f.take(), []uint64(nil))
	f.equal("behind", f.owner.tracker.finishKey(r, &walk{}, "k", told, true), true)
	f.owner.tracker.endRead(r)
	f.equal("of the lane", seqs(f.readLane(lane("q"))), []uint64(nil))
	entries, more, err := f.owner.ReadKey(ctx(), lane("q"), "k", 10, 1<<20)
	f.check(err)
	f.equal("of the key", fmt.Sprint(seqs(entries), more), "[1] false")
}
