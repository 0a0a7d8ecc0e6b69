package store

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/orchestrix/orchestrix/job"
)

func TestListJobs(t *testing.T) {
	t.Parallel()
	overEngines(t, 4, func(t *testing.T, f *fixture) {
		var all []*job.Job
		for i := range 60 {
			all = append(all, f.one(fmt.Sprint("q", i%5), func(j *job.Job) {
				j.Type = fmt.Sprint("t", i%3)
				j.Labels = map[string]string{"n": fmt.Sprint(i % 4)}
				if i%2 == 0 {
					j.Key = fmt.Sprint("k", i%7)
				}
			}))
			f.clock.advance(time.Second)
		}
		for shard := range f.Shards() {
			f.own(shard)
			f.settleSome(all, shard)
		}
		slices.Reverse(all)
		filters := map[string]JobFilter{
			"all": {}, "queue": {Queue: "q1"}, "queue and key": {Queue: "q2", Key: "k2"}, "key": {Key: "k4"},
			"status": {Status: job.Dead}, "queue and status": {Queue: "q0", Status: job.Waiting}, "type": {Type: "t1"},
			"label": {Label: map[string]string{"n": "2"}}, "no such label": {Label: map[string]string{"m": ""}},
			"queue, key and status": {Queue: "q0", Key: "k0", Status: job.Dead},
			"times":                 {CreatedAfter: start.Add(10 * time.Second), CreatedBefore: start.Add(20 * time.Second)},
			"condition":             {Keep: func(j *job.Job) bool { return j.Type != "t1" }},
			"nothing":               {Queue: "absent"},
		}
		for name, filter := range filters {
			for _, limit := range []int{1, 7, 100} {
				got := f.list(filter, limit)
				var want []job.ID
				for _, j := range all {
					stored, err := f.Job(ctx(), j.ID)
					f.check(err)
					if filter.keeps(stored) {
						want = append(want, j.ID)
					}
				}
				f.equal(fmt.Sprintf("%s, by %d", name, limit), got, want)
			}
		}
	})
}

// settleSome makes every third job of a shard dead.
func (f *fixture) settleSome(all []*job.Job, shard int) {
	for i, j := range all {
		if j.ID.Shard() != shard || i%3 != 0 {
			continue
		}
		f.commit(&Commit{Settle: []Settle{{
			Job: f.settled(j, job.Dead, job.OutcomeFailed), Was: Standing{Status: job.Waiting, Place: InLane},
		}}})
	}
}

func (f *fixture) list(filter JobFilter, limit int) (ids []job.ID) {
	f.Helper()
	for before, calls := (job.ID{}), 0; ; calls++ {
		page, err := f.ListJobs(ctx(), filter, before, limit)
		f.check(err)
		if len(page.Jobs) > limit || calls > 100 {
			f.Fatalf("%d jobs on page %d, limit %d", len(page.Jobs), calls, limit)
		}
		for _, j := range page.Jobs {
			ids = append(ids, j.ID)
		}
		if before = page.Next; before.IsZero() {
			return ids
		}
	}
}

// A filter that lets nothing through costs a bounded page, not the whole store.
func TestListJobsStops(t *testing.T) {
	t.Parallel()
	f, _ := modelFixture(t, 1)
	var jobs []NewJob
	for range MaxListScan + 500 {
		jobs = append(jobs, f.job("q", nil))
		f.clock.advance(time.Millisecond)
	}
	f.enqueue(jobs...)
	page, err := f.ListJobs(ctx(), JobFilter{Type: "absent"}, job.ID{}, 10)
	f.check(err)
	if len(page.Jobs) != 0 || page.Next != jobs[500].Job.ID {
		t.Errorf("%d jobs, next %s, want %s", len(page.Jobs), page.Next, jobs[500].Job.ID)
	}
	page, err = f.ListJobs(ctx(), JobFilter{Type: "absent"}, page.Next, 10)
	f.check(err)
	if len(page.Jobs) != 0 || !page.Next.IsZero() {
		t.Errorf("second page: %d jobs, next %s", len(page.Jobs), page.Next)
	}
}

func TestListQueues(t *testing.T) {
	t.Parallel()
	overEngines(t, 3, func(t *testing.T, f *fixture) {
		names := []string{"a", "a.b", "a0", "b", "c", "d", "e"}
		for i, name := range names {
			for range i + 1 {
				f.one(name, nil)
			}
		}
		for _, limit := range []int{1, 3, 100} {
			var got []string
			for after := ""; ; {
				queues, err := f.ListQueues(ctx(), after, limit)
				f.check(err)
				if len(queues) == 0 {
					break
				}
				for _, q := range queues {
					got = append(got, q.Queue)
					if want := int64(slices.Index(names, q.Queue) + 1); q.Waiting != want {
						t.Errorf("%s has %d waiting, want %d", q.Queue, q.Waiting, want)
					}
				}
				after = queues[len(queues)-1].Queue
			}
			f.equal(fmt.Sprintf("queues, by %d", limit), got, names)
		}
	})
}

