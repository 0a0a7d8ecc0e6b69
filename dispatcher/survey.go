package dispatcher

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

// Survey is what a node's shards held when it was looked at: for metrics, which sum it
// up over the nodes. Its parts are read one after the other, so that they may disagree
// by what happened between.
type Survey struct {
	Queues  []QueueStanding
	Workers []WorkerStanding
	// Blocked counts the queues with ready jobs in memory that wait, by the reason,
	// as QueueLive says it; those with none are there with 0.
	Blocked map[string]int
}

// QueueStanding is a queue of a shard that the node serves.
type QueueStanding struct {
	Queue string
	// The jobs that have not ended, by what is shown of them.
	Pending, Running, Scheduled, Retrying int64
	// The ended jobs that are kept.
	Succeeded, Dead, Cancelled, Expired int64
	// Oldest is for how long the oldest pending job has waited: 0 where none is
	// pending, negative where that was not looked up.
	Oldest time.Duration
}

// WorkerStanding is what a worker does for the shards that the node serves.
type WorkerStanding struct {
	Worker   string
	InFlight int
	// Open and HalfOpen count its circuits that are not closed, one for each queue.
	Open, HalfOpen int
	// Throttled says that it has asked some queue's pushes to be held back.
	Throttled bool
}

// maxAges bounds how many queues of a survey are looked into for their oldest job, which
// costs about ten reads each.
const maxAges = 250

// surveyPage is how many queues are read at once.
const surveyPage = 1000

// blockedReasons are all that QueueLive.Blocked may say.
var blockedReasons = []string{
	blockedPaused, blockedNoWorker, blockedConcurrency, blockedThrottled, blockedRate, blockedKey, blockedCircuit, blockedRamp,
}

// Surveyor looks at what its node serves, again and again. It is for one goroutine.
type Surveyor struct {
	d *Dispatcher
	// since is when a queue was first seen with pending jobs, and never without since.
	since map[string]time.Time
}

// NewSurveyor returns a surveyor that has not looked yet.
func NewSurveyor(d *Dispatcher) *Surveyor { return &Surveyor{d: d, since: make(map[string]time.Time)} }

// Look reads the counts of all queues of the shards that the node serves, a thousand
// queues a call of the store, and the oldest job of at most 250 of them: those that have
// had pending jobs for longest. What the shards' loops know is asked of them.
func (s *Surveyor) Look(ctx context.Context) (Survey, error) {
	now, err := s.d.store.Now(ctx)
	if err != nil {
		return Survey{}, fmt.Errorf("dispatcher: survey: %w", err)
	}
	v := Survey{Blocked: make(map[string]int, len(blockedReasons))}
	for _, reason := range blockedReasons {
		v.Blocked[reason] = 0
	}
	workers := make(map[string]WorkerLive)
	for _, shard := range s.d.Owned() {
		live := s.d.liveOf(shard)
		for _, q := range live.Queues {
			if q.Blocked != "" {
				v.Blocked[q.Blocked]++
			}
		}
		for name, w := range live.Workers {
			workers[name] = workers[name].plus(w)
		}
		if err := s.count(ctx, shard, live.Queues, &v); err != nil {
			return Survey{}, fmt.Errorf("dispatcher: survey: %w", err)
		}
	}
	for name, w := range workers {
		v.Workers = append(v.Workers, standingOf(name, w, now))
	}
	slices.SortFunc(v.Workers, func(a, b WorkerStanding) int { return cmp.Compare(a.Worker, b.Worker) })
	if err := s.ages(ctx, v.Queues, now); err != nil {
		return Survey{}, fmt.Errorf("dispatcher: survey: %w", err)
	}
	return v, nil
}

// liveOf returns what a shard's machine knows.
func (d *Dispatcher) liveOf(shard int) (live shardLive) {
	d.ask(shard, func(m *machine) { live = m.live() })
	return live
}

// count adds the queues of a shard.
func (s *Surveyor) count(ctx context.Context, shard int, live map[string]QueueLive, v *Survey) error {
	for after := ""; ; {
		queues, err := s.d.store.ShardQueues(ctx, shard, after, surveyPage)
		if err != nil {
			return err
		}
		for i := range queues {
			q := &queues[i]
			ready := max(q.Waiting-q.Scheduled-q.Retrying, 0)
			running := min(int64(live[q.Queue].InFlight), ready)
			v.Queues = append(v.Queues, QueueStanding{
				Queue: q.Queue, Pending: ready - running, Running: running, Scheduled: q.Scheduled, Retrying: q.Retrying,
				Succeeded: q.Succeeded, Dead: q.Dead, Cancelled: q.Cancelled, Expired: q.Expired,
			})
		}
		if len(queues) < surveyPage {
			return nil
		}
		after = queues[len(queues)-1].Queue
	}
}

// ages looks up how old the oldest pending jobs are.
func (s *Surveyor) ages(ctx context.Context, queues []QueueStanding, now time.Time) error {
	since := make(map[string]time.Time)
	var pending []*QueueStanding
	for i := range queues {
		q := &queues[i]
		if q.Pending == 0 {
			continue
		}
		q.Oldest = -1
		since[q.Queue] = now
		if at, ok := s.since[q.Queue]; ok {
			since[q.Queue] = at
		}
		pending = append(pending, q)
	}
	s.since = since
	slices.SortStableFunc(pending, func(a, b *QueueStanding) int { return since[a.Queue].Compare(since[b.Queue]) })
	for _, q := range pending[:min(maxAges, len(pending))] {
		oldest, err := s.d.store.OldestWaiting(ctx, q.Queue)
		if err != nil {
			return err
		}
		q.Oldest = 0
		if !oldest.IsZero() {
			q.Oldest = max(now.Sub(oldest), 0)
		}
	}
	return nil
}

func standingOf(name string, w WorkerLive, now time.Time) WorkerStanding {
	s := WorkerStanding{Worker: name, InFlight: w.InFlight, Throttled: w.ThrottledUntil.After(now)}
	for _, c := range w.Circuits {
		if c.HalfOpen {
			s.HalfOpen++
		} else {
			s.Open++
		}
	}
	return s
}
