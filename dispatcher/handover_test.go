package dispatcher

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/webhook/push"
)

func (w *world) untilPushed(n int) {
	w.t.Helper()
	w.until("so many jobs are pushed", func() bool { jobs, _ := w.worker.count(); return jobs == n })
}

func (w *world) inFlight(queue string) int { return w.d.QueueLive(queue).InFlight }

// A shard is given up at once, however long its pushes take; they count against the
// next owner's limits, are made once, and are settled by their node's reports.
func TestHandOver(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	w := nodes(t, 1, 2, hangs(release))
	for _, w := range w {
		c := w.config
		c.DefaultQueue.Concurrency = 3
		w.d.Configure(c)
	}
	w[0].d.Serve([]int{0})
	w[0].untilOwns(0)
	ids := w[0].enqueue("q0", 3)
	w[0].untilPushed(3)
	w[0].d.Serve(nil)
	w[1].d.Serve([]int{0})
	w[1].untilOwns(0)
	w[1].until("it counts what the other has in flight", func() bool { return w[1].inFlight("q0") == 3 })
	w[1].enqueue("q0", 2)
	w[1].until("it has read them", func() bool { return w[1].d.Totals().WindowJobs == 2 })
	if n := w[0].d.InFlight(); n != 3 {
		t.Errorf("the node has %d pushes in flight", n)
	}
	if jobs, _ := w[1].worker.count(); jobs != 0 {
		t.Errorf("%d jobs are pushed beyond the limit", jobs)
	}
	close(release)
	w[1].untilSucceeded(5)
	for _, id := range ids {
		j := w[1].job(id)
		if len(j.Attempts) != 1 || j.Attempts[0].Outcome != job.OutcomeSucceeded || j.Attempts[0].StatusCode != http.StatusOK || j.Attempts[0].Worker != "w" || j.Attempts[0].Duration == 0 {
			t.Errorf("%s: %+v", id, j.Attempts)
		}
	}
	if jobs, pushes := w[0].worker.count(); jobs != 3 || pushes != 3 {
		t.Errorf("%d jobs were pushed %d times", jobs, pushes)
	}
	w[0].until("the slots are free", func() bool { return w[0].d.InFlight() == 0 })
	if lost := w[0].d.Totals().Lost + w[1].d.Totals().Lost; lost != 0 {
		t.Errorf("%d pushes were booked as lost", lost)
	}
}

// A node that goes on with pushes may be the one that takes the shard back.
func TestHandOverToItself(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	w := nodes(t, 1, 1, hangs(release))[0]
	w.d.Serve([]int{0})
	w.untilOwns(0)
	w.enqueue("q0", 3)
	w.untilPushed(3)
	for range 3 {
		w.d.Serve(nil)
		w.untilOwns()
		w.d.Serve([]int{0})
		w.untilOwns(0)
		w.until("it counts them", func() bool { return w.inFlight("q0") == 3 })
	}
	close(release)
	w.untilSucceeded(3)
	if _, pushes := w.worker.count(); pushes != 3 {
		t.Errorf("%d pushes", pushes)
	}
}

// The pushes of a node that dies after it has handed its shard over are lost when
// that is known, and made again.
func TestHandOverByANodeThatDies(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	defer close(release)
	w := nodes(t, 1, 2, hangs(release))
	w[1].worker.answer = nil
	w[0].d.Serve([]int{0})
	w[0].untilOwns(0)
	id := w[0].enqueue("q0", 1)[0]
	w[0].untilPushed(1)
	w[0].d.Serve(nil)
	w[1].d.Living([]string{w[0].d.node, w[1].d.node})
	w[1].d.Serve([]int{0})
	w[1].until("it counts the push", func() bool { return w[1].inFlight("q0") == 1 })
	w[1].d.Living([]string{w[1].d.node})
	w[1].untilSucceeded(1)
	j := w[1].job(id)
	if len(j.Attempts) != 2 || j.Attempts[0].Outcome != job.OutcomeLost || j.Attempts[0].Reason != job.ReasonLost || j.Failures != 0 {
		t.Errorf("%+v", j)
	}
	if n := w[1].d.Totals().Lost; n != 1 {
		t.Errorf("%d pushes were booked as lost", n)
	}
	w[0].until("the push is called off, since it was given up", func() bool { return w[0].d.InFlight() == 0 })
	if again := w[1].job(id); !cmp.Equal(again, j) {
		t.Errorf("a late report has changed the job: %+v", again)
	}
}

