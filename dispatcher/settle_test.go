package dispatcher

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/webhook/push"
)

// verdict is what a table expects of a job after an attempt.
type verdict struct {
	Status   job.Status
	Reason   job.Reason
	Wait     time.Duration // from the answer to Due; 0 for a terminal job too
	Failures int
	Outcome  job.Outcome
	Losses   int
}

func verdictOf(j *job.Job, now time.Time) verdict {
	v := verdict{Status: j.Status, Reason: j.Reason, Failures: j.Failures, Losses: j.Losses}
	if !j.Due.IsZero() {
		v.Wait = j.Due.Sub(now)
	}
	if n := len(j.Attempts); n > 0 {
		v.Outcome = j.Attempts[n-1].Outcome
	}
	return v
}

func TestDecide(t *testing.T) {
	t.Parallel()
	const s = time.Second
	two := []string{"a", "b"}
	tests := map[string]struct {
		job     func(*job.Job)
		config  func(*Config)
		workers []string
		answer  push.Answer
		want    verdict
	}{
		"succeeded": {answer: succeeded, want: verdict{job.Succeeded, "", 0, 0, job.OutcomeSucceeded, 0}},
		"succeeded after failures": {
			job: func(j *job.Job) { j.Failures, j.Reason = 2, job.ReasonTimeout }, answer: succeeded,
			want: verdict{job.Succeeded, "", 0, 2, job.OutcomeSucceeded, 0},
		},
		"failed":    {answer: failed, want: verdict{job.Waiting, job.ReasonHTTPStatus, 10 * s, 1, job.OutcomeFailed, 0}},
		"timed out": {answer: timedOut, want: verdict{job.Waiting, job.ReasonTimeout, 10 * s, 1, job.OutcomeTimedOut, 0}},
		"failed for the last time": {
			job: func(j *job.Job) { j.Failures = 2 }, answer: failed,
			want: verdict{job.Dead, job.ReasonMaxAttempts, 0, 3, job.OutcomeFailed, 0},
		},
		"timed out for the last time": {
			job: func(j *job.Job) { j.Failures = 2 }, answer: timedOut,
			want: verdict{job.Dead, job.ReasonMaxAttempts, 0, 3, job.OutcomeTimedOut, 0},
		},
		"the proxy failed": {
			job: func(j *job.Job) { j.Failures = 2 }, workers: two, answer: push.Answer{Outcome: job.OutcomeThrottled, Reason: job.ReasonProxy},
			want: verdict{job.Waiting, job.ReasonProxy, 10 * s, 2, job.OutcomeThrottled, 0},
		},
		"the job's policy": {
			job: func(j *job.Job) { j.Retry.MaxAttempts = 1 }, answer: failed,
			want: verdict{job.Dead, job.ReasonMaxAttempts, 0, 1, job.OutcomeFailed, 0},
		},
		"the queue's policy": {
			config: func(c *Config) { c.DefaultQueue.Retry.InitialDelay = job.Duration(3 * s) }, answer: failed,
			want: verdict{job.Waiting, job.ReasonHTTPStatus, 3 * s, 1, job.OutcomeFailed, 0},
		},
		"retry-after is longer": {
			answer: with(failed, func(a *push.Answer) { a.RetryAfter = 30 * s }),
			want:   verdict{job.Waiting, job.ReasonHTTPStatus, 30 * s, 1, job.OutcomeFailed, 0},
		},
		"retry-after is shorter": {
			answer: with(failed, func(a *push.Answer) { a.RetryAfter = s }),
			want:   verdict{job.Waiting, job.ReasonHTTPStatus, 10 * s, 1, job.OutcomeFailed, 0},
		},
		"no retry": {
			answer: with(failed, func(a *push.Answer) { a.NoRetry = true }),
			want:   verdict{job.Dead, job.ReasonNoRetry, 0, 1, job.OutcomeFailed, 0},
		},
		"gone": {
			answer: with(failed, func(a *push.Answer) { a.Gone = true }),
			want:   verdict{job.Dead, job.ReasonGone, 0, 1, job.OutcomeFailed, 0},
		},
		"fatal status": {
			job: func(j *job.Job) { j.Retry.FatalStatuses = []int{422, 500} }, answer: failed,
			want: verdict{job.Dead, job.ReasonFatalStatus, 0, 1, job.OutcomeFailed, 0},
		},
		"another status is fatal": {
			job: func(j *job.Job) { j.Retry.FatalStatuses = []int{422} }, answer: failed,
			want: verdict{job.Waiting, job.ReasonHTTPStatus, 10 * s, 1, job.OutcomeFailed, 0},
		},
		"throttled, one worker": {
			answer: throttledFor(20 * s),
			want:   verdict{job.Waiting, job.ReasonThrottled, 20 * s, 0, job.OutcomeThrottled, 0},
		},
		"throttled, without retry-after": {
			answer: throttledFor(0),
			want:   verdict{job.Waiting, job.ReasonThrottled, 10 * s, 0, job.OutcomeThrottled, 0},
		},
		"throttled, another worker": {
			workers: two, answer: throttledFor(20 * s),
			want: verdict{job.Waiting, job.ReasonThrottled, 0, 0, job.OutcomeThrottled, 0},
		},
		"throttled, the other worker is paused": {
			workers: two, config: func(c *Config) { c.Workers[1].Paused = true }, answer: throttledFor(20 * s),
			want: verdict{job.Waiting, job.ReasonThrottled, 20 * s, 0, job.OutcomeThrottled, 0},
		},
		"throttled, ad-hoc": {
			job: func(j *job.Job) { j.URL = "http://elsewhere" }, answer: throttledFor(20 * s),
			want: verdict{job.Waiting, job.ReasonThrottled, 20 * s, 0, job.OutcomeThrottled, 0},
		},
		"throttled beyond max_attempts": {
			job: func(j *job.Job) { j.Failures = 2 }, answer: throttledFor(20 * s),
			want: verdict{job.Waiting, job.ReasonThrottled, 20 * s, 2, job.OutcomeThrottled, 0},
		},
		"throttled with a fatal status": {
			job: func(j *job.Job) { j.Retry.FatalStatuses = []int{429} }, answer: throttledFor(20 * s),
			want: verdict{job.Dead, job.ReasonFatalStatus, 0, 1, job.OutcomeThrottled, 0},
		},
		"throttled beyond max_duration": {
			job: func(j *job.Job) { j.Retry.MaxDuration = job.Duration(15 * s) }, answer: throttledFor(20 * s),
			want: verdict{job.Dead, job.ReasonMaxDuration, 0, 0, job.OutcomeThrottled, 0},
		},
		"failed beyond max_duration": {
			job: func(j *job.Job) { j.StartedAt = noon.Add(-time.Hour + 9*s) }, answer: failed,
			want: verdict{job.Dead, job.ReasonMaxDuration, 0, 1, job.OutcomeFailed, 0},
		},
		"failed just within max_duration": {
			job: func(j *job.Job) { j.StartedAt = noon.Add(-time.Hour + 10*s) }, answer: failed,
			want: verdict{job.Waiting, job.ReasonHTTPStatus, 10 * s, 1, job.OutcomeFailed, 0},
		},
		"expires before the next attempt": {
			job: func(j *job.Job) { j.ExpiresAt = noon.Add(10 * s) }, answer: failed,
			want: verdict{job.Expired, job.ReasonExpired, 0, 1, job.OutcomeFailed, 0},
		},
		"expires after the next attempt": {
			job: func(j *job.Job) { j.ExpiresAt = noon.Add(11 * s) }, answer: failed,
			want: verdict{job.Waiting, job.ReasonHTTPStatus, 10 * s, 1, job.OutcomeFailed, 0},
		},
		"succeeds after expires_at": {
			job: func(j *job.Job) { j.ExpiresAt = noon.Add(time.Nanosecond) }, answer: succeeded,
			want: verdict{job.Succeeded, "", 0, 0, job.OutcomeSucceeded, 0},
		},
		"aborted by a node that leaves": {
			answer: aborted,
			want:   verdict{job.Waiting, job.ReasonShutdown, 0, 0, job.OutcomeLost, 0},
		},
		"an attempt that ended is no loss": {
			job: func(j *job.Job) { j.Losses = 1 }, answer: failed,
			want: verdict{job.Waiting, job.ReasonHTTPStatus, 10 * s, 1, job.OutcomeFailed, 0},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := config(test.workers...)
			if test.workers == nil {
				c = config("a")
			}
			if test.config != nil {
				test.config(c)
			}
			f := started(t, c)
			var change []func(*job.Job)
			if test.job != nil {
				change = append(change, test.job)
			}
			e := f.entry(change...)
			before := *e.Job
			f.arrive(e)
			f.answer(test.answer)
			j := f.last(e.Job.ID)
			if diff := cmp.Diff(test.want, verdictOf(j, f.now)); diff != "" {
				t.Errorf("verdict (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, *e.Job); diff != "" {
				t.Errorf("the stored job was changed (-before +after):\n%s", diff)
			}
			if j.Attempt != 1 || j.Status.Terminal() != !j.FinishedAt.IsZero() {
				t.Errorf("attempt %d, finished at %s", j.Attempt, j.FinishedAt)
			}
			f.rest()
			f.pass(2 * time.Hour)
			for len(f.pushes) > 0 {
				f.answered(succeeded)
			}
			if len(f.settled) != 1 {
				t.Errorf("the job became terminal %d times", len(f.settled))
			}
			f.empty()
		})
	}
}

