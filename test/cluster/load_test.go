package cluster_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/test/history"
)

// The queues that a load fills beside the plain ones.
const (
	orderedQueue = "ordered" // keeps the order of its keys
	ratedQueue   = "rated"
)

// lastRef numbers the jobs of all tests.
var lastRef atomic.Int64

func newRef() string { return "ref-" + strconv.FormatInt(lastRef.Add(1), 10) }

// limit gives the queues the limits that the history is checked against, and waits
// until all nodes go by them: until then a node enqueues by what it knew before.
func (c *nodes) limit() {
	c.t.Helper()
	retry := &job.Policy{InitialDelay: job.Duration(50 * time.Millisecond), MaxDelay: job.Duration(200 * time.Millisecond)}
	set := func(n *node, queue string, config client.QueueConfig) {
		config.Retry = retry
		if _, err := n.PutQueue(c.ctx, queue, config); err != nil {
			c.t.Fatal(err)
		}
		l := history.Limits{Concurrency: config.Concurrency, KeyConcurrency: config.KeyConcurrency}
		if config.Rate != nil {
			l.Rate = *config.Rate
		}
		c.history.Limit(queue, l)
	}
	for _, q := range c.queues {
		set(c.all[0], q, client.QueueConfig{Concurrency: concurrency})
	}
	set(c.all[0], ratedQueue, client.QueueConfig{Concurrency: concurrency, Rate: &job.Rate{Limit: 20, Period: job.Duration(time.Second), Burst: 5}})
	ordered := client.QueueConfig{Concurrency: concurrency, KeyConcurrency: 1}
	set(c.all[0], orderedQueue, ordered)
	for _, n := range c.all {
		c.until("the node knows the limits", func() bool {
			q, err := n.Queue(c.ctx, orderedQueue)
			return err == nil && q.KeyConcurrency == 1
		})
		set(n, orderedQueue, ordered) // which waits for a change that is being taken over
	}
}

// submit enqueues a job under a name of its own, and notes what was told.
func (c *nodes) submit(n *node, j client.NewJob) string {
	c.t.Helper()
	e := history.Enqueue{Ref: newRef(), Queue: j.Queue, Key: j.Key, Begin: time.Now(), Told: history.Accepted}
	j.Type, j.Payload = "t", e.Ref
	r, err := n.Enqueue(c.ctx, j)
	if err != nil {
		c.t.Fatal(err)
	}
	e.ID, e.End = r.ID, time.Now()
	c.history.Enqueue(e)
	return r.ID
}

// load are clients that enqueue at a steady pace, one job a call, at nodes that are
// ready.
type load struct {
	c       *nodes
	clients int
	cancel  context.CancelFunc
	running sync.WaitGroup
	turn    atomic.Int64
	// accepted, refused and unknown count jobs by what was told of them last; errors
	// are calls.
	accepted, refused, unknown, errors atomic.Int64

	mu    sync.Mutex
	nodes []*node
	ready map[*node]bool
	first error
}

// clientPace is how many jobs a second a client is to enqueue: there are as many
// clients as that takes, and at least eight.
const clientPace = 20

