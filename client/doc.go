// Package client is the Go client of Orchestrix's REST API, /v1: workers,
// queues, jobs, schedules, API keys, signing keys and statistics. The command line tool is
// built on it.
//
// It promises that a call which fails may be called again: what can be repeated
// without harm is repeated here, a bounded number of times, with the waits the
// server asks for; an enqueue gets an idempotency key of its own, so that it
// can be repeated too. What cannot (a new API key, a rotated secret) is repeated
// only where the server has certainly not acted. A refusal is a *Problem, which
// names each bad field.
//
// A Client is safe for concurrent use and needs no closing. It keeps no state
// beside its connections, does not validate what the server validates, and
// does not receive pushes: for that see package webhook.
package client
