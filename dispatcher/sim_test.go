package dispatcher

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/store/engine"
	"github.com/orchestrix/orchestrix/store/engine/model"
	"github.com/orchestrix/orchestrix/webhook/push"
)

var (
	simSeeds = flag.Int("seeds", 1000, "how many seeds TestSimulation runs")
	simSeed  = flag.Uint64("seed", 0, "the one seed that TestSimulation replays; 0 runs many")
)

// TestSimulation runs the shard machine, over the real store on a model engine,
// under random events, clock jumps, store failures and crashes, and checks after
// every step what must never happen, and at the end that nothing acknowledged
// was lost. A failing seed is printed; replay it with -seed.
func TestSimulation(t *testing.T) {
	if *simSeed != 0 {
		if err := simulate(*simSeed, t.Logf); err != nil {
			t.Fatalf("seed %d: %v", *simSeed, err)
		}
		return
	}
	n := *simSeeds
	if testing.Short() {
		n = min(n, 300)
	}
	t.Parallel()
	var wait sync.WaitGroup
	seeds := make(chan uint64)
	for range runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			for seed := range seeds {
				if err := simulate(seed, func(string, ...any) {}); err != nil {
					t.Errorf("seed %d: %v (replay: go test ./dispatcher -run TestSimulation -seed %d -v)", seed, err, seed)
				}
			}
		})
	}
	for seed := uint64(1); seed <= uint64(n) && !t.Failed(); seed++ {
		seeds <- seed
	}
	close(seeds)
	wait.Wait()
}

// sim is a world of one shard: its store, its clients, its workers and the
// faults that befall them. What it checks it keeps itself, apart from the code
// under test.
type sim struct {
	rng   *rand.Rand
	logf  func(string, ...any)
	now   time.Time
	eng   *model.Engine
	store *store.Store
	cfg   *Config
	life  byte

	owner      *store.Owner
	m          *machine
	events     []event
	commit     *store.Commit
	applied    bool // the commit is in the store, but the machine does not know it yet
	delivering bool // the outbox may have entries
	silent     bool // the commit may be in the store, which gave no answer
	wake       time.Time
	slots      int // used
	limit      int

	known     map[job.ID]*simJob
	ids       []job.ID
	inFlight  map[attemptKey]*simPush
	pushed    map[attemptKey]bool
	rates     [2]job.Rate          // of the first queues
	keyRates  [2]job.Rate          // of their keys
	ordered   [2]bool              // whether the order of their keys is kept
	waits     [2]bool              // whether they wait for lost pushes
	turns     map[laneKey][]job.ID // the ordered jobs that are not terminal, in their order
	places    int
	lingering []lingering
	starts    map[string][]time.Time
	circuits  [3]job.Circuit                // of the workers
	resumed   [5]time.Time                  // queues and workers, the last time
	open      map[string]map[string]circuit // by queue and worker, as the store knows them
	probes    map[string]attemptKey         // the last ones of half-open circuits
	closed    map[string]bool               // those that have succeeded
	absences  map[string]int                // how often a worker did not serve a queue
	seen      map[string]int                // the same, when the commit was made
	asked     map[attemptKey]throttling     // by answers that are not durable yet
	left      map[string]time.Time          // until when a worker on a queue is to be left alone
	healing   bool
	busy      bool
	unique    simUnique
	node      string // the one that owns the shard
	dead      map[string]bool
	began     time.Time // when it took the shard
	young     bool      // the machine has not made its first step
	versions  uint64
	schedules []*simSchedule
	planned   int // how many of them
	failure   error
}

// simJob is what a client knows of a job that was acknowledged.
type simJob struct {
	job      *job.Job
	runNow   bool
	place    int  // of an ordered job among all
	late     bool // a commit has given it its place
	deleted  bool
	terminal map[int]int // how often it became terminal, by incarnation
}

// lingering is a push whose node died and that goes on at its worker.
type lingering struct {
	job   *job.Job
	until time.Time
}

func keyOf(j *job.Job) laneKey { return laneKey{store.Lane{Queue: j.Queue}, j.Key} }

// takeTurn puts an ordered job among the others of its key: behind them, or
// where it was when its turn had come before.
func (s *sim) takeTurn(j *job.Job) {
	if !j.Ordered || slices.Contains(s.turns[keyOf(j)], j.ID) {
		return
	}
	k := s.known[j.ID]
	if j.Turn == 0 {
		s.places++
		k.place = s.places
	}
	turns := append(s.turns[keyOf(j)], j.ID)
	slices.SortFunc(turns, func(a, b job.ID) int { return s.known[a].place - s.known[b].place })
	s.turns[keyOf(j)] = turns
}

// endTurn notes the durable state of an ordered job.
func (s *sim) endTurn(j *job.Job) {
	s.known[j.ID].late = s.known[j.ID].late || j.Incarnation > 0
	switch {
	case j.Status == job.Waiting:
		s.takeTurn(j)
	case !j.Blocks:
		s.turns[keyOf(j)] = slices.DeleteFunc(s.turns[keyOf(j)], func(id job.ID) bool { return id == j.ID })
	case !s.ordered[0] && !s.ordered[1] || j.Status != job.Dead:
		s.fail("job %s is %s and blocks", j.ID, j.Status)
	}
}

// checkTurn checks that a claimed job is the first of its key. One that is run
// again takes its place only where nobody else's turn has come yet, and a place
// that a commit gave may be that of a time before the simulator was told.
func (s *sim) checkTurn(j *job.Job) {
	if s.known[j.ID].late {
		return
	}
	for _, id := range s.turns[keyOf(j)] {
		if id == j.ID || !j.Ordered {
			return
		}
		if !s.known[id].late {
			s.fail("job %s was claimed, the turn of its key is that of %s of %v", j.ID, id, s.turns[keyOf(j)])
		}
	}
}

