package worker

import (
	"hash/maphash"
	"sync"
	"time"
)

// replays remembers the pushes of the last minutes, so that one which somebody
// recorded is not run again. The server never uses (id, incarnation, attempt,
// epoch) twice: it is another attempt that repeats a job.
//
// It holds at most two generations of half its capacity. Where they are full, the
// older one is dropped and the time of its newest push becomes the floor: what was
// signed no later cannot be told from a replay, and is put off. So memory is
// bounded, and a replay never gets through.
type replays struct {
	seeds     [2]maphash.Seed
	half      int           // entries in a generation
	tolerance time.Duration // a push is refused as too old after it, whoever remembers

	mu             sync.Mutex
	current, older map[fingerprint]struct{}
	// The newest time of signing in each, and since when current is filled.
	currentNewest, olderNewest, since time.Time
	floor                             time.Time
}

// fingerprint is a hash of what makes a push: 128 bits under seeds that nobody
// knows, of what nobody without the key can choose.
type fingerprint [2]uint64

type replayVerdict int

const (
	neverSeen replayVerdict = iota
	seenBefore
	tooOldToKnow
)

func newReplays(capacity int, tolerance time.Duration) *replays {
	return &replays{
		seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, half: max(capacity/2, 1), tolerance: tolerance,
		current: map[fingerprint]struct{}{},
	}
}

// see remembers a push, and reports whether it was there.
func (r *replays) see(p *Push, now time.Time) replayVerdict {
	print := r.fingerprint(p)
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.current[print]; ok {
		return seenBefore
	}
	if _, ok := r.older[print]; ok {
		return seenBefore
	}
	if !p.signedAt.After(r.floor) {
		return tooOldToKnow
	}
	r.turn(now)
	r.current[print] = struct{}{}
	if p.signedAt.After(r.currentNewest) {
		r.currentNewest = p.signedAt
	}
	return neverSeen
}

// turn begins a generation where the current one is full or old. After twice the
// tolerance nothing in the older one is accepted any more: it was signed at most
// the tolerance after it came.
func (r *replays) turn(now time.Time) {
	full, old := len(r.current) >= r.half, now.Sub(r.since) > 2*r.tolerance
	if !full && !old {
		return
	}
	if full && r.olderNewest.After(r.floor) {
		r.floor = r.olderNewest
	}
	r.older, r.olderNewest = r.current, r.currentNewest
	r.current, r.currentNewest, r.since = make(map[fingerprint]struct{}), time.Time{}, now
}

func (r *replays) fingerprint(p *Push) fingerprint {
	var print fingerprint
	for i, seed := range r.seeds {
		var h maphash.Hash
		h.SetSeed(seed)
		maphash.WriteComparable(&h, p.Epoch)
		maphash.WriteComparable(&h, p.Attempt)
		maphash.WriteComparable(&h, p.Incarnation)
		// The type too: what the server says of a job under the job's id, such as that
		// it is cancelled, is not the job.
		maphash.WriteComparable(&h, len(p.Type))
		h.WriteString(p.Type)
		h.WriteString(p.WebhookID)
		print[i] = h.Sum64()
	}
	return print
}
