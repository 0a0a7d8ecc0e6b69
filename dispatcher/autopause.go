package dispatcher

import (
	"time"

	"github.com/orchestrix/orchestrix/job"
)

// failing is for how long a worker has had no success on one queue; zero where its
// last attempt succeeded.
type failing struct {
	since    time.Time // the first failure
	attempts int
	kept     bool      // the next owner is told
	asked    time.Time // when it was last asked that the worker be paused
}

// keepFailing is for how long a worker must have failed before the next owner is
// told: one that fails now and then is to cost no write.
const keepFailing = time.Minute

// askAgain is how often it is asked that a worker be paused, which may have
// successes on other queues.
const askAgain = time.Minute

// Failing says that a worker has had no success on one of its queues for so long
// that it is to be paused (job.AutoPause), unless it has had some on another.
type Failing struct {
	Worker   string
	Since    time.Time
	Attempts int       // that failed, on that queue
	At       time.Time // of the last of them
}

// noteFailing books how a push ended for the worker's auto-pause.
func (m *machine) noteFailing(it *item, failed bool, now time.Time) {
	f, cfg := &it.pool.failing, it.pool.worker.AutoPause
	switch {
	case cfg.MinAttempts == 0:
		return
	case !failed:
		if f.kept {
			m.changeLimits(it.queue)
		}
		*f = failing{}
		return
	case f.since.IsZero():
		f.since = now
	}
	f.attempts++
	if lasted := now.Sub(f.since); lasted >= keepFailing && (!f.kept || f.attempts == cfg.MinAttempts) {
		f.kept = true
		m.changeLimits(it.queue)
	}
	if f.due(cfg, now) {
		f.asked = now
		m.out.Failing = append(m.out.Failing, Failing{it.pool.worker.Name, f.since, f.attempts, now})
	}
}

func (f *failing) due(cfg job.AutoPause, now time.Time) bool {
	return f.attempts >= cfg.MinAttempts && now.Sub(f.since) >= cfg.After.Std() && now.Sub(f.asked) >= askAgain
}
