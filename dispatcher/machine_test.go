package dispatcher

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/webhook/push"
)

// TestLifeOfAJob: nothing is pushed before its claim is durable, and nothing is
// known of it after its end.
func TestLifeOfAJob(t *testing.T) {
	t.Parallel()
	f := started(t, config("w"))
	e := f.entry()
	f.step(arrived{[]*store.Entry{e}})
	if len(f.pushes) != 0 || f.commit == nil || len(f.commit.Claim) != 1 {
		t.Fatalf("before the claim is durable: %d pushes, commit %+v", len(f.pushes), f.commit)
	}
	want := store.ClaimEntry{Entry: e, Attempt: 1, Worker: "w", Started: noon, Deadline: noon.Add(time.Minute)}
	if diff := cmp.Diff(want, f.commit.Claim[0]); diff != "" {
		t.Error(diff)
	}
	f.now = f.now.Add(time.Second)
	f.durable()
	if p := f.pushes[0]; p.Entry != e || p.Attempt != 1 || p.Max != 3 || p.Worker.Name != "w" || p.Timeout != time.Minute {
		t.Errorf("pushed %+v", p)
	}
	if !f.m.running(e.Job.ID) {
		t.Error("a job that is pushed is not running")
	}
	f.answer(succeeded)
	if len(f.settled) != 0 {
		t.Error("settled before it is durable")
	}
	f.rest()
	if len(f.settled) != 1 || f.settled[0].ID != e.Job.ID || f.m.running(e.Job.ID) {
		t.Errorf("settled: %v", f.settled)
	}
	if f.slots != 1000 {
		t.Errorf("%d slots were not given back", 1000-f.slots)
	}
	f.empty()
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		job, worker time.Duration
		url         string
		want        time.Duration
	}{
		"the server's":   {0, 0, "", time.Minute},
		"the worker's":   {0, 2 * time.Second, "", 2 * time.Second},
		"the job's":      {3 * time.Second, 2 * time.Second, "", 3 * time.Second},
		"ad-hoc":         {0, 2 * time.Second, "http://elsewhere", time.Minute},
		"the ad-hoc job": {3 * time.Second, 2 * time.Second, "http://elsewhere", 3 * time.Second},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := config("w")
			c.Workers[0].Timeout = test.worker
			f := started(t, c)
			f.arrive(f.entry(func(j *job.Job) { j.URL, j.Timeout = test.url, job.Duration(test.job) }))
			p := f.pushed()
			if p.Timeout != test.want || (p.Worker == nil) != (test.url != "") {
				t.Errorf("timeout %s, worker %v", p.Timeout, p.Worker)
			}
		})
	}
}

// workersOf counts the pushes in flight by worker.
func (f *fixture) workersOf() map[string]int {
	count := make(map[string]int)
	for _, p := range f.pushes {
		if p.Worker == nil {
			count["ad-hoc"]++
		} else {
			count[p.Worker.Name]++
		}
	}
	return count
}

func TestWorkerChoice(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(*Config)
		jobs   int
		want   map[string]int
		why    string
	}{
		"equal":              {func(*Config) {}, 8, map[string]int{"a": 4, "b": 4}, ""},
		"weights":            {func(c *Config) { c.Workers[1].Weight = 3 }, 8, map[string]int{"a": 2, "b": 6}, ""},
		"worker concurrency": {func(c *Config) { c.Workers[1].Concurrency = 1 }, 8, map[string]int{"a": 7, "b": 1}, ""},
		"all are full": {
			func(c *Config) { c.Workers[0].Concurrency, c.Workers[1].Concurrency = 2, 1 }, 8,
			map[string]int{"a": 2, "b": 1},
			blockedConcurrency,
		},
		"queue concurrency": {func(c *Config) { c.DefaultQueue.Concurrency = 5 }, 8, map[string]int{"a": 3, "b": 2}, blockedConcurrency},
		"one is paused":     {func(c *Config) { c.Workers[0].Paused = true }, 8, map[string]int{"b": 8}, ""},
		"both are paused": {
			func(c *Config) { c.Workers[0].Paused, c.Workers[1].Paused = true, true }, 8,
			map[string]int{},
			blockedNoWorker,
		},
		"none serves the queue": {func(c *Config) { c.Workers = nil }, 8, map[string]int{}, blockedNoWorker},
		"of another queue":      {func(c *Config) { c.Workers[0].Queues = []string{"other"} }, 8, map[string]int{"b": 8}, ""},
		"the queue is paused":   {func(c *Config) { c.DefaultQueue.Paused = true }, 8, map[string]int{}, blockedPaused},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := config("a", "b")
			test.change(c)
			f := started(t, c)
			f.arrive(f.entries(test.jobs)...)
			if diff := cmp.Diff(test.want, f.workersOf()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if why := f.m.queues["q"].why(f.now); why != test.why {
				t.Errorf("blocked: %q, want %q", why, test.why)
			}
		})
	}
}

// TestWeightsCountOneAtATime: a light worker gets its share also where pushes
// never overlap.
func TestWeightsCountOneAtATime(t *testing.T) {
	t.Parallel()
	c := config("a", "b")
	c.Workers[1].Weight = 3
	f := started(t, c)
	got := make(map[string]int)
	for range 40 {
		f.arrive(f.entry())
		got[f.answered(succeeded).Worker.Name]++
	}
	if got["a"] != 10 || got["b"] != 30 {
		t.Errorf("pushed %v", got)
	}
}