func TestAttemptIsRecorded(t *testing.T) {
	t.Parallel()
	c := config("a")
	c.Workers[0].URL = "http://a/hook?token=secret"
	f := started(t, c)
	e := f.entry(func(j *job.Job) { j.Attempt, j.Incarnation = 4, 2 })
	f.arrive(e)
	body := make([]byte, 3000)
	f.now = noon.Add(time.Second)
	f.answered(push.Answer{
		Outcome: job.OutcomeFailed, Reason: job.ReasonHTTPStatus, StatusCode: 500, Error: "answered 500",
		Body: body, ContentType: "text/html", Duration: 900 * time.Millisecond,
	})
	want := []job.Attempt{{
		Number: 5, Incarnation: 2, Worker: "a", URL: "http://a/hook", StartedAt: noon, Duration: 900 * time.Millisecond,
		Outcome: job.OutcomeFailed, StatusCode: 500, Error: "answered 500", Reason: job.ReasonHTTPStatus,
		Answer: body[:job.MaxAnswerKept], AnswerSize: 3000, AnswerType: "text/html",
	}}
	j := f.last(e.Job.ID)
	if diff := cmp.Diff(want, j.Attempts); diff != "" {
		t.Error(diff)
	}
	if !j.StartedAt.Equal(noon) || j.Attempt != 5 {
		t.Errorf("started at %s, attempt %d", j.StartedAt, j.Attempt)
	}
	s := f.commits[len(f.commits)-1].Settle[0]
	if len(s.Answer) != 3000 || s.AnswerType != "text/html" || s.Was.Place != store.InClaim {
		t.Errorf("the whole answer: %d bytes of %q; was %+v", len(s.Answer), s.AnswerType, s.Was)
	}
}

