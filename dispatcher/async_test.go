package dispatcher

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/webhook"
	"github.com/orchestrix/orchestrix/webhook/push"
)

var takenOver = push.Answer{Outcome: job.OutcomeSucceeded, StatusCode: 202, Accepted: true}

// taken is a machine whose queue has a concurrency of 2, with one attempt that its
// worker has taken over.
func taken(t testing.TB, change ...func(*Config)) (f *fixture, id job.ID) {
	c := config("w")
	c.Workers[0].Heartbeat, c.Workers[0].AsyncTimeout = 30*time.Second, 10*time.Minute
	c.Queues = map[string]Queue{"q": {Concurrency: 2}}
	for _, ch := range change {
		ch(c)
	}
	f = started(t, c)
	f.arrive(f.entry())
	id = f.answered(takenOver).Entry.Job.ID
	return f, id
}

// tell tells the machine what a worker says of its attempt.
func (f *fixture) tell(id job.ID, attempt int, a push.Answer) {
	f.t.Helper()
	f.report(&store.Entry{Job: &job.Job{ID: id}}, attempt, a)
}

// waitsFor reports whether the machine waits for the end of the job's attempt.
func (f *fixture) waitsFor(id job.ID) bool {
	it := f.m.jobs[id]
	return it != nil && it.state == itemRunning && f.m.acceptedBy[it.attemptKey()] != nil
}

// An attempt that was taken over holds its place in the queue but none of the node's, and
// ends with its worker's report.
func TestAcceptedAttemptIsReported(t *testing.T) {
	t.Parallel()
	f, id := taken(t)
	accept := f.commits[len(f.commits)-1]
	if len(accept.Accept) != 1 || len(accept.ClaimsDone) != 1 {
		t.Fatalf("commit: %+v", accept)
	}
	a := accept.Accept[0]
	if a.Worker != "w" || a.Attempt != 1 || a.Heartbeat != 30*time.Second || !a.Deadline.Equal(noon.Add(10*time.Minute)) || !a.Beat.Equal(noon) {
		t.Errorf("accepted: %+v", a)
	}
	if f.slots+f.m.slots != 1000 || f.m.inFlight != 0 {
		t.Errorf("%d slots, %d in flight", f.slots+f.m.slots, f.m.inFlight)
	}
	f.arrive(f.entries(3)...)
	if len(f.pushes) != 1 {
		t.Errorf("%d pushes beside it, its queue has room for one", len(f.pushes))
	}
	f.now = noon.Add(time.Second)
	f.tell(id, 1, push.Answer{Outcome: job.OutcomeSucceeded, Body: []byte(`{"n":1}`), ContentType: "application/json"})
	j := f.last(id)
	if j == nil || j.Status != job.Succeeded || j.Attempts[0].Report != f.seq || j.Attempts[0].Duration != time.Second || string(j.Attempts[0].Answer) != `{"n":1}` || j.Attempts[0].Worker != "w" {
		t.Errorf("the job: %+v", j)
	}
	if len(f.pushes) != 2 || len(f.m.accepted)+len(f.m.acceptedBy) != 0 || !cmp.Equal(f.concluded, []job.Outcome{job.OutcomeSucceeded}) {
		t.Errorf("%d pushes, waits for %d, concluded %v", len(f.pushes), len(f.m.accepted), f.concluded)
	}
	commits := len(f.commits)
	f.tell(id, 1, push.Answer{Outcome: job.OutcomeFailed})
	if got := f.commits[commits:]; len(got) != 1 || len(got[0].Settle) != 0 {
		t.Errorf("a repeated report: %+v", got[0])
	}
}

