package pebble_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/orchestrix/orchestrix/store/engine"
	"github.com/orchestrix/orchestrix/store/engine/pebble"
)

// jobs makes batches like those of an enqueue: per job a guarded record, a
// payload of 1 KiB, three index entries, one of them stamped, and two counters.
// The same memory serves for every batch.
type jobs struct {
	batch engine.Batch
	ids   [][]byte
	next  uint64
}

var payload = func() []byte {
	b := bytes.Repeat([]byte(`{"customer":"cus_0000000000","amount":1999,"currency":"eur"} `), 18)[:1024]
	// A fifth of a payload is what cannot be compressed.
	_, _ = rand.Read(b[:200])
	return b
}()

func newJobs(size int) *jobs {
	j := &jobs{}
	for range size {
		id := make([]byte, 17)
		j.ids = append(j.ids, id)
		key := func(prefix string) []byte { return append([]byte(prefix), id...) }
		j.batch.Groups = append(j.batch.Groups, engine.Group{
			Guards: []engine.Guard{{Key: key("j")}},
			Puts: []engine.Entry{
				{Key: key("j"), Value: payload[:180]},
				{Key: key("p"), Value: payload},
				{Key: key("s/queue/"), Value: nil},
				{Key: key("k/queue/key/"), Value: nil},
			},
			Stamped:  []engine.Entry{{Key: []byte("l/queue/1/key/"), Value: id}},
			Counters: []engine.Counter{{Name: []byte("live"), Value: 1}, {Name: []byte("queue/live"), Value: 1}},
		})
	}
	return j
}

// renew gives every job a new id, higher than any before.
func (j *jobs) renew(writer int) *engine.Batch {
	for i := range j.batch.Groups {
		j.next++
		id := j.ids[i]
		binary.BigEndian.PutUint64(id, j.next)
		binary.BigEndian.PutUint64(id[8:], uint64(writer))
		g := &j.batch.Groups[i]
		copy(g.Guards[0].Key[1:], id)
		for p := range g.Puts {
			key := g.Puts[p].Key
			copy(key[len(key)-len(id):], id)
		}
	}
	return &j.batch
}

// onDiskAndInMemory runs a benchmark on both kinds of store.
func onDiskAndInMemory(b *testing.B, f func(b *testing.B, e *pebble.Engine)) {
	b.Run("disk", func(b *testing.B) {
		f(b, openStore(b, b.TempDir(), pebble.Options{Logger: discard}))
	})
	b.Run("memory", func(b *testing.B) {
		e, err := pebble.OpenMemory(pebble.Options{Logger: discard})
		if err != nil {
			b.Fatal(err)
		}
		closeAtEnd(b, e)
		f(b, e)
	})
}

// reportPer adds the time for each of the n things that one operation handles.
func reportPer(b *testing.B, unit string, n int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/"+unit)
}

func BenchmarkEnqueue500(b *testing.B) {
	onDiskAndInMemory(b, func(b *testing.B, e *pebble.Engine) {
		j := newJobs(500)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := e.Apply(context.Background(), int(j.next/500)%e.Shards(), j.renew(0)); err != nil {
				b.Fatal(err)
			}
		}
		reportPer(b, "job", 500)
	})
}

// Single jobs from 64 clients: how well fsyncs are shared.
func BenchmarkEnqueueSingle64(b *testing.B) {
	for _, shards := range []int{1, 64} {
		b.Run(fmt.Sprintf("shards=%d", shards), func(b *testing.B) {
			e := openStore(b, b.TempDir(), pebble.Options{Logger: discard})
			var writers atomic.Int32
			before := e.Stats().Fsyncs
			b.ReportAllocs()
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				w := int(writers.Add(1))
				j := newJobs(1)
				for pb.Next() {
					if _, err := e.Apply(context.Background(), w%shards, j.renew(w)); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/float64(e.Stats().Fsyncs-before), "jobs/fsync")
		})
	}
}

// backlog fills one shard, with most of it in tables.
func backlog(b *testing.B, e *pebble.Engine, n int) {
	b.Helper()
	j := newJobs(500)
	for j.next < uint64(n) {
		if _, err := e.Apply(context.Background(), 0, j.renew(0)); err != nil {
			b.Fatal(err)
		}
	}
	if err := e.Flush(); err != nil {
		b.Fatal(err)
	}
}

const backlogSize = 100_000

func BenchmarkScan500(b *testing.B) {
	onDiskAndInMemory(b, func(b *testing.B, e *pebble.Engine) {
		backlog(b, e, backlogSize)
		r := engine.Range{From: []byte("l/"), To: []byte("m"), Limit: 500}
		b.ReportAllocs()
		for b.Loop() {
			entries, err := e.Scan(context.Background(), 0, r)
			if err != nil {
				b.Fatal(err)
			}
			if r.From = []byte("l/"); len(entries) == r.Limit {
				r.From = append(entries[r.Limit-1].Key, 0)
			}
		}
		reportPer(b, "entry", 500)
	})
}

func BenchmarkGet500(b *testing.B) {
	onDiskAndInMemory(b, func(b *testing.B, e *pebble.Engine) {
		backlog(b, e, backlogSize)
		keys := make([][]byte, 500)
		for i := range keys {
			keys[i] = append([]byte("p"), make([]byte, 17)...)
		}
		next := uint64(0)
		b.ReportAllocs()
		for b.Loop() {
			for _, key := range keys {
				next = next%backlogSize + 1
				binary.BigEndian.PutUint64(key[1:], next)
			}
			values, err := e.Get(context.Background(), 0, keys...)
			if err != nil || values[499] == nil {
				b.Fatal(err)
			}
		}
		reportPer(b, "key", 500)
	})
}