// TestLeastLoad: the worker that is done first gets the next job.
func TestLeastLoad(t *testing.T) {
	t.Parallel()
	f := started(t, config("a", "b"))
	f.arrive(f.entries(2)...)
	for range 10 {
		fast := f.answered(succeeded).Worker.Name
		f.arrive(f.entry())
		p := f.pushes[len(f.pushes)-1]
		if p.Worker.Name != fast {
			t.Fatalf("%s has nothing to do and %s was given a job", fast, p.Worker.Name)
		}
		f.pushes = []pushOrder{p, f.pushes[0]}
	}
}

// TestAdHocNeedsNoWorker: jobs with a destination of their own pass those that
// wait for a worker, but not the queue's limits.
func TestAdHocNeedsNoWorker(t *testing.T) {
	t.Parallel()
	c := config()
	c.DefaultQueue.Concurrency = 3
	f := started(t, c)
	f.arrive(f.entries(10)...)
	f.arrive(f.entries(5, func(j *job.Job) { j.URL = "http://elsewhere" })...)
	if diff := cmp.Diff(map[string]int{"ad-hoc": 3}, f.workersOf()); diff != "" {
		t.Error(diff)
	}
}

// TestQueuesAreServedInTurn: a queue with a long backlog delays no other.
func TestQueuesAreServedInTurn(t *testing.T) {
	t.Parallel()
	c := config("w")
	c.Workers[0].Queues = []string{"hot", "cold"}
	f := started(t, c)
	f.slots = 0
	f.arrive(f.entries(200, func(j *job.Job) { j.Queue = "hot" })...)
	f.arrive(f.entries(3, func(j *job.Job) { j.Queue = "cold" })...)
	f.slots = 6
	f.step(granted{})
	f.rest()
	count := make(map[string]int)
	for _, p := range f.pushes {
		count[p.Entry.Job.Queue]++
	}
	if count["hot"] != 3 || count["cold"] != 3 {
		t.Errorf("pushed %v", count)
	}
}

// TestSlowQueueHoldsItsConcurrency: what hangs costs its own queue only.
func TestSlowQueueHoldsItsConcurrency(t *testing.T) {
	t.Parallel()
	c := config("w")
	c.Workers[0].Queues = []string{"slow", "fast"}
	c.DefaultQueue.Concurrency = 4
	f := started(t, c)
	f.arrive(f.entries(50, func(j *job.Job) { j.Queue = "slow" })...)
	f.pushes = nil // they hang
	for range 20 {
		f.arrive(f.entry(func(j *job.Job) { j.Queue = "fast" }))
		if p := f.answered(succeeded); p.Entry.Job.Queue != "fast" {
			t.Fatalf("%s was pushed", p.Entry.Job.Queue)
		}
	}
	if n := f.m.queues["slow"].inFlight; n != 4 {
		t.Errorf("%d in flight", n)
	}
}

func TestConfigurationIsLive(t *testing.T) {
	t.Parallel()
	c := config()
	c.DefaultQueue.Paused = true
	f := started(t, c)
	f.arrive(f.entries(10)...)
	in := func(want int) {
		t.Helper()
		f.rest()
		if len(f.pushes) != want {
			t.Fatalf("%d are pushed, want %d", len(f.pushes), want)
		}
	}
	in(0)
	f.reconfigure(func(c *Config) { c.DefaultQueue.Paused = false })
	in(0)
	f.reconfigure(func(c *Config) { c.Workers = config("a").Workers; c.Workers[0].Concurrency = 2 })
	in(2)
	f.reconfigure(func(c *Config) { c.Workers[0].Concurrency = 4 })
	in(4)
	f.reconfigure(func(c *Config) { c.DefaultQueue.Concurrency = 5; c.Workers[0].Concurrency = 0 })
	in(5)
	f.reconfigure(func(c *Config) { c.DefaultQueue.Concurrency = 1 })
	f.answered(succeeded)
	in(4)
	f.reconfigure(func(c *Config) {
		c.Queues = map[string]Queue{"q": {Concurrency: 6}}
		c.Workers[0].Concurrency = 5
	})
	in(5)
	f.reconfigure(func(c *Config) { c.Workers = nil })
	f.reconfigure(func(c *Config) { c.Workers = config("a").Workers; c.Workers[0].Concurrency = 5 })
	in(5) // a worker that comes back still has what it had
	f.reconfigure(func(c *Config) { c.Workers[0].Concurrency = 0; c.Retry.MaxAttempts = 1 })
	in(6)
	p := f.answered(failed)
	if j := f.last(p.Entry.Job.ID); j.Reason != job.ReasonMaxAttempts {
		t.Errorf("the policy is not live: %s %s", j.Status, j.Reason)
	}
}

// A command may be read before the machine is told of the job that it is about.
func TestCommandBeforeItsJobArrives(t *testing.T) {
	t.Parallel()
	f := started(t, config("a"))
	e := f.entry()
	f.send(store.CommandCancel, e)
	f.step(arrived{[]*store.Entry{e}})
	f.rest()
	if len(f.pushes) > 0 {
		t.Error("a cancelled job is pushed")
	}
	if j := f.last(e.Job.ID); j.Status != job.Cancelled {
		t.Errorf("it is %s", j.Status)
	}
}

