package dispatcher

import (
	"cmp"
	"reflect"
	"slices"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/webhook"
	"github.com/orchestrix/orchestrix/webhook/push"
)

// Config is everything that clients configure: the queues and the workers. It
// is a value that replaces the one before as a whole; it must not be changed
// after it was handed over.
type Config struct {
	// Queues are the configured queues by name; any other has DefaultQueue.
	Queues       map[string]Queue
	DefaultQueue Queue
	Workers      []*Worker
	// Retry is the server's policy, below the queue's and the job's.
	Retry job.Policy
	// SigningSecrets sign the pushes of jobs with a destination of their own, the
	// newest first.
	SigningSecrets []webhook.Secret
	// Timeout bounds an attempt where neither the job nor the worker says
	// otherwise.
	Timeout time.Duration
	// Retention is how long a terminal job is kept where its queue has no
	// retention of its own; a status that is absent is kept for ever.
	Retention map[job.Status]time.Duration

	rules   *store.RetentionRules // prepared by Dispatcher.Configure
	byQueue map[string][]*Worker  // set by Dispatcher.Configure; see serving
}

// Queue is the flow control of one queue.
type Queue struct {
	// Concurrency is the number of pushes that may be in flight at once, at
	// least 1.
	Concurrency int
	// Rate bounds how many pushes start; the zero Rate bounds nothing.
	Rate job.Rate
	// Strict serves a priority only while no higher one has ready jobs; else
	// they share by weight, and none starves.
	Strict bool
	Paused bool
	// Resumed is when it was last resumed, by the store's time. Where Ramp is set,
	// its Concurrency is ramped up from then on.
	Resumed time.Time
	Ramp    bool
	// KeyConcurrency is the number of pushes of one key that may be in flight at
	// once; 0 bounds nothing. Jobs without a key are bound by no limit of keys.
	KeyConcurrency int
	// KeyRate bounds how many pushes of one key start.
	KeyRate job.Rate
	// DeadBlocks says that a dead ordered job holds up those behind it, until it is
	// run again or deleted. Otherwise they go on.
	DeadBlocks bool
	// LostWaits says that a push whose node died is pushed again only when its
	// deadline has passed, and counts as in flight until then. That of an ordered
	// job always is.
	LostWaits bool
	// Pins are keys with limits of their own, which win over those above.
	Pins map[string]Pin
	// Retry is the queue's policy; unset fields are the server's.
	Retry job.Policy
	// Retention replaces the server's as a whole; nil where the server's holds.
	Retention *store.Retention
	// Version changes whenever one of the fields above does; 0 where that cannot be
	// told.
	Version uint64
}

// Pin is what an operator has set for one key of a queue.
type Pin struct {
	// Concurrency wins over the queue's KeyConcurrency where it is not 0.
	Concurrency int
	// Rate wins over the queue's KeyRate where it is not zero.
	Rate job.Rate
	// Paused says that no push of the key starts.
	Paused bool
}

// key returns the limits of one key.
func (q *Queue) key(name string) Pin {
	limits := Pin{Concurrency: q.KeyConcurrency, Rate: q.KeyRate}
	if pin, ok := q.Pins[name]; ok {
		limits.Paused = pin.Paused
		limits.Concurrency = cmp.Or(pin.Concurrency, limits.Concurrency)
		if !pin.Rate.IsZero() {
			limits.Rate = pin.Rate
		}
	}
	return limits
}

// limitsKeys reports whether any limit by key is set.
func (q *Queue) limitsKeys() bool {
	return q.KeyConcurrency > 0 || !q.KeyRate.IsZero() || len(q.Pins) > 0
}

// Worker is a registered webhook URL.
type Worker struct {
	Name    string
	URL     string
	Queues  []string
	Headers map[string]string
	// Auth tells the worker who pushes.
	Auth push.Auth
	// Secrets sign each push, the newest first.
	Secrets []webhook.Secret
	// Keys sign each push too, the newest first; mostly there is none.
	Keys []webhook.PrivateKey
	// Concurrency is the number of pushes in flight at once on each of its
	// queues; 0 means that only the queue limits it.
	Concurrency int
	// Timeout bounds an attempt; 0 means the server's.
	Timeout time.Duration
	// Async says that it takes over each attempt that it answers with 202. Heartbeat
	// is how long it may then be silent, and AsyncTimeout how long an attempt may last;
	// 0 means the defaults.
	Async                   bool
	Heartbeat, AsyncTimeout time.Duration
	// Weight is its share among the workers of a queue, at least 1.
	Weight int
	Paused bool
	// Resumed is when somebody last resumed it, paused or not, by the store's time:
	// what was known of its failures before is forgotten. Where Ramp is set, its
	// limits are ramped up from then on, and from when its circuit has closed.
	Resumed time.Time
	Ramp    bool
	// Circuit and AutoPause have all their fields set, or, where they are off, none.
	Circuit   job.Circuit
	AutoPause job.AutoPause
	// IgnoreGone says that a 410 kills the job but does not pause the worker.
	IgnoreGone bool
	// Version changes whenever one of the fields above does; 0 where that cannot be
	// told.
	Version uint64

	destination *push.Destination // prepared by Dispatcher.Configure
}

// serving returns the workers of each queue, in their order. A node's machines
// share what Dispatcher.Configure has made of it: to look through all queues of all
// workers for each queue takes the square of their number.
func (c *Config) serving() map[string][]*Worker {
	if c.byQueue != nil {
		return c.byQueue
	}
	byQueue := make(map[string][]*Worker)
	for _, w := range c.Workers {
		for i, name := range w.Queues {
			if !slices.Contains(w.Queues[:i], name) {
				byQueue[name] = append(byQueue[name], w)
			}
		}
	}
	return byQueue
}

// unchanged returns a function that reports whether a queue and its workers are
// for certain as in an older configuration. A change concerns few queues, and to
// look at all that are known takes long.
func (c *Config) unchanged(old *Config) func(queue string) bool {
	sameDefault := reflect.DeepEqual(c.DefaultQueue, old.DefaultQueue)
	serving, served := c.serving(), old.serving()
	return func(name string) bool {
		q, ok := c.Queues[name]
		was, had := old.Queues[name]
		return ok == had && q.Version == was.Version && (ok && q.Version != 0 || !ok && sameDefault) &&
			slices.Equal(serving[name], served[name])
	}
}

// queue returns the configuration of a queue.
func (c *Config) queue(name string) Queue {
	if q, ok := c.Queues[name]; ok {
		return q
	}
	return c.DefaultQueue
}
