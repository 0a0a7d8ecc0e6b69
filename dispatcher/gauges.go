package dispatcher

import "sync/atomic"

// gauges are what a loop's machine held after its last turn, for those who must not
// wait for the loop.
type gauges struct{ inFlight, ready, accepted atomic.Int64 }

// show lets others see what the machine holds.
func (g *gauges) show(m *machine) {
	g.inFlight.Store(int64(m.inFlight))
	g.ready.Store(int64(m.ready))
	g.accepted.Store(int64(len(m.accepted)))
}

// clear says that the shard is not served.
func (g *gauges) clear() {
	g.inFlight.Store(0)
	g.ready.Store(0)
	g.accepted.Store(0)
}
