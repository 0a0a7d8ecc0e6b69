// Package dev is the first look at Orchestrix: it puts sample workers and
// sample jobs at a running server and shows what happens to them.
//
// The samples are real: they go over REST, are stored, pushed as signed HTTP
// requests, verified, failed and retried like any other job. With a sample
// worker it is known how each job has to end, and Run says whether it did; with
// workers of the user's own only that it ends. It does not start the server,
// and it removes the workers it registered.
package dev
