package control

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/orchestrix/orchestrix/dispatcher"
	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/webhook"
)

// configuration is what the documents say, as it is live.
type configuration struct {
	workers map[string]document[workerRecord]
	queues  map[string]document[queueRecord]
	// keys are the API keys by the hash of their text.
	keys    map[[32]byte]document[keyRecord]
	signing keyring
	// nextEnd is when the next secret's grace ends, zero where none does: then
	// the configuration is another one although no document changed.
	nextEnd time.Time
}

func newConfiguration() configuration {
	return configuration{
		workers: make(map[string]document[workerRecord]),
		queues:  make(map[string]document[queueRecord]),
		keys:    make(map[[32]byte]document[keyRecord]),
	}
}

// reload reads all documents and makes them live. The caller holds changing.
func (c *Control) reload(ctx context.Context) (dispatcher.Config, error) {
	next := newConfiguration()
	if err := next.read(ctx, c); err != nil {
		return dispatcher.Config{}, err
	}
	signing, err := c.loadSigning(ctx, signingName)
	if err != nil {
		return dispatcher.Config{}, err
	}
	attempts, err := c.loadSigning(ctx, attemptsName)
	if err != nil {
		return dispatcher.Config{}, err
	}
	key := []byte(attempts[0].Secret)
	c.attemptKey.Store(&key)
	next.signing = signing
	c.mu.Lock()
	c.live = next
	c.mu.Unlock()
	return c.publish(ctx)
}

func (n *configuration) read(ctx context.Context, c *Control) error {
	workers, err := all[workerRecord](ctx, c, kindWorker)
	if err != nil {
		return err
	}
	queues, err := all[queueRecord](ctx, c, kindQueue)
	if err != nil {
		return err
	}
	keys, err := all[keyRecord](ctx, c, kindAPIKey)
	if err != nil {
		return err
	}
	for _, d := range workers {
		n.workers[d.Name] = d
	}
	for _, d := range queues {
		n.queues[d.Name] = d
	}
	for _, d := range keys {
		n.keys[d.Value.hash()] = d
	}
	return nil
}

// adopt notes a stored document in what is live. The caller holds changing.
func (c *Control) adopt(kind string, doc store.Document) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var err error
	switch kind {
	case kindWorker:
		c.live.workers[doc.Name], err = decode[workerRecord](doc)
	case kindQueue:
		c.live.queues[doc.Name], err = decode[queueRecord](doc)
	case kindAPIKey:
		var d document[keyRecord]
		d, err = decode[keyRecord](doc)
		c.live.keys[d.Value.hash()] = d
	case kindSigning:
		if doc.Name != signingName {
			break
		}
		var d document[keyring]
		d, err = decode[keyring](doc)
		c.live.signing = d.Value
	}
	return err
}

// drop notes that a document has ended. The caller holds changing.
func (c *Control) drop(kind, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch kind {
	case kindWorker:
		delete(c.live.workers, name)
	case kindQueue:
		delete(c.live.queues, name)
	case kindAPIKey:
		maps.DeleteFunc(c.live.keys, func(_ [32]byte, d document[keyRecord]) bool { return d.Name == name })
	}
}

// tell makes a change of that kind known to the dispatcher, which has nothing to do
// with API keys.
func (c *Control) tell(ctx context.Context, kind string) error {
	if kind == kindAPIKey {
		return nil
	}
	_, err := c.publish(ctx)
	return err
}

// config builds the dispatcher's configuration. The caller holds mu.
func (c *Control) config(now time.Time) (dispatcher.Config, error) {
	config := dispatcher.Config{
		Queues:       make(map[string]dispatcher.Queue, len(c.live.queues)),
		DefaultQueue: dispatcher.Queue{Concurrency: c.o.QueueConcurrency},
		Retry:        c.o.Retry, Timeout: c.o.Timeout, Retention: c.o.Retention,
	}
	for name, d := range c.live.queues {
		config.Queues[name] = c.queueConfig(&d)
	}
	bounds := backlogsOf(c.live.queues)
	c.bounds.Store(&bounds)
	ordered := orderedOf(c.live.queues)
	c.ordered.Store(&ordered)
	c.live.nextEnd = c.live.signing.nextEnd(now)
	for _, name := range slices.Sorted(maps.Keys(c.live.workers)) {
		d := c.live.workers[name]
		secrets, err := d.Value.Secrets.active(now)
		if err != nil {
			return config, err
		}
		keys, err := d.Value.Keys.keys(now)
		if err != nil {
			return config, err
		}
		config.Workers = append(config.Workers, workerConfig(&d, secrets, keys))
		c.live.nextEnd = sooner(c.live.nextEnd, d.Value.Secrets.nextEnd(now))
		c.live.nextEnd = sooner(c.live.nextEnd, d.Value.Keys.nextEnd(now))
	}
	var err error
	config.SigningSecrets, err = c.live.signing.active(now)
	return config, err
}

// sooner returns the earlier of two times, of which a zero one never comes.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

func (c *Control) queueConfig(d *document[queueRecord]) dispatcher.Queue {
	q := &d.Value
	concurrency := q.Concurrency
	if concurrency == 0 {
		concurrency = c.o.QueueConcurrency
	}
	var rate job.Rate
	if q.Rate != nil {
		rate = *q.Rate
	}
	var keyRate job.Rate
	if q.KeyRate != nil {
		keyRate = *q.KeyRate
	}
	return dispatcher.Queue{
		Concurrency: concurrency, Rate: rate, Strict: q.PriorityMode == PriorityStrict, Paused: q.Paused, Retry: q.Retry,
		Resumed: q.ResumedAt, Ramp: q.Ramp != job.Off,
		KeyConcurrency: q.KeyConcurrency, KeyRate: keyRate, Pins: q.pins(),
		DeadBlocks: q.OnDead == OnDeadBlock, LostWaits: q.AfterLost == AfterLostWait,
		Retention: q.Retention.rule(c.o.Retention),
		Version:   versionOf(d.Created, d.Version),
	}
}

// versionOf tells a version of a document from every other, also of one that was
// removed and made again under the same name. Its lowest 8 bits are zero.
func versionOf(created time.Time, version uint64) uint64 {
	return uint64(created.UnixMilli())<<24 ^ version<<8
}

// workerConfig builds a worker. Its version tells two configurations apart, also
// of a worker that was removed and registered again, and of one that only signs
// with fewer secrets or keys.
func workerConfig(d *document[workerRecord], secrets []webhook.Secret, keys []webhook.PrivateKey) *dispatcher.Worker {
	w := &d.Value
	c := &dispatcher.Worker{
		Name: d.Name, URL: w.URL, Queues: w.Queues, Headers: w.Headers, Auth: w.Auth, Secrets: secrets, Keys: keys,
		Concurrency: w.Concurrency, Timeout: w.Timeout.Std(), Weight: w.Weight,
		Paused: w.Paused, Resumed: w.ResumedAt, IgnoreGone: w.OnGone == OnGoneIgnore,
		Version: versionOf(d.Created, d.Version) ^ uint64(len(keys))<<4 ^ uint64(len(secrets)),
	}
	w.Protection.configure(c)
	w.Asynchronous.configure(c)
	return c
}