// What is free again only later is seen to in time, also where nothing else happens.
func TestReleaseIsWokenFor(t *testing.T) {
	t.Parallel()
	f := startedForLong(t, config("a"))
	f.arrive(f.entry(func(j *job.Job) { j.IdempotencyKey = "i" }))
	p := f.answered(succeeded)
	if want := f.ReleaseTime(f.last(p.Entry.Job.ID)); !f.wake.Equal(want) {
		t.Errorf("it wakes at %s, the idempotency key is free at %s", f.wake, want)
	}
}

// TestCommands: what each command does to a job in each state.
func TestCommands(t *testing.T) {
	t.Parallel()
	ready := func(f *fixture) *store.Entry {
		f.reconfigure(func(c *Config) { c.DefaultQueue.Paused = true })
		e := f.entry()
		f.arrive(e)
		return e
	}
	inLane := func(f *fixture) *store.Entry { return f.entry() }
	inTimers := func(f *fixture) *store.Entry {
		e := f.entry(func(j *job.Job) { j.Due = noon.Add(time.Hour) })
		e.Place = store.InTimers
		return e
	}
	running := func(f *fixture) *store.Entry {
		e := f.entry()
		f.arrive(e)
		return e
	}
	terminal := func(s job.Status) func(*fixture) *store.Entry {
		return func(f *fixture) *store.Entry {
			e := f.entry(func(j *job.Job) {
				j.Status, j.Reason, j.Failures, j.Losses, j.Attempt = s, job.ReasonCancelled, 3, 2, 4
				j.StartedAt, j.FinishedAt, j.ExpiresAt = noon, noon, noon
			})
			e.Place = store.Nowhere
			return e
		}
	}
	gone := func(f *fixture) *store.Entry { return f.entry() }
	type want struct {
		Settled job.Status // 0: not at all
		Reason  job.Reason
		Due     time.Time
		Deleted int
		Aborted int
	}
	cancelled := want{Settled: job.Cancelled, Reason: job.ReasonCancelled}
	purged := want{Settled: job.Cancelled, Reason: job.ReasonPurged}
	tests := map[string]struct {
		kind  store.CommandKind
		state func(*fixture) *store.Entry
		want  want
	}{
		"cancel, in the window":      {store.CommandCancel, ready, cancelled},
		"cancel, in its lane":        {store.CommandCancel, inLane, cancelled},
		"cancel, in the timers":      {store.CommandCancel, inTimers, cancelled},
		"cancel, running":            {store.CommandCancel, running, want{Settled: job.Cancelled, Reason: job.ReasonCancelled, Aborted: 1}},
		"cancel, succeeded":          {store.CommandCancel, terminal(job.Succeeded), want{}},
		"cancel, expired":            {store.CommandCancel, terminal(job.Expired), want{}},
		"run now, in the timers":     {store.CommandRunNow, inTimers, want{Settled: job.Waiting, Due: noon}},
		"run now, in the window":     {store.CommandRunNow, ready, want{}},
		"run now, in its lane":       {store.CommandRunNow, inLane, want{}},
		"run now, running":           {store.CommandRunNow, running, want{}},
		"run now, dead":              {store.CommandRunNow, terminal(job.Dead), want{}},
		"retry, dead":                {store.CommandRetry, terminal(job.Dead), want{Settled: job.Waiting, Due: noon}},
		"retry, succeeded":           {store.CommandRetry, terminal(job.Succeeded), want{Settled: job.Waiting, Due: noon}},
		"retry, cancelled":           {store.CommandRetry, terminal(job.Cancelled), want{Settled: job.Waiting, Due: noon}},
		"retry, expired":             {store.CommandRetry, terminal(job.Expired), want{Settled: job.Waiting, Due: noon}},
		"retry, in the timers":       {store.CommandRetry, inTimers, want{}},
		"retry, running":             {store.CommandRetry, running, want{}},
		"delete, dead":               {store.CommandDelete, terminal(job.Dead), want{Deleted: 1}},
		"delete, running":            {store.CommandDelete, running, want{}},
		"delete, in the window":      {store.CommandDelete, ready, want{}},
		"delete, in the timers":      {store.CommandDelete, inTimers, want{}},
		"cancel, not there any more": {store.CommandCancel, gone, cancelled},
		"purge, in the window":       {store.CommandPurge, ready, purged},
		"purge, in its lane":         {store.CommandPurge, inLane, purged},
		"purge, in the timers":       {store.CommandPurge, inTimers, purged},
		"purge, running":             {store.CommandPurge, running, want{}},
		"purge, dead":                {store.CommandPurge, terminal(job.Dead), want{}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := started(t, config("w"))
			e := test.state(f)
			before := *e.Job
			f.send(test.kind, e)
			if f.commit == nil || len(f.commit.Consumed) != 1 {
				t.Fatalf("the command is not consumed: %+v", f.commit)
			}
			var got want
			got.Deleted, got.Aborted = len(removed(f.commit)), len(f.aborts)
			for _, s := range f.commit.Settle {
				got.Settled, got.Reason, got.Due = s.Job.Status, s.Job.Reason, s.Job.Due
				if s.Was.Status != before.Status || !s.Was.Due.Equal(before.Due) {
					t.Errorf("was %+v", s.Was)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if test.kind == store.CommandRetry && got.Settled != 0 {
				j := f.commit.Settle[0].Job
				if j.Incarnation != 1 || j.Failures+j.Losses != 0 || j.Attempt != 4 || !j.ExpiresAt.IsZero() || !j.FinishedAt.IsZero() || j.Reason != "" {
					t.Errorf("redriven as %+v", j)
				}
			}
			if diff := cmp.Diff(before, *e.Job); diff != "" {
				t.Errorf("the stored job was changed:\n%s", diff)
			}
			f.rest()
			f.reconfigure(func(c *Config) { c.DefaultQueue.Paused = false })
			f.rest()
			for len(f.pushes) > 0 {
				f.answered(succeeded)
			}
			if n := len(f.settled); n > 1 {
				t.Errorf("the job became terminal %d times", n)
			}
			f.empty()
		})
	}
}

// TestCommandsForASettlingJob: a command that comes with the outcome of an
// attempt finds what the outcome made of the job.
func TestCommandsForASettlingJob(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		kinds  []store.CommandKind
		answer push.Answer
		status job.Status
		wait   time.Duration
	}{
		"cancel after a failure":  {[]store.CommandKind{store.CommandCancel}, failed, job.Cancelled, 0},
		"cancel after a success":  {[]store.CommandKind{store.CommandCancel}, succeeded, job.Succeeded, 0},
		"run now after a failure": {[]store.CommandKind{store.CommandRunNow}, failed, job.Waiting, 0},
		"delete after a failure":  {[]store.CommandKind{store.CommandDelete}, failed, job.Waiting, 10 * time.Second},
		"run now, then cancel":    {[]store.CommandKind{store.CommandRunNow, store.CommandCancel}, failed, job.Cancelled, 0},
		"cancel, then run now":    {[]store.CommandKind{store.CommandCancel, store.CommandRunNow}, failed, job.Cancelled, 0},
		"cancel twice":            {[]store.CommandKind{store.CommandCancel, store.CommandCancel}, failed, job.Cancelled, 0},
		"purge after a failure":   {[]store.CommandKind{store.CommandPurge}, failed, job.Cancelled, 0},
		"purge after a success":   {[]store.CommandKind{store.CommandPurge}, succeeded, job.Succeeded, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := started(t, config("w"))
			e := f.entry()
			f.arrive(e)
			for _, kind := range test.kinds {
				f.seq++
				f.inbox = append(f.inbox, store.Command{Seq: f.seq, Kind: kind, ID: e.Job.ID, Entry: &store.Entry{Job: e.Job, Place: store.InLane}})
			}
			p := f.pushed()
			f.step(pushed{[]result{{p.Entry.Job.ID, p.Attempt, test.answer}}}, inboxGrew{})
			if n := len(f.commit.Settle); n != 1 {
				t.Fatalf("%d changes of one job in one commit", n)
			}
			j := f.commit.Settle[0].Job
			wait := time.Duration(0)
			if !j.Due.IsZero() {
				wait = j.Due.Sub(f.now)
			}
			if j.Status != test.status || wait != test.wait || j.Attempt != 1 {
				t.Errorf("%s, due in %s, after %d attempts", j.Status, wait, j.Attempt)
			}
			f.rest()
			f.pass(time.Minute)
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

// TestCommandsForAStoredJob: several commands for one job in one read.
func TestCommandsForAStoredJob(t *testing.T) {
	t.Parallel()
	const (
		cancel, retry  = store.CommandCancel, store.CommandRetry
		runNow, remove = store.CommandRunNow, store.CommandDelete
	)
	tests := map[string]struct {
		status  job.Status
		kinds   []store.CommandKind
		settled int
		deleted int
		want    job.Status
	}{
		"delete twice":         {job.Dead, []store.CommandKind{remove, remove}, 0, 1, 0},
		"delete, then retry":   {job.Dead, []store.CommandKind{remove, retry}, 0, 1, 0},
		"retry, then delete":   {job.Dead, []store.CommandKind{retry, remove}, 1, 0, job.Waiting},
		"retry, then cancel":   {job.Dead, []store.CommandKind{retry, cancel}, 1, 0, job.Cancelled},
		"retry twice":          {job.Dead, []store.CommandKind{retry, retry}, 1, 0, job.Waiting},
		"cancel, then retry":   {job.Waiting, []store.CommandKind{cancel, retry}, 1, 0, job.Cancelled},
		"run now, then cancel": {job.Waiting, []store.CommandKind{runNow, cancel}, 1, 0, job.Cancelled},
		"run now twice":        {job.Waiting, []store.CommandKind{runNow, runNow}, 1, 0, job.Waiting},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := started(t, config("w"))
			e := f.entry(func(j *job.Job) { j.Status = test.status })
			e.Place = store.Nowhere
			if test.status == job.Waiting {
				e.Job.Due, e.Place = noon.Add(time.Hour), store.InTimers
			}
			for _, kind := range test.kinds {
				f.seq++
				f.inbox = append(f.inbox, store.Command{Seq: f.seq, Kind: kind, ID: e.Job.ID, Entry: e})
			}
			f.step(inboxGrew{})
			c := f.commit
			if len(c.Settle) != test.settled || len(c.Delete) != test.deleted || len(c.Consumed) != 2 {
				t.Fatalf("%d settled, %d deleted, %d consumed", len(c.Settle), len(c.Delete), len(c.Consumed))
			}
			if test.settled > 0 && c.Settle[0].Job.Status != test.want {
				t.Errorf("settled as %s", c.Settle[0].Job.Status)
			}
			f.rest()
			for len(f.pushes) > 0 {
				f.answered(succeeded)
			}
			f.empty()
		})
	}
}

// TestCommandsForOneIncarnation: a command that names an incarnation does
// nothing to another, wherever the job stands.
func TestCommandsForOneIncarnation(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		kind   store.CommandKind
		status job.Status
	}{
		"cancel": {store.CommandCancel, job.Waiting},
		"purge":  {store.CommandPurge, job.Waiting},
		"run":    {store.CommandRunNow, job.Waiting},
		"retry":  {store.CommandRetry, job.Dead},
		"delete": {store.CommandDelete, job.Dead},
	}
	for name, test := range tests {
		for named, changed := range map[int]bool{0: true, 1: false, 2: false, 3: true, 4: false} {
			t.Run(fmt.Sprintf("%s %d", name, named), func(t *testing.T) {
				t.Parallel()
				f := started(t, config("w"))
				e := f.entry(func(j *job.Job) {
					j.Status, j.Incarnation = test.status, 2
					if j.Status == job.Waiting {
						j.Due = noon.Add(time.Hour)
					}
				})
				e.Place = store.Nowhere
				if test.status == job.Waiting {
					e.Place = store.InTimers
				}
				f.inbox = append(f.inbox, store.Command{Seq: 99, Kind: test.kind, ID: e.Job.ID, Incarnation: named, Entry: e})
				f.step(inboxGrew{})
				if got := len(f.commit.Settle)+len(f.commit.Delete) > 0; got != changed || len(f.commit.Consumed) != 1 {
					t.Errorf("changed: %v, want %v: %+v", got, changed, f.commit)
				}
				f.rest()
				for len(f.pushes) > 0 {
					f.answered(succeeded)
				}
			})
		}
	}
}