// What the worker says of a failure holds as if it had answered so.
func TestAcceptedAttemptFails(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer   push.Answer
		status   job.Status
		due      time.Duration
		failures int
	}{
		"a failure":       {push.Answer{Outcome: job.OutcomeFailed, Error: "broken"}, job.Waiting, 10 * time.Second, 1},
		"later":           {push.Answer{Outcome: job.OutcomeFailed, RetryAfter: time.Minute}, job.Waiting, time.Minute, 1},
		"never again":     {push.Answer{Outcome: job.OutcomeFailed, NoRetry: true}, job.Dead, 0, 1},
		"given back":      {push.Answer{Outcome: job.OutcomeLost, Reason: job.ReasonShutdown}, job.Waiting, 0, 0},
		"taken over anew": {takenOver, job.Waiting, 0, 0},
	} {
		f, id := taken(t)
		f.tell(id, 1, tt.answer)
		if tt.answer.Accepted {
			if !f.waitsFor(id) {
				t.Errorf("%s: it is not waited for", name)
			}
			continue
		}
		j := f.last(id)
		if j.Status != tt.status || j.Failures != tt.failures || j.Attempt != 1 || tt.status == job.Waiting && !j.Due.Equal(noon.Add(tt.due)) {
			t.Errorf("%s: %+v", name, j)
		}
	}
}

// A worker that gives signs of life goes on until its deadline, one that is silent does
// not.
func TestAcceptedAttemptTimesOut(t *testing.T) {
	t.Parallel()
	f, id := taken(t)
	if !f.wake.Equal(noon.Add(30 * time.Second)) {
		t.Fatalf("wakes at %s", f.wake)
	}
	f.beats[id] = noon.Add(50 * time.Second)
	f.pass(30 * time.Second)
	if !f.waitsFor(id) || !f.wake.Equal(noon.Add(50*time.Second)) {
		t.Fatalf("a sign of life: waits %v, wakes at %s", f.waitsFor(id), f.wake)
	}
	f.pass(20 * time.Second)
	j := f.last(id)
	if j == nil || j.Attempts[0].Outcome != job.OutcomeTimedOut || j.Attempts[0].Reason != job.ReasonHeartbeat || j.Failures != 1 || !j.Due.Equal(noon.Add(time.Minute)) {
		t.Errorf("silent: %+v", j)
	}
	f, id = taken(t)
	f.beats[id] = noon.Add(10 * time.Minute)
	f.pass(30 * time.Second)
	f.pass(10 * time.Minute)
	if j := f.last(id); j == nil || j.Attempts[0].Reason != job.ReasonTimeout {
		t.Errorf("past its deadline: %+v", j)
	}
}

// A cancelled attempt is settled at once, its worker is told, and what it held is free
// when that has confirmed it, or is silent.
func TestAcceptedAttemptIsCancelled(t *testing.T) {
	t.Parallel()
	for _, confirms := range []bool{true, false} {
		f, id := taken(t)
		f.send(store.CommandCancel, &store.Entry{Job: f.m.jobs[id].entry.Job})
		f.step(inboxGrew{})
		f.rest()
		if j := f.last(id); j == nil || j.Status != job.Cancelled || j.Attempts[0].Outcome != job.OutcomeCancelled {
			t.Fatalf("the job: %+v", j)
		}
		if len(f.cancels) != 1 || f.cancels[0].Job.ID != id || f.cancels[0].Attempt != 1 || f.cancels[0].Worker.Name != "w" {
			t.Fatalf("told: %+v", f.cancels)
		}
		f.arrive(f.entries(3)...)
		if len(f.pushes) != 1 {
			t.Errorf("%d pushes while it may still go on", len(f.pushes))
		}
		if confirms {
			f.step(cancelTold{id, 1})
			f.rest()
		} else {
			f.pass(30 * time.Second)
		}
		if len(f.pushes) != 2 || len(f.m.accepted)+len(f.m.zombies) != 0 || len(f.concluded) != 0 {
			t.Errorf("confirms %v: %d pushes, waits for %d", confirms, len(f.pushes), len(f.m.accepted))
		}
	}
}

// A 202 that comes when the job is cancelled already has the worker told.
func TestCancelledBeforeItWasAccepted(t *testing.T) {
	t.Parallel()
	f := started(t, config("w"))
	f.arrive(f.entry())
	p := f.pushes[0]
	f.send(store.CommandCancel, p.Entry)
	f.step(inboxGrew{})
	f.rest()
	f.answered(takenOver)
	if len(f.cancels) != 1 || len(f.m.accepted) != 0 || f.m.inFlight != 0 {
		t.Errorf("told %d, waits for %d, in flight %d", len(f.cancels), len(f.m.accepted), f.m.inFlight)
	}
}

