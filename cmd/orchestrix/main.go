// Command orchestrix is the whole of Orchestrix in one binary: the server, a
// command line for its API, a local worker, a benchmark and a check-up.
//
// It parses, assembles and runs; what it runs lives in package app, what it
// calls in package client. Its exit codes are: 0 done; 1 something failed (a
// job that was waited for did not succeed, a check or an expectation did not
// hold); 2 wrong usage or configuration; 3 the server cannot be reached; 4 the
// server refused; 130 interrupted.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once: whoever presses Ctrl-C twice
	// does not want to wait for the drain.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