// checkAlone checks that no push of an ordered job overlaps another of its key,
// and that none is repeated before it has ended where that is waited for.
func (s *sim) checkAlone(j *job.Job) {
	for key, p := range s.inFlight {
		if other := p.order.Entry.Job; j.Ordered && other.Ordered && keyOf(other) == keyOf(j) {
			s.fail("job %s is pushed while %s attempt %d of its key is", j.ID, key.id, key.attempt)
		}
	}
	for _, l := range s.lingering {
		if j, err := s.store.Job(context.Background(), l.job.ID); err != nil || j.Status.Terminal() || j.Incarnation != l.job.Incarnation {
			continue // cancelled: the push was called off, and nobody waits for it over a crash
		}
		switch {
		case !l.until.After(s.now):
		case j.Ordered && l.job.Ordered && keyOf(l.job) == keyOf(j):
			s.fail("job %s is pushed at %s while the lost push of %s goes on until %s", j.ID, s.now, l.job.ID, l.until)
		case s.cfg.queue(j.Queue).LostWaits && l.job.ID == j.ID:
			s.fail("job %s is pushed again at %s while its lost push goes on until %s", j.ID, s.now, l.until)
		}
	}
}

// simPush is a push in flight, as its worker sees it.
type simPush struct {
	order   pushOrder
	node    string // that makes it
	until   time.Time
	aborted bool
	done    bool // answered, but the machine has not been told yet
	async   *simAsync
}

func simulate(seed uint64, logf func(string, ...any)) (err error) {
	s := newSim(seed, logf)
	defer func() {
		if p := recover(); p != nil {
			buf := make([]byte, 8<<10)
			err = fmt.Errorf("panic: %v\n%s", p, buf[:runtime.Stack(buf, false)])
		}
	}()
	s.start()
	for range 60 + s.rng.IntN(200) {
		s.act()
		if s.failure != nil {
			return s.failure
		}
	}
	s.heal()
	return s.failure
}

func newSim(seed uint64, logf func(string, ...any)) *sim {
	s := &sim{
		rng: rand.New(rand.NewPCG(seed, 1)), logf: logf,
		now:   time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		known: make(map[job.ID]*simJob), inFlight: make(map[attemptKey]*simPush), pushed: make(map[attemptKey]bool), starts: make(map[string][]time.Time),
		turns: make(map[laneKey][]job.ID), asked: make(map[attemptKey]throttling), left: make(map[string]time.Time),
		open: make(map[string]map[string]circuit), probes: make(map[string]attemptKey), closed: make(map[string]bool), absences: make(map[string]int),
		unique: simUnique{holders: make(map[string]job.ID)}, dead: make(map[string]bool),
	}
	s.eng = model.New(1, func() time.Time { return s.now })
	s.store = store.New(s.eng, store.IdempotencyTTL(time.Minute))
	s.store.OnEnqueued(s.arrived)
	s.limit = 1 + s.rng.IntN(12)
	s.busy = s.chance(3)
	for i := range s.rates {
		if s.chance(3) { // the same for the whole run: what is checked spans all of it
			limit := 1 + s.rng.IntN(20)
			s.rates[i] = job.Rate{Limit: limit, Period: job.Duration(time.Duration(1+s.rng.IntN(60)) * time.Second), Burst: s.rng.IntN(min(limit, 3) + 1)}
		}
		if s.chance(3) {
			s.keyRates[i] = job.Rate{Limit: 1 + s.rng.IntN(4), Period: job.Duration(time.Duration(1+s.rng.IntN(60)) * time.Second)}
		}
		s.ordered[i], s.waits[i] = s.chance(3), s.chance(3)
	}
	for i := range s.circuits {
		s.circuits[i] = s.someCircuit()
	}
	if s.chance(2) {
		s.planned = 1 + s.rng.IntN(2)
	}
	s.cfg = s.config()
	return s
}

// config returns a random configuration: three queues, up to three workers.
func (s *sim) config() *Config {
	cfg := &Config{
		Queues: make(map[string]Queue), DefaultQueue: Queue{Concurrency: 2}, Timeout: time.Minute,
		Retry:     job.Policy{MaxAttempts: 1 + s.rng.IntN(4), InitialDelay: job.Duration(time.Second)}.Over(job.DefaultPolicy()),
		Retention: map[job.Status]time.Duration{job.Succeeded: time.Hour, job.Cancelled: 0},
	}
	for i := range 2 {
		q := Queue{
			Concurrency: 1 + s.rng.IntN(4), Paused: !s.healing && s.chance(5), Strict: s.chance(2), Rate: s.rates[i],
			KeyRate: s.keyRates[i], KeyConcurrency: s.rng.IntN(3), LostWaits: s.waits[i],
			Resumed: s.resume(&s.resumed[i]), Ramp: s.chance(2),
			Retention: s.retention(),
		}
		if s.ordered[i] {
			q.KeyConcurrency, q.DeadBlocks = 1, !s.healing && s.chance(2)
		}
		if s.chance(3) {
			q.Pins = map[string]Pin{"k0": {Concurrency: s.rng.IntN(3), Paused: !s.healing && s.chance(2)}}
		}
		cfg.Queues[queueName(i)] = q
	}
	for i := range 3 {
		if s.chance(3) && !s.healing {
			continue
		}
		w := &Worker{
			Name: fmt.Sprintf("w%d", i), URL: "http://worker", Weight: 1 + s.rng.IntN(3), Concurrency: s.rng.IntN(3),
			Paused: !s.healing && s.chance(6), Queues: []string{queueName(i)}, Version: s.version(),
			Resumed: s.resume(&s.resumed[2+i]), Ramp: s.chance(2), Circuit: s.circuits[i],
			Heartbeat: time.Duration(1+s.rng.IntN(90)) * time.Second, AsyncTimeout: time.Duration(1+s.rng.IntN(20)) * time.Minute,
		}
		if s.chance(2) {
			w.AutoPause = job.AutoPause{Mode: job.On, After: job.Duration(time.Minute), MinAttempts: 1 + s.rng.IntN(4)}
		}
		if s.chance(2) {
			w.Queues = append(w.Queues, queueName((i+1)%3))
		}
		cfg.Workers = append(cfg.Workers, w)
	}
	return cfg
}

// reconfigure replaces the configuration by a random one.
func (s *sim) reconfigure() {
	s.cfg = s.config()
	s.forgetThrottling()
	s.forgetCircuits(s.cfg)
	for _, w := range s.cfg.Workers {
		s.logf("  worker %s of %v resumed %s circuit %+v", w.Name, w.Queues, w.Resumed, w.Circuit)
	}
	s.post(configured{s.cfg})
}

