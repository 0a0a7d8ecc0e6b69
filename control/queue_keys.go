package control

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/orchestrix/orchestrix/dispatcher"
	"github.com/orchestrix/orchestrix/job"
)

// KeyLimits bound what each key of a queue may have pushed. Jobs without a key
// are bound by none of them.
type KeyLimits struct {
	// KeyConcurrency is the number of pushes of one key at once, at most
	// MaxQueueConcurrency; 0 bounds nothing. 1 keeps the order: the jobs of a key
	// run one after the other, as they were enqueued, whatever their priority, and
	// each only when the one before has ended. It is changed from or to 1 only
	// while no job of the queue waits.
	KeyConcurrency int `json:"key_concurrency,omitempty"`
	// KeyRate bounds how many pushes of one key start; nil bounds nothing.
	KeyRate *job.Rate `json:"key_rate,omitempty"`
	// OnDead says what a dead job does to those behind it where the order is kept:
	// OnDeadSkip, also where it is empty, or OnDeadBlock.
	OnDead string `json:"on_dead,omitempty"`
	// AfterLost says when a push whose node died is repeated: AfterLostRepush, also
	// where it is empty, or AfterLostWait, which is implied where the order is kept.
	AfterLost string `json:"after_lost,omitempty"`
}

// The choices of KeyLimits.
const (
	// OnDeadSkip lets the next job of the key run.
	OnDeadSkip = "skip"
	// OnDeadBlock holds up the key until the dead job is run again or deleted.
	OnDeadBlock = "block"
	// AfterLostRepush pushes again at once: the lost push may still go on.
	AfterLostRepush = "repush"
	// AfterLostWait waits until the lost push has ended, at the latest.
	AfterLostWait = "wait"
)

// ordered reports whether the order of the keys' jobs is kept.
func (k *KeyLimits) ordered() bool { return k.KeyConcurrency == 1 }

func (k *KeyLimits) faults() (f faults) {
	if k.KeyConcurrency < 0 || k.KeyConcurrency > MaxQueueConcurrency {
		f.add("key_concurrency", fmt.Sprintf("must be from 1 to %d", MaxQueueConcurrency))
	}
	if k.KeyRate != nil {
		f = append(f, k.KeyRate.Validate("key_rate.")...)
	}
	switch {
	case k.OnDead != "" && k.OnDead != OnDeadSkip && k.OnDead != OnDeadBlock:
		f.add("on_dead", "must be skip or block")
	case k.OnDead == OnDeadBlock && !k.ordered():
		f.add("on_dead", "block needs a key_concurrency of 1")
	}
	switch {
	case k.AfterLost != "" && k.AfterLost != AfterLostRepush && k.AfterLost != AfterLostWait:
		f.add("after_lost", "must be repush or wait")
	case k.AfterLost == AfterLostRepush && k.ordered():
		f.add("after_lost", "must be wait where key_concurrency is 1")
	}
	return f
}

// shown returns the limits with the choices that are made where none is.
func (k KeyLimits) shown() KeyLimits {
	if k.ordered() {
		k.AfterLost = AfterLostWait
		if k.OnDead == "" {
			k.OnDead = OnDeadSkip
		}
	}
	if k.AfterLost == "" {
		k.AfterLost = AfterLostRepush
	}
	return k
}

// checkUnused is for a change of whether the order is kept, which decides where
// a job stands from its enqueue on.
func (c *Control) checkUnused(ctx context.Context, queue string) error {
	n, err := c.store.Counts(ctx, queue)
	if err != nil {
		return storeError("count the queue's jobs", err)
	}
	if n.Waiting > 0 {
		return conflict("queue_not_empty", "key_concurrency changes from or to 1 only while no job waits in the queue; %d do", n.Waiting)
	}
	return nil
}

// orderedQueues are those of the live queues that keep the order of their keys.
type orderedQueues map[string]struct{}

func orderedOf(queues map[string]document[queueRecord]) orderedQueues {
	ordered := orderedQueues{}
	for name, d := range queues {
		if d.Value.ordered() {
			ordered[name] = struct{}{}
		}
	}
	return ordered
}

// keepsOrder reports whether a new job of the queue and key is an ordered one.
func (c *Control) keepsOrder(queue, key string) bool {
	ordered := c.ordered.Load()
	if key == "" || ordered == nil {
		return false
	}
	_, ok := (*ordered)[queue]
	return ok
}

// PinSpec is what an operator sets for one key of a queue. It wins over what the
// queue sets for all its keys.
type PinSpec struct {
	// Concurrency is the number of pushes at once; 0 means the queue's. Where the
	// queue keeps the order, it can only be 1.
	Concurrency int `json:"concurrency,omitempty"`
	// Rate bounds how many pushes start; nil means the queue's.
	Rate *job.Rate `json:"rate,omitempty"`
	// Paused stops new pushes of the key.
	Paused bool `json:"paused,omitempty"`
	// Reason says why, to people; at most MaxReason bytes.
	Reason string `json:"reason,omitempty"`
}

// MaxPins bounds the pinned keys of a queue.
const MaxPins = 1000

func (p *PinSpec) faults(ordered bool) (f faults) {
	switch {
	case p.Concurrency < 0 || p.Concurrency > MaxQueueConcurrency:
		f.add("concurrency", fmt.Sprintf("must be from 1 to %d", MaxQueueConcurrency))
	case p.Concurrency > 1 && ordered:
		f.add("concurrency", "must be 1 or absent: the queue's key_concurrency of 1 keeps the order")
	}
	if p.Rate != nil {
		f = append(f, p.Rate.Validate("rate.")...)
	}
	f.add("reason", checkText(p.Reason, MaxReason))
	if p.Concurrency == 0 && p.Rate == nil && !p.Paused && len(f) == 0 {
		f.add("paused", "must be true where neither concurrency nor rate is set")
	}
	return f
}

