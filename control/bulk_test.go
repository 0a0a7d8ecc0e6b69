package control_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/orchestrix/orchestrix/control"
	"github.com/orchestrix/orchestrix/dispatcher"
	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/store/engine"
	"github.com/orchestrix/orchestrix/store/engine/pebble"
	"github.com/orchestrix/orchestrix/webhook/push"
)

// node is a control over a real store on memory and a real dispatcher without
// workers: what waits goes on waiting.
type node struct {
	testing.TB
	store *store.Store
	c     *control.Control
	d     *dispatcher.Dispatcher
	clean []func()
}

// newNode returns a node whose dispatcher is started after prepare.
func newNode(t testing.TB, wrap func(*store.Store) control.Store, prepare func(*store.Store)) *node {
	t.Helper()
	e, err := pebble.OpenMemory(pebble.Options{Shards: 2, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	n := &node{TB: t, store: store.New(e)}
	client := push.New(push.Options{Guard: push.NewGuard(nil, true)})
	n.d = dispatcher.New(dispatcher.Options{Store: n.store, Push: client})
	n.clean = append(n.clean, func() { e.Close() }, client.Close, func() {
		if err := n.d.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}, func() { n.c.Close() })
	prepare(n.store)
	n.load(wrap)
	if err := n.d.Start(n.root()); err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *node) close() {
	for _, f := range slices.Backward(n.clean) {
		f()
	}
}

// load begins the life of a control, as a start of the server does.
func (n *node) load(wrap func(*store.Store) control.Store) {
	n.Helper()
	n.c = control.New(control.Options{Store: wrap(n.store), Dispatcher: n.d, Guard: push.NewGuard(nil, true)})
	if _, err := n.c.Load(n.root()); err != nil {
		n.Fatal(err)
	}
}

func (n *node) root() context.Context { return control.As(context.Background(), control.Root()) }

// over returns an operation when it is over.
func (n *node) over(id string) control.Operation {
	n.Helper()
	o, err := n.c.GetOperation(n.root(), id, control.MaxWait)
	if err != nil || !o.Over() {
		n.Fatalf("%+v, %v", o, err)
	}
	return o
}

func plain(s *store.Store) control.Store { return s }

var drawn = struct {
	queue, kind, key, label *rapid.Generator[string]
}{
	rapid.SampledFrom([]string{"a", "b", "c"}), rapid.SampledFrom([]string{"t", "u"}),
	rapid.SampledFrom([]string{"", "k", "l"}), rapid.SampledFrom([]string{"", "1", "2"}),
}

// drawJobs returns jobs of all shown statuses but running. Their times lie
// before begin.
func drawJobs(t *rapid.T, shards int, begin time.Time) []*job.Job {
	jobs := make([]*job.Job, rapid.IntRange(0, 40).Draw(t, "jobs"))
	for i := range jobs {
		at := begin.Add(-time.Duration(rapid.IntRange(1, 50).Draw(t, "age")) * time.Millisecond)
		queue := drawn.queue.Draw(t, "queue")
		j := &job.Job{
			ID: job.NewID(at, job.ShardOf(queue, shards)), Queue: queue, Type: drawn.kind.Draw(t, "type"), Key: drawn.key.Draw(t, "key"),
			Priority: job.Normal, ContentType: "application/json", CreatedAt: at, Status: job.Waiting, PayloadSize: 4,
		}
		if v := drawn.label.Draw(t, "label"); v != "" {
			j.Labels = map[string]string{"x": v}
		}
		jobs[i] = j
	}
	return jobs
}

// place stores the jobs, and brings each into a shown status, which it returns.
func place(t *rapid.T, s *store.Store, jobs []*job.Job, begin time.Time) map[job.ID]string {
	shown := map[job.ID]string{}
	for shard := range s.Shards() {
		o, err := s.Own(context.Background(), shard, engine.Nonce{1}, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		var c store.Commit
		for _, j := range jobs {
			if j.ID.Shard() != shard {
				continue
			}
			status := rapid.SampledFrom(job.ShownStatuses()).Filter(func(s string) bool { return s != job.ShownRunning }).Draw(t, "status")
			shown[j.ID] = status
			settled := *j
			switch status {
			case job.ShownPending:
			case job.ShownScheduled:
				j.Due = begin.Add(time.Hour)
			case job.ShownRetrying:
				settled.Due, settled.Failures = begin.Add(time.Hour), 1
			default:
				settled.Status, _ = job.ParseStatus(status)
				settled.FinishedAt = begin
			}
			if _, err := s.Enqueue(context.Background(), shard, []store.NewJob{{Job: j, Payload: []byte("null")}}); err != nil {
				t.Fatal(err)
			}
			if settled.Status != job.Waiting || settled.Failures > 0 {
				e := store.Entry{Job: j, Place: store.InLane}
				c.Settle = append(c.Settle, store.Settle{Job: &settled, Was: e.Standing()})
			}
		}
		if !c.Empty() {
			if err := o.Commit(context.Background(), &c); err != nil {
				t.Fatal(err)
			}
		}
		if err := o.Release(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	return shown
}

func drawSelection(t *rapid.T, kind string, begin time.Time) control.JobSelection {
	can := []string{"", "scheduled", "pending", "retrying", "running"}
	switch kind {
	case control.OperationCancel:
	case control.OperationRunNow:
		can = []string{"", "scheduled", "retrying"}
	default:
		can = []string{"", "succeeded", "dead", "cancelled", "expired"}
	}
	maybe := func(g *rapid.Generator[string], name string) string {
		if rapid.Bool().Draw(t, "any "+name) {
			return ""
		}
		return g.Draw(t, name)
	}
	s := control.JobSelection{
		Status: rapid.SampledFrom(can).Draw(t, "status"), Queue: maybe(drawn.queue, "queue"), Type: maybe(drawn.kind, "type"), Key: maybe(drawn.key, "key"),
	}
	if v := maybe(drawn.label, "label"); v != "" {
		s.Labels = map[string]string{"x": v}
	}
	if rapid.Bool().Draw(t, "after") {
		s.CreatedAfter = begin.Add(-time.Duration(rapid.IntRange(0, 60).Draw(t, "after")) * time.Millisecond)
	}
	if rapid.Bool().Draw(t, "before") {
		s.CreatedBefore = begin.Add(-time.Duration(rapid.IntRange(-60, 60).Draw(t, "before")) * time.Millisecond)
	}
	if s.Status == "" && s.Queue == "" && s.Type == "" && s.Key == "" && s.Labels == nil && s.CreatedAfter.IsZero() && s.CreatedBefore.IsZero() {
		s.All = true
	}
	return s
}

// meant is the model: whether an operation has to change the job.
func meant(kind string, s *control.JobSelection, j *job.Job, shown string) bool {
	_, ended := job.ParseStatus(shown)
	status := s.Status
	if kind == control.OperationRetry {
		status = cmp.Or(status, "dead")
	}
	if kind == control.OperationRunNow && shown != job.ShownScheduled && shown != job.ShownRetrying {
		return false
	}
	return ended != bulkOfLive(kind) && (status == "" || status == shown) &&
		(s.Queue == "" || s.Queue == j.Queue) && (s.Type == "" || s.Type == j.Type) && (s.Key == "" || s.Key == j.Key) &&
		(s.Labels == nil || s.Labels["x"] == j.Labels["x"]) &&
		(s.CreatedAfter.IsZero() || !j.CreatedAt.Before(s.CreatedAfter)) && (s.CreatedBefore.IsZero() || j.CreatedAt.Before(s.CreatedBefore))
}

func bulkOfLive(kind string) bool {
	return kind == control.OperationCancel || kind == control.OperationRunNow
}

// TestBulkChangesWhatTheFilterSays: an operation changes the jobs that a plain
// list says, each as the single command does, and no other.
func TestBulkChangesWhatTheFilterSays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var jobs []*job.Job
		var shown map[job.ID]string
		var begin time.Time
		n := newNode(t, plain, func(s *store.Store) {
			now, err := s.Now(context.Background())
			if err != nil {
				rt.Fatal(err)
			}
			begin = now
			jobs = drawJobs(rt, s.Shards(), begin)
			shown = place(rt, s, jobs, begin)
		})
		defer n.close()
		kind := rapid.SampledFrom([]string{control.OperationCancel, control.OperationRetry, control.OperationRunNow, control.OperationDelete}).Draw(rt, "kind")
		selection := drawSelection(rt, kind, begin)
		want := map[job.ID]string{}
		matched := int64(0)
		for _, j := range jobs {
			want[j.ID] = shown[j.ID] + " 0"
			if !meant(kind, &selection, j, shown[j.ID]) {
				continue
			}
			matched++
			want[j.ID] = map[string]string{control.OperationCancel: "cancelled 0", control.OperationRetry: "pending 1", control.OperationRunNow: "pending 0", control.OperationDelete: "gone"}[kind]
		}
		counted, err := n.c.CountBulk(n.root(), kind, selection)
		if err != nil || counted.Jobs != matched || counted.More {
			rt.Errorf("counted %+v, %v; want %d", counted, err, matched)
		}
		o, err := n.c.StartBulk(n.root(), kind, selection)
		if err != nil {
			rt.Fatal(err)
		}
		o = n.over(o.ID)
		if o.Status != control.OperationSucceeded || o.Matched != matched || o.Done != matched || o.Skipped != 0 {
			rt.Errorf("%+v; want %d done", o, matched)
		}
		got := map[job.ID]string{}
		for _, j := range jobs {
			got[j.ID] = n.shown(j.ID)
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			rt.Errorf("%s %+v (-want +got):\n%s", kind, selection, diff)
		}
	})
}

// shown returns a job's status with its incarnation.
func (n *node) shown(id job.ID) string {
	n.Helper()
	j, err := n.c.GetJob(n.root(), id, 0, false)
	if control.KindOf(err) == control.NotFound {
		return "gone"
	}
	if err != nil {
		n.Fatal(err)
	}
	return fmt.Sprint(j.Shown, " ", j.Incarnation)
}

// TestPurgeLeavesOtherJobsAlone: also those that have ended, and those of other
// queues.
func TestPurgeLeavesOtherJobsAlone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var jobs []*job.Job
		var shown map[job.ID]string
		n := newNode(t, plain, func(s *store.Store) {
			now, err := s.Now(context.Background())
			if err != nil {
				rt.Fatal(err)
			}
			jobs = drawJobs(rt, s.Shards(), now)
			shown = place(rt, s, jobs, now)
		})
		defer n.close()
		if _, err := n.c.PauseQueue(n.root(), "a", ""); err != nil {
			rt.Fatal(err)
		}
		o, err := n.c.PurgeQueue(n.root(), "a")
		if err != nil {
			rt.Fatal(err)
		}
		o = n.over(o.ID)
		purged := int64(0)
		for _, j := range jobs {
			want := shown[j.ID] + " 0"
			if _, ended := job.ParseStatus(shown[j.ID]); !ended && j.Queue == "a" {
				want = "cancelled 0"
				purged++
			}
			if got := n.shown(j.ID); got != want {
				rt.Errorf("a job of %s that was %s is %s, want %s", j.Queue, shown[j.ID], got, want)
			}
		}
		if o.Status != control.OperationSucceeded || o.Done != purged || o.Matched != purged {
			rt.Errorf("%+v; want %d done", o, purged)
		}
	})
}