// More queues than one read of counters returns.
func TestListManyQueues(t *testing.T) {
	t.Parallel()
	f, _ := modelFixture(t, 1)
	const queues = countChunk
	for i := range queues {
		f.one(fmt.Sprintf("q%04d", i), func(j *job.Job) { j.Due = start.Add(time.Hour) })
	}
	got, err := f.ListQueues(ctx(), "", queues)
	f.check(err)
	if len(got) != queues {
		t.Fatalf("%d queues, want %d", len(got), queues)
	}
	for i, q := range got {
		if want := (QueueCounts{fmt.Sprintf("q%04d", i), Counts{Waiting: 1, Scheduled: 1, Bytes: q.Bytes}}); q.Bytes == 0 || q != want {
			t.Fatalf("queue %d: %+v, want %+v", i, q, want)
		}
	}
}

func TestOldestWaiting(t *testing.T) {
	t.Parallel()
	overEngines(t, 1, func(t *testing.T, f *fixture) {
		oldest := func() time.Time {
			at, err := f.OldestWaiting(ctx(), "q")
			f.check(err)
			return at
		}
		f.equal("of an empty queue", oldest(), time.Time{})
		f.one("q", func(j *job.Job) { j.Due = start.Add(time.Hour) }) // is not ready
		f.clock.advance(time.Second)
		first := f.one("q", func(j *job.Job) { j.Key = "z"; j.Priority = job.Low })
		f.clock.advance(time.Second)
		second := f.one("q", func(j *job.Job) { j.URL = "https://example.com/" })
		f.one("q", nil)
		f.equal("of three", oldest(), first.CreatedAt)
		f.own(0)
		f.commit(&Commit{Settle: []Settle{{Job: f.settled(first, job.Dead, job.OutcomeFailed), Was: Standing{Status: job.Waiting, Place: InLane}}}})
		f.equal("of two", oldest(), second.CreatedAt)
	})
}

func TestDocuments(t *testing.T) {
	t.Parallel()
	overEngines(t, 2, func(t *testing.T, f *fixture) {
		doc, created, err := f.PutDocument(ctx(), "worker", "a", []byte(`{}`), ExpectAbsent)
		f.check(err)
		f.equal("created", doc, Document{"worker", "a", 1, start, start, []byte(`{}`)})
		if !created {
			t.Error("a new document was not created")
		}
		_, _, err = f.PutDocument(ctx(), "worker", "a", nil, ExpectAbsent)
		wantErr(t, err, ErrVersion)
		f.clock.advance(time.Second)
		doc, created, err = f.PutDocument(ctx(), "worker", "a", []byte(`{"x":1}`), ExpectVersion(1))
		f.check(err)
		want := Document{"worker", "a", 2, start, start.Add(time.Second), []byte(`{"x":1}`)}
		f.equal("changed", doc, want)
		if created {
			t.Error("a changed document was created")
		}
		_, _, err = f.PutDocument(ctx(), "worker", "a", nil, ExpectVersion(1))
		wantErr(t, err, ErrVersion)
		wantErr(t, f.DeleteDocument(ctx(), "worker", "a", ExpectVersion(1)), ErrVersion)
		got, err := f.GetDocument(ctx(), "worker", "a")
		f.check(err)
		f.equal("stored", got, want)
		before, err := f.Revision(ctx())
		f.check(err)
		f.check(f.DeleteDocument(ctx(), "worker", "a", ExpectAny))
		if after, err := f.Revision(ctx()); err != nil || after <= before {
			t.Errorf("revision %d after %d, %v", after, before, err)
		}
		_, err = f.GetDocument(ctx(), "worker", "a")
		wantErr(t, err, ErrNotFound)
		wantErr(t, f.DeleteDocument(ctx(), "worker", "a", ExpectVersion(2)), ErrNotFound)
		_, _, err = f.PutDocument(ctx(), "", "a", nil, ExpectAny)
		wantErr(t, err, ErrInvalid)
	})
}

func wantErr(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("error %v, want %v", got, want)
	}
}

func TestListDocuments(t *testing.T) {
	t.Parallel()
	f, _ := modelFixture(t, 1)
	names := []string{"a", "a.b", "b", "c"}
	for _, name := range names {
		for _, kind := range []string{"queue", "queues", "worker"} {
			_, _, err := f.PutDocument(ctx(), kind, name, []byte(kind), ExpectAny)
			f.check(err)
		}
	}
	var got []string
	for after := ""; ; {
		page, err := f.ListDocuments(ctx(), "queue", after, 3)
		f.check(err)
		if len(page) == 0 {
			break
		}
		for _, d := range page {
			if string(d.Data) != "queue" {
				t.Errorf("%s is a %s", d.Name, d.Data)
			}
			got = append(got, d.Name)
			after = d.Name
		}
	}
	f.equal("documents", got, names)
}

// Writers at once: each change is of what was there, none is lost.
func TestConcurrentDocuments(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f, _ := modelFixture(rapidTB{t: t}, 1)
		writers := rapid.IntRange(2, 5).Draw(t, "writers")
		errs := make(chan error, writers)
		for range writers {
			go func() {
				_, _, err := f.PutDocument(ctx(), "k", "n", nil, ExpectAny)
				errs <- err
			}()
		}
		for range writers {
			f.check(<-errs)
		}
		if d, err := f.GetDocument(ctx(), "k", "n"); err != nil || d.Version != uint64(writers) {
			t.Fatalf("version %d after %d writers, %v", d.Version, writers, err)
		}
	})
}
