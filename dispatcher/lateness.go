package dispatcher

import (
	"sync"
	"time"
)

// latenessBounds are the bounds, in seconds, by which it is counted how late schedules
// fired.
var latenessBounds = [...]float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 3600}

// lateness counts how late schedules fired.
type lateness struct {
	mu  sync.Mutex
	n   int64
	sum float64
	in  [len(latenessBounds)]uint64
}

func (l *lateness) add(late time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := late.Seconds()
	l.n++
	l.sum += s
	for i, bound := range latenessBounds {
		if s <= bound {
			l.in[i]++
		}
	}
}

// read returns how many fired, and how late: cumulated up to each bound.
func (l *lateness) read() (n int64, sum float64, in map[float64]uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	in = make(map[float64]uint64, len(latenessBounds))
	for i, bound := range latenessBounds {
		in[bound] = l.in[i]
	}
	return l.n, l.sum, in
}