// TestBurstOfThrottlesIsOne: the pushes that were in flight when a worker
// began to throttle say the same thing once.
func TestBurstOfThrottlesIsOne(t *testing.T) {
	t.Parallel()
	c := config("a")
	c.Retry.Backoff, c.Retry.Factor = job.BackoffExponential, 2
	f := started(t, c)
	f.arrive(f.entries(60)...)
	for range 60 {
		f.answered(throttledFor(0))
	}
	p := f.m.queues["q"].pools[0]
	if until := p.throttledUntil.Sub(noon); until != 10*time.Second {
		t.Fatalf("60 answers of one burst leave the worker alone for %s, want 10s", until)
	}
	f.pass(10 * time.Second)
	f.answered(throttledFor(0))
	if until := p.throttledUntil.Sub(f.now); until != 20*time.Second {
		t.Errorf("the second burst leaves the worker alone for %s, want 20s", until)
	}
	f.answered(throttledFor(25 * time.Second))
	if until := p.throttledUntil.Sub(f.now); until != 25*time.Second {
		t.Errorf("a longer retry-after leaves the worker alone for %s, want 25s", until)
	}
	f.answered(succeeded)
	if p.throttles != 0 {
		t.Errorf("after a success %d throttles are counted", p.throttles)
	}
}

// TestThrottledAdHocBacksOff: a destination that keeps throttling is asked less
// and less often.
func TestThrottledAdHocBacksOff(t *testing.T) {
	t.Parallel()
	c := config()
	c.Retry.Backoff, c.Retry.Factor = job.BackoffExponential, 2
	f := started(t, c)
	e := f.entry(func(j *job.Job) { j.URL = "http://elsewhere" })
	f.arrive(e)
	for _, want := range []time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second} {
		f.answered(throttledFor(0))
		if wait := f.last(e.Job.ID).Due.Sub(f.now); wait != want {
			t.Errorf("waits %s, want %s", wait, want)
		}
		f.pass(want)
	}
}

