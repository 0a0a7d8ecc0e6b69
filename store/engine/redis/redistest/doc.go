// Package redistest starts real Redis servers for tests: one, a cluster of three
// primaries, or a primary with a replica and a Sentinel.
//
// Each runs on free loopback ports with a directory of its own, and ends with the
// test that started it, or with the process. A server can be stopped, killed and
// started again on the same port and data. It uses redis-server from the PATH;
// where there is none the test is skipped, or fails where CI is set.
package redistest
