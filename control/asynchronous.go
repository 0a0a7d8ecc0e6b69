package control

import (
	"time"

	"github.com/orchestrix/orchestrix/dispatcher"
	"github.com/orchestrix/orchestrix/job"
)

// Asynchronous says what becomes of attempts that a worker takes over.
type Asynchronous struct {
	// Async says that the worker takes over each attempt that it answers with 202, also
	// without the header that says so.
	Async bool `json:"async,omitempty"`
	// HeartbeatTimeout is how long it may be silent then, MinHeartbeat to MaxHeartbeat;
	// 0 is dispatcher.DefaultHeartbeat.
	HeartbeatTimeout job.Duration `json:"heartbeat_timeout,omitempty"`
	// AsyncTimeout is how long such an attempt may take as a whole, MinTimeout to
	// MaxAsyncTimeout; 0 is dispatcher.DefaultAsyncTimeout.
	AsyncTimeout job.Duration `json:"async_timeout,omitempty"`
}

// The bounds of an Asynchronous.
const (
	MinHeartbeat    = job.Duration(5 * time.Second)
	MaxHeartbeat    = job.Duration(time.Hour)
	MaxAsyncTimeout = job.Duration(7 * 24 * time.Hour)
)

func (a *Asynchronous) faults() (f faults) {
	if a.HeartbeatTimeout != 0 && (a.HeartbeatTimeout < MinHeartbeat || a.HeartbeatTimeout > MaxHeartbeat) {
		f.add("heartbeat_timeout", "must be from "+MinHeartbeat.String()+" to "+MaxHeartbeat.String())
	}
	if a.AsyncTimeout != 0 && (a.AsyncTimeout < MinTimeout || a.AsyncTimeout > MaxAsyncTimeout) {
		f.add("async_timeout", "must be from "+MinTimeout.String()+" to "+MaxAsyncTimeout.String())
	}
	return f
}

func (a *Asynchronous) configure(w *dispatcher.Worker) {
	w.Async, w.Heartbeat, w.AsyncTimeout = a.Async, a.HeartbeatTimeout.Std(), a.AsyncTimeout.Std()
}
