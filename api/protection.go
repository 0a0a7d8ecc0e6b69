package api

import (
	"time"

	"github.com/orchestrix/orchestrix/control"
	"github.com/orchestrix/orchestrix/job"
)

var circuitObject = object[job.Circuit]{
	name: "Circuit",
	description: "When a worker is left alone on a queue: its circuit opens when, over the window, at least min_pushes attempts have ended and failure_ratio of them have failed. " +
		"Then nothing is pushed for open_for, and one push at a time probes it: a success closes the circuit, a failure opens it for twice as long, at most max_open.",
	defaults: func() job.Circuit { return job.Circuit{} },
	fields: []field[job.Circuit]{
		text("mode", func(c *job.Circuit) *string { return &c.Mode }, "must be on or off", choice("on is the default.", job.On, job.Off)),
		duration("window", func(c *job.Circuit) *job.Duration { return &c.Window }, "must be from 1s to 1h", doc("1s to 1h; 1m where it is absent.")),
		integer("min_pushes", func(c *job.Circuit) *int { return &c.MinPushes }, "must be from 1 to 10000", bounded("10 where it is absent.", 1, 10_000)),
		number("failure_ratio", func(c *job.Circuit) *float64 { return &c.FailureRatio }, "must be from 0.01 to 1", doc("0.01 to 1; 0.5 where it is absent.")),
		duration("open_for", func(c *job.Circuit) *job.Duration { return &c.OpenFor }, "must be from 100ms to 1h", doc("100ms to 1h; 30s where it is absent.")),
		duration("max_open", func(c *job.Circuit) *job.Duration { return &c.MaxOpen }, "must be from 100ms to 1d", doc("open_for to 1d; 5m where it is absent.")),
	},
}

var autoPauseObject = object[job.AutoPause]{
	name:        "AutoPause",
	description: "When a worker that only fails is paused until somebody resumes it: when for so long no attempt has succeeded and at least min_attempts have failed.",
	defaults:    func() job.AutoPause { return job.AutoPause{} },
	fields: []field[job.AutoPause]{
		text("mode", func(a *job.AutoPause) *string { return &a.Mode }, "must be on or off", choice("on is the default.", job.On, job.Off)),
		duration("after", func(a *job.AutoPause) *job.Duration { return &a.After }, "must be from 1m to 30d", doc("1m to 30d; 1d where it is absent.")),
		integer("min_attempts", func(a *job.AutoPause) *int { return &a.MinAttempts }, "must be from 1 to 1000000", bounded("20 where it is absent.", 1, 1_000_000)),
	},
}

// rampField is for whether what was resumed is ramped up.
func rampField[T any](at func(*T) *string, what string) field[T] {
	return text("ramp", at, "must be on or off", choice(what+", it begins with a tenth of its concurrency and doubles that each second (on, the default), or has all of it at once (off).", job.On, job.Off))
}

// QueueCircuit is a circuit of a worker that is not closed.
type QueueCircuit struct {
	Queue string    `json:"queue"`
	State string    `json:"state" enum:"open,half_open" doc:"half_open: one push at a time probes the worker."`
	Until time.Time `json:"until" doc:"When it is half-open."`
	Opens int       `json:"opens" doc:"How often it was opened since it was last closed."`
}

func viewCircuits(w *control.Worker) (views []QueueCircuit) {
	for _, c := range w.Live.Circuits {
		state := "open"
		if c.HalfOpen {
			state = "half_open"
		}
		views = append(views, QueueCircuit{c.Queue, state, c.Until, c.Opens})
	}
	return views
}

// protect puts into a view what a worker is spared.
func (w *Worker) protect(p *control.Protection) {
	w.Circuit, w.AutoPause, w.Ramp = p.Circuit, p.AutoPause, p.Ramp
}