// pins returns what the dispatcher is told of pinned keys.
func (r *queueRecord) pins() map[string]dispatcher.Pin {
	if len(r.Pins) == 0 {
		return nil
	}
	pins := make(map[string]dispatcher.Pin, len(r.Pins))
	for key, p := range r.Pins {
		pin := dispatcher.Pin{Concurrency: p.Concurrency, Paused: p.Paused}
		if p.Rate != nil {
			pin.Rate = *p.Rate
		}
		pins[key] = pin
	}
	return pins
}

// Key is one key of a queue with what is known of it.
type Key struct {
	Queue, Key string
	// Version is that of its queue's configuration.
	Version uint64
	// Pin is what was set for the key itself; nil where nothing was.
	Pin *PinSpec
	// Limits are in force: the pin's, else the queue's. A concurrency of 0 and a nil
	// rate bound nothing.
	Limits PinSpec
	// Depth counts the jobs of the key that wait and are ready, or that have its
	// turn before them; at most MaxDepth, and then there may be more.
	Depth int
	Live  dispatcher.KeyLive
}

// MaxDepth bounds what is counted of a key.
const MaxDepth = 10_000

// PutKey pins limits for one key of a queue. created reports whether it had no
// pin before.
func (c *Control) PutKey(ctx context.Context, queue, key string, m Match, spec PinSpec) (k Key, created bool, err error) {
	if err := checkKey(key); err != nil {
		return Key{}, false, err
	}
	_, _, err = c.changeQueue(ctx, queue, m, func(r *queueRecord, _ time.Time) error {
		if f := spec.faults(r.ordered()); len(f) > 0 {
			return invalid(f...)
		}
		_, pinned := r.Pins[key]
		if created = !pinned; created && len(r.Pins) >= MaxPins {
			return conflict("too_many_pins", "the queue has %d pinned keys, as many as it may have", len(r.Pins))
		}
		pins := maps.Clone(r.Pins)
		if pins == nil {
			pins = make(map[string]PinSpec)
		}
		pins[key] = spec
		r.Pins = pins
		return nil
	})
	if err != nil {
		return Key{}, false, err
	}
	k, err = c.GetKey(ctx, queue, key)
	return k, created, err
}

// DeleteKey removes the pin of a key: the queue's limits are in force again.
func (c *Control) DeleteKey(ctx context.Context, queue, key string, m Match) error {
	_, _, err := c.changeQueue(ctx, queue, m, func(r *queueRecord, _ time.Time) error {
		if _, ok := r.Pins[key]; !ok {
			return notFound("pin of key", key)
		}
		r.Pins = maps.Clone(r.Pins)
		delete(r.Pins, key)
		return nil
	})
	return err
}

// GetKey returns a key of a queue, whether it is pinned or has jobs or not.
func (c *Control) GetKey(ctx context.Context, queue, key string) (Key, error) {
	if message := job.CheckName(queue); message != "" {
		return Key{}, invalidField("name", "%s", message)
	}
	if err := checkKey(key); err != nil {
		return Key{}, err
	}
	if err := allow(ctx, ActionRead, queue); err != nil {
		return Key{}, err
	}
	d, err := get[queueRecord](ctx, c, kindQueue, queue)
	if err != nil {
		return Key{}, err
	}
	return c.key(ctx, queue, key, &d)
}

// ListKeys returns the pinned keys of a queue by key. There are at most MaxPins.
func (c *Control) ListKeys(ctx context.Context, queue string) ([]Key, error) {
	if message := job.CheckName(queue); message != "" {
		return nil, invalidField("name", "%s", message)
	}
	if err := allow(ctx, ActionRead, queue); err != nil {
		return nil, err
	}
	d, err := get[queueRecord](ctx, c, kindQueue, queue)
	if err != nil {
		return nil, err
	}
	keys := make([]Key, 0, len(d.Value.Pins))
	for _, name := range slices.Sorted(maps.Keys(d.Value.Pins)) {
		k, err := c.key(ctx, queue, name, &d)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, nil
}

func (c *Control) key(ctx context.Context, queue, key string, d *document[queueRecord]) (Key, error) {
	k := Key{
		Queue: queue, Key: key, Version: d.Version, Live: c.dispatch.KeyLive(queue, key),
		Limits: PinSpec{Concurrency: d.Value.KeyConcurrency, Rate: d.Value.KeyRate},
	}
	if pin, ok := d.Value.Pins[key]; ok {
		k.Pin = &pin
		k.Limits.Paused, k.Limits.Reason = pin.Paused, pin.Reason
		if pin.Concurrency > 0 {
			k.Limits.Concurrency = pin.Concurrency
		}
		if pin.Rate != nil {
			k.Limits.Rate = pin.Rate
		}
	}
	depth, err := c.store.KeyDepth(ctx, queue, key, MaxDepth)
	if err != nil {
		return Key{}, storeError("count the key's jobs", err)
	}
	k.Depth = depth
	return k, nil
}

func checkKey(key string) error {
	message := job.CheckKey(key)
	if key == "" {
		message = "must not be empty"
	}
	if message != "" {
		return invalidField("key", "%s", message)
	}
	return nil
}