// version returns a number that no configuration of a worker had before.
func (s *sim) version() uint64 {
	s.versions++
	return s.versions
}

// gone pauses a worker that answered 410, as a node does; once all faults are
// over, somebody resumes it.
func (s *sim) gone(worker string) {
	if s.healing {
		s.reconfigure()
		return
	}
	cfg := *s.cfg
	cfg.Workers = slices.Clone(cfg.Workers)
	for i, w := range cfg.Workers {
		if w.Name == worker {
			paused := *w
			paused.Paused, paused.Version = true, s.version()
			cfg.Workers[i] = &paused
		}
	}
	s.cfg = &cfg
	s.post(configured{s.cfg})
}

func queueName(i int) string { return fmt.Sprintf("q%d", i) }

// chance is true once in n times.
func (s *sim) chance(n int) bool { return s.rng.IntN(n) == 0 }

func (s *sim) fail(format string, args ...any) {
	if s.failure == nil {
		s.failure = fmt.Errorf(format, args...)
	}
}

// must ends the simulation on an error that no fault explains.
func (s *sim) must(err error) {
	if err != nil {
		panic(err)
	}
}

// start begins the life of a node: it takes the shard and recovers.
func (s *sim) start() {
	ctx := context.Background()
	s.life++
	owner, err := s.store.Own(ctx, 0, engine.Nonce{s.life}, simLease)
	for errors.As(err, new(*engine.HeldError)) {
		s.now = s.now.Add(time.Second)
		owner, err = s.store.Own(ctx, 0, engine.Nonce{s.life}, simLease)
	}
	s.must(err)
	claims, err := owner.Recover(ctx)
	s.must(err)
	lanes, err := owner.Lanes(ctx)
	s.must(err)
	s.owner, s.commit, s.applied, s.silent, s.slots, s.delivering = owner, nil, false, false, 0, false
	l := limits{WindowJobs: 1 + s.rng.IntN(40), WindowBytes: 1 << (10 + s.rng.IntN(8)), Claims: 1 + s.rng.IntN(8), Timers: 1 + s.rng.IntN(8), SweepEvery: time.Minute, Lease: simLease, QueueInFlight: s.rng.IntN(4)}
	s.m = newMachine(s.cfg, l, owner.NextCommit(), owner.Epoch(), owner)
	s.events, s.node, s.young, s.began = nil, fmt.Sprint("n", s.life), true, s.now
	limits, err := owner.Limits(ctx)
	s.must(err)
	accepted, err := owner.Accepted(ctx)
	s.must(err)
	s.step(recovered{claims, lanes, limits, accepted})
	if s.healing || s.chance(2) {
		s.post(s.living())
	}
}

const simLease = time.Second

// act does one random thing to the world.
func (s *sim) act() {
	switch n := s.rng.IntN(100); {
	case n < 22:
		s.enqueue()
	case n < 47:
		s.answer()
	case n < 65:
		s.finishCommit()
	case n < 75:
		s.advance()
	case n < 84:
		s.command()
		s.lookAgain()
	case n < 88:
		s.reconfigure()
	case n < 90:
		s.crash()
	case n < 93:
		s.move()
	case n < 95:
		s.step(foreign{})
	case n < 97:
		s.beat()
	default:
		s.step()
	}
	if s.chance(2) {
		s.step()
	}
	if s.chance(3) {
		s.deliver()
	}
	if s.planned > 0 && s.chance(8) {
		s.keepSchedules()
	}
}

func (s *sim) post(ev event) { s.events = append(s.events, ev) }

// advance moves the clock: to the next thing to do, a little, or by hours.
func (s *sim) advance() {
	switch s.rng.IntN(4) {
	case 0:
		s.now = s.now.Add(time.Duration(s.rng.IntN(5000)) * time.Millisecond)
	case 1:
		s.now = s.now.Add(time.Duration(s.rng.IntN(300)) * time.Minute)
	default:
		if s.wake.After(s.now) {
			s.now = s.wake
		}
	}
}

// enqueue has a client enqueue some jobs; a failure is tried again until the
// client is told that they are accepted.
func (s *sim) enqueue() {
	jobs := make([]store.NewJob, 1+s.rng.IntN(6))
	for i := range jobs {
		jobs[i] = s.newJob()
	}
	if s.chance(8) {
		s.eng.Ambiguous = func(op string, _ int) bool { s.eng.Ambiguous = nil; return op == "apply" }
	}
	results, err := s.store.Enqueue(context.Background(), 0, jobs)
	s.eng.Ambiguous = nil
	if err != nil {
		results, err = s.store.Enqueue(context.Background(), 0, jobs)
	}
	s.must(err)
	for _, j := range s.enqueued(jobs, results) {
		s.takeTurn(j)
	}
}

func (s *sim) newJob() store.NewJob {
	var random [9]byte
	binary.BigEndian.PutUint64(random[1:], s.rng.Uint64())
	j := &job.Job{
		ID: job.MakeID(s.now, 0, random), Queue: queueName(s.rng.IntN(3)), Type: "t", Status: job.Waiting,
		Priority: job.Priorities()[s.rng.IntN(4)], ContentType: "application/json", CreatedAt: s.now, PayloadSize: 2,
	}
	if s.chance(3) {
		j.Key = fmt.Sprintf("k%d", s.rng.IntN(3))
	}
	for i, ordered := range s.ordered {
		j.Ordered = j.Ordered || ordered && j.Queue == queueName(i) && j.Key != ""
	}
	if s.chance(6) {
		j.RunAt = s.now.Add(time.Duration(s.rng.IntN(3600)) * time.Second)
		j.Due = j.RunAt
	}
	if s.chance(8) {
		j.ExpiresAt = later(s.now, j.RunAt).Add(time.Duration(1+s.rng.IntN(600)) * time.Second)
	}
	if s.chance(6) {
		j.URL = "http://elsewhere"
	}
	if s.chance(10) {
		j.IdempotencyKey = fmt.Sprintf("i%d", s.rng.IntN(3))
	}
	if s.chance(6) {
		j.Retry = job.Policy{MaxAttempts: 1 + s.rng.IntN(3), MaxDuration: job.Duration(time.Minute)}
	}
	payload := []byte("{}")
	if s.chance(4) {
		payload = append(payload, make([]byte, s.rng.IntN(maxSimPayload-2))...)
		j.PayloadSize = len(payload)
	}
	nj := store.NewJob{Job: j, Payload: payload}
	s.someUnique(&nj)
	return nj
}

