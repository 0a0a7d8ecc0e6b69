package dispatcher

import (
	"slices"

	"github.com/orchestrix/orchestrix/store"
)

// listen begins to keep what is posted, or ends it. Where nobody listens nothing
// is kept: whoever takes the shard next reads all that it was about.
func (l *loop) listen(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.listening, l.aborting = on, !on
	l.events, l.results, l.gather, l.withheld = nil, nil, 0, false
}

// post hands events to the machine.
func (l *loop) post(events ...event) {
	l.mu.Lock()
	if l.listening {
		l.events = append(l.events, events...)
	}
	l.mu.Unlock()
	l.signal()
}

// query hands events to the machine and then calls f with it, on the loop's
// goroutine. f must not keep it. Where the shard is not served now, f is called
// at once with nil.
func (l *loop) query(f func(*machine), events ...event) {
	l.mu.Lock()
	if l.listening {
		l.events = append(l.events, events...)
	}
	serving := l.serving
	if serving {
		l.queries = append(l.queries, query{f, len(events) > 0, false})
	}
	l.mu.Unlock()
	if !serving {
		f(nil)
		return
	}
	l.signal()
}

// answer answers the queries that can be answered now. They are kept until
// then, so that none is forgotten when the shard is lost.
func (l *loop) answer(can func(*query) bool) {
	l.mu.Lock()
	var now []query
	l.queries = slices.DeleteFunc(l.queries, func(q query) bool {
		if can(&q) {
			now = append(now, q)
			return true
		}
		return false
	})
	l.mu.Unlock()
	for _, q := range now {
		q.ask(l.m)
	}
}

// setServing says whether queries are taken, and answers those that came too
// late.
func (l *loop) setServing(on bool) {
	l.mu.Lock()
	l.serving = on
	late := l.queries
	l.queries = nil
	l.mu.Unlock()
	for _, q := range late {
		q.ask(nil)
	}
}

func (l *loop) arrived(a store.Arrivals) {
	events := make([]event, 0, 2+len(a.Grown))
	if len(a.Ready) > 0 {
		events = append(events, arrived{a.Ready})
	}
	for _, lane := range a.Grown {
		events = append(events, laneGrew{lane})
	}
	if !a.NextDue.IsZero() {
		events = append(events, timerSet{a.NextDue})
	}
	if a.Inbox {
		events = append(events, inboxGrew{})
	}
	l.post(events...)
}

// landed hands in the answer of a push.
func (l *loop) landed(r result) {
	key := attemptKey{r.ID, r.Attempt}
	l.mu.Lock()
	if o := l.left[key]; o != nil {
		delete(l.left, key)
		l.mu.Unlock()
		o.landed(r)
		return
	}
	if l.listening {
		l.results = append(l.results, r)
	}
	delete(l.pushes, key)
	enough := len(l.results) >= l.gather
	l.mu.Unlock()
	if enough {
		l.signal()
	}
}

// withhold keeps answers from the machine, where the list of the pushes in flight is
// durable: what ends now is reported as what ends later. It ends where the shard is
// served on after all.
func (l *loop) withhold(on bool) {
	l.mu.Lock()
	again := l.withheld && !on && len(l.results) > 0
	l.withheld = on
	l.mu.Unlock()
	if again {
		l.signal()
	}
}

// sleepUntil lets the loop sleep until so many answers have come in, or anything
// else wakes it. Those that came during its turn count.
func (l *loop) sleepUntil(gather int) {
	l.mu.Lock()
	l.gather = gather
	enough := len(l.results) > 0 && len(l.results) >= gather
	l.mu.Unlock()
	if enough {
		l.signal()
	}
}

func (l *loop) signal() {
	select {
	case l.posted <- struct{}{}:
	default:
	}
}

// collect takes what was posted. Answers come first: they are what a command
// posted after them has to find.
func (l *loop) collect(events []event) []event {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.results) > 0 && !l.withheld {
		events = append(events, pushed{l.results})
		l.results = nil
	}
	events = append(events, l.events...)
	clear(l.events)
	l.events = l.events[:0]
	for i := range l.queries {
		l.queries[i].taken = true
	}
	return events
}
