// Package api is the REST API, /v1, for workers, queues, jobs, API keys and
// signing keys, with its health checks, metrics and OpenAPI document.
//
// It translates and nothing else: a request into a typed one of package control,
// its answer into JSON, its errors into RFC 9457 problems, in one place
// (problem.go). What a body may hold stands in tables (job_body.go and the
// others), from which both the decoder and the OpenAPI document are drawn, so
// that they cannot disagree.
//
// It promises strict JSON: unknown and repeated members, wrong types, bytes that
// are not UTF-8 and deep nesting are refused, each fault named by its path; a
// problem instead of a bare error for every failure, panics included; no secret
// and no stack trace in an answer. Enqueues, the hot path, are decoded without
// reflection and their payloads kept as the bytes that were sent.
//
// It does not keep state, and it does not decide who may do what: control does.
package api
