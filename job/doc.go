// Package job holds the words of the project: what a job is, the statuses it
// can have, the outcomes of its attempts, its identifier and its retry policy.
//
// It is pure: no clock, no I/O, no logging, and it imports nothing of ours. A
// status is changed by the transition table in state.go and by nothing else;
// the dispatcher, the store, the documentation and the tests all read that one
// table. Times are UTC with millisecond precision, since that is what is stored.
package job
