package control

import (
	"cmp"
	"context"
	"time"

	"github.com/orchestrix/orchestrix/dispatcher"
	"github.com/orchestrix/orchestrix/job"
)

// Protection is how a worker that fails is left alone, and how it is brought back.
type Protection struct {
	// Circuit leaves it alone for a while where too many pushes fail, on each of its
	// queues by itself; unset fields are those of job.DefaultCircuit.
	Circuit job.Circuit `json:"circuit,omitzero"`
	// AutoPause pauses it where it only fails; unset fields are those of
	// job.DefaultAutoPause.
	AutoPause job.AutoPause `json:"auto_pause,omitzero"`
	// Ramp is job.On, also where it is empty, or job.Off: whether its limits are
	// ramped up when it was resumed or its circuit has closed.
	Ramp string `json:"ramp,omitempty"`
}

func (p *Protection) faults() (f faults) {
	f = append(f, p.Circuit.Validate("circuit.")...)
	f = append(f, p.AutoPause.Validate("auto_pause.")...)
	f.add("ramp", checkSwitch(p.Ramp))
	return f
}

func checkSwitch(text string) string {
	if text != "" && text != job.On && text != job.Off {
		return "must be on or off"
	}
	return ""
}

// shown returns the protection with the defaults filled in.
func (p Protection) shown() Protection {
	return Protection{
		Circuit: p.Circuit.Over(job.DefaultCircuit()), AutoPause: p.AutoPause.Over(job.DefaultAutoPause()), Ramp: cmp.Or(p.Ramp, job.On),
	}
}

// configure puts the protection into a worker's configuration.
func (p Protection) configure(w *dispatcher.Worker) {
	p = p.shown()
	w.Ramp = p.Ramp == job.On
	if p.Circuit.Mode == job.On {
		w.Circuit = p.Circuit
	}
	if p.AutoPause.Mode == job.On {
		w.AutoPause = p.AutoPause
	}
}

// WorkerFailing tells that a worker has had no success on one of its queues for so
// long that it is to be paused: it is, unless it has had some on another one. It
// does not block.
func (c *Control) WorkerFailing(f dispatcher.Failing) {
	c.keeper.ask(pauseRequest{name: f.Worker, failing: f})
}

// pauseFailing pauses a worker that only fails, unless it was removed, paused or
// resumed since, or has had successes meanwhile. Of successes on its other queues
// those count that were seen since their shards have their owners.
func (c *Control) pauseFailing(ctx context.Context, r pauseRequest) error {
	d, err := get[workerRecord](ctx, c, kindWorker, r.name)
	if err != nil {
		return err
	}
	limits := d.Value.Protection.shown().AutoPause
	success := c.dispatch.WorkerLive(r.name).LastSuccess
	if d.Version == 0 || d.Value.Paused || limits.Mode == job.Off || d.Value.ResumedAt.After(r.failing.Since) || r.failing.At.Sub(success) < limits.After.Std() {
		return nil
	}
	reason := "no attempt has succeeded since " + r.failing.Since.Format(time.RFC3339)
	c.log.Warn("a worker only fails and is paused", "worker", r.name, "since", r.failing.Since, "attempts", r.failing.Attempts)
	return c.pauseFor(ctx, r.name, reason)
}

// pauseFor pauses a worker that may have been removed meanwhile.
func (c *Control) pauseFor(ctx context.Context, name, reason string) error {
	if _, err := c.PauseWorker(ctx, name, reason); err != nil && KindOf(err) != NotFound {
		return err
	}
	return nil
}
