package dispatcher

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"
)

// What the machines of other nodes know is seen everywhere: an owner publishes the
// live numbers of its shard each second, where they have changed, and who does not
// serve a shard reads what its owner has told last. Nobody has to scan for them, and
// nodes need not reach each other.

const (
	// toldFor is for how long what was read is not read again.
	toldFor = pollEvery / 2
	// toldPatience is how long a reader waits for the store.
	toldPatience = time.Second
	// maxPublished bounds the queues, and the workers, that an owner tells of; of
	// more those with the most pushes in flight.
	maxPublished = 2000
)

// shardLive are the live numbers of a shard: of queues and workers of which there is
// something to tell.
type shardLive struct {
	Queues  map[string]QueueLive  `json:"queues,omitempty"`
	Workers map[string]WorkerLive `json:"workers,omitempty"`
}

// publish has others told what the machine knows. It does not block: where the store
// is slow, only the newest is told.
func (l *loop) publish() {
	select {
	case <-l.telling:
	default:
	}
	l.telling <- l.m.live()
}

// publishAll tells others what changes, until there is no more.
func (l *loop) publishAll(ctx context.Context) {
	told := []byte("unknown") // by a former owner
	for live := range l.telling {
		data := live.encode()
		if string(data) == string(told) {
			continue
		}
		if err := l.owner.PublishLive(ctx, data); err != nil {
			l.d.log.DebugContext(ctx, "live numbers are not published; it is tried again", "shard", l.shard, "error", err)
			continue
		}
		told = data
	}
}

// encode returns what is published; nil where there is nothing to tell.
func (s *shardLive) encode() []byte {
	if len(s.Queues)+len(s.Workers) == 0 {
		return nil
	}
	s.Queues = busiest(s.Queues, func(q QueueLive) int { return q.InFlight })
	s.Workers = busiest(s.Workers, func(w WorkerLive) int { return w.InFlight })
	data, err := json.Marshal(s)
	if err != nil {
		return nil // numbers, texts and times can be encoded
	}
	return data
}

// busiest keeps maxPublished of what is to be told.
func busiest[T any](all map[string]T, inFlight func(T) int) map[string]T {
	if len(all) <= maxPublished {
		return all
	}
	names := slices.SortedFunc(maps.Keys(all), func(a, b string) int {
		return cmp.Or(cmp.Compare(inFlight(all[b]), inFlight(all[a])), cmp.Compare(a, b))
	})
	for _, name := range names[maxPublished:] {
		delete(all, name)
	}
	return all
}

// live returns what there is to tell of the shard.
func (m *machine) live() shardLive {
	live := shardLive{Queues: make(map[string]QueueLive), Workers: make(map[string]WorkerLive)}
	for name, q := range m.queues {
		if l := q.live(m.now); l != (QueueLive{}) {
			live.Queues[name] = l
		}
	}
	m.eachWorker(func(name string, w WorkerLive) {
		if !w.none() {
			live.Workers[name] = live.Workers[name].plus(w)
		}
	})
	return live
}

// told are the live numbers of shards that other nodes serve, as they were read.
type told struct {
	mu     sync.Mutex
	shards map[int]toldShard
}

type toldShard struct {
	live shardLive
	at   time.Time
}

// told returns what the owner of a shard has told last: nothing where the store does
// not answer.
func (d *Dispatcher) told(shard int) shardLive {
	t := &d.elsewhere
	t.mu.Lock()
	s := t.shards[shard]
	t.mu.Unlock()
	if time.Since(s.at) < toldFor {
		return s.live
	}
	ctx, cancel := context.WithTimeout(context.Background(), toldPatience)
	defer cancel()
	s = toldShard{at: time.Now()}
	data, err := d.store.Live(ctx, shard)
	if err == nil && data != nil {
		err = json.Unmarshal(data, &s.live)
	}
	if err != nil {
		d.log.DebugContext(ctx, "what another node tells of its shard cannot be read", "shard", shard, "error", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.shards == nil {
		t.shards = make(map[int]toldShard)
	}
	t.shards[shard] = s
	return s.live
}

// toldOfWorker returns what the owners of all shards that other nodes serve tell of a
// worker.
func (d *Dispatcher) toldOfWorker(name string) (live WorkerLive) {
	if !d.shared {
		return live
	}
	var mu sync.Mutex
	var reading sync.WaitGroup
	for shard := range d.loops {
		if d.Serves(shard) {
			continue
		}
		reading.Go(func() {
			w, ok := d.told(shard).Workers[name]
			if !ok {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			live = live.plus(w)
		})
	}
	reading.Wait()
	return live
}