// TestThrottledJobDoesNotWaitForOneWorker: where another worker of the queue is
// only busy, the job waits for it and not for the one that throttles.
func TestThrottledJobDoesNotWaitForOneWorker(t *testing.T) {
	t.Parallel()
	c := config("a", "b")
	c.Workers[0].Concurrency, c.Workers[1].Concurrency = 1, 1
	f := started(t, c)
	e := f.entries(2)
	f.arrive(e...)
	throttling := f.answered(throttledFor(time.Hour))
	if wait := f.last(throttling.Entry.Job.ID).Due.Sub(f.now); wait != 0 {
		t.Fatalf("waits %s", wait)
	}
	busy := f.answered(succeeded)
	again := f.answered(succeeded)
	if again.Worker.Name != busy.Worker.Name || again.Worker.Name == throttling.Worker.Name {
		t.Errorf("pushed to %s", again.Worker.Name)
	}
}

func TestThrottledWorkerIsLeftAlone(t *testing.T) {
	t.Parallel()
	f := started(t, config("a"))
	f.arrive(f.entry())
	f.answered(throttledFor(20 * time.Second))
	f.arrive(f.entries(5)...)
	if len(f.pushes) != 0 {
		t.Fatalf("%d jobs are pushed to a worker that throttles", len(f.pushes))
	}
	if q := f.m.queues["q"]; q.why(f.now) != blockedThrottled {
		t.Errorf("blocked: %q", q.why(f.now))
	}
	if want := f.now.Add(20 * time.Second); !f.wake.Equal(want) {
		t.Errorf("wakes at %s, want %s", f.wake, want)
	}
	f.pass(19 * time.Second)
	if len(f.pushes) != 0 {
		t.Fatal("pushed too early")
	}
	f.pass(time.Second)
	if len(f.pushes) != 6 {
		t.Errorf("%d jobs are pushed, want 6", len(f.pushes))
	}
}

