// Package workertest runs the handlers of a worker in a unit test: it plays the
// server. A Coordinator signs pushes, hands them to an http.Handler without a
// network, tells what the answer would have meant, and receives the reports of
// asynchronous jobs.
//
// It promises that what it sends is what a server sends, header by header, and
// that nothing of it needs the real clock or a socket: within testing/synctest a
// job that runs for a day ends at once, and its heartbeats are counted.
//
// It does not retry, queue or store anything: each attempt is pushed by the test.
package workertest