// Stop hands the shards over, waits for the pushes, and has those that outlast it
// aborted and made again, which uses up no attempt.
func TestStopHandsOver(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	var slow atomic.Int64
	w := nodes(t, 1, 2, func(rw http.ResponseWriter, r *http.Request, n int) {
		if slow.Add(1) == 1 {
			<-r.Context().Done() // until it is aborted
			return
		}
		hangs(release)(rw, r, n)
	})
	w[1].worker.answer = nil
	w[0].d.Serve([]int{0})
	w[0].untilOwns(0)
	w[0].enqueue("q0", 3)
	w[0].untilPushed(3)
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- w[0].d.Stop(ctx) }()
	w[1].d.Serve([]int{0})
	w[1].until("it counts what the other has in flight", func() bool { return w[1].inFlight("q0") == 3 })
	close(release)
	w[1].untilSucceeded(2)
	select {
	case err := <-stopped:
		t.Fatalf("stopped with a push in flight: %v", err)
	default:
	}
	cancel()
	if err := <-stopped; err == nil {
		t.Error("a push was aborted, and Stop does not say so")
	}
	w[1].untilSucceeded(3)
	if jobs, pushes := w[1].worker.count(); jobs != 1 || pushes != 1 {
		t.Errorf("%d jobs were pushed %d times anew", jobs, pushes)
	}
}

// A job that is cancelled while another node goes on with its push has that aborted.
func TestHandOverCancelled(t *testing.T) {
	t.Parallel()
	w := nodes(t, 1, 2, hangs(nil))
	w[0].d.Serve([]int{0})
	w[0].untilOwns(0)
	id := w[0].enqueue("q0", 1)[0]
	w[0].untilPushed(1)
	w[0].d.Serve(nil)
	w[1].d.Serve([]int{0})
	w[1].until("it counts the push", func() bool { return w[1].inFlight("q0") == 1 })
	if _, err := w[1].store.Send(t.Context(), store.Command{Kind: store.CommandCancel, ID: id}); err != nil {
		t.Fatal(err)
	}
	w[1].until("the push has ended", func() bool { return w[1].inFlight("q0") == 0 && w[0].d.InFlight() == 0 })
	if j := w[1].job(id); j.Status != job.Cancelled {
		t.Errorf("the job is %s", j.Status)
	}
}

// handedOver is a machine whose shard was handed over with pushes by node n1.
func handedOver(t *testing.T, c *Config, change func(*store.ClaimEntry), entries ...*store.Entry) *fixture {
	f := newFixture(t, c)
	claim := claimOf(7, entries...)
	claim.Node = "n1"
	for i := range claim.Entries {
		claim.Entries[i].Deadline = noon.Add(time.Minute)
		if change != nil {
			change(&claim.Entries[i])
		}
	}
	f.m.limits.Lease = 3 * time.Second
	f.step(recovered{Claims: []store.Claim{claim}})
	f.rest()
	return f
}

func (f *fixture) report(e *store.Entry, attempt int, a push.Answer) {
	f.t.Helper()
	f.seq++
	c := reportOf(&result{e.Job.ID, attempt, a})
	c.Seq = f.seq
	f.inbox = append(f.inbox, c)
	f.step(inboxGrew{})
	f.rest()
}

// A report settles its attempt once, and one of another attempt nothing.
func TestReportsAreAboutOneAttempt(t *testing.T) {
	t.Parallel()
	c := config("a")
	e := newFixture(t, c).entry()
	f := handedOver(t, c, nil, e)
	f.report(e, 2, succeeded)
	if len(f.commits) != 1 || len(f.commits[0].Settle) != 0 {
		t.Fatalf("a report of another attempt: %+v", f.commits)
	}
	f.report(e, 1, failed)
	if j := f.last(e.Job.ID); j.Status != job.Waiting || j.Failures != 1 || j.Attempts[0].StatusCode != http.StatusInternalServerError {
		t.Errorf("%+v", j)
	}
	n := len(f.commits)
	f.report(e, 1, succeeded)
	if c := f.commits[len(f.commits)-1]; len(f.commits) != n+1 || len(c.Settle) != 0 || len(c.Consumed) != 1 || len(f.inbox) != 0 {
		t.Errorf("a repeated report: %+v", c)
	}
}

