package main

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"time"
)

// cost is what a call takes of a primary: a part that is always the same, and one for
// each job.
type cost struct{ Call, Job time.Duration }

func (c cost) of(jobs int) time.Duration { return c.Call + time.Duration(jobs)*c.Job }

// model is what is simulated.
type model struct {
	Nodes, Shards, Primaries int
	// Cores of each node, of which PerJob is taken for each job: half of it by the node
	// that enqueues it, half by the owner, who pushes it.
	Cores  int
	PerJob time.Duration
	// Batch is how many jobs of a queue a client enqueues at once.
	Batch int
	// RoundTrip is that to Redis, Push how long a worker takes.
	RoundTrip, Push time.Duration
	// What Redis takes for an enqueue, an owner's look at what others have enqueued, and
	// a commit.
	Enqueue, Read, Commit cost
	// Idle is what a shard costs its primary in a second without any job: renewed
	// leases, looks, the time. Beat is what each node costs the first primary for each
	// node there is, once a second.
	Idle, Beat time.Duration
	// LookPause is between two looks of an owner.
	LookPause time.Duration
	// MaxBatch bounds the jobs of a call.
	MaxBatch int
	// Length is the simulated time, of which the first fifth is not counted.
	Length time.Duration
}

// result is what came of a run.
type result struct {
	Rate                 float64 // jobs/s that were settled
	RedisBusy, NodesBusy float64 // the busiest primary; all nodes
	JobsPerCommit        float64
	CallsPerJob          float64
	RedisPerJob          time.Duration
	P50, P99             time.Duration // from the enqueue's call to the push
	Bound                string        // what is used up at the ceiling
	behind               bool          // jobs come faster than they go
}

// defaults are measured: see docs/scale.md.
func defaults() model {
	us := func(n float64) time.Duration { return time.Duration(n * float64(time.Microsecond)) }
	return model{
		Batch: 1, Cores: 2, PerJob: us(95), RoundTrip: us(200), Push: 20 * time.Millisecond,
		Enqueue: cost{us(147), us(24)}, Read: cost{us(240), us(8)}, Commit: cost{us(57), us(9)},
		Idle: us(150), Beat: us(2), LookPause: 20 * time.Millisecond, MaxBatch: 512, Length: 5 * time.Second,
	}
}

const (
	// busyBound is the most that nodes may be busy. Redis may be wholly so: then more
	// jobs share a call, and take less of it each.
	busyBound = 0.9
	// patience is what 99 of 100 jobs may take from their enqueue to the push.
	patience = 250 * time.Millisecond
	// maxJobs bounds the jobs of a run, and minLength how short that may make it.
	maxJobs   = 200_000
	minLength = time.Second
)

// ceiling finds the highest rate at which the nodes are not too busy and no
// backlog grows, and what stands in the way of more.
func (m model) ceiling() result {
	low, high := 0.0, float64(m.Nodes*m.Cores)/m.PerJob.Seconds()
	var best result
	bound := "the nodes' CPU"
	for range 9 {
		rate := (low + high) / 2
		r := m.run(rate)
		switch {
		case r.behind && r.RedisBusy > busyBound:
			bound, high = "Redis's CPU", rate
		case r.NodesBusy > busyBound:
			bound, high = "the nodes' CPU", rate
		case r.behind:
			bound, high = "one commit at a time of a shard", rate
		default:
			best, low = r, rate
		}
	}
	best.Bound = bound
	return best
}

// event is something that happens at a time.
type event struct {
	at time.Duration
	do func()
}

type events []event

