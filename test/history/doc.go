// Package history is the outside checker: it records what clients were told, what
// the worker saw and what the store says in the end, and verifies that these
// agree with each other and with what the server promises.
//
// It knows nothing of how the server works. Verify is a pure function of a
// History, so that a violation can be shown by writing one down; a Recorder
// collects one while processes run. What a crash permits is not guessed: a test
// declares each Loss that it causes, and nothing is excused but what was in flight
// then.
//
// Times are those of one clock. Jobs that are run again by a person (a redrive), or
// whose worker answers asynchronously, are not known to it.
package history
