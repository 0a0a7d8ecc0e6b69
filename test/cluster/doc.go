// Package cluster holds the tests of several nodes on one store: real processes
// on a real Redis, of which some are killed, stopped, cut off or told to leave while
// jobs are pushed; or Redis is. What happened is checked by package history. A node
// is package app in a child of the test binary, so that it is built with the same
// flags, the race detector included.
//
// The short form runs with few jobs; "make test-cluster" runs the long one. What
// can be shown within one process is tested in packages cluster and dispatcher.
// This package has nothing but tests.
package cluster
