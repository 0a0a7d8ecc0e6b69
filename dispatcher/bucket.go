package dispatcher

import (
	"encoding/binary"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
)

// bucket is the state of a rate: the generic cell rate algorithm (ITU-T I.371,
// annex A). It is one time, that at which the last start would be due if all of
// them came evenly; so it needs no timer to be filled.
type bucket struct{ due time.Time }

// ready returns when the next start is allowed; a time that is not after now
// means at once.
func (b bucket) ready(r job.Rate) time.Time {
	if r.IsZero() || b.due.IsZero() {
		return time.Time{}
	}
	return b.due.Add(-r.Interval() * time.Duration(r.Starts()-1))
}

// start books one start.
func (b *bucket) start(r job.Rate, now time.Time) { b.due = later(b.due, now).Add(r.Interval()) }

// limitState is a queue's state that outlives its owner: what a new owner must
// know so as not to exceed a limit.
const limitStateVersion = 1

func (b bucket) encode() []byte {
	return binary.BigEndian.AppendUint64([]byte{limitStateVersion}, uint64(b.due.UnixNano()))
}

// decodeBucket reads what encode wrote. What it cannot read, a later version
// wrote: then the queue starts at rest.
func decodeBucket(state []byte) bucket {
	if len(state) < 9 || state[0] != limitStateVersion {
		return bucket{}
	}
	return bucket{time.Unix(0, int64(binary.BigEndian.Uint64(state[1:]))).UTC()}
}

// bookStart books a push of the queue against its rate.
func (m *machine) bookStart(q *queue, now time.Time) {
	if q.cfg.Rate.IsZero() {
		return
	}
	q.bucket.start(q.cfg.Rate, now)
	if !q.limited {
		q.limited = true
		m.limited = append(m.limited, q)
	}
}

// writeLimits puts into the next commit what its claims changed of the limits.
func (m *machine) writeLimits() {
	for _, q := range m.limited {
		q.limited, q.stored = false, true
		m.next.Limits = append(m.next.Limits, store.Limit{Queue: q.name, State: q.bucket.encode()})
	}
	clear(m.limited)
	m.limited = m.limited[:0]
}

// restLimits removes the stored state of a queue whose limits are at rest.
func (m *machine) restLimits(q *queue, now time.Time) {
	if q.stored && !q.limited && !q.bucket.due.After(now) {
		q.stored = false
		m.next.Limits = append(m.next.Limits, store.Limit{Queue: q.name})
	}
}

// recoverLimits takes over the limits' state from the shard's last owner.
func (m *machine) recoverLimits(limits []store.Limit, now time.Time) {
	for _, l := range limits {
		q := m.queue(l.Queue)
		q.bucket, q.stored = decodeBucket(l.State), true
		m.restLimits(q, now)
	}
}