// A push of which nothing is heard is lost when its time is over, or its node dead;
// a dead node's may still begin until its lease would have run out.
func TestHandedOverPushesAreLost(t *testing.T) {
	t.Parallel()
	c := config("a")
	e := newFixture(t, c).entry()
	lost := func(f *fixture) bool { return len(f.pushes) == 1 }

	f := handedOver(t, c, nil, e)
	f.pass(time.Minute + reportGrace - time.Millisecond)
	if lost(f) {
		t.Error("lost before its time is over")
	}
	if f.pass(time.Millisecond); !lost(f) {
		t.Error("not lost when its time is over")
	}

	f = handedOver(t, c, nil, e)
	f.step(living{[]string{"n2"}})
	f.step(living{[]string{"n1", "n2"}})
	f.pass(3 * time.Second)
	if lost(f) {
		t.Error("lost though its node lives")
	}
	f.step(living{[]string{"n2"}})
	if f.rest(); !lost(f) {
		t.Error("not lost when its node is dead")
	}

	f = handedOver(t, c, nil, e)
	f.step(living{[]string{"n2"}})
	f.pass(3*time.Second - time.Millisecond)
	if lost(f) {
		t.Error("lost before the lease would have run out")
	}
	if f.pass(time.Millisecond); !lost(f) {
		t.Error("not lost when it has")
	}

	c.DefaultQueue.LostWaits = true
	f = handedOver(t, c, nil, e)
	f.step(living{[]string{"n2"}})
	f.pass(time.Minute - time.Millisecond)
	if lost(f) {
		t.Error("made again before its deadline, where that is waited for")
	}
	if f.pass(time.Millisecond); !lost(f) {
		t.Error("not made again at its deadline")
	}
}

// What the list says of a push holds for the next owner: it is the probe of its
// worker's circuit, and has a place at a worker that serves the queue only later.
func TestHandedOverPushesHoldTheirPlace(t *testing.T) {
	t.Parallel()
	c := config("a")
	c.Workers[0].Concurrency = 1
	e := newFixture(t, c).entry()
	f := handedOver(t, &Config{DefaultQueue: c.DefaultQueue, Timeout: c.Timeout, Retry: c.Retry}, func(ce *store.ClaimEntry) { ce.Worker = "a" }, e)
	f.step(configured{c})
	f.arrive(f.entry())
	if len(f.pushes) != 0 {
		t.Error("the worker has two pushes, allowed is one")
	}
	f.report(e, 1, succeeded)
	if len(f.pushes) != 1 {
		t.Errorf("%d pushes when the first has ended", len(f.pushes))
	}
}

// A machine lists what is in flight once what it knows is durable, and takes that
// list for its claim where the shard is served on after all.
func TestHandOverIsTakenBack(t *testing.T) {
	t.Parallel()
	f := started(t, config("a"))
	f.arrive(f.entries(3)...)
	f.answer(succeeded) // its commit is under way
	f.step(draining{"me"})
	if f.commit.HandOver != nil {
		t.Fatal("two commits in one")
	}
	f.durable()
	h := f.commit.HandOver
	if h == nil || h.Node != "me" || len(h.Entries) != 2 || len(f.commit.ClaimsDone) != 1 || f.m.quiet() {
		t.Fatalf("the list: %+v", f.commit)
	}
	f.durable()
	if !f.m.quiet() {
		t.Error("the shard cannot be given up")
	}
	f.step(resuming{})
	number := f.m.number - 1
	f.arrive(f.entry())
	for range 3 {
		f.answered(succeeded)
	}
	done := false
	for _, c := range f.commits {
		for _, n := range c.ClaimsDone {
			done = done || n == number
		}
	}
	if !done {
		t.Error("the list is left behind as a claim")
	}
	f.empty()
}

func TestReportsRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := func(what string) string { return rapid.StringN(0, 20, 40).Draw(t, what) }
		duration := func(what string) time.Duration { return time.Duration(rapid.Int64Min(0).Draw(t, what)) }
		a := push.Answer{
			Outcome: rapid.SampledFrom(job.Outcomes()).Draw(t, "outcome"), Reason: job.Reason(text("reason")), Error: text("error"),
			StatusCode: rapid.IntRange(0, 999).Draw(t, "status"), Body: []byte(text("body")), ContentType: text("type"),
			RetryAfter: duration("retry after"), NoRetry: rapid.Bool().Draw(t, "no retry"), Gone: rapid.Bool().Draw(t, "gone"), Duration: duration("duration"),
		}
		got, ok := parseAnswer(appendAnswer(nil, &a))
		if diff := cmp.Diff(a, got, cmpopts.EquateEmpty()); !ok || diff != "" {
			t.Fatalf("%v %s", ok, diff)
		}
		parseAnswer(rapid.SliceOf(rapid.Byte()).Draw(t, "anything")) // does not panic
	})
	if _, ok := parseAnswer(nil); ok {
		t.Error("a report without an outcome is one")
	}
}
