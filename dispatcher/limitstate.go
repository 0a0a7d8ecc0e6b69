package dispatcher

import (
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/orchestrix/orchestrix/store"
)

// What a queue's next owner has to know of its limits, so that it starts
// nothing early: what its rate has used up, how long its workers asked to be
// left alone, which circuits are open, and who has failed for long. It is written with the commit that changes it, in the wire
// format of protocol buffers, so that versions of the program that know more or
// fewer fields read each other:
//
//	1  the bucket's due time, in nanoseconds since the Unix epoch
//	2  a worker, several times:
//	   1  its name
//	   2  throttled until, in nanoseconds since the Unix epoch
//	   3  how often in a row
//	   4  its circuit was opened, in nanoseconds since the Unix epoch
//	   5  how often in a row
//	   6  its first failure since it succeeded, in nanoseconds since the Unix epoch
//	   7  how many there were
const (
	fieldBucket    = 1
	fieldWorker    = 2
	fieldName      = 1
	fieldThrottled = 2
	fieldThrottles = 3
	fieldOpened    = 4
	fieldOpens     = 5
	fieldFailing   = 6
	fieldFailures  = 7
)

// limitState returns the state of the queue's limits; nil where they are at
// rest.
func (q *queue) limitState(now time.Time) []byte {
	var b []byte
	if q.bucket.due.After(now) {
		b = appendNumber(b, fieldBucket, q.bucket.due.UnixNano())
	}
	for _, p := range q.pools {
		if state := p.state(now); len(state) > 0 {
			w := protowire.AppendTag(nil, fieldName, protowire.BytesType)
			w = append(protowire.AppendString(w, p.worker.Name), state...)
			b = protowire.AppendTag(b, fieldWorker, protowire.BytesType)
			b = protowire.AppendBytes(b, w)
		}
	}
	if len(b) > store.MaxLimitState {
		// So many workers at once: better forget who throttles than not commit.
		return appendNumber(nil, fieldBucket, q.bucket.due.UnixNano())
	}
	return b
}

// state returns what is to be known of a worker beside its name; nil where it is
// at rest.
func (p *pool) state(now time.Time) (b []byte) {
	if p.throttledUntil.After(now) {
		b = appendNumber(b, fieldThrottled, p.throttledUntil.UnixNano())
		b = appendNumber(b, fieldThrottles, int64(p.throttles))
	}
	if p.circuit.opens > 0 {
		b = appendNumber(b, fieldOpened, p.circuit.opened.UnixNano())
		b = appendNumber(b, fieldOpens, int64(p.circuit.opens))
	}
	if p.failing.kept {
		b = appendNumber(b, fieldFailing, p.failing.since.UnixNano())
		b = appendNumber(b, fieldFailures, int64(p.failing.attempts))
	}
	return b
}

func appendNumber(b []byte, field protowire.Number, v int64) []byte {
	b = protowire.AppendTag(b, field, protowire.VarintType)
	return protowire.AppendVarint(b, uint64(v))
}

// takeLimits takes over what limitState wrote. What cannot be read is left out:
// then those limits start at rest.
func (q *queue) takeLimits(state []byte) {
	fields(state, func(field protowire.Number, number int64, bytes []byte) {
		switch field {
		case fieldBucket:
			q.bucket.due = time.Unix(0, number).UTC()
		case fieldWorker:
			q.takeWorker(bytes)
		}
	})
}

func (q *queue) takeWorker(state []byte) {
	var name string
	var was pool
	fields(state, func(field protowire.Number, number int64, bytes []byte) {
		switch field {
		case fieldName:
			name = string(bytes)
		case fieldThrottled:
			was.throttledUntil = time.Unix(0, number).UTC()
		case fieldThrottles:
			was.throttles = int(number)
		case fieldOpened:
			was.circuit.opened = time.Unix(0, number).UTC()
		case fieldOpens:
			was.circuit.opens = max(0, int(number))
		case fieldFailing:
			was.failing.since, was.failing.kept = time.Unix(0, number).UTC(), true
		case fieldFailures:
			was.failing.attempts = int(number)
		}
	})
	for _, p := range q.pools {
		if p.worker.Name == name {
			p.take(&was)
		}
	}
}

// take takes over what the last owner knew of a worker, but for failures from
// before it was resumed.
func (p *pool) take(was *pool) {
	p.throttledUntil, p.throttles = was.throttledUntil, was.throttles
	if !was.circuit.opened.Before(p.worker.Resumed) {
		p.circuit = was.circuit
	}
	if !was.failing.since.Before(p.worker.Resumed) {
		p.failing = was.failing
	}
}

// fields calls f with each field of a message that is a number or bytes, up to
// the first that is malformed.
func fields(b []byte, f func(field protowire.Number, number int64, bytes []byte)) {
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeField(b)
		if n < 0 {
			return
		}
		_, _, tag := protowire.ConsumeTag(b)
		switch kind {
		case protowire.VarintType:
			v, _ := protowire.ConsumeVarint(b[tag:])
			f(field, int64(v), nil)
		case protowire.BytesType:
			v, _ := protowire.ConsumeBytes(b[tag:])
			f(field, 0, v)
		default: // of a later version
		}
		b = b[n:]
	}
}

// bookStart books a push of the queue against its rate.
func (m *machine) bookStart(q *queue, now time.Time) {
	if !q.cfg.Rate.IsZero() {
		q.bucket.start(q.cfg.Rate, now)
		m.changeLimits(q)
	}
}

// changeLimits has the state of the queue's limits written with the next commit.
func (m *machine) changeLimits(q *queue) {
	if !q.limited {
		q.limited = true
		m.limited = append(m.limited, q)
	}
}

// writeLimits puts into the next commit what has changed of the limits.
func (m *machine) writeLimits(now time.Time) {
	for _, q := range m.limited {
		state := q.limitState(now)
		was := q.stored
		q.limited, q.stored = false, state != nil
		if !was && state == nil {
			continue
		}
		m.next.Limits = append(m.next.Limits, store.Limit{Queue: q.name, State: state})
	}
	clear(m.limited)
	m.limited = m.limited[:0]
	m.writeKeys(now)
}

// restLimits removes the stored state of a queue whose limits are at rest.
func (m *machine) restLimits(q *queue, now time.Time) {
	if q.stored && q.limitState(now) == nil {
		m.changeLimits(q)
	}
	m.restKeys(q, now)
}

// recoverLimits takes over the limits' state from the shard's last owner.
func (m *machine) recoverLimits(limits []store.Limit, now time.Time) {
	for _, l := range limits {
		if l.Key != "" {
			m.recoverKey(l, now)
			continue
		}
		q := m.queue(l.Queue)
		q.stored = true
		q.takeLimits(l.State)
		m.restLimits(q, now)
	}
}
