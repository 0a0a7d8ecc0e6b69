package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
	"github.com/orchestrix/orchestrix/store/engine/model"
	"github.com/orchestrix/orchestrix/store/engine/pebble"
	"github.com/orchestrix/orchestrix/store/engine/redis/redistest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if err := redistest.End(); err != nil {
			panic(err)
		}
		os.Exit(code)
	}))
}

// start is when the clock of a test begins.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// clock is a clock that a test turns.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// fixture is a store under test with short ways to call it that end the test on
// an error.
type fixture struct {
	testing.TB
	*Store
	clock   *clock
	owner   *Owner
	offered []Arrivals
	mu      sync.Mutex
	made    uint64
}

// engines are the engines that every test of the store runs over; the short form
// leaves out those that need a server.
var engines = map[string]func(t testing.TB, shards int, now func() time.Time) engine.Engine{
	"model":          func(_ testing.TB, shards int, now func() time.Time) engine.Engine { return model.New(shards, now) },
	"pebble":         openPebble,
	"redis":          openRedis,
	"redis-cluster":  openRedisCluster,
	"redis-sentinel": openRedisSentinel,
}

func openPebble(t testing.TB, shards int, now func() time.Time) engine.Engine {
	e, err := pebble.OpenMemory(pebble.Options{Shards: shards, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// overEngines runs a test over each engine.
func overEngines(t *testing.T, shards int, test func(t *testing.T, f *fixture)) {
	t.Helper()
	for name, open := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if testing.Short() && strings.HasPrefix(name, "redis") {
				t.Skip("short")
			}
			c := &clock{now: start}
			e := open(t, shards, c.Now)
			t.Cleanup(func() { e.Close() })
			test(t, newFixture(t, e, c))
		})
	}
}

func newFixture(t testing.TB, e engine.Engine, c *clock, options ...Option) *fixture {
	f := &fixture{TB: t, Store: New(e, options...), clock: c}
	f.OnEnqueued(func(a Arrivals) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.offered = append(f.offered, a)
	})
	return f
}

func modelFixture(t testing.TB, shards int, options ...Option) (*fixture, *model.Engine) {
	c := &clock{now: start}
	e := model.New(shards, c.Now)
	return newFixture(t, e, c, options...), e
}

func ctx() context.Context { return context.Background() }

