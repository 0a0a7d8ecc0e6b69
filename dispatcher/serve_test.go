package dispatcher

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/store/engine"
	"github.com/orchestrix/orchestrix/store/engine/model"
)

// kept is an engine that several nodes use: it is closed by the test's last.
type kept struct{ engine.Engine }

func (kept) Close() error { return nil }

// nodes are n nodes on one store. They were started, and serve nothing yet.
func nodes(t *testing.T, shards, n int, answer func(http.ResponseWriter, *http.Request, int)) []*world {
	e := model.New(shards, nil)
	worlds := make([]*world, n)
	for i := range worlds {
		worlds[i] = newWorld(t, kept{e}, answer, func(o *Options) { o.Shared, o.Lease = true, time.Second })
		worlds[i].start()
	}
	return worlds
}

func (w *world) untilOwns(shards ...int) {
	w.t.Helper()
	w.until("it serves these shards and no others", func() bool { return slices.Equal(w.d.Owned(), shards) })
}

// A job is pushed by the node that serves its shard, whichever stored it, and a
// command reaches it.
func TestJobsOfAnotherNode(t *testing.T) {
	t.Parallel()
	w := nodes(t, 4, 2, nil)
	w[1].d.Serve([]int{0, 1, 2, 3})
	w[1].untilOwns(0, 1, 2, 3)
	w[0].enqueue("q0", 50)
	w[0].enqueue("q1", 50, func(j *job.Job) { j.Due = j.CreatedAt.Add(5 * time.Millisecond) })
	w[0].enqueue("q2", 20, func(j *job.Job) { j.Key, j.Ordered = "k", true })
	w[1].enqueue("q0", 50) // behind numbers that this node has not seen
	w[0].untilSucceeded(170)
	if jobs, pushes := w[0].worker.count(); jobs != 0 {
		t.Errorf("the node that serves nothing has pushed %d jobs %d times", jobs, pushes)
	}
	if jobs, pushes := w[1].worker.count(); jobs != 170 || pushes != 170 {
		t.Errorf("%d jobs were pushed %d times", jobs, pushes)
	}
	id := w[0].enqueue("q0", 1, func(j *job.Job) { j.Due = j.CreatedAt.Add(time.Hour) })[0]
	if _, err := w[0].store.Send(t.Context(), store.Command{Kind: store.CommandCancel, ID: id}); err != nil {
		t.Fatal(err)
	}
	w[0].until("the job is cancelled", func() bool { return w[0].job(id).Status == job.Cancelled })
}

// A shard that moves is drained first: no push is made twice, and what comes
// meanwhile is pushed by the next owner.
func TestServeMovesShards(t *testing.T) {
	t.Parallel()
	w := nodes(t, 4, 2, nil)
	w[0].d.Serve([]int{0, 1, 2, 3})
	w[0].untilOwns(0, 1, 2, 3)
	for i := range 10 {
		w[i%2].enqueue("q0", 30)
		w[i%2].enqueue("q1", 30)
		w[i%2].d.Serve(nil)
		w[1-i%2].d.Serve([]int{0, 1, 2, 3})
		if i == 5 {
			w[1-i%2].untilOwns(0, 1, 2, 3)
		}
	}
	w[0].untilSucceeded(600)
	jobs0, pushes0 := w[0].worker.count()
	jobs1, pushes1 := w[1].worker.count()
	if jobs0+jobs1 != 600 || pushes0+pushes1 != 600 {
		t.Errorf("%d and %d jobs were pushed %d and %d times", jobs0, jobs1, pushes0, pushes1)
	}
	w[0].untilOwns(0, 1, 2, 3)
	w[1].untilOwns()
	if lost := w[0].d.Totals().Lost + w[1].d.Totals().Lost; lost != 0 {
		t.Errorf("%d pushes were booked as lost", lost)
	}
}

// A shard that was to move and was taken back before it could be is served on.
func TestServeTakesBack(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	w := nodes(t, 1, 1, func(_ http.ResponseWriter, r *http.Request, _ int) { <-release })[0]
	w.d.Serve([]int{0})
	w.untilOwns(0)
	w.enqueue("q0", 1)
	w.until("the push is made", func() bool { n, _ := w.worker.count(); return n == 1 })
	w.d.Serve(nil)
	w.untilOwns()
	w.enqueue("q0", 5)
	w.d.Serve([]int{0})
	w.until("the others are pushed", func() bool { n, _ := w.worker.count(); return n == 6 })
	close(release)
	w.untilSucceeded(6)
}

// A node that dies leaves its lease behind, and another takes the shard.
func TestServeWaitsForALease(t *testing.T) {
	t.Parallel()
	e := model.New(2, nil)
	for shard := range 2 {
		if _, err := e.Acquire(t.Context(), shard, engine.Nonce{1}, 300*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	w := newWorld(t, e, nil, func(o *Options) { o.Shared, o.Lease = true, time.Second })
	w.d.Serve([]int{0}) // before it is started: to no effect
	w.start()
	if w.d.Owned() != nil {
		t.Error("a shard is served that nobody has named")
	}
	w.d.Serve([]int{0, 1})
	w.enqueue("q0", 5)
	w.enqueue("q1", 5)
	w.untilSucceeded(10)
}
