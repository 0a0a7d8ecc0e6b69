// Package control is every operation that a person or program can ask for:
// enqueue, read, list and command jobs; register workers; configure queues;
// hand out API keys; rotate the store's signing keys. The REST API, the
// dashboard and the command line's server side call nothing else.
//
// It knows no transport. A request is a typed value, its faults are field
// errors that name the path of each field, and every error is an *Error whose
// Kind is the decision it asks for; a transport maps kinds to its own codes.
// Who asks is a Principal in the context (see As): an operation without one is
// refused, so that a forgotten check fails closed.
//
// It promises that what it acknowledged is stored, that a configuration which
// it acknowledged is live in the dispatcher, and that a refused request changed
// nothing. Of API keys only hashes are stored; signing secrets leave it once,
// when they are made.
//
// It does not decide what runs when, which is the dispatcher's, and it never
// changes a stored job: commands go to the inbox of the shard's owner.
package control