// TestARetryIsNotForTheNextIncarnation: what is sent twice for one incarnation
// is done once, also where the job is on its way to the next.
func TestARetryIsNotForTheNextIncarnation(t *testing.T) {
	t.Parallel()
	f := started(t, config("w"))
	e := f.entry(func(j *job.Job) { j.Status = job.Dead })
	e.Place = store.Nowhere
	for seq, kind := range []store.CommandKind{store.CommandRetry, store.CommandRetry, store.CommandCancel, store.CommandPurge} {
		f.inbox = append(f.inbox, store.Command{Seq: uint64(seq + 90), Kind: kind, ID: e.Job.ID, Incarnation: 1, Entry: e})
	}
	f.step(inboxGrew{})
	if c := f.commit; len(c.Settle) != 1 || c.Settle[0].Job.Status != job.Waiting || c.Settle[0].Job.Incarnation != 1 {
		t.Errorf("%+v", f.commit.Settle)
	}
	f.rest()
	f.answered(succeeded)
	f.empty()
}

// TestCancelledPushHoldsItsPlace: what a cancelled push held is held until it
// has ended, and its late answer changes nothing, even where the job runs again.
func TestCancelledPushHoldsItsPlace(t *testing.T) {
	t.Parallel()
	c := config("w")
	c.DefaultQueue.Concurrency = 1
	f := started(t, c)
	e := f.entry()
	f.arrive(e, f.entry())
	late := f.pushed()
	f.send(store.CommandCancel, e)
	f.rest()
	if diff := cmp.Diff([]attemptKey{{e.Job.ID, 1}}, f.aborts, cmp.AllowUnexported(attemptKey{})); diff != "" {
		t.Errorf("aborted:\n%s", diff)
	}
	j := f.last(e.Job.ID)
	if j.Status != job.Cancelled || j.Attempt != 1 || j.Attempts[0].Outcome != job.OutcomeCancelled {
		t.Errorf("cancelled as %+v", j)
	}
	if len(f.pushes) != 0 {
		t.Error("another is pushed while the cancelled one still is")
	}
	f.send(store.CommandRetry, &store.Entry{Job: j})
	f.rest()
	f.pass(time.Millisecond)
	if len(f.pushes) != 0 {
		t.Error("pushed again while the cancelled push still holds its place")
	}
	f.step(pushed{[]result{{late.Entry.Job.ID, late.Attempt, aborted}}})
	f.rest()
	got := make(map[int]int)
	for len(f.pushes) > 0 {
		p := f.answered(succeeded)
		got[p.Attempt]++
	}
	if got[1] != 1 || got[2] != 1 {
		t.Errorf("pushed attempts %v", got)
	}
	f.empty()
}