func TestGoneWorkerIsToBePaused(t *testing.T) {
	t.Parallel()
	gone := with(failed, func(a *push.Answer) { a.Gone, a.StatusCode = true, 410 })
	tests := map[string]struct {
		ignore bool
		url    string
		want   []string
	}{
		"pause":  {false, "", []string{"a"}},
		"ignore": {true, "", nil},
		"ad-hoc": {false, "http://elsewhere", nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := config("a")
			c.Workers[0].IgnoreGone = test.ignore
			f := started(t, c)
			f.arrive(f.entry(func(j *job.Job) { j.URL = test.url }))
			f.answered(gone)
			if diff := cmp.Diff(test.want, f.gone); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestNoTokenIsNotTheWorkersFailure: an attempt for which no access token could
// be had is booked on the job, not on the worker, which was never asked.
func TestNoTokenIsNotTheWorkersFailure(t *testing.T) {
	t.Parallel()
	f := started(t, config("a"))
	f.arrive(f.entry())
	f.answered(with(failed, func(a *push.Answer) { a.Reason, a.StatusCode = job.ReasonAuth, 0 }))
	if h := f.m.health["a"]; h == nil || h.failed != 0 || !h.lastFailure.IsZero() {
		t.Errorf("health %+v", h)
	}
}

// claimOf is a claim record that a dead node left behind.
func claimOf(number uint64, entries ...*store.Entry) store.Claim {
	c := store.Claim{Number: number}
	for _, e := range entries {
		e.Place = store.InClaim
		c.Entries = append(c.Entries, store.ClaimEntry{
			Entry: e, Attempt: e.Job.Attempt + 1, Worker: "a", Started: noon.Add(-time.Second), Deadline: noon.Add(time.Minute),
		})
	}
	return c
}

func TestLost(t *testing.T) {
	t.Parallel()
	const s = time.Second
	tests := map[string]struct {
		job  func(*job.Job)
		want verdict
	}{
		"first":             {func(*job.Job) {}, verdict{job.Waiting, job.ReasonLost, 0, 0, job.OutcomeLost, 1}},
		"second backs off":  {func(j *job.Job) { j.Losses = 1 }, verdict{job.Waiting, job.ReasonLost, 10 * s, 0, job.OutcomeLost, 2}},
		"fourth":            {func(j *job.Job) { j.Losses = 3 }, verdict{job.Waiting, job.ReasonLost, 10 * s, 0, job.OutcomeLost, 4}},
		"fifth is poison":   {func(j *job.Job) { j.Losses = 4 }, verdict{job.Dead, job.ReasonPoison, 0, 0, job.OutcomeLost, 5}},
		"no failure":        {func(j *job.Job) { j.Failures = 2 }, verdict{job.Waiting, job.ReasonLost, 0, 2, job.OutcomeLost, 1}},
		"expired meanwhile": {func(j *job.Job) { j.ExpiresAt = noon }, verdict{job.Expired, job.ReasonExpired, 0, 0, job.OutcomeLost, 1}},
		"beyond max_duration": {
			func(j *job.Job) { j.StartedAt = noon.Add(-2 * time.Hour) },
			verdict{job.Dead, job.ReasonMaxDuration, 0, 0, job.OutcomeLost, 1},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, config("a"))
			e := f.entry(test.job)
			f.step(recovered{Claims: []store.Claim{claimOf(7, e)}})
			j := f.last(e.Job.ID)
			if diff := cmp.Diff(test.want, verdictOf(j, f.now)); diff != "" {
				t.Errorf("verdict (-want +got):\n%s", diff)
			}
			if a := j.Attempts[0]; a.Worker != "a" || a.Number != 1 || !a.StartedAt.Equal(noon.Add(-s)) {
				t.Errorf("attempt %+v", a)
			}
			if got := f.commits[0].ClaimsDone; len(got) != 1 || got[0] != 7 {
				t.Errorf("claims done: %v", got)
			}
			f.rest()
			f.pass(time.Minute)
			for len(f.pushes) > 0 {
				if p := f.answered(succeeded); p.Attempt != 2 {
					t.Errorf("pushed as attempt %d", p.Attempt)
				}
			}
			f.empty()
		})
	}
}

// TestClaimsAreDoneWithTheirLast: a claim record goes with the settle of its
// last job, not before and not later.
func TestClaimsAreDoneWithTheirLast(t *testing.T) {
	t.Parallel()
	f := newFixture(t, config("a"))
	f.step(recovered{Claims: []store.Claim{{Number: 3}, claimOf(4, f.entry(), f.entry())}})
	if diff := cmp.Diff([]uint64{3, 4}, f.commits[0].ClaimsDone); diff != "" {
		t.Errorf("left behind (-want +got):\n%s", diff)
	}
	f.rest()
	for len(f.pushes) > 0 {
		f.answered(succeeded)
	}
	f.arrive(f.entries(3)...)
	number := f.m.claims
	if len(number) != 1 {
		t.Fatalf("claims: %v", number)
	}
	for i, a := range []push.Answer{failed, succeeded, throttledFor(time.Second)} {
		f.answered(a)
		done := f.commits[len(f.commits)-1].ClaimsDone
		if (len(done) == 1) != (i == 2) {
			t.Errorf("after %d of 3 jobs, claims done: %v", i+1, done)
		}
	}
	if len(f.m.claims) != 0 {
		t.Errorf("claims: %v", f.m.claims)
	}
}

// A lost push that is waited for may be cancelled, and its key be limited only then:
// at its deadline the key is free all the same.
func TestCancelledLostPushGivesBackItsKey(t *testing.T) {
	t.Parallel()
	f := newFixture(t, limited(Queue{Concurrency: 10, LostWaits: true}))
	e := f.entry(func(j *job.Job) { j.Key = "k" })
	f.step(recovered{Claims: []store.Claim{{Number: 1, Entries: []store.ClaimEntry{
		{Entry: e, Attempt: 1, Worker: "w", Started: f.now, Deadline: f.now.Add(time.Second)},
	}}}})
	f.send(store.CommandCancel, e)
	f.rest()
	f.reconfigure(func(c *Config) { c.DefaultQueue.KeyConcurrency = 2; c.Queues = nil })
	if live := f.m.keyLive("q", "k"); len(live.InFlight) != 1 {
		t.Errorf("until its deadline it is in flight: %+v", live)
	}
	f.pass(time.Second)
	if k := f.m.queues["q"].byKey["k"]; k != nil {
		t.Errorf("after it the key is held by %d pushes", k.inFlight)
	}
	f.empty()
}
