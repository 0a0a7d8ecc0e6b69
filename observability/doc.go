// Package observability is what an operator sees of a running server: its
// metrics and its log. Traces come with a later issue.
//
// It promises that no label's values are chosen by clients: no queue, worker,
// path or key is a label, so that the number of series is bounded by the code.
// What other packages count already is read when it is scraped and not counted
// twice.
//
// It measures and decides nothing. The health checks are package api's.
package observability
