package cluster

import (
	"runtime/metrics"
	"time"
)

// usage measures what the process uses.
type usage struct {
	at  time.Time
	cpu time.Duration
}

// read returns how many CPUs were used since the last read, 0 at the first, and
// the bytes that the process has of the system.
func (u *usage) read(now time.Time) (cpus float64, memory int64) {
	used, since := cpuTime(), u.at
	if !since.IsZero() && now.After(since) {
		cpus = (used - u.cpu).Seconds() / now.Sub(since).Seconds()
	}
	u.at, u.cpu = now, used
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return cpus, int64(samples[0].Value.Uint64() - samples[1].Value.Uint64())
}
