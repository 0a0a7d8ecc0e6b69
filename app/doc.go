// Package app assembles a coordinator from a configuration: store, dispatcher,
// control, API and HTTP server, in one process. The binary's serve and dev are
// thin callers of it, and a test can embed a whole server.
//
// It promises that New either returns a server whose address is taken and whose
// store is open, or leaves nothing behind; that Run serves until its context
// ends and then drains: no new request, no new push, outcomes of the pushes
// under way recorded, and only then the store closed. What is not over when the
// grace is, is aborted and pushed again by the next start.
//
// It reads no flag, no environment and no file but those its configuration
// names, changes nothing of the process (signals, garbage collection, the
// default logger), and any number of Apps may run in one process.
package app