const maxSimPayload = 4 << 10

// arrived hands new jobs to the machine; sometimes only a hint of them, as
// where another node enqueued them.
func (s *sim) arrived(a store.Arrivals) {
	if s.m == nil {
		return
	}
	for _, e := range a.Ready {
		s.logf("enqueued %s %v seq %d", e.Job.ID, store.LaneOf(e.Job), e.Seq)
	}
	if s.chance(4) {
		if s.healing || s.chance(3) { // otherwise nobody says so, and it is found by the next poll
			s.post(foreign{})
		}
		return
	}
	if s.chance(4) {
		for _, e := range a.Ready {
			s.post(laneGrew{store.LaneOf(e.Job)})
		}
	} else if len(a.Ready) > 0 {
		s.post(arrived{a.Ready})
	}
	for _, l := range a.Grown {
		s.post(laneGrew{l})
	}
	if !a.NextDue.IsZero() {
		s.post(timerSet{a.NextDue})
	}
	if a.Inbox {
		s.post(inboxGrew{})
	}
}

// answer ends a random push in a random way.
func (s *sim) answer() {
	key, p := s.somePush()
	if p == nil {
		return
	}
	p.done = true
	if p.node != s.node || p.async != nil {
		s.report(key, s.someAnswer(p))
		return
	}
	s.post(pushed{[]result{{key.id, key.attempt, s.someAnswer(p)}}})
}