func TestExpire(t *testing.T) {
	t.Parallel()
	expires := func(j *job.Job) { j.ExpiresAt = noon.Add(time.Minute) }
	tests := map[string]struct {
		state func(*fixture) *store.Entry
		want  job.Status
	}{
		"in its lane": {func(f *fixture) *store.Entry { return f.entry(expires) }, job.Expired},
		"in the timers": {func(f *fixture) *store.Entry {
			e := f.entry(expires, func(j *job.Job) { j.Due = noon.Add(time.Hour) })
			e.Place = store.InTimers
			return e
		}, job.Expired},
		"in the window": {func(f *fixture) *store.Entry {
			f.reconfigure(func(c *Config) { c.DefaultQueue.Paused = true })
			e := f.entry(expires)
			f.arrive(e)
			return e
		}, job.Expired},
		"a suspect": {func(f *fixture) *store.Entry {
			f.reconfigure(func(c *Config) { c.DefaultQueue.Paused = true })
			e := f.entry(expires, func(j *job.Job) { j.Losses = 3 })
			f.arrive(e)
			return e
		}, job.Expired},
		"terminal": {func(f *fixture) *store.Entry {
			e := f.entry(expires, func(j *job.Job) { j.Status = job.Succeeded })
			e.Place = store.Nowhere
			return e
		}, 0},
		"redriven with more time": {func(f *fixture) *store.Entry {
			return f.entry(func(j *job.Job) { j.ExpiresAt = noon.Add(time.Hour) })
		}, 0},
		"running": {func(f *fixture) *store.Entry {
			e := f.entry(expires)
			f.arrive(e)
			return e
		}, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := started(t, config("w"))
			e := test.state(f)
			at := noon.Add(time.Minute)
			f.timers = []store.Timer{{Kind: store.TimerExpire, At: at, ID: e.Job.ID, Entry: e}}
			f.step(timerSet{at})
			if len(f.commits) > 1 {
				t.Fatal("expired too early")
			}
			f.now = at
			f.step()
			c := f.commit
			if len(c.TimersDone) != 1 || (len(c.Settle) == 1) != (test.want != 0) {
				t.Fatalf("%d timers done, %d settled", len(c.TimersDone), len(c.Settle))
			}
			if test.want != 0 {
				if j := c.Settle[0].Job; j.Status != test.want || j.Reason != job.ReasonExpired || !j.FinishedAt.Equal(at) {
					t.Errorf("%s %s", j.Status, j.Reason)
				}
			}
			f.rest()
			if len(f.pushes) > 0 {
				f.answered(failed) // no attempt may follow
				if j := f.last(e.Job.ID); j.Status != job.Expired {
					t.Errorf("%s after its last attempt", j.Status)
				}
			}
			f.empty()
		})
	}
}