func (f *fixture) check(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// job makes a new job of a queue; change may be nil.
func (f *fixture) job(queue string, change func(*job.Job)) NewJob {
	f.made++
	now := f.clock.Now()
	var random [9]byte
	binary.BigEndian.PutUint64(random[1:], f.made)
	payload := fmt.Appendf(nil, "payload %d", f.made)
	j := &job.Job{
		ID: job.MakeID(now, f.ShardOf(queue), random), Queue: queue, Type: "test", Priority: job.Normal,
		ContentType: "application/json", CreatedAt: now, PayloadSize: len(payload), Status: job.Waiting,
	}
	if change != nil {
		change(j)
	}
	return NewJob{Job: j, Payload: payload, Digest: [32]byte{1}}
}

func (f *fixture) enqueue(jobs ...NewJob) []Enqueued {
	f.Helper()
	results, err := f.Enqueue(ctx(), jobs[0].Job.ID.Shard(), jobs)
	f.check(err)
	return results
}

// one enqueues a new job.
func (f *fixture) one(queue string, change func(*job.Job)) *job.Job {
	f.Helper()
	nj := f.job(queue, change)
	f.enqueue(nj)
	return nj.Job
}

func (f *fixture) own(shard int) *Owner {
	f.Helper()
	o, err := f.Own(ctx(), shard, engine.Nonce{1}, time.Minute)
	f.check(err)
	f.owner = o
	return o
}

func (f *fixture) commit(c *Commit) {
	f.Helper()
	f.check(f.owner.Commit(ctx(), c))
}

// readLane reads all that is unread of a lane.
func (f *fixture) readLane(l Lane) (all []*Entry) {
	f.Helper()
	for calls := 0; ; calls++ {
		entries, more, err := f.owner.ReadLane(ctx(), l, 100, 1<<20)
		f.check(err)
		all = append(all, entries...)
		if !more {
			return all
		}
		if calls > 10_000 {
			f.Fatal("ReadLane has ever more")
		}
	}
}

func lane(queue string) Lane { return Lane{Queue: queue, Priority: job.Normal} }

func ids(entries []*Entry) (ids []job.ID) {
	for _, e := range entries {
		ids = append(ids, e.Job.ID)
	}
	return ids
}

func (f *fixture) equal(what string, got, want any) {
	f.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		f.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

// claimOf is a claim of the entry's next attempt.
func (f *fixture) claimOf(e *Entry) ClaimEntry {
	now := f.clock.Now()
	return ClaimEntry{Entry: e, Attempt: e.Job.Attempt + 1, Worker: "w", Started: now, Deadline: now.Add(30 * time.Second)}
}

// settled returns the job of an entry after an event that ends an attempt.
func (f *fixture) settled(j *job.Job, status job.Status, outcome job.Outcome) *job.Job {
	next := *j
	now := f.clock.Now()
	next.Attempt++
	next.AddAttempt(job.Attempt{Number: next.Attempt, Worker: "w", StartedAt: now, Outcome: outcome, StatusCode: 200})
	if next.Status = status; status == job.Waiting {
		next.Failures++
		next.Due = now.Add(time.Second)
	} else {
		next.FinishedAt = now
	}
	return &next
}

// audit checks that a shard's indexes, counters and places agree with its
// records: every waiting job stands in exactly one place, unless it is claimed
// by a live entry of a claim record.
func (f *fixture) audit(shard int) {
	f.Helper()
	a := audit{f: f, shard: shard, jobs: map[job.ID]*job.Job{}, places: map[job.ID]int{}, counts: map[string]int64{}}
	a.read()
	a.checkIndexes()
	a.checkPlaces()
	a.checkCounts()
	a.checkPayloads()
}

type audit struct {
	f      *fixture
	shard  int
	jobs   map[job.ID]*job.Job
	places map[job.ID]int
	counts map[string]int64
}

func (a *audit) scan(space byte) []engine.Entry {
	a.f.Helper()
	var all []engine.Entry
	for from := []byte{space}; ; {
		entries, err := a.f.engine.Scan(ctx(), a.shard, engine.Range{From: from, To: []byte{space + 1}, Limit: engine.MaxScan})
		a.f.check(err)
		all = append(all, entries...)
		if len(entries) < engine.MaxScan {
			return all
		}
		from = append(entries[len(entries)-1].Key, 0)
	}
}

func (a *audit) read() {
	a.f.Helper()
	for _, e := range a.scan(spaceJob) {
		id, err := tailID(e.Key)
		a.f.check(err)
		a.jobs[id], err = decodeJob(id, e.Value)
		a.f.check(err)
	}
}

func (a *audit) checkIndexes() {
	a.f.Helper()
	want := map[byte][]string{}
	add := func(space byte, prefix []byte, id job.ID) {
		want[space] = append(want[space], string(append(prefix, id[:]...)))
	}
	for id, j := range a.jobs {
		add(spaceStatus, appendStatusPrefix(nil, j.Status), id)
		add(spaceQueueStatus, appendQueueStatusPrefix(nil, j.Queue, j.Status), id)
		if j.Key != "" {
			add(spaceQueueKey, appendQueueKeyPrefix(nil, j.Queue, j.Key), id)
		}
		a.counts[countName(j.Queue, class(j.Status))]++
		a.countBytes(j)
	}
	for _, space := range []byte{spaceStatus, spaceQueueStatus, spaceQueueKey} {
		var got []string
		for _, e := range a.scan(space) {
			got = append(got, string(e.Key))
		}
		slices.Sort(want[space])
		a.f.equal(fmt.Sprintf("index %c", space), got, want[space])
	}
}

// countBytes counts what the job's record says it is counted with.
func (a *audit) countBytes(j *job.Job) {
	a.f.Helper()
	want := j.PayloadSize
	if j.Settled() {
		want = keptBytes(j, len(appendUncounted(nil, j)))
	}
	if j.Counted != want {
		a.f.Fatalf("%s is %s, takes %d bytes and is counted with %d", j.ID, j.Status, want, j.Counted)
	}
	a.counts[countName(j.Queue, bytesOf(j.Status))] += int64(j.Counted)
}

func countName(queue string, c class) string { return fmt.Sprintf("%s/%d", queue, c) }

func (a *audit) checkPlaces() {
	a.f.Helper()
	for _, e := range a.scan(spaceLane) {
		tag, err := parseLaneTag(e.Value)
		a.f.check(err)
		if tag.live(a.jobs[tag.id]) {
			a.places[tag.id]++
		}
	}
	for _, e := range a.scan(spaceTimer) {
		at, kind, id, err := parseTimer(e.Key)
		a.f.check(err)
		if kind != TimerDue {
			continue
		}
		j := a.jobs[id]
		if j == nil || j.Status != job.Waiting || !j.Due.Equal(at) {
			a.f.Fatalf("a timer at %s is left of %+v", at, j)
		}
		a.places[id]++
		a.counts[countName(j.Queue, class(e.Value[0]))]++
	}
	for _, e := range a.scan(spaceClaim) {
		entries, _, err := parseClaim(e.Value)
		a.f.check(err)
		for _, c := range entries {
			if j := a.jobs[c.id]; j != nil && j.Status == job.Waiting && j.Attempt < c.attempt {
				a.places[c.id]++
			}
		}
	}
	for _, e := range a.scan(spaceAccepted) {
		id, err := tailID(e.Key)
		a.f.check(err)
		accepted, err := parseAccepted(e.Value)
		a.f.check(err)
		if j := a.jobs[id]; j == nil || j.Status != job.Waiting || j.Attempt >= accepted.Attempt {
			a.f.Fatalf("attempt %d of %+v is still accepted", accepted.Attempt, j)
		}
		a.places[id] = 1 // its claim record may have others
	}
	turns := a.turns()
	for id, j := range a.jobs {
		want := 0
		if j.Status == job.Waiting {
			want = 1
		}
		if j.Ordered {
			if has := turns[id] > 0; has != (j.Status == job.Waiting || j.Blocks) || a.places[id] > want {
				a.f.Fatalf("%s (%s, blocks %v) stands in %d places beside its turn: %v", id, j.Status, j.Blocks, a.places[id], has)
			}
			continue
		}
		if a.places[id] != want {
			a.f.Fatalf("%s (%s) stands in %d places, want %d", id, j.Status, a.places[id], want)
		}
	}
}

// turns counts the entries of ordered jobs that are live.
func (a *audit) turns() map[job.ID]int {
	turns := map[job.ID]int{}
	for _, e := range a.scan(spaceOrdered) {
		tag, err := parseLaneTag(e.Value)
		a.f.check(err)
		if tag.live(a.jobs[tag.id]) {
			turns[tag.id]++
		}
	}
	return turns
}

func (a *audit) checkCounts() {
	a.f.Helper()
	counters, err := a.f.engine.ScanCounters(ctx(), a.shard, []byte{spaceCount}, nil, engine.MaxScan)
	a.f.check(err)
	got := map[string]int64{}
	for _, c := range counters {
		queue, k, err := parseCount(c.Name)
		a.f.check(err)
		if k != classTrimmed { // what is left tells nothing of it
			got[countName(queue, k)] = c.Value
		}
	}
	a.f.equal("counters", got, a.counts)
}

func (a *audit) checkPayloads() {
	a.f.Helper()
	asked := a.asked()
	n := 0
	for _, e := range a.scan(spacePayload) {
		id, err := tailID(e.Key)
		a.f.check(err)
		if a.jobs[id] == nil && asked[id] == nil {
			a.f.Fatalf("the payload of %s is left", id)
		}
		if !bytes.HasPrefix(e.Value, []byte("payload ")) {
			a.f.Fatalf("payload of %s is %q", id, e.Value)
		}
		n++
	}
	if n != len(a.jobs)+len(asked) {
		a.f.Fatalf("%d payloads for %d jobs and %d that are asked for", n, len(a.jobs), len(asked))
	}
	for _, e := range a.scan(spaceResult) {
		if id, _ := tailID(e.Key); a.jobs[id] == nil {
			a.f.Fatalf("the result of %s is left", id)
		}
	}
	for _, e := range a.scan(spaceIdempotency) {
		h, err := parseHolder(e.Value)
		a.f.check(err)
		j := a.jobs[h.id]
		if j == nil {
			j = asked[h.id]
		}
		if j == nil || !strings.HasSuffix(string(e.Key), j.IdempotencyKey) {
			a.f.Fatalf("idempotency entry %q is held by %s: %+v", e.Key, h.id, j)
		}
	}
	a.checkLocks()
}

// asked returns the jobs that are to replace others, and are not there yet.
func (a *audit) asked() map[job.ID]*job.Job {
	a.f.Helper()
	asked := map[job.ID]*job.Job{}
	for _, e := range a.scan(spaceInbox) {
		c, err := parseCommand(e.Value)
		a.f.check(err)
		if c.New != nil {
			asked[c.New.ID] = c.New
		}
	}
	return asked
}

// checkLocks checks that each unique lock is held by a job that may hold it.
func (a *audit) checkLocks() {
	a.f.Helper()
	claimed := map[job.ID]bool{}
	for _, e := range a.scan(spaceClaim) {
		entries, _, err := parseClaim(e.Value)
		a.f.check(err)
		for _, c := range entries {
			claimed[c.id] = true
		}
	}
	for _, e := range a.scan(spaceUnique) {
		id, err := parseUniqueHolder(e.Value)
		a.f.check(err)
		j := a.jobs[id]
		switch {
		case j == nil || j.Unique == nil || !bytes.Equal(e.Key, appendUniqueKey(nil, j)):
			a.f.Fatalf("lock %q is held by %s: %+v", e.Key, id, j)
		case j.Unique.Until != job.UntilTTL && j.Settled(), j.Unique.Until == job.UntilStarted && claimed[id]:
			a.f.Fatalf("the lock until %s is held by %s: %s, claimed %v", j.Unique.Until, id, j.Status, claimed[id])
		}
	}
}
