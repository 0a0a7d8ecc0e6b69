package worker

import (
	"context"
	"slices"
	"sync"
)

// running are the pushes under way.
type running struct {
	mu       sync.Mutex
	tasks    map[*Push]task
	draining bool
	idle     chan struct{} // closed when nothing is under way, and nothing will be
	// ended are the last asynchronous attempts whose handlers have returned, in a ring.
	ended [1024]attemptName
	next  int
}

// attemptName names an attempt as a cancel does.
type attemptName struct {
	job     string
	attempt int
}

// is reports whether n is the attempt that is asked for; number 0 stands for any.
func (n attemptName) is(job string, number int) bool {
	return n.job == job && (number == 0 || n.attempt == number)
}

// note remembers that an attempt has ended.
func (r *running) note(p *Push) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended[r.next] = attemptName{p.ID, p.Attempt}
	r.next = (r.next + 1) % len(r.ended)
}

func (r *running) hasEnded(job string, number int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.ended[:], func(n attemptName) bool { return n.is(job, number) })
}

// task is how a push is ended from outside.
type task struct {
	cancel  context.CancelCauseFunc
	attempt *attempt // nil for a synchronous one
}

func newRunning() *running {
	return &running{tasks: map[*Push]task{}, idle: make(chan struct{})}
}

// add reports false where nothing new is to begin.
func (r *running) add(p *Push, t task) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.draining {
		return false
	}
	r.tasks[p] = t
	return true
}

func (r *running) remove(p *Push) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.tasks, p)
	if r.draining && len(r.tasks) == 0 {
		close(r.idle)
	}
}

// drain lets nothing new begin. It may be called again.
func (r *running) drain() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.draining && len(r.tasks) == 0 {
		close(r.idle)
	}
	r.draining = true
}

// list returns what is under way.
func (r *running) list() map[*Push]task {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make(map[*Push]task, len(r.tasks))
	for p, t := range r.tasks {
		out[p] = t
	}
	return out
}