// The next owner waits for what was taken over under another, with all that it holds.
func TestAcceptedAttemptIsRecovered(t *testing.T) {
	t.Parallel()
	f, id := taken(t)
	record := f.commits[len(f.commits)-1].Accept[0]
	record.Entry = &store.Entry{Job: record.Entry.Job, Place: store.InAccepted}
	next := newFixture(t, f.m.cfg)
	next.beats, next.seq = f.beats, 100
	next.step(recovered{Accepted: []store.Accepted{record}})
	next.arrive(next.entries(3)...)
	if len(next.pushes) != 1 || !next.wake.Equal(noon.Add(30*time.Second)) {
		t.Errorf("%d pushes beside it, wakes at %s", len(next.pushes), next.wake)
	}
	next.tell(id, 1, push.Answer{Outcome: job.OutcomeSucceeded})
	c := next.commits[len(next.commits)-1]
	if j := next.last(id); j == nil || j.Status != job.Succeeded || len(next.pushes) != 2 {
		t.Errorf("the job %+v, %d pushes, commit %+v", j, len(next.pushes), c)
	}
}

// A push that was handed over may be taken over by its worker, too.
func TestHandedOverPushIsAccepted(t *testing.T) {
	t.Parallel()
	f := newFixture(t, config("w"))
	e := f.entry()
	e.Place = store.InClaim
	f.step(recovered{Claims: []store.Claim{{Number: 1, Node: "n", Entries: []store.ClaimEntry{{Entry: e, Attempt: 1, Worker: "w", Started: noon, Deadline: noon.Add(time.Minute)}}}}})
	f.rest()
	f.tell(e.Job.ID, 1, takenOver)
	if c := f.commits[len(f.commits)-1]; len(c.Accept) != 1 || len(c.ClaimsDone) != 1 || len(f.m.ghosts) != 0 || len(f.m.accepted) != 1 {
		t.Errorf("commit %+v, ghosts %d, waits for %d", c, len(f.m.ghosts), len(f.m.accepted))
	}
}

// A real worker takes an attempt over, is told where to report, and that it is cancelled.
func TestWorkerIsToldOfACancel(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var types, tokens []string
	told := make(chan string, 1)
	w := newWorld(t, memory(t, 1), func(rw http.ResponseWriter, r *http.Request, _ int) {
		mu.Lock()
		types = append(types, r.Header.Get(webhook.HeaderJobType))
		tokens = append(tokens, r.Header.Get(webhook.HeaderCallbackURL)+" "+r.Header.Get(webhook.HeaderAttemptToken)+" "+r.Header.Get(webhook.HeaderHeartbeatTimeout))
		mu.Unlock()
		if r.Header.Get(webhook.HeaderJobType) == webhook.TypeCancel {
			told <- r.Header.Get(webhook.HeaderAttempt)
			return
		}
		rw.Header().Set(webhook.HeaderAsync, "true")
		rw.WriteHeader(http.StatusAccepted)
	}, func(o *Options) {
		o.Callback = func(id job.ID, attempt int) (url, token string) {
			return "http://c/" + id.String(), "token"
		}
	})
	w.start()
	ctx := context.Background()
	jobs := w.jobs("q0", 1)
	if _, err := w.store.Enqueue(ctx, 0, jobs); err != nil {
		t.Fatal(err)
	}
	id := jobs[0].Job.ID
	for {
		if _, err := w.store.GetAccepted(ctx, id); err == nil {
			break
		}
	}
	if _, err := w.store.Send(ctx, store.Command{Kind: store.CommandCancel, ID: id}); err != nil {
		t.Fatal(err)
	}
	w.d.Wake(0)
	if attempt := <-told; attempt != "1" {
		t.Errorf("told of attempt %q", attempt)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(types) != 2 || tokens[0] != "http://c/"+id.String()+" token 60s" {
		t.Errorf("pushes %q, told where to report: %q", types, tokens)
	}
}