// TestExpireMeetsItsOutcome: the attempt failed just before the time came, and
// neither is committed yet.
func TestExpireMeetsItsOutcome(t *testing.T) {
	t.Parallel()
	f := started(t, config("w"))
	at := noon.Add(time.Minute)
	e := f.entry(func(j *job.Job) { j.ExpiresAt, j.Retry.InitialDelay = at, job.Duration(time.Millisecond) })
	f.arrive(e)
	f.timers = []store.Timer{{Kind: store.TimerExpire, At: at, ID: e.Job.ID, Entry: e}}
	f.step(timerSet{at})
	p := f.pushed()
	// The failure is taken in the step that asks for the timers, and they are
	// read when it has passed.
	f.now = at.Add(-2 * time.Millisecond)
	f.step(timerSet{f.now})
	out := f.m.step(f.now, timerSet{f.now}, pushed{[]result{{p.Entry.Job.ID, p.Attempt, failed}}})
	f.now = at
	f.step(f.carry(out)...)
	f.rest()
	if j := f.last(e.Job.ID); j.Status != job.Expired {
		t.Errorf("the job is %s", j.Status)
	}
	f.empty()
}

// TestPickExpires: a job whose time came while it waited in the window is not
// pushed.
func TestPickExpires(t *testing.T) {
	t.Parallel()
	f := started(t, config("w"))
	f.slots = 0
	f.arrive(f.entries(3, func(j *job.Job) { j.ExpiresAt = noon.Add(time.Second) })...)
	suspect := f.entry(func(j *job.Job) { j.ExpiresAt, j.Losses = noon.Add(time.Second), 2 })
	f.arrive(suspect, f.entry())
	f.slots, f.now = 100, noon.Add(time.Second)
	f.step(granted{})
	f.rest()
	if len(f.pushes) != 1 || len(f.settled) != 4 {
		t.Errorf("%d pushed, %d settled", len(f.pushes), len(f.settled))
	}
	f.answered(succeeded)
	f.empty()
	if !f.token {
		t.Error("the token was not given back")
	}
}

// TestSuspectsAreAlone: jobs that may have killed a node are pushed one at a
// time, while others are not held up.
func TestSuspectsAreAlone(t *testing.T) {
	t.Parallel()
	f := started(t, config("w"))
	f.arrive(f.entries(3, func(j *job.Job) { j.Losses = 2 })...)
	f.arrive(f.entries(5)...)
	suspects := func() (n int) {
		for _, p := range f.pushes {
			if p.Entry.Job.Losses > 0 {
				n++
			}
		}
		return n
	}
	if len(f.pushes) != 6 || suspects() != 1 {
		t.Fatalf("%d pushed, %d suspects", len(f.pushes), suspects())
	}
	if f.token {
		t.Error("the token is not taken")
	}
	for len(f.pushes) > 0 {
		f.answered(succeeded)
		if suspects() > 1 {
			t.Fatal("two suspects at a time")
		}
	}
	if len(f.settled) != 8 || !f.token {
		t.Errorf("%d settled, token given back: %v", len(f.settled), f.token)
	}
	f.empty()
}

// TestTokenIsNotKeptInVain: a shard whose suspects cannot be pushed leaves the
// token to others, and asks when they can.
func TestTokenIsNotKeptInVain(t *testing.T) {
	t.Parallel()
	f := started(t, config())
	f.arrive(f.entry(func(j *job.Job) { j.Losses = 2 }))
	if !f.token || f.slots != 1000 {
		t.Fatal("token or slots are kept though no worker serves the queue")
	}
	f.token = false // another shard has it
	f.reconfigure(func(c *Config) { c.Workers = config("w").Workers })
	f.rest()
	if len(f.pushes) != 0 {
		t.Fatal("pushed without the token")
	}
	f.token = true
	f.step(granted{})
	f.rest()
	f.answered(succeeded)
	f.empty()
	if !f.token {
		t.Error("the token was not given back")
	}
}