// somePush returns a push in flight that was not answered; the choice depends
// on the seed alone.
func (s *sim) somePush() (attemptKey, *simPush) {
	var keys []attemptKey
	for key, p := range s.inFlight {
		if !p.done && p.async.reports() {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return attemptKey{}, nil
	}
	slices.SortFunc(keys, func(a, b attemptKey) int {
		return slices.Compare(append(a.id[:], byte(a.attempt)), append(b.id[:], byte(b.attempt)))
	})
	key := keys[s.rng.IntN(len(keys))]
	return key, s.inFlight[key]
}

func (s *sim) someAnswer(p *simPush) push.Answer {
	if p.aborted && s.chance(2) {
		return push.Answer{Outcome: job.OutcomeCancelled, Reason: job.ReasonCancelled}
	}
	if s.healing {
		return push.Answer{Outcome: job.OutcomeSucceeded, StatusCode: 200}
	}
	if p.async == nil && s.chance(6) {
		return push.Answer{Outcome: job.OutcomeSucceeded, StatusCode: 202, Accepted: true}
	}
	switch s.rng.IntN(12) {
	case 0, 1, 2:
		return push.Answer{Outcome: job.OutcomeFailed, Reason: job.ReasonHTTPStatus, StatusCode: 500}
	case 3:
		return push.Answer{Outcome: job.OutcomeTimedOut, Reason: job.ReasonTimeout}
	case 4:
		return push.Answer{Outcome: job.OutcomeThrottled, Reason: job.ReasonThrottled, StatusCode: 429, RetryAfter: time.Duration(s.rng.IntN(60)) * time.Second}
	case 5:
		return push.Answer{Outcome: job.OutcomeFailed, StatusCode: 410, Gone: true}
	case 6:
		return push.Answer{Outcome: job.OutcomeFailed, StatusCode: 500, NoRetry: true}
	default:
		return push.Answer{Outcome: job.OutcomeSucceeded, StatusCode: 200, Body: []byte("ok"), ContentType: "text/plain"}
	}
}

// finishCommit makes the commit under way durable, tells the machine, or lets
// the store fail.
func (s *sim) finishCommit() {
	if s.commit == nil {
		return
	}
	if !s.applied {
		switch s.rng.IntN(6) {
		case 0:
			s.eng.Fail = func(op string, _ int) error { s.eng.Fail = nil; return store.ErrUnavailable }
		case 1:
			s.eng.Ambiguous = func(op string, _ int) bool { s.eng.Ambiguous = nil; s.silent = true; return op == "apply" }
		}
		err := s.owner.Commit(context.Background(), s.commit)
		s.eng.Fail, s.eng.Ambiguous = nil, nil
		if s.silent {
			s.bookLocks(s.commit)
			s.bookSent()
			s.bookFired()
			s.bookAccepted()
		}
		if errors.Is(err, store.ErrUnavailable) {
			return // tried again later
		}
		s.must(err)
		s.applied, s.silent = true, false
		s.booked()
		if s.chance(3) {
			return // visible, but not known yet
		}
	}
	s.commit, s.applied = nil, false
	s.post(committed{})
}

// booked notes what a durable commit settled and deleted.
func (s *sim) booked() {
	s.bookLocks(s.commit)
	s.bookSent()
	s.bookFired()
	s.bookAccepted()
	for _, j := range s.commit.Replace {
		s.takeTurn(j)
		s.known[j.ID].late = true
	}
	for i := range s.commit.Settle {
		j := s.commit.Settle[i].Job
		k := s.known[j.ID]
		if k == nil {
			s.fail("job %s was settled but never enqueued", j.ID)
			return
		}
		if j.Ordered {
			s.endTurn(j)
		}
		if unblocked := s.commit.Settle[i].Was.Blocks && !j.Blocks; j.Status.Terminal() && !unblocked {
			k.terminal[j.Incarnation]++
			if k.terminal[j.Incarnation] > 1 {
				s.fail("job %s became terminal twice in incarnation %d", j.ID, j.Incarnation)
			}
		}
		if limit := s.maxAttempts(j); j.Failures > limit {
			s.fail("job %s has failed %d times, allowed are %d", j.ID, j.Failures, limit)
		}
	}
	for _, j := range removed(s.commit) {
		s.known[j.ID].deleted = true
		s.turns[keyOf(j)] = slices.DeleteFunc(s.turns[keyOf(j)], func(id job.ID) bool { return id == j.ID })
	}
	for i := range s.commit.Claim {
		s.checkRates(&s.commit.Claim[i])
		s.checkThrottling(&s.commit.Claim[i])
	}
	s.bookThrottling()
	s.bookCircuits()
}

// throttling is what an answer asked for.
type throttling struct {
	worker string // on its queue
	until  time.Time
}

func onQueue(queue, worker string) string { return queue + " " + worker }

// noteThrottling remembers that a worker asked to be left alone.
func (s *sim) noteThrottling(r *result) {
	key := attemptKey{r.ID, r.Attempt}
	if p := s.inFlight[key]; p != nil && p.order.Worker != nil && r.Answer.Outcome == job.OutcomeThrottled {
		if worker := onQueue(p.order.Entry.Job.Queue, p.order.Worker.Name); s.serves()[worker] {
			s.asked[key] = throttling{worker, s.now.Add(r.Answer.RetryAfter)}
		}
	}
}

// bookThrottling makes binding what was asked by the attempts that the durable
// commit has settled.
func (s *sim) bookThrottling() {
	for i := range s.commit.Settle {
		j := s.commit.Settle[i].Job
		if n := len(j.Attempts); n == 0 || j.Attempts[n-1].Outcome != job.OutcomeThrottled {
			continue // settled by a command before the answer came
		}
		if t, ok := s.asked[attemptKey{j.ID, j.Attempt}]; ok {
			s.left[t.worker] = later(s.left[t.worker], t.until)
		}
	}
}

// checkThrottling checks that a worker is left alone, whoever owns the shard.
func (s *sim) checkThrottling(c *store.ClaimEntry) {
	if until := s.left[onQueue(c.Entry.Job.Queue, c.Worker)]; c.Started.Before(until) {
		s.fail("%s is pushed to %s at %s, which is to be left alone until %s", c.Entry.Job.ID, c.Worker, c.Started, until)
	}
}

// serves says which workers serve which queues by the newest configuration.
func (s *sim) serves() map[string]bool { return servesBy(s.cfg) }

func servesBy(cfg *Config) map[string]bool {
	serves := make(map[string]bool)
	for _, w := range cfg.Workers {
		for _, q := range w.Queues {
			serves[onQueue(q, w.Name)] = true
		}
	}
	return serves
}

// forgetThrottling forgets what workers asked that do not serve the queue now:
// whoever takes a worker from a queue and gives it back begins anew.
func (s *sim) forgetThrottling() {
	serves := s.serves()
	for name := range s.left {
		if !serves[name] {
			delete(s.left, name)
		}
	}
	for key, t := range s.asked {
		if !serves[t.worker] {
			delete(s.asked, key)
		}
	}
}

// checkRates checks the rates of the queue and of the key.
func (s *sim) checkRates(c *store.ClaimEntry) {
	j := c.Entry.Job
	q := s.cfg.queue(j.Queue)
	s.checkRate(j.Queue, q.Rate, c.Started)
	if j.Key != "" {
		s.checkRate(j.Queue+" "+j.Key, q.KeyRate, c.Started)
	}
}

// checkRate checks that in no stretch of time that ends with this start more
// pushes were started than burst and rate allow.
func (s *sim) checkRate(of string, r job.Rate, start time.Time) {
	if r.IsZero() {
		return
	}
	starts := append(s.starts[of], start)
	s.starts[of] = starts
	for i, first := range starts {
		n, w := len(starts)-i, start.Sub(first)
		if allowed := float64(r.Starts()) + w.Seconds()*float64(r.Limit)/r.Period.Std().Seconds(); float64(n) > allowed+1e-6 {
			s.fail("%s: %d starts within %s, allowed are %.2f", of, n, w, allowed)
			return
		}
	}
}

// maxAttempts is the highest max_attempts that any configuration of the run
// gives the job.
func (s *sim) maxAttempts(j *job.Job) int {
	if j.Retry.MaxAttempts > 0 {
		return j.Retry.MaxAttempts
	}
	return 4
}

// command has a client ask something of a random job, or of several of its
// shard at once.
func (s *sim) command() {
	if len(s.ids) == 0 {
		return
	}
	kind := []store.CommandKind{store.CommandCancel, store.CommandRetry, store.CommandRunNow, store.CommandDelete, store.CommandPurge}[s.rng.IntN(5)]
	var commands []store.Command
	for n := 1 + s.rng.IntN(2)*s.rng.IntN(8); n > 0; n-- {
		id := s.ids[s.rng.IntN(len(s.ids))]
		if s.chance(3) { // the newest jobs, of which the machine may know nothing yet
			id = s.ids[max(0, len(s.ids)-1-s.rng.IntN(6))]
		}
		commands = append(commands, store.Command{Kind: kind, ID: id, Incarnation: s.rng.IntN(3)})
		if kind == store.CommandRunNow || kind == store.CommandRetry {
			s.known[id].runNow = true
		}
	}
	_, err := s.store.SendAll(context.Background(), commands[0].ID.Shard(), commands)
	s.must(err)
	switch s.rng.IntN(5) {
	case 0: // found by the next poll
	case 1:
		s.post(foreign{})
	case 2: // what was posted for an earlier command finds this one too
		s.events = slices.Insert(s.events, 0, event(inboxGrew{}))
	default:
		s.post(inboxGrew{})
	}
}

// crash ends the node's life, with its commit applied or not, and begins the
// next one.
func (s *sim) crash() {
	if s.commit != nil && !s.applied && (s.silent || s.chance(2)) {
		s.must(s.owner.Commit(context.Background(), s.commit))
		s.booked()
	}
	for key, p := range s.inFlight {
		switch {
		case p.async != nil && p.async.kept && !p.async.cancelled:
			continue // it needs no node
		case p.async == nil && p.node != s.node:
			continue // another's, that goes on
		}
		if !p.done {
			s.lingering = append(s.lingering, lingering{p.order.Entry.Job, p.until})
		}
		delete(s.inFlight, key)
	}
	s.dead[s.node] = true
	s.logf("%s crash", s.now.Format(time.TimeOnly))
	s.start()
}

// posted returns how many events reach the machine now; sometimes others were posted
// only while the step was under way. A configuration is live when it is posted.
func (s *sim) posted() int {
	n := len(s.events)
	if s.m.handed { // then answers are withheld
		answer := func(ev event) bool { _, ok := ev.(pushed); return ok }
		slices.SortStableFunc(s.events, func(a, b event) int { return int(truth(answer(a)) - truth(answer(b))) })
		if n = slices.IndexFunc(s.events, answer); n < 0 {
			n = len(s.events)
		}
		return n
	}
	if s.healing || !s.chance(6) {
		return n
	}
	for n = s.rng.IntN(n + 1); slices.ContainsFunc(s.events[n:], func(ev event) bool { _, ok := ev.(configured); return ok }); {
		n++
	}
	return n
}

// step steps the machine with what was posted, answers its reads, and
// checks its effects.
func (s *sim) step(first ...event) {
	n := s.posted()
	events := append(first, s.events[:n]...)
	s.events = s.events[n:]
	for _, ev := range events {
		s.logf("%s %T %+v", s.now.Format(time.DateTime), ev, ev)
	}
	for {
		// What a worker asks is forgotten with it: where the configuration changes in
		// the same step, it is not said whether it was.
		reconfigured := slices.ContainsFunc(events, func(ev event) bool { _, ok := ev.(configured); return ok })
		for _, ev := range events {
			if c, ok := ev.(configured); ok {
				s.forgetCircuits(c.Config) // once more: a commit may have been made since it was posted
			}
			for _, r := range s.resultsOf(ev) {
				s.noteProbe(&r)
				if !reconfigured {
					s.noteThrottling(&r)
				}
				s.ended(&r)
			}
			if told, ok := ev.(cancelTold); ok {
				delete(s.inFlight, attemptKey(told))
			}
		}
		s.forgetCancelled()
		if s.busy {
			s.m.pace.perMs = 50 // commits are held back as on a busy shard
		}
		out := s.m.step(s.now, events...)
		s.checkHandedOver()
		s.checkWindow()
		for id, it := range s.m.jobs {
			if it.state == itemReady && s.m.queues[it.queue.name] != it.queue {
				s.fail("job %s is ready in a queue that the machine has forgotten", id)
			}
		}
		events = s.carry(out)
		if s.failure != nil {
			return
		}
		if len(events) == 0 {
			s.giveUp()
			return
		}
	}
}

// checkWindow checks that the counts of the window are those of its items, and
// that what a key does not have in memory will be read.
func (s *sim) checkWindow() {
	ready := len(s.m.suspects)
	for _, q := range s.m.known() {
		n := 0
		for _, l := range q.lanes {
			ring, parked, asked := 0, 0, l.asked
			for _, in := range l.keys {
				if in.parked() {
					parked += in.ready()
				} else {
					ring += in.ready()
				}
				asked = asked || in.asked
				if in.linked != (in.ready() > 0 && !in.parked()) {
					s.fail("key %q of %v: linked %v with %d ready, parked %v", in.name, l.Lane, in.linked, in.ready(), in.parked())
				}
				if in.behind && in.ready() == 0 && !in.asked && !in.parked() && q.serves(l) {
					s.fail("key %q of %v is behind, has nothing ready and is not read", in.name, l.Lane)
				}
			}
			if l.more && l.n+l.held == 0 && !asked && q.serves(l) && !s.m.drain {
				s.fail("lane %v may have more, has nothing ready and is not read", l.Lane)
			}
			if ring != l.n || parked != l.parked {
				s.fail("lane %v counts %d and %d parked, has %d and %d", l.Lane, l.n, l.parked, ring, parked)
			}
			n += ring
			ready += ring + parked
		}
		s.checkOrder(q)
		if n != q.ready {
			s.fail("queue %s counts %d ready, has %d", q.name, q.ready, n)
		}
	}
	if ready != s.m.ready {
		s.fail("the machine counts %d ready, has %d", s.m.ready, ready)
	}
}

// checkOrder checks that what is known of ordered keys agrees with the jobs in
// memory.
func (s *sim) checkOrder(q *queue) {
	if q.order == nil {
		return
	}
	held, ready := make(map[string]int), 0
	count := func(it *item) {
		if it.holds && it.queue == q {
			held[it.entry.Job.Key]++
		}
	}
	for _, it := range s.m.jobs {
		count(it)
		if it.holds && it.queue == q && it.state == itemReady {
			ready++
		}
	}
	for _, z := range s.m.zombies {
		count(z)
	}
	if !maps.Equal(held, q.order.held) || ready != q.order.ready {
		s.fail("queue %s counts %v held and %d ready, has %v and %d", q.name, q.order.held, q.order.ready, held, ready)
	}
}

func (s *sim) carry(out *effects) (events []event) {
	ctx := context.Background()
	s.wake = out.Wake
	s.slots -= out.Free.Slots
	if out.Want != (want{}) {
		n := max(0, min(out.Want.Slots, s.limit-s.slots))
		s.slots += n
		events = append(events, granted{n, out.Want.Suspect})
	}
	if s.slots < 0 || s.slots > s.limit {
		s.fail("%d slots are used of %d", s.slots, s.limit)
	}
	if s.m.ready > s.m.limits.WindowJobs+3*8+s.m.limits.Timers+s.limit {
		s.fail("the window holds %d jobs, allowed are %d: %s", s.m.ready, s.m.limits.WindowJobs, s.describe())
	}
	if beyond := 3*8 + s.m.limits.Timers + s.limit; s.m.bytes > s.m.limits.WindowBytes+beyond*(maxSimPayload+entryCost) {
		s.fail("the window holds %d bytes, allowed are %d: %s", s.m.bytes, s.m.limits.WindowBytes, s.describe())
	}
	for _, worker := range out.Gone {
		s.gone(worker)
	}
	for _, f := range out.Failing {
		s.gone(f.Worker)
	}
	for _, a := range out.Abort {
		if p := s.inFlight[a]; p != nil {
			p.aborted = true
		}
	}
	for i := range out.Push {
		s.checkPush(out.Push[i])
	}
	for i := range out.Cancel {
		s.cancelled(&out.Cancel[i])
	}
	s.delivering = s.delivering || out.Deliver
	if out.Commit != nil {
		s.send(out.Commit)
		s.checkCommit(out.Commit)
		s.checkTrims(out.Commit)
	}
	var reads []laneRead
	for _, r := range out.ReadKeys {
		read, err := readKey(ctx, s.owner, r)
		s.must(err)
		reads = append(reads, read)
	}
	if len(out.ReadLanes) > 0 {
		read, err := readLanes(ctx, s.owner, s.m, out.ReadLanes)
		s.must(err)
		reads = append(reads, read...)
	}
	for i, r := range slices.Concat(out.ReadKeys, out.ReadLanes) {
		read := reads[i]
		if len(read.Entries) > r.Limit {
			s.fail("%d entries were read, asked were %d", len(read.Entries), r.Limit)
		}
		s.logf("  read %v limit %d key %v: %d more %v skipped %q", r.Lane, r.Limit, r.Key != nil, len(read.Entries), read.More, read.Skipped)
		events = append(events, read)
	}
	for _, r := range out.ReadHeads {
		read, err := readHeads(ctx, s.owner, r)
		s.must(err)
		s.logf("  heads %+v %v: %d last %q more %v", r, entryIDs(read.Entries), len(read.Entries), read.Last, read.More)
		events = append(events, read)
	}
	if out.ReadTimers > 0 {
		timers, next, err := s.owner.ReadTimers(ctx, s.now, out.ReadTimers)
		s.must(err)
		events = append(events, timersRead{timers, next})
	}
	if out.ReadInbox > 0 {
		commands, more, err := s.owner.ReadInbox(ctx, out.ReadInbox)
		s.must(err)
		events = append(events, inboxRead{commands, more})
	}
	if out.Look {
		lanes, again, err := s.owner.Look(ctx)
		s.must(err)
		s.logf("  looked: %v again %v", lanes, again)
		events = append(events, looked{lanes, again})
	}
	if len(out.ReadBeats) > 0 {
		until, err := s.owner.ReadBeats(ctx, out.ReadBeats)
		s.must(err)
		events = append(events, beatsRead{slices.Clone(out.ReadBeats), until})
	}
	if out.ReadFinished > 0 {
		trims, next, err := s.owner.ReadFinished(ctx, s.m.rules, s.now, out.ReadFinished)
		s.must(err)
		events = append(events, finishedRead{trims, next})
	}
	return events
}

// checkCommit checks the limits at the moment at which pushes are claimed.
func (s *sim) checkCommit(c *store.Commit) {
	if s.commit != nil {
		s.fail("two commits at a time")
	}
	s.commit, s.applied, s.unique.told = c, false, false
	for _, e := range c.Promote {
		s.logf("  promote %s %v", e.Job.ID, store.LaneOf(e.Job))
	}
	for i := range c.Settle {
		s.logf("  settle %s %s due %s was %+v", c.Settle[i].Job.ID, c.Settle[i].Job.Status, c.Settle[i].Job.Due, c.Settle[i].Was)
	}
	for i := range c.Claim {
		s.logf("  claim %s attempt %d", c.Claim[i].Entry.Job.ID, c.Claim[i].Attempt)
		j := c.Claim[i].Entry.Job
		s.checkTurn(j)
		switch {
		case s.cfg.queue(j.Queue).Paused && s.m.cfg == s.cfg:
			s.fail("job %s was claimed while its queue is paused", j.ID)
		case j.Expired(s.now):
			s.fail("job %s was claimed after expires_at", j.ID)
		case j.Due.After(s.now):
			s.fail("job %s was claimed %s before it is due", j.ID, j.Due.Sub(s.now))
		case j.RunAt.After(s.now) && !s.known[j.ID].runNow:
			s.fail("job %s was claimed before run_at", j.ID)
		}
	}
	for _, l := range c.Limits {
		if l.Key == "" {
			s.logf("  limits %s circuits %+v", l.Queue, s.circuitsAfter(c, l.Queue))
		}
	}
	s.checkAccepted(c)
	s.checkOverlap(c)
	s.checkLimits(c)
	s.checkKeys(c)
	s.checkAllCircuits(c)
}

// checkKeys counts what is in flight of every key of which something was
// claimed.
func (s *sim) checkKeys(c *store.Commit) {
	used := make(map[laneKey]int)
	for _, p := range s.inFlight {
		used[laneKey{store.Lane{Queue: p.order.Entry.Job.Queue}, p.order.Entry.Job.Key}]++
	}
	for i := range c.Claim {
		j := c.Claim[i].Entry.Job
		q := s.m.cfg.queue(j.Queue)
		at, limits := laneKey{store.Lane{Queue: j.Queue}, j.Key}, q.key(j.Key)
		used[at]++
		switch {
		case j.Key == "":
		case limits.Paused:
			s.fail("job %s was claimed while its key %s is paused", j.ID, j.Key)
		case limits.Concurrency > 0 && used[at] > limits.Concurrency:
			s.fail("key %s of %s has %d in flight, allowed are %d", j.Key, j.Queue, used[at], limits.Concurrency)
		}
	}
}

// checkLimits counts what is in flight of every queue, and of every worker on
// it, of which something was claimed.
func (s *sim) checkLimits(c *store.Commit) {
	type on struct{ queue, worker string }
	used, claimed := make(map[on]int), make(map[on]bool)
	for i := range c.Claim {
		q, w := c.Claim[i].Entry.Job.Queue, c.Claim[i].Worker
		used[on{q, ""}]++
		claimed[on{q, ""}] = true
		if w != "" {
			used[on{q, w}]++
			claimed[on{q, w}] = true
		}
	}
	for _, p := range s.inFlight {
		q := p.order.Entry.Job.Queue
		used[on{q, ""}]++
		if p.order.Worker != nil {
			used[on{q, p.order.Worker.Name}]++
		}
	}
	for o := range claimed {
		limit := s.m.cfg.queue(o.queue).Concurrency
		if most := s.m.limits.QueueInFlight; most > 0 {
			limit = min(limit, most)
		}
		full := limit
		limit = rampedUp(full, s.m.cfg.queue(o.queue).Ramp, s.m.cfg.queue(o.queue).Resumed, s.now)
		if o.worker != "" {
			i := slices.IndexFunc(s.m.cfg.Workers, func(w *Worker) bool { return w.Name == o.worker })
			if i < 0 || s.m.cfg.Workers[i].Paused {
				s.fail("worker %s was given a job while it may get none", o.worker)
				continue
			}
			w := s.m.cfg.Workers[i]
			if w.Concurrency > 0 {
				full = w.Concurrency
			}
			limit = rampedUp(full, w.Ramp, w.Resumed, s.now)
		}
		if used[o] > limit {
			s.fail("%v has %d in flight, allowed are %d", o, used[o], limit)
		}
	}
}

// checkPush checks a push at the moment it starts.
func (s *sim) checkPush(p pushOrder) {
	j := p.Entry.Job
	key := attemptKey{j.ID, p.Attempt}
	if s.pushed[key] {
		s.fail("attempt %d of job %s was pushed twice", p.Attempt, j.ID)
	}
	s.checkAlone(j)
	s.pushed[key] = true
	s.inFlight[key] = &simPush{order: p, node: s.node, until: s.now.Add(p.Timeout)}
	stored, err := s.store.Job(context.Background(), j.ID)
	switch {
	case err != nil:
		s.fail("job %s is pushed: %v", j.ID, err)
	case stored.Status != job.Waiting:
		s.fail("job %s is pushed after it is %s", j.ID, stored.Status)
	case stored.Attempt != p.Attempt-1:
		s.fail("job %s is pushed as attempt %d, stored are %d", j.ID, p.Attempt, stored.Attempt)
	case !strings.HasPrefix(string(p.Entry.Payload), "{}") || len(p.Entry.Payload) != j.PayloadSize:
		s.fail("job %s is pushed with a payload of %d bytes, it has %d", j.ID, len(p.Entry.Payload), j.PayloadSize)
	}
}

// heal ends all faults, lets every push succeed, and checks that every job
// that was acknowledged has ended.
func (s *sim) heal() {
	s.healing = true
	s.reconfigure()
	s.post(resuming{})
	s.post(s.living())
	s.post(foreign{}) // one poll finds all that hints have not told
	s.settleSchedules()
	for range 20_000 {
		if s.failure != nil {
			return
		}
		s.finishCommit()
		s.lookAgain()
		s.answer()
		s.deliver()
		s.step()
		if s.commit == nil && !s.delivering && !s.answers() && len(s.events) == 0 {
			if s.allEnded() && s.noneWaits() && s.m.lookDue.IsZero() && len(s.m.ghosts)+len(s.m.accepted) == 0 { // a job that was cancelled may still be waited for
				s.checkEnd()
				s.checkSchedules()
				s.runOut()
				return
			}
			if s.wake.IsZero() {
				s.fail("the machine sleeps for ever while jobs wait")
			}
			s.now = later(s.now, s.wake)
		}
	}
	s.fail("jobs still wait after a long time without faults: %s", s.describe())
}

// describe tells what the machine waits for.
func (s *sim) describe() string {
	text := fmt.Sprintf("now %s wake %s nextDue %s commit %v inFlight %d slots %d/%d; machine: ready %d inFlight %d slots %d runnable %d suspects %d (%d)",
		s.now, s.wake, s.m.nextDue, s.commit != nil, len(s.inFlight), s.slots, s.limit, s.m.ready, s.m.inFlight, s.m.slots, s.m.runnable.n, len(s.m.suspects), s.m.suspect)
	for _, q := range s.m.known() {
		text += fmt.Sprintf("\n%s: ready %d inFlight %d blocked %q of %d, pools %d", q.name, q.ready, q.inFlight, q.blocked, q.cfg.Concurrency, len(q.pools))
		if q.order != nil {
			text += fmt.Sprintf(" order %+v", *q.order)
		}
		for _, l := range q.lanes {
			text += fmt.Sprintf("\n  %v: n %d parked %d more %v asked %v wanting %d", l.Lane, l.n, l.parked, l.more, l.asked, len(l.wanting))
			for name, in := range l.keys {
				text += fmt.Sprintf("\n    %q: ready %d behind %v asked %v parked %v limits %+v", name, in.ready(), in.behind, in.asked, in.parked(), in.limits)
			}
		}
	}
	for _, id := range s.ids {
		if j, err := s.store.Job(context.Background(), id); err == nil && !j.Status.Terminal() {
			text += fmt.Sprintf("\n%s %s %q prio %s due %s failures %d losses %d item %+v", id, j.Queue, j.Key, j.Priority, j.Due, j.Failures, j.Losses, s.m.jobs[id])
		}
	}
	return text
}

func (s *sim) allEnded() bool {
	c, err := s.store.Counts(context.Background(), "q0")
	s.must(err)
	n := c.Waiting
	for _, q := range []string{"q1", "q2"} {
		c, err := s.store.Counts(context.Background(), q)
		s.must(err)
		n += c.Waiting
	}
	return n == 0
}

func (s *sim) checkEnd() {
	ctx := context.Background()
	var want, got int64
	for _, id := range s.ids {
		j, err := s.store.Job(ctx, id)
		switch {
		case s.known[id].deleted:
			if !errors.Is(err, store.ErrNotFound) {
				s.fail("job %s was deleted and is there: %v", id, err)
			}
			continue
		case err != nil:
			s.fail("job %s was acknowledged and is lost: %v", id, err)
		case !j.Status.Terminal():
			s.fail("job %s is %s at the end", id, j.Status)
		}
		want++
	}
	for i := range 3 {
		c, err := s.store.Counts(ctx, queueName(i))
		s.must(err)
		got += c.Succeeded + c.Dead + c.Cancelled + c.Expired
		if c.Scheduled != 0 || c.Retrying != 0 || c.Waiting != 0 || c.Bytes != 0 {
			s.fail("queue %s counts %+v at the end", queueName(i), c)
		}
	}
	s.checkKept()
	if got != want {
		s.fail("%d jobs are counted as terminal, %d are", got, want)
	}
	if commands, _, err := s.owner.ReadInbox(ctx, 100); err != nil || len(commands) > 0 {
		s.fail("the inbox holds %d commands at the end: %v", len(commands), err)
	}
	if claims, err := s.owner.Recover(ctx); err != nil || len(claims) > 0 {
		s.fail("%d claim records are left at the end: %v", len(claims), err)
	}
	if !s.m.quiet() || len(s.m.jobs) > 0 || len(s.m.zombies) > 0 || s.m.ready != 0 || s.m.bytes != 0 {
		s.fail("the machine is not empty at the end: %d jobs, %d zombies, %d ready, %d bytes", len(s.m.jobs), len(s.m.zombies), s.m.ready, s.m.bytes)
	}
}

func entryIDs(entries []*store.Entry) (ids []string) {
	for _, e := range entries {
		ids = append(ids, fmt.Sprintf("%s@%d", e.Job.ID, e.Place))
	}
	return ids
}
