// Package observability is what an operator sees of a running server: its
// metrics and its log. Traces come with a later issue.
//
// It promises that the number of series is bounded by the code: queues and workers
// are labels up to a hundred of each, and "other" from there; paths are the routes'
// patterns; no job, key or URL is a label. What other packages count already is read
// when it is scraped and not counted twice. A scrape reads memory: what has to be
// looked up is looked up in the background and shown until the next look.
//
// It measures and decides nothing. The health checks are package api's.
package observability