// TestDueJobs: they are claimed from the timers at once; those that cannot be
// are promoted, in their order.
func TestDueJobs(t *testing.T) {
	t.Parallel()
	c := config("w")
	c.DefaultQueue.Concurrency = 3
	f := started(t, c)
	var ids []job.ID
	for i := range 8 {
		e := f.entry(func(j *job.Job) { j.Due = noon.Add(time.Duration(i) * time.Millisecond) })
		e.Place = store.InTimers
		ids = append(ids, e.Job.ID)
		f.timers = append(f.timers, store.Timer{Kind: store.TimerDue, At: e.Job.Due, ID: e.Job.ID, Entry: e})
	}
	f.step(timerSet{noon})
	f.rest()
	if len(f.pushes) != 1 {
		t.Fatalf("%d are pushed, one is due", len(f.pushes))
	}
	if want := noon.Add(time.Millisecond); !f.wake.Equal(want) {
		t.Errorf("wakes at %s", f.wake)
	}
	f.now = noon.Add(time.Second)
	f.step()
	if n, p := len(f.commit.Claim), len(f.commit.Promote); n != 2 || p != 5 {
		t.Fatalf("%d claimed, %d promoted", n, p)
	}
	f.rest()
	for i := range 8 {
		if p := f.answered(succeeded); p.Entry.Job.ID != ids[i] {
			t.Errorf("push %d is of %s", i, p.Entry.Job.ID)
		}
	}
	f.empty()
}

// TestManyDueJobs: more than one read of timers brings.
func TestManyDueJobs(t *testing.T) {
	t.Parallel()
	f := newFixtureOf(t, config("w"), limits{WindowJobs: 10, WindowBytes: 1 << 20, Claims: 4, Timers: 3, SweepEvery: time.Hour})
	f.step(recovered{})
	for range 20 {
		e := f.entry(func(j *job.Job) { j.Due = noon })
		e.Place = store.InTimers
		f.timers = append(f.timers, store.Timer{Kind: store.TimerDue, At: noon, ID: e.Job.ID, Entry: e})
	}
	f.timers = append(f.timers, store.Timer{Kind: store.TimerDue, At: noon}, store.Timer{Kind: store.TimerRelease, At: noon})
	f.step(timerSet{noon})
	f.rest()
	f.step()
	f.rest()
	for len(f.pushes) > 0 {
		f.answered(succeeded)
		f.step()
		f.rest()
	}
	if len(f.settled) != 20 || len(f.timers) != 0 {
		t.Errorf("%d settled, %d timers left", len(f.settled), len(f.timers))
	}
	f.empty()
}

func TestDrain(t *testing.T) {
	t.Parallel()
	f := started(t, config("w"))
	f.reconfigure(func(c *Config) { c.DefaultQueue.Concurrency = 2 })
	e := f.entries(5)
	f.arrive(e...)
	for range 10 {
		x := f.entry(func(j *job.Job) { j.Due = noon })
		f.timers = append(f.timers, store.Timer{Kind: store.TimerDue, At: noon, ID: x.Job.ID, Entry: x})
	}
	f.step(draining{}, timerSet{noon})
	f.rest()
	if f.m.quiet() || !f.wake.IsZero() {
		t.Errorf("quiet with pushes in flight: %v; wakes at %s", f.m.quiet(), f.wake)
	}
	f.arrive(f.entry())
	f.send(store.CommandCancel, f.pushes[0].Entry) // is heard still
	f.rest()
	if len(f.aborts) != 1 {
		t.Error("a running push cannot be cancelled while the shard is drained")
	}
	f.answered(aborted)
	if f.m.quiet() || len(f.pushes) != 1 {
		t.Fatalf("quiet: %v; %d in flight", f.m.quiet(), len(f.pushes))
	}
	f.answer(failed)
	if f.m.quiet() {
		t.Error("quiet before the last outcome is durable")
	}
	f.rest()
	if !f.m.quiet() || len(f.timers) != 11 || f.slots != 1000 {
		t.Errorf("quiet: %v; %d timers; %d slots", f.m.quiet(), len(f.timers), f.slots)
	}
}

func TestRetention(t *testing.T) {
	t.Parallel()
	c := config("w")
	c.Retention = map[job.Status]time.Duration{job.Succeeded: time.Hour}
	f := newFixtureOf(t, c, limits{WindowJobs: 10, WindowBytes: 1 << 20, Claims: 4, Timers: 4, SweepEvery: time.Minute})
	for range 10 {
		f.finished = append(f.finished, f.entry(func(j *job.Job) { j.Status = job.Succeeded }).Job)
	}
	kept := &store.Entry{Job: f.finished[0]}
	f.inbox = []store.Command{{Seq: 99, Kind: store.CommandDelete, ID: kept.Job.ID, Entry: kept}} // at the same time
	f.step(recovered{})
	f.rest()
	f.step()
	f.rest()
	deleted := make(map[job.ID]int)
	for _, c := range f.commits {
		for _, j := range removed(c) {
			deleted[j.ID]++
		}
	}
	for id, n := range deleted {
		if n != 1 {
			t.Errorf("%s was deleted %d times", id, n)
		}
	}
	if len(deleted) != 10 || len(f.finished) != 0 {
		t.Errorf("%d deleted, %d left", len(deleted), len(f.finished))
	}
	if want := noon.Add(time.Minute); !f.wake.Equal(want) {
		t.Errorf("looks again at %s", f.wake)
	}
	f.empty()
}

