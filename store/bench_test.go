package store

import (
	"bytes"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
	"github.com/orchestrix/orchestrix/store/engine/pebble"
)

// benchBatch is how many jobs a benchmark's batch has, as the API's clients and
// the dispatcher use it.
const benchBatch = 500

// benchEngines are the engines that benchmarks run over: the one in memory tells
// the CPU, that on a directory what is to be had with fsync.
func benchEngines(b *testing.B, bench func(b *testing.B, f *fixture)) {
	b.Run("memory", func(b *testing.B) {
		e, err := pebble.OpenMemory(pebble.Options{Shards: 1})
		if err != nil {
			b.Fatal(err)
		}
		defer e.Close()
		bench(b, benchFixture(b, e))
	})
	b.Run("directory", func(b *testing.B) {
		e, err := pebble.Open(b.TempDir(), pebble.Options{Shards: 1})
		if err != nil {
			b.Fatal(err)
		}
		defer e.Close()
		bench(b, benchFixture(b, e))
	})
}

func benchFixture(b *testing.B, e engine.Engine) *fixture {
	f := newFixture(b, e, &clock{now: time.Now().UTC().Truncate(time.Millisecond)})
	f.own(0)
	f.readLane(lane("q")) // caught up: from here on new entries are taken
	return f
}

func (f *fixture) batch(payload []byte) []NewJob {
	jobs := make([]NewJob, benchBatch)
	for i := range jobs {
		jobs[i] = f.job("q", nil)
		jobs[i].Payload, jobs[i].Job.PayloadSize = payload, len(payload)
	}
	return jobs
}

// takeAll takes the entries that arrived.
func (f *fixture) takeAll(b *testing.B) (entries []*Entry) {
	for _, a := range f.offered {
		for _, e := range a.Ready {
			if !f.owner.Take(LaneOf(e.Job), e) {
				b.Fatalf("entry %d was not taken", e.Seq)
			}
			entries = append(entries, e)
		}
	}
	f.offered = f.offered[:0]
	return entries
}

func (f *fixture) claimAll(entries []*Entry) *Commit {
	c := &Commit{Claim: make([]ClaimEntry, len(entries))}
	for i, e := range entries {
		c.Claim[i] = f.claimOf(e)
	}
	return c
}

func (f *fixture) settleAll(entries []*Entry, claim uint64) *Commit {
	c := &Commit{Settle: make([]Settle, len(entries)), ClaimsDone: []uint64{claim}}
	for i, e := range entries {
		was := e.Standing()
		was.Place = InClaim
		c.Settle[i] = Settle{Job: f.settled(e.Job, job.Succeeded, job.OutcomeSucceeded), Was: was}
	}
	return c
}

// perJob reports the time of one job, and the processor time over all threads,
// those of the engine included.
func perJob(b *testing.B, cpu time.Duration) {
	jobs := float64(b.N) * benchBatch
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/jobs, "ns/job")
	b.ReportMetric(float64((cpuTime()-cpu).Nanoseconds())/jobs, "cpu-ns/job")
}

func BenchmarkEnqueue(b *testing.B) {
	payload := bytes.Repeat([]byte("x"), 1024)
	benchEngines(b, func(b *testing.B, f *fixture) {
		b.ReportAllocs()
		cpu := cpuTime()
		for b.Loop() {
			b.StopTimer()
			jobs := f.batch(payload)
			f.offered = nil
			b.StartTimer()
			f.enqueue(jobs...)
		}
		perJob(b, cpu)
	})
}

// BenchmarkCycle is the whole way of a batch through the store: enqueue, take,
// claim, settle.
func BenchmarkCycle(b *testing.B) {
	payload := bytes.Repeat([]byte("x"), 1024)
	benchEngines(b, func(b *testing.B, f *fixture) {
		b.ReportAllocs()
		cpu := cpuTime()
		for b.Loop() {
			b.StopTimer()
			jobs := f.batch(payload)
			b.StartTimer()
			f.enqueue(jobs...)
			entries := f.takeAll(b)
			claim := f.owner.NextCommit()
			f.commit(f.claimAll(entries))
			f.commit(f.settleAll(entries, claim))
		}
		perJob(b, cpu)
	})
}

// BenchmarkBacklog is the cycle of jobs that are read back from their lane.
func BenchmarkBacklog(b *testing.B) {
	payload := bytes.Repeat([]byte("x"), 1024)
	benchEngines(b, func(b *testing.B, f *fixture) {
		b.ReportAllocs()
		cpu := cpuTime()
		for b.Loop() {
			b.StopTimer()
			jobs := f.batch(payload)
			b.StartTimer()
			f.enqueue(jobs...)
			f.offered = f.offered[:0]
			entries, _, err := f.owner.ReadLane(ctx(), lane("q"), benchBatch, 8<<20)
			f.check(err)
			if len(entries) != benchBatch {
				b.Fatalf("read %d entries", len(entries))
			}
			claim := f.owner.NextCommit()
			f.commit(f.claimAll(entries))
			f.commit(f.settleAll(entries, claim))
		}
		perJob(b, cpu)
	})
}

func BenchmarkDecodeJob(b *testing.B) {
	f, _ := modelFixture(b, 1)
	j := f.settled(f.job("q", nil).Job, job.Waiting, job.OutcomeFailed)
	data := appendJob(nil, j)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeJob(j.ID, data); err != nil {
			b.Fatal(err)
		}
	}
}
