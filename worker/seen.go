package worker

import (
	"context"
	"sync"
	"time"
)

// Seen remembers which jobs have been done, by their WebhookID, for Once. Whatever
// else it is, it has to be shared by all processes of a worker: MemorySeen is for
// one process; packages seenredis and seenpg keep it in Redis and PostgreSQL.
//
// All methods may be called concurrently, also by different processes. An owner is
// a random text that stands for one run.
type Seen interface {
	// Begin claims a job that nobody has done or is doing, until the time hold from
	// now: then it is anybody's, since its owner has died. Who has the claim already
	// keeps it anew. It returns SeenNever where the claim is the owner's, and else
	// what is the case. With an error it is not known.
	Begin(ctx context.Context, id, owner string, hold time.Duration) (SeenState, error)
	// Done says that the job is done, for keep from now, whoever has the claim.
	Done(ctx context.Context, id string, keep time.Duration) error
	// Release gives the owner's claim back. Where it has none, nothing happens.
	Release(ctx context.Context, id, owner string) error
}

// SeenState is what a Seen knows of a job.
type SeenState int

// The states of a job in a Seen.
const (
	SeenNever SeenState = iota // or so long ago that it was forgotten
	SeenBusy                   // somebody is at it
	SeenDone
)

// MemorySeen is a Seen in memory, for a worker of one process, and for tests. What
// it knows is gone with the process.
type MemorySeen struct {
	max int

	mu     sync.Mutex
	claims map[string]claim
	order  []expiry // of what is done, oldest first
}

type claim struct {
	owner string // "" of what is done
	until time.Time
}

type expiry struct {
	id    string
	until time.Time
}

// NewMemorySeen returns an empty MemorySeen that remembers at most that many jobs
// as done: beyond, it forgets the oldest. A job takes some 200 bytes.
func NewMemorySeen(most int) *MemorySeen {
	return &MemorySeen{max: max(most, 1), claims: map[string]claim{}}
}

// Begin implements Seen.
func (s *MemorySeen) Begin(_ context.Context, id, owner string, hold time.Duration) (SeenState, error) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.claims[id]
	switch {
	case ok && now.Before(c.until) && c.owner == "":
		return SeenDone, nil
	case ok && now.Before(c.until) && c.owner != owner:
		return SeenBusy, nil
	}
	s.claims[id] = claim{owner, now.Add(hold)}
	return SeenNever, nil
}

// Done implements Seen.
func (s *MemorySeen) Done(_ context.Context, id string, keep time.Duration) error {
	until := time.Now().Add(keep)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claims[id] = claim{"", until}
	s.order = append(s.order, expiry{id, until})
	for len(s.order) > s.max || s.order[0].until.Before(time.Now()) {
		s.forget(s.order[0])
		s.order = s.order[1:]
		if len(s.order) == 0 {
			break
		}
	}
	return nil
}

// forget drops what was done, unless it was done again since.
func (s *MemorySeen) forget(e expiry) {
	if c := s.claims[e.id]; c.owner == "" && c.until.Equal(e.until) {
		delete(s.claims, e.id)
	}
}

// Release implements Seen.
func (s *MemorySeen) Release(_ context.Context, id, owner string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := s.claims[id]; ok && c.owner == owner {
		delete(s.claims, id)
	}
	return nil
}