// TestIdleMachineAsksForNothing: a step without anything to do has no effect.
func TestIdleMachineAsksForNothing(t *testing.T) {
	t.Parallel()
	f := started(t, config("w"))
	f.arrive(f.entries(3)...)
	for range 3 {
		f.answered(succeeded)
	}
	reads, commits := f.reads, len(f.commits)
	for range 100 {
		f.step()
	}
	if f.reads != reads || len(f.commits) != commits {
		t.Errorf("%d reads, %d commits", f.reads-reads, len(f.commits)-commits)
	}
}

// TestQueuesAreForgotten: a queue that is at rest costs no memory.
func TestQueuesAreForgotten(t *testing.T) {
	t.Parallel()
	f := started(t, config())
	for i := range 100 {
		f.arrive(f.entry(func(j *job.Job) { j.Queue, j.URL = fmt.Sprint(i), "http://elsewhere" }))
		f.answered(succeeded)
	}
	f.pass(3 * time.Minute)
	if n := len(f.m.queues); n != 0 {
		t.Errorf("%d queues are remembered", n)
	}
}

func TestRate(t *testing.T) {
	t.Parallel()
	var r rate
	now := noon
	if r.perSecond(now) != 0 || !r.quiet(now) {
		t.Error("a new rate is not zero")
	}
	r.add(now, 10)
	if got := r.perSecond(now); got != 10 {
		t.Errorf("in the first second: %v", got)
	}
	for range 600 {
		now = now.Add(100 * time.Millisecond)
		r.add(now, 1)
	}
	if got := r.perSecond(now.Add(5 * time.Second)); got < 9 || got > 11 {
		t.Errorf("10 a second are counted as %v", got)
	}
	if r.quiet(now) {
		t.Error("quiet while it is busy")
	}
	now = now.Add(70 * time.Second)
	if got := r.perSecond(now); got != 0 || !r.quiet(now) {
		t.Errorf("after a quiet minute: %v, quiet %v", got, r.quiet(now))
	}
	now = now.Add(24 * time.Hour)
	r.add(now, 60)
	if got := r.perSecond(now.Add(5 * time.Second)); got != 1 {
		t.Errorf("60 in the last minute are %v a second", got)
	}
}

// A worker that is taken from a queue and given back while it still wants to be
// left alone is remembered while pushes are in flight, and used again when that
// is over.
func TestAWorkerComesBackThrottled(t *testing.T) {
	t.Parallel()
	f := started(t, config("w"))
	f.arrive(f.entries(2)...)
	f.answered(throttledFor(time.Minute))
	workers := f.m.cfg.Workers
	f.reconfigure(func(c *Config) { c.Workers = nil })
	f.reconfigure(func(c *Config) { c.Workers = workers })
	f.rest()
	f.arrive(f.entry())
	if len(f.pushes) != 1 || !f.wake.Equal(noon.Add(time.Minute)) {
		t.Errorf("%d pushes, the machine looks again at %v", len(f.pushes), f.wake)
	}
	if f.pass(time.Minute); len(f.pushes) != 3 {
		t.Errorf("%d pushes when it may be used again, want all 3", len(f.pushes))
	}
}

// A change of the configuration reaches the queues that it concerns, and costs the
// others nothing.
func TestOnlyWhatHasChangedIsConfigured(t *testing.T) {
	t.Parallel()
	a, b := &Worker{Name: "a", Queues: []string{"q"}, Weight: 1, Version: 1}, &Worker{Name: "b", Queues: []string{"r"}, Weight: 1, Version: 1}
	paused := &Worker{Name: "a", Queues: []string{"q"}, Weight: 1, Version: 2, Paused: true}
	base := func() *Config {
		return &Config{
			DefaultQueue: Queue{Concurrency: 3}, Workers: []*Worker{a, b},
			Queues: map[string]Queue{"r": {Concurrency: 5, Version: 7}},
		}
	}
	tests := map[string]struct {
		change  func(*Config)
		q, r, s bool
	}{
		"nothing":             {func(*Config) {}, false, false, false},
		"a worker":            {func(c *Config) { c.Workers[0] = paused }, true, false, false},
		"no worker any more":  {func(c *Config) { c.Workers = c.Workers[:1] }, false, true, false},
		"the default":         {func(c *Config) { c.DefaultQueue.Concurrency = 4 }, true, false, true},
		"a queue":             {func(c *Config) { c.Queues["r"] = Queue{Concurrency: 6, Version: 8} }, false, true, false},
		"a queue is new":      {func(c *Config) { c.Queues["s"] = Queue{Concurrency: 6, Version: 8} }, false, false, true},
		"a queue is gone":     {func(c *Config) { delete(c.Queues, "r") }, false, true, false},
		"a queue is not told": {func(c *Config) { c.Queues["r"] = Queue{Concurrency: 5} }, false, true, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			next := base()
			test.change(next)
			same := next.unchanged(base())
			for queue, changed := range map[string]bool{"q": test.q, "r": test.r, "s": test.s} {
				if same(queue) == changed {
					t.Errorf("%s: same %v", queue, same(queue))
				}
			}
		})
	}
}
