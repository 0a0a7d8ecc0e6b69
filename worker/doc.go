// Package worker is for those who write workers: an http.Handler that receives
// the pushes of Orchestrix, proves that they are genuine, and runs the function
// that was registered for a job's type. It is shaped like net/http: a Mux, Handle,
// middleware.
//
// It promises that a function only ever sees a push whose two signatures are
// right (package webhook), which is not older than the tolerance and which this
// process has not seen before; that bodies, memory and concurrency are bounded;
// that a panic is a failed job and not a dead process; and that what is answered
// means what docs/webhooks.md says it means.
//
// It does not make a job run once: after a time-out or a crash the same job comes
// again, as another attempt with the same WebhookID. What must not happen twice
// has to know that, see Seen. It imports the standard library and our packages
// job and webhook, nothing else; what needs more is in packages below it.
package worker
