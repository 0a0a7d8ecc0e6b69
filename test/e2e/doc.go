// Package e2e holds the tests that need a server in a process of its own,
// because they kill it. The server is package app in a child of the test
// binary, so that it is built with the same flags, the race detector included.
//
// What can be shown within one process is tested in package app. This package
// has nothing but tests.
package e2e