// gate is a store that stops an operation at one of the points where a crash
// may: before or after commands are sent, a step is stored, or jobs are read.
type gate struct {
	*store.Store
	stopAt int64 // the number of the point, from 1; 0 for none
	passed atomic.Int64
	at     chan struct{} // gets a value when it is reached
	open   chan struct{} // is closed to let it go on
	err    error         // what it goes on with, once
}

func newGate(s *store.Store, stopAt int64) *gate {
	return &gate{Store: s, stopAt: stopAt, at: make(chan struct{}, 1), open: make(chan struct{})}
}

func (g *gate) pass(ctx context.Context) error {
	if g.passed.Add(1) != g.stopAt {
		return nil
	}
	g.at <- struct{}{}
	select {
	case <-g.open:
		return g.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *gate) SendAll(ctx context.Context, shard int, commands []store.Command) (uint64, error) {
	if err := g.pass(ctx); err != nil {
		return 0, err
	}
	last, err := g.Store.SendAll(ctx, shard, commands)
	return last, errors.Join(err, g.pass(ctx))
}

func (g *gate) PutDocument(ctx context.Context, kind, name string, data []byte, e store.Expect) (store.Document, bool, error) {
	if kind != "operation" {
		return g.Store.PutDocument(ctx, kind, name, data, e)
	}
	if err := g.pass(ctx); err != nil {
		return store.Document{}, false, err
	}
	d, created, err := g.Store.PutDocument(ctx, kind, name, data, e)
	return d, created, errors.Join(err, g.pass(ctx))
}

func (g *gate) Jobs(ctx context.Context, ids ...job.ID) (map[job.ID]*job.Job, error) {
	if err := g.pass(ctx); err != nil {
		return nil, err
	}
	return g.Store.Jobs(ctx, ids...)
}

func through(g *gate) func(*store.Store) control.Store {
	return func(*store.Store) control.Store { return g }
}

// selectionOf is all of queue q that an operation of that kind can change.
func selectionOf(kind string) control.JobSelection {
	if kind == control.OperationCancel {
		return control.JobSelection{Queue: "q"}
	}
	return control.JobSelection{Queue: "q", Status: "cancelled"}
}

// states counts the jobs of queue q by their status and incarnation.
func (n *node) states() map[string]int {
	n.Helper()
	states := map[string]int{}
	for q := (control.JobQuery{Queue: "q", Limit: control.MaxPage}); ; {
		list, err := n.c.ListJobs(n.root(), q)
		if err != nil {
			n.Fatal(err)
		}
		for _, j := range list.Jobs {
			states[fmt.Sprint(j.Shown, " ", j.Incarnation)]++
		}
		if q.Cursor = list.Cursor; q.Cursor == "" {
			return states
		}
	}
}

// TestOperationsSurviveACrash: wherever it is stopped, the next life goes on,
// changes each job once, and counts it once.
func TestOperationsSurviveACrash(t *testing.T) {
	t.Parallel()
	const jobs = 1200 // three steps
	for kind, want := range map[string]map[string]int{
		control.OperationCancel: {"cancelled 0": jobs},
		control.OperationRetry:  {"pending 1": jobs},
		control.OperationDelete: {},
	} {
		for point := int64(1); point <= 14; point++ {
			if testing.Short() && point%4 != 2 {
				continue
			}
			t.Run(fmt.Sprint(kind, " ", point), func(t *testing.T) {
				t.Parallel()
				n := newNode(t, plain, func(*store.Store) {})
				defer n.close()
				fillAndEnd(n, kind, jobs)
				n.c.Close()
				g := newGate(n.store, point+2) // 1 and 2 are those of StartBulk itself
				n.load(through(g))
				o, err := n.c.StartBulk(n.root(), kind, selectionOf(kind))
				if err != nil {
					t.Fatal(err)
				}
				<-g.at
				n.c.Close() // the first crash
				g = newGate(n.store, point%5+1)
				n.load(through(g))
				select {
				case <-g.at:
				case <-n.ended(o.ID):
				}
				n.c.Close() // the second
				n.load(plain)
				o = n.over(o.ID)
				if o.Status != control.OperationSucceeded || o.Matched != jobs || o.Done != jobs || o.Skipped != 0 {
					t.Errorf("%+v", o)
				}
				if diff := gocmp.Diff(want, n.states()); diff != "" {
					t.Errorf("jobs (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// fillAndEnd enqueues jobs and has them end where an operation of that kind is
// for such.
func fillAndEnd(n *node, kind string, jobs int) {
	n.Helper()
	fill(n.TB, n.store, "q", jobs)
	if kind == control.OperationCancel {
		return
	}
	o, err := n.c.StartBulk(n.root(), control.OperationCancel, control.JobSelection{All: true})
	if err != nil {
		n.Fatal(err)
	}
	n.over(o.ID)
}

// ended returns a channel that is closed when an operation is over.
func (n *node) ended(id string) <-chan struct{} {
	c, ended := n.c, make(chan struct{})
	go func() {
		defer close(ended)
		for {
			if o, err := c.GetOperation(n.root(), id, time.Second); err != nil || o.Over() {
				return
			}
		}
	}()
	return ended
}

// TestOperationsSurviveAStoreThatDoesNotAnswer: also where it had done what was
// asked.
func TestOperationsSurviveAStoreThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	const jobs = 600
	for point := int64(3); point <= 10; point++ {
		t.Run(fmt.Sprint(point), func(t *testing.T) {
			t.Parallel()
			n := newNode(t, plain, func(*store.Store) {})
			defer n.close()
			fill(t, n.store, "q", jobs)
			n.c.Close()
			g := newGate(n.store, point)
			g.err = store.ErrUnavailable
			close(g.open)
			n.load(through(g))
			o, err := n.c.StartBulk(n.root(), control.OperationCancel, control.JobSelection{Queue: "q"})
			if err != nil {
				t.Fatal(err)
			}
			if o = n.over(o.ID); o.Status != control.OperationSucceeded || o.Matched != jobs || o.Done != jobs {
				t.Errorf("%+v", o)
			}
		})
	}
}

// stopped returns a node with an operation over jobs that is stopped before its
// second step.
func stopped(t *testing.T, jobs int) (n *node, g *gate, id string) {
	t.Helper()
	n = newNode(t, plain, func(*store.Store) {})
	t.Cleanup(n.close)
	fill(t, n.store, "q", jobs)
	n.c.Close()
	g = newGate(n.store, 10) // stored, stored, sent and read, stored: then before the next is sent
	n.load(through(g))
	o, err := n.c.StartBulk(n.root(), control.OperationCancel, control.JobSelection{Queue: "q"})
	if err != nil {
		t.Fatal(err)
	}
	<-g.at
	return n, g, o.ID
}

func TestCancelAnOperation(t *testing.T) {
	t.Parallel()
	const jobs = 1700
	n, g, id := stopped(t, jobs)
	before, err := n.c.GetOperation(n.root(), id, 0)
	if err != nil || before.Over() || before.Done != 500 || before.Matched != 1000 {
		t.Fatalf("%+v, %v", before, err)
	}
	cancelled := make(chan control.Operation)
	go func() {
		o, _, err := n.c.CancelOperation(n.root(), id)
		if err != nil {
			t.Error(err)
		}
		cancelled <- o
	}()
	for {
		d, err := n.store.GetDocument(n.root(), "operation", id)
		var r struct {
			Asked bool `json:"cancel_requested"`
		}
		if err != nil || json.Unmarshal(d.Data, &r) != nil {
			t.Fatal(err)
		}
		if r.Asked {
			break
		}
		runtime.Gosched()
	}
	close(g.open)
	o := <-cancelled
	if !o.Over() { // the machine is slow: it was not waited for longer
		if o, err = n.c.GetOperation(n.root(), id, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	if o.Status != control.OperationCancelled || o.Matched != 1000 || o.Done != 1000 || o.FinishedAt.IsZero() {
		t.Errorf("%+v", o)
	}
	if diff := gocmp.Diff(map[string]int{"cancelled 0": 1000, "pending 0": 700}, n.states()); diff != "" {
		t.Errorf("jobs (-want +got):\n%s", diff)
	}
	if _, _, err := n.c.CancelOperation(n.root(), id); control.KindOf(err) != control.Conflict {
		t.Errorf("cancelled again: %v", err)
	}
}

// nextMillisecond returns when the clock shows another millisecond.
func nextMillisecond() {
	for now := time.Now().UnixMilli(); time.Now().UnixMilli() == now; {
		runtime.Gosched()
	}
}

// TestLaterJobsAreNotTouched: nor are those that were there and have ended in
// another way, which are counted as skipped.
func TestLaterJobsAreNotTouched(t *testing.T) {
	t.Parallel()
	n, g, id := stopped(t, 700)
	nextMillisecond() // ids know time in milliseconds
	fill(t, n.store, "q", 300)
	first := n.oldest()
	for range 3 { // are in the step that is about to be taken
		if _, err := n.c.Cancel(n.root(), first[0]); err != nil {
			t.Fatal(err)
		}
		if _, err := n.c.Retry(n.root(), first[0]); err != nil {
			t.Fatal(err)
		}
		first = first[1:]
	}
	close(g.open)
	if o := n.over(id); o.Status != control.OperationSucceeded || o.Matched != 700 || o.Done != 697 || o.Skipped != 3 {
		t.Errorf("%+v", o)
	}
	if diff := gocmp.Diff(map[string]int{"cancelled 0": 697, "pending 1": 3, "pending 0": 300}, n.states()); diff != "" {
		t.Errorf("jobs (-want +got):\n%s", diff)
	}
}

// TestJobsMadeWhileAnOperationBeginsAreNotTouched: what is made before the
// first job was looked for, but after the operation was stored.
func TestJobsMadeWhileAnOperationBeginsAreNotTouched(t *testing.T) {
	t.Parallel()
	n := newNode(t, plain, func(*store.Store) {})
	defer n.close()
	fill(t, n.store, "q", 10)
	n.c.Close()
	g := newGate(n.store, 2) // the operation is stored
	n.load(through(g))
	begun := make(chan control.Operation)
	go func() {
		o, err := n.c.StartBulk(n.root(), control.OperationCancel, control.JobSelection{Queue: "q"})
		if err != nil {
			t.Error(err)
		}
		begun <- o
	}()
	<-g.at
	nextMillisecond() // ids know time in milliseconds
	fill(t, n.store, "q", 5)
	close(g.open)
	if o := n.over((<-begun).ID); o.Matched != 10 || o.Done != 10 {
		t.Errorf("%+v", o)
	}
	if diff := gocmp.Diff(map[string]int{"cancelled 0": 10, "pending 0": 5}, n.states()); diff != "" {
		t.Errorf("jobs (-want +got):\n%s", diff)
	}
}

// oldest returns the ids of the oldest waiting jobs of queue q.
func (n *node) oldest() []job.ID {
	n.Helper()
	list, err := n.c.ListJobs(n.root(), control.JobQuery{Queue: "q", Status: "pending", Limit: control.MaxPage})
	if err != nil || list.Cursor != "" {
		n.Fatal(err)
	}
	var ids []job.ID
	for _, j := range slices.Backward(list.Jobs) {
		ids = append(ids, j.ID)
	}
	return ids
}

func TestOperationsAreBounded(t *testing.T) {
	t.Parallel()
	n, g, id := stopped(t, 1000)
	now := time.Now()
	for i := range 1005 {
		n.putOperation(fmt.Sprintf("op_%026d", i), now)
	}
	n.putOperation("op_00000000000000000000002000", now.Add(-8*24*time.Hour))
	begun := []string{id}
	for range control.MaxOperations - 1 {
		o, err := n.c.StartBulk(n.root(), control.OperationDelete, control.JobSelection{Queue: "none"})
		if err != nil {
			t.Fatal(err)
		}
		begun = append(begun, o.ID)
	}
	close(g.open)
	for _, id := range begun { // each removes old ones when it begins
		n.over(id)
	}
	docs := n.operations()
	if over := len(docs); over < 1000 || over > 1000+control.MaxOperations {
		t.Errorf("%d operations are kept", over)
	}
	for _, gone := range []string{"op_00000000000000000000000000", "op_00000000000000000000002000"} {
		if slices.Contains(docs, gone) {
			t.Errorf("%s is still there", gone)
		}
	}
	if !slices.Contains(docs, "op_00000000000000000000001004") || !slices.Contains(docs, id) {
		t.Error("a new operation is gone")
	}
}

// putOperation stores an operation that ended at that time.
func (n *node) putOperation(id string, at time.Time) {
	n.Helper()
	data := fmt.Appendf(nil, `{"kind":"cancel","status":"succeeded","finished_at":%q}`, at.UTC().Format(time.RFC3339))
	if _, _, err := n.store.PutDocument(n.root(), "operation", id, data, store.ExpectAbsent); err != nil {
		n.Fatal(err)
	}
}

// operations returns the ids of all that are stored.
func (n *node) operations() (ids []string) {
	n.Helper()
	for after := ""; ; {
		docs, err := n.store.ListDocuments(n.root(), "operation", after, 1000)
		if err != nil {
			n.Fatal(err)
		}
		for _, d := range docs {
			ids = append(ids, d.Name)
		}
		if len(docs) < 1000 {
			return ids
		}
		after = docs[len(docs)-1].Name
	}
}

func TestTooManyOperations(t *testing.T) {
	t.Parallel()
	n := newNode(t, plain, func(*store.Store) {})
	defer n.close()
	fill(t, n.store, "q", 10)
	n.c.Close()
	held := &held{Store: n.store, open: make(chan struct{})}
	n.load(func(*store.Store) control.Store { return held })
	var ids []string
	for range control.MaxOperations {
		o, err := n.c.StartBulk(n.root(), control.OperationCancel, control.JobSelection{Queue: "q"})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, o.ID)
	}
	if _, err := n.c.PurgeQueue(n.root(), "q"); control.KindOf(err) != control.Conflict {
		t.Errorf("one more: %v", err)
	}
	close(held.open)
	done := int64(0)
	for _, id := range ids {
		o := n.over(id)
		if o.Matched != o.Done+o.Skipped {
			t.Errorf("%+v", o)
		}
		done += o.Done
	}
	if done < 10 {
		t.Errorf("%d jobs cancelled, want 10", done)
	}
	if _, err := n.c.PurgeQueue(n.root(), "q"); err != nil {
		t.Error(err)
	}
}

// held is a store whose commands wait until it is open.
type held struct {
	*store.Store
	open chan struct{}
}

func (h *held) SendAll(ctx context.Context, shard int, commands []store.Command) (uint64, error) {
	select {
	case <-h.open:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	return h.Store.SendAll(ctx, shard, commands)
}
