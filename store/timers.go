package store

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
)

// timerReader remembers below which time no timer is, so that reading the head
// does not walk over the remains of the timers that were there.
type timerReader struct {
	reading sync.Mutex // one read at a time; guards whole
	whole   time.Time  // when the head was last looked for from the very beginning

	mu    sync.Mutex
	floor int64 // ms
	low   int64 // the least time put by a commit since a read began
}

// An enqueue puts no timer into the past as of its job's creation, but it may
// arrive late: SetTimer tells of it. Where the enqueue is another node's, nothing is
// relied on within timerSlack, and every wholeInterval the timers are read from
// their beginning.
const (
	timerSlack    = time.Minute
	wholeInterval = time.Minute
)

// begin returns where the head is to be looked for.
func (r *timerReader) begin(until time.Time) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.low = math.MaxInt64
	if until.Sub(r.whole) >= wholeInterval || until.Before(r.whole) {
		r.whole = until
		return 0
	}
	return r.floor
}

// end notes the first timer that was found.
func (r *timerReader) end(head int64, until time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.floor = min(head, r.low, millis(until.Add(-timerSlack)))
}

// put notes a timer that a commit puts.
func (r *timerReader) put(at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.low = min(r.low, millis(at))
	r.floor = min(r.floor, r.low)
}

// SetTimer tells the owner that an enqueue has put a timer, however long ago its
// job was created. It may be called concurrently.
func (o *Owner) SetTimer(at time.Time) { o.timers.put(at) }

// ReadTimers returns the timers that are due at until, the earliest first, up
// to limit, and the time of the first timer behind them (which may be due as
// well, where limit cut them off); zero where there is none. Fewer than limit
// are returned only where next is zero or tells of the others. Of a TimerDue whose job still
// waits for it, Entry has the payload and Place InTimers; the places of other
// entries are as ReadInbox finds them.
func (o *Owner) ReadTimers(ctx context.Context, until time.Time, limit int) (timers []Timer, next time.Time, err error) {
	o.timers.reading.Lock()
	defer o.timers.reading.Unlock()
	from := o.timers.begin(until)
	limit = min(limit, engine.MaxScan-1)
	entries, err := o.store.engine.Scan(ctx, o.shard, engine.Range{
		From: appendTimerStem(nil, timeOf(from)), To: []byte{spaceTimer + 1}, Limit: limit + 1,
	})
	if err != nil {
		return nil, time.Time{}, o.failed("read timers", err)
	}
	head := int64(math.MaxInt64)
	for i, e := range entries {
		var t Timer
		if t.At, t.Kind, t.ID, err = parseTimer(e.Key); err != nil {
			return nil, time.Time{}, o.failed("read timers", err)
		}
		head = min(head, millis(t.At))
		if t.At.After(until) || i == limit {
			next = t.At
			break
		}
		if err := t.parseValue(e.Value); err != nil {
			return nil, time.Time{}, o.failed("read timers", err)
		}
		timers = append(timers, t)
	}
	n, err := o.loadFires(ctx, timers)
	if err != nil {
		return nil, time.Time{}, o.failed("read timers", err)
	}
	if n < len(timers) {
		timers, next = timers[:n], timers[n].At
	}
	if err := o.loadTimers(ctx, timers); err != nil {
		return nil, time.Time{}, o.failed("read timers", err)
	}
	o.timers.end(head, until)
	return timers, next, nil
}

func (o *Owner) loadTimers(ctx context.Context, timers []Timer) error {
	standing := make([]placed, len(timers))
	for i := range timers {
		if timers[i].Kind != TimerFire {
			standing[i].id = timers[i].ID
		}
	}
	if err := o.place(ctx, standing); err != nil {
		return err
	}
	var ids []job.ID
	for i := range timers {
		timers[i].Entry = standing[i].entry
		if timers[i].due() {
			ids = append(ids, timers[i].ID)
		}
	}
	payloads, err := o.store.payloads(ctx, o.shard, ids)
	if err != nil {
		return err
	}
	for i := range timers {
		if timers[i].due() {
			timers[i].Entry.Payload = payloads[timers[i].ID]
		}
	}
	return nil
}

// due reports whether it is a TimerDue that its job still waits for.
func (t *Timer) due() bool {
	return t.Kind == TimerDue && t.Entry != nil && t.Entry.Place == InTimers && t.Entry.Job.Due.Equal(t.At)
}