// load starts clients that enqueue perSecond jobs over all of them. A client whose
// call fails asks again for every other job, with its idempotency key, until it is
// told; for the others it gives up.
func (c *nodes) load(perSecond int) *load {
	ctx, cancel := context.WithCancel(c.ctx)
	l := &load{c: c, cancel: cancel, ready: map[*node]bool{}, clients: max(8, perSecond/clientPace)}
	l.use(c.all...)
	l.running.Go(func() { l.follow(ctx) })
	pause := time.Duration(l.clients) * time.Second / time.Duration(perSecond)
	for k := range l.clients {
		l.running.Go(func() {
			tick := time.NewTicker(pause)
			defer tick.Stop()
			for i := k; ; i += l.clients {
				select {
				case <-tick.C:
					l.one(ctx, i)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	c.t.Cleanup(l.stop)
	return l
}

// use names the nodes that are to be asked.
func (l *load) use(nodes ...*node) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nodes = slices.Clone(nodes)
}

// follow asks all nodes, again and again, whether they are ready.
func (l *load) follow(ctx context.Context) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		l.mu.Lock()
		nodes := l.nodes
		l.mu.Unlock()
		var asked sync.WaitGroup
		for _, n := range nodes {
			asked.Go(func() {
				ctx, cancel := context.WithTimeout(ctx, time.Second)
				defer cancel()
				ready := n.ready(ctx)
				l.mu.Lock()
				defer l.mu.Unlock()
				l.ready[n] = ready
			})
		}
		asked.Wait()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// pick returns the next node in turn that is ready; any where none is.
func (l *load) pick() *node {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := int(l.turn.Add(1))
	for i := range l.nodes {
		if n := l.nodes[(at+i)%len(l.nodes)]; l.ready[n] {
			return n
		}
	}
	return l.nodes[at%len(l.nodes)]
}

// one enqueues a job: of 40, one in the queue with a rate, three of two keys in their
// order, the others in the plain queues.
func (l *load) one(ctx context.Context, i int) {
	e := history.Enqueue{Ref: newRef(), Queue: l.c.queues[i%len(l.c.queues)], Begin: time.Now(), Told: history.Refused}
	switch i % 40 {
	case 0:
		e.Queue = ratedQueue
	case 1, 2, 3:
		e.Queue, e.Key = orderedQueue, "k"+strconv.Itoa(i%2)
	}
	j := client.NewJob{Queue: e.Queue, Key: e.Key, Type: "t", Payload: e.Ref, IdempotencyKey: e.Ref}
	for {
		r, err := l.pick().once.Enqueue(ctx, j)
		e.End = time.Now()
		if err == nil {
			e.ID, e.Told = r.ID, history.Accepted
			break
		}
		if ctx.Err() == nil {
			l.note(err)
		}
		if !refused(err) {
			e.Told = history.Unknown
		}
		if i/l.clients%2 == 0 || !pause(ctx, 200*time.Millisecond) {
			break
		}
	}
	switch e.Told {
	case history.Accepted:
		l.accepted.Add(1)
	case history.Refused:
		l.refused.Add(1)
	case history.Unknown:
		l.unknown.Add(1)
	}
	l.c.history.Enqueue(e)
}

// note counts an error, and keeps the first to tell.
func (l *load) note(err error) {
	l.errors.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == nil {
		l.first = err
	}
}

// refused reports whether an error says that the job is not there: the server said
// no, and knew.
func refused(err error) bool {
	var p *client.Problem
	return errors.As(err, &p) && p.Outcome == ""
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// stop ends the load. It may be called again.
func (l *load) stop() {
	l.cancel()
	l.running.Wait()
}

// more waits until that many more jobs were accepted.
func (l *load) more(n int) {
	l.c.t.Helper()
	until := l.accepted.Load() + int64(n)
	l.c.until(strconv.Itoa(n)+" more jobs are accepted", func() bool { return l.accepted.Load() >= until })
}

// lose declares that what was in flight from then to now may be repeated.
func (c *nodes) lose(from time.Time, queues ...string) {
	c.history.Lose(history.Loss{From: from, To: time.Now(), Queues: queues})
}

// verify waits until all jobs have ended, and checks the whole run: what clients
// were told, what the worker saw, and what the store says.
func (c *nodes) verify(n *node) {
	c.t.Helper()
	c.until("all jobs have ended", func() bool { return c.waiting(n) == 0 })
	page := client.PageOptions{Limit: 1000}
	var jobs []client.Job
	for {
		p, err := n.JobPage(c.ctx, client.JobFilter{}, page)
		if err != nil {
			c.t.Fatal(err)
		}
		jobs = append(jobs, p.Items...)
		if page.Cursor = p.NextCursor; page.Cursor == "" {
			break
		}
	}
	pushes := c.worker.perJob()
	for _, j := range jobs {
		if j.Attempt > 1 || pushes[j.ID] != 1 || j.Status != job.Succeeded.String() {
			full, err := n.Job(c.ctx, j.ID, 0)
			if err != nil {
				c.t.Fatal(err)
			}
			j = *full
		}
		c.history.Job(record(j))
	}
	h := c.history.History()
	h.Wire, h.Settle = time.Second, 2*time.Second
	found := h.Verify()
	for i, v := range found {
		if i == 20 {
			c.t.Errorf("and %d more violations", len(found)-i)
			break
		}
		c.t.Error(v)
	}
	repeated := 0
	for _, n := range pushes {
		repeated += n - 1
	}
	c.t.Logf("%d enqueues, %d jobs, %d pushes, of which %d were not the first", len(h.Enqueues), len(jobs), len(h.Pushes), repeated)
}

func record(j client.Job) history.Job {
	out := history.Job{ID: j.ID, Queue: j.Queue, Status: j.Status, Attempt: j.Attempt, Finished: j.FinishedAt}
	for _, a := range j.Attempts {
		out.Attempts = append(out.Attempts, history.Attempt{Number: a.Number, Outcome: a.Outcome, Started: a.StartedAt})
	}
	return out
}

// waiting returns how many jobs have not ended; 1 where the node cannot tell.
func (c *nodes) waiting(n *node) (total int64) {
	for q, err := range n.once.Queues(c.ctx) {
		if err != nil {
			return 1
		}
		for status, count := range q.Counts {
			if s, ok := job.ParseStatus(status); !ok || !s.Terminal() {
				total += count
			}
		}
	}
	return total
}

// flaky answers one in twenty first attempts with an error, and takes a few
// milliseconds.
func flaky() http.HandlerFunc {
	var n atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		i := n.Add(1)
		pause(r.Context(), time.Duration(i%15)*time.Millisecond)
		if i%20 == 0 && r.Header.Get("orchestrix-attempt") == "1" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}
}
