package history

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// Recorder collects a History. Its methods may be called concurrently.
type Recorder struct {
	mu sync.Mutex
	h  History
}

// Limit notes the limits of a queue, which must not change during the run.
func (r *Recorder) Limit(queue string, l Limits) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.h.Limits == nil {
		r.h.Limits = map[string]Limits{}
	}
	r.h.Limits[queue] = l
}

// Enqueue notes what a client was told of a job.
func (r *Recorder) Enqueue(e ...Enqueue) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Enqueues = append(r.h.Enqueues, e...)
}

// Cancel notes a cancel, before it is asked for.
func (r *Recorder) Cancel(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Cancels = append(r.h.Cancels, Cancel{id})
}

// See notes a terminal status that a client was just told.
func (r *Recorder) See(id, status string) {
	at := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Sightings = append(r.h.Sightings, Sighting{id, status, at})
}

// Begin notes a push that has just come, and returns its place for End.
func (r *Recorder) Begin(p Push) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	p.Begin = time.Now()
	r.h.Pushes = append(r.h.Pushes, p)
	return len(r.h.Pushes) - 1
}

// End notes that a push is about to be answered, or that its sender is gone: then
// the answer is 0.
func (r *Recorder) End(push, answer int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Pushes[push].End, r.h.Pushes[push].Answer = time.Now(), answer
}

// Job notes what the store says of a job in the end.
func (r *Recorder) Job(j ...Job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Jobs = append(r.h.Jobs, j...)
}

// Lose declares a loss.
func (r *Recorder) Lose(l Loss) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Losses = append(r.h.Losses, l)
}

// History returns a copy of what was noted up to now. Pushes that have not ended
// end now, unanswered.
func (r *Recorder) History() *History {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.h
	h.Enqueues, h.Cancels, h.Sightings = slices.Clone(h.Enqueues), slices.Clone(h.Cancels), slices.Clone(h.Sightings)
	h.Pushes, h.Jobs, h.Losses, h.Limits = slices.Clone(h.Pushes), slices.Clone(h.Jobs), slices.Clone(h.Losses), maps.Clone(h.Limits)
	for i := range h.Pushes {
		if h.Pushes[i].End.IsZero() {
			h.Pushes[i].End = time.Now()
		}
	}
	return &h
}
