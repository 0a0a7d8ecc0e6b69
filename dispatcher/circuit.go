package dispatcher

import (
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/webhook/push"
)

// circuit is the state of a worker's circuit breaker on one queue; the zero
// circuit is closed. What it does is said at job.Circuit. What it holds while it
// is open rides on the commits (see limitState); the window of a closed one is
// in memory alone.
type circuit struct {
	window failures
	opens  int       // how often in a row; 0 while it is closed
	opened time.Time // the last time
	probe  attemptKey
	closed time.Time // when it was closed by a probe
}

// until returns when an open circuit may be probed.
func (c *circuit) until(cfg job.Circuit) time.Time { return c.opened.Add(cfg.Open(c.opens)) }

// open reports whether the circuit is not closed: open, or half-open.
func (c *circuit) open(cfg job.Circuit) bool { return c.opens > 0 && cfg.MinPushes > 0 }

// blocks reports whether the circuit allows no push now.
func (c *circuit) blocks(cfg job.Circuit, now time.Time) bool {
	return c.open(cfg) && (c.probing() || c.until(cfg).After(now))
}

func (c *circuit) probing() bool { return c.probe != attemptKey{} }

// start books a push that the circuit allows: of one that is half-open it is the
// probe.
func (c *circuit) start(cfg job.Circuit, key attemptKey) {
	if c.open(cfg) {
		c.probe = key
	}
}

// drop lets another push probe the circuit, where this one has ended.
func (c *circuit) drop(key attemptKey) {
	if c.probe == key {
		c.probe = attemptKey{}
	}
}

// end books how a push ended, and reports whether that opened or closed the
// circuit. Of pushes that began before it opened nothing is learned.
func (c *circuit) end(cfg job.Circuit, key attemptKey, failed bool, now time.Time) bool {
	switch {
	case cfg.MinPushes == 0:
		return false
	case c.opens > 0 && c.probe != key:
		return false
	case c.opens > 0 && !failed:
		*c = circuit{closed: now}
		return true
	case c.opens == 0:
		n, bad := c.window.add(failed, cfg.Window.Std(), now)
		if n < cfg.MinPushes || float64(bad) < cfg.FailureRatio*float64(n) {
			return false
		}
	}
	*c = circuit{opens: c.opens + 1, opened: now}
	return true
}

// failures counts, in slots, the pushes that ended over a sliding window and
// those of them that failed. The window is as long as configured, less what the
// current slot still lacks.
type failures struct {
	slots [failureSlots]struct{ ended, failed uint32 }
	last  int64 // the number of the newest slot since the Unix epoch
}

const failureSlots = 10

// add counts one push and returns the numbers of the whole window.
func (f *failures) add(failed bool, window time.Duration, now time.Time) (ended, bad int) {
	slot := now.UnixNano() / int64(window/failureSlots)
	if slot < f.last || slot-f.last >= failureSlots {
		f.slots = [failureSlots]struct{ ended, failed uint32 }{} // all is too old, or the window was made longer
		f.last = slot
	}
	for ; f.last < slot; f.last++ {
		f.slots[(f.last+1)%failureSlots] = struct{ ended, failed uint32 }{}
	}
	s := &f.slots[slot%failureSlots]
	s.ended++
	if failed {
		s.failed++
	}
	for _, s := range f.slots {
		ended, bad = ended+int(s.ended), bad+int(s.failed)
	}
	return ended, bad
}

// circuitChange says that a worker's circuit on a queue was opened, or closed
// again.
type circuitChange struct {
	queue, worker string
	open          bool
	until         time.Time // then it is probed
}

// noteCircuit books for the worker's circuit how a push ended. A worker that says
// itself that a job is not to be tried again works, as far as this job tells.
func (m *machine) noteCircuit(it *item, a *push.Answer, failed bool, now time.Time) {
	p, cfg := it.pool, it.pool.worker.Circuit
	if failed && (a.NoRetry || m.isFatal(it, a)) {
		failed = false
	}
	if !p.circuit.end(cfg, it.attemptKey(), failed, now) {
		return
	}
	m.changeLimits(it.queue)
	change := circuitChange{queue: it.queue.name, worker: p.worker.Name, open: p.circuit.open(cfg)}
	if change.open {
		change.until = p.circuit.until(cfg)
		m.throttleUntil(change.until)
	}
	m.out.Circuits = append(m.out.Circuits, change)
}

// isFatal reports whether the job's policy has the answer kill it.
func (m *machine) isFatal(it *item, a *push.Answer) bool {
	policy := m.policy(it.entry.Job)
	return policy.Fatal(a.StatusCode)
}