func (e events) Len() int           { return len(e) }
func (e events) Less(i, j int) bool { return e[i].at < e[j].at }
func (e events) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)        { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

// world is a run of a model.
type world struct {
	model
	rng    *rand.Rand
	now    time.Duration
	events events

	free   []time.Duration // when each primary has done all that it was asked for
	busy   []time.Duration // how long each was busy since the warm-up
	shards []shard
	// sending is what each node gathers for a shard while an enqueue is under way.
	sending map[[2]int]*sender

	arrived, settled, calls, commits, committed int
	latency                                     []time.Duration
}

type sender struct {
	waiting []time.Duration // when they were asked for
	under   bool
}

type shard struct {
	ready     []time.Duration // enqueued, not yet claimed: when they were asked for
	unseen    []time.Duration // enqueued by other nodes, not yet read
	ended     int             // pushes that have ended, not yet settled
	committed bool            // a commit is under way
	looking   bool
	looked    time.Duration
}

// run simulates jobs that come at a rate.
func (m model) run(rate float64) result {
	m.Length = max(min(m.Length, time.Duration(maxJobs/rate*float64(time.Second))), minLength)
	w := &world{
		model: m, rng: rand.New(rand.NewPCG(1, uint64(rate))), sending: make(map[[2]int]*sender),
		free: make([]time.Duration, m.Primaries), busy: make([]time.Duration, m.Primaries), shards: make([]shard, m.Shards),
	}
	w.arrivals(rate)
	for w.events.Len() > 0 {
		e := heap.Pop(&w.events).(event)
		if e.at > m.Length {
			break
		}
		w.now = e.at
		e.do()
	}
	return w.result()
}

func (w *world) after(d time.Duration, do func()) { heap.Push(&w.events, event{w.now + d, do}) }

func (w *world) warm() bool { return w.now >= w.Length/5 }

// arrivals has jobs come, one after the other.
func (w *world) arrivals(rate float64) {
	w.after(time.Duration(w.rng.ExpFloat64()*float64(w.Batch)/rate*float64(time.Second)), func() {
		if w.warm() {
			w.arrived += w.Batch
		}
		node, s := w.rng.IntN(w.Nodes), w.rng.IntN(w.Shards)
		k := [2]int{node, s}
		if w.sending[k] == nil {
			w.sending[k] = &sender{}
		}
		w.sending[k].waiting = append(w.sending[k].waiting, slices.Repeat([]time.Duration{w.now}, w.Batch)...)
		w.send(k)
		w.arrivals(rate)
	})
}

// call has a primary do something, after what it was asked for before.
func (w *world) call(s int, takes time.Duration, then func()) {
	primary := s % w.Primaries
	begin := max(w.now+w.RoundTrip/2, w.free[primary])
	w.free[primary] = begin + takes
	if w.warm() {
		w.busy[primary] += takes
		w.calls++
	}
	w.after(w.free[primary]+w.RoundTrip/2-w.now, then)
}

// send enqueues what a node has gathered for a shard.
func (w *world) send(k [2]int) {
	from := w.sending[k]
	if from.under || len(from.waiting) == 0 {
		return
	}
	n := min(len(from.waiting), w.MaxBatch)
	batch := slices.Clone(from.waiting[:n])
	from.waiting = slices.Delete(from.waiting, 0, n)
	from.under = true
	s := k[1]
	w.call(s, w.Enqueue.of(n), func() {
		from.under = false
		if sh := &w.shards[s]; k[0] == s%w.Nodes { // the owner's own
			sh.ready = append(sh.ready, batch...)
			w.commit(s)
		} else {
			sh.unseen = append(sh.unseen, batch...)
			w.look(s)
		}
		w.send(k)
	})
}

// look has the owner read what others have enqueued.
func (w *world) look(s int) {
	sh := &w.shards[s]
	if sh.looking || len(sh.unseen) == 0 {
		return
	}
	sh.looking = true
	w.after(max(0, sh.looked+w.LookPause-w.now), func() {
		n := min(len(sh.unseen), w.MaxBatch)
		read := slices.Clone(sh.unseen[:n])
		sh.unseen = slices.Delete(sh.unseen, 0, n)
		sh.looked = w.now
		w.call(s, w.Read.of(n), func() {
			sh.looking = false
			sh.ready = append(sh.ready, read...)
			w.commit(s)
			w.look(s)
		})
	})
}

// commit claims what is ready and settles what has ended, one commit at a time.
func (w *world) commit(s int) {
	sh := &w.shards[s]
	if sh.committed || len(sh.ready)+sh.ended == 0 {
		return
	}
	sh.committed = true
	n, ended := min(len(sh.ready), w.MaxBatch), min(sh.ended, w.MaxBatch)
	claimed := slices.Clone(sh.ready[:n])
	sh.ready = slices.Delete(sh.ready, 0, n)
	sh.ended -= ended
	// A job is claimed and settled: half of its part for each.
	w.call(s, w.Commit.Call+w.Commit.Job*time.Duration(n+ended)/2, func() {
		sh.committed = false
		if w.warm() {
			w.commits++
			w.committed += n + ended
			w.settled += ended
		}
		for _, asked := range claimed {
			if w.warm() {
				w.latency = append(w.latency, w.now-asked)
			}
			w.after(time.Duration(w.rng.ExpFloat64()*float64(w.Push)), func() {
				sh.ended++
				w.commit(s)
			})
		}
		w.commit(s)
	})
}

func (w *world) result() result {
	counted := (w.Length - w.Length/5).Seconds()
	r := result{Rate: float64(w.settled) / counted}
	var all time.Duration
	for p, busy := range w.busy {
		own := busy.Seconds()/counted + w.Idle.Seconds()*float64(w.Shards)/float64(w.Primaries)
		if p == 0 {
			own += w.Beat.Seconds() * float64(w.Nodes) * float64(w.Nodes)
		}
		r.RedisBusy = max(r.RedisBusy, own)
		all += busy
	}
	r.NodesBusy = r.Rate * w.PerJob.Seconds() / float64(w.Nodes*w.Cores)
	if w.settled == 0 {
		r.behind = true
		return r
	}
	r.JobsPerCommit = float64(w.committed) / 2 / float64(max(w.commits, 1))
	r.CallsPerJob = float64(w.calls) / float64(w.settled)
	r.RedisPerJob = all / time.Duration(w.settled)
	slices.Sort(w.latency)
	r.P50, r.P99 = w.latency[len(w.latency)/2], w.latency[len(w.latency)*99/100]
	r.behind = float64(w.settled) < 0.97*float64(w.arrived) || r.P99 > patience
	return r
}
