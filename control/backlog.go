package control

import (
	"fmt"
	"sync"
	"time"

	"github.com/orchestrix/orchestrix/dispatcher"
	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
)

// Backlog bounds what may wait in a queue: all jobs that have not ended, those
// that are delayed or being pushed included. 0 bounds nothing.
type Backlog struct {
	// MaxPending is the number of jobs, at most MaxMaxPending.
	MaxPending int `json:"max_pending,omitempty"`
	// MaxBytes are the bytes of their payloads, at most MaxMaxBytes.
	MaxBytes int `json:"max_bytes,omitempty"`
}

// The bounds of a Backlog.
const (
	MaxMaxPending = 1_000_000_000
	MaxMaxBytes   = 1 << 50
)

func (b *Backlog) faults() (f faults) {
	if b.MaxPending < 0 || b.MaxPending > MaxMaxPending {
		f.add("max_pending", fmt.Sprintf("must be from 1 to %d", MaxMaxPending))
	}
	f.add("max_bytes", checkMaxBytes(b.MaxBytes))
	return f
}

func checkMaxBytes(n int) string {
	if n < 0 || n > MaxMaxBytes {
		return fmt.Sprintf("must be from 1 to %d", MaxMaxBytes)
	}
	return ""
}

// backlogs are the bounds of the queues that have one.
type backlogs map[string]*store.Backlog

// backlogsOf returns nil where no queue has a bound: then an enqueue looks
// nothing up.
func backlogsOf(queues map[string]document[queueRecord]) backlogs {
	var b backlogs
	for name, d := range queues {
		if limits := d.Value.Backlog; limits != (Backlog{}) {
			if b == nil {
				b = make(backlogs)
			}
			b[name] = &store.Backlog{Jobs: int64(limits.MaxPending), Bytes: int64(limits.MaxBytes)}
		}
	}
	return b
}

// backlog returns the bounds of a queue, nil where it has none.
func (c *Control) backlog(queue string) *store.Backlog {
	if b := c.bounds.Load(); b != nil && *b != nil {
		return (*b)[queue]
	}
	return nil
}

// full says that there is no room for a job. One that would not even find room in
// an empty queue is told so, since to wait is of no use.
func (c *Control) full(j *job.Job, b *store.Backlog, f *store.Full, now time.Time) *Error {
	if f.Bytes && int64(j.PayloadSize) > b.Bytes {
		return &Error{
			Kind: TooLarge, Code: "payload_too_large", Detail: "the payload is larger than all payloads in the queue together may be",
			Fields: []job.FieldError{badField("payload", "must be at most %d bytes long, which is the queue's max_bytes", b.Bytes)},
		}
	}
	c.totals.full.Add(1)
	e := &Error{Kind: Full, RetryAfter: c.roomAfter(j.Queue, f, now)}
	if f.Bytes {
		e.Code = "max_bytes_reached"
		e.Detail = fmt.Sprintf("the payloads of the jobs that wait in queue %s take %d bytes, and its max_bytes is %d", j.Queue, f.Waiting.Bytes, b.Bytes)
	} else {
		e.Code = "max_pending_reached"
		e.Detail = fmt.Sprintf("%d jobs wait in queue %s, and its max_pending is %d", f.Waiting.Jobs, j.Queue, b.Jobs)
	}
	return e
}

// What a client of a full queue is told to wait, at least and at most.
const (
	minRoomAfter = time.Second
	maxRoomAfter = time.Minute
)

// roomAfter estimates when it is worth to try again: once a tenth of what waits
// is worked off, at the pace of the last minute. Sooner there is a place or two,
// which many clients would fight for.
func (c *Control) roomAfter(queue string, f *store.Full, now time.Time) time.Duration {
	perSecond := c.paces.of(queue, now, c.dispatch.QueueLive)
	if perSecond <= 0 {
		return maxRoomAfter
	}
	seconds := float64(f.Waiting.Jobs) / 10 / perSecond
	return min(max(time.Duration(min(seconds, maxRoomAfter.Seconds())*float64(time.Second)), minRoomAfter), maxRoomAfter)
}

// paces remembers for a second how fast queues are worked off. A full queue may
// be asked for many times a second, and each answer costs a step of its shard.
type paces struct {
	mu    sync.Mutex
	known map[string]pace
}

type pace struct {
	perSecond float64
	at        time.Time
}

// maxPaces bounds the queues that are remembered.
const maxPaces = 1024

func (p *paces) of(queue string, now time.Time, live func(string) dispatcher.QueueLive) float64 {
	p.mu.Lock()
	known, ok := p.known[queue]
	p.mu.Unlock()
	if ok && now.Sub(known.at) < time.Second {
		return known.perSecond
	}
	known = pace{live(queue).Throughput, now}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil || len(p.known) >= maxPaces {
		p.known = make(map[string]pace)
	}
	p.known[queue] = known
	return known.perSecond
}
