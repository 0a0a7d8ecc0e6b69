package dispatcher

import (
	"slices"
	"time"

	"github.com/orchestrix/orchestrix/job"
)

// KeyLive is what one key of a queue is doing right now.
type KeyLive struct {
	// InFlight are its jobs that are being pushed, the oldest id first.
	InFlight []job.ID
	// Tokens is how many pushes its rate allows at once; -1 where it has none.
	Tokens int
	// NextStart is when its rate allows the next one; zero where that is now.
	NextStart time.Time
	// Blocked says which limit of the key bars its next push: "paused",
	// "concurrency" or "rate"; empty where none does.
	Blocked string
}

// KeyLive returns what a key of a queue is doing right now.
func (d *Dispatcher) KeyLive(queue, key string) KeyLive {
	live := KeyLive{Tokens: -1}
	d.ask(job.ShardOf(queue, len(d.loops)), func(m *machine) { live = m.keyLive(queue, key) })
	return live
}

func (m *machine) keyLive(queueName, name string) KeyLive {
	cfg := m.cfg.queue(queueName)
	limits := cfg.key(name)
	live := KeyLive{Tokens: -1, InFlight: m.inFlightOf(queueName, name)}
	k := &key{name: name, queue: &queue{cfg: cfg}, inFlight: len(live.InFlight)}
	if q := m.queues[queueName]; q != nil && q.byKey[name] != nil {
		k.bucket = q.byKey[name].bucket
	}
	if !limits.Rate.IsZero() {
		live.Tokens = k.bucket.tokens(limits.Rate, m.now)
		if next := k.bucket.ready(limits.Rate); next.After(m.now) {
			live.NextStart = next
		}
	}
	live.Blocked = k.blocked(m.now)
	return live
}

// inFlightOf returns the jobs of a key that are being pushed.
func (m *machine) inFlightOf(queue, key string) (ids []job.ID) {
	add := func(it *item) {
		if it.queue.name == queue && it.entry.Job.Key == key {
			ids = append(ids, it.entry.Job.ID)
		}
	}
	for _, it := range m.jobs {
		if it.state == itemClaimed || it.state == itemRunning {
			add(it)
		}
	}
	for _, z := range m.zombies {
		add(z)
	}
	slices.SortFunc(ids, func(a, b job.ID) int { return slices.Compare(a[:], b[:]) })
	return ids
}
