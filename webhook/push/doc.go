// Package push is the push itself: one signed HTTP/1.1 request to a worker, and
// the reading of its answer.
//
// It has a client of its own over net.Conn, since net/http costs twice the CPU
// and may send a request a second time by itself. It promises: one request on
// the wire per Push, never sent again once a byte was written; one deadline
// from dial to the answer's last byte; an end at once when the context ends; an
// address that the guard has judged after resolving it; memory bounded by the
// limits of an answer whatever the worker does; an Outcome always.
//
// A worker may ask who pushes beyond the signature (Auth): by a fixed header, by
// an OAuth 2 access token, or by a client certificate. Token endpoints are dialled
// under the same guard.
//
// It does not follow redirects, keep cookies, decompress, read proxies from the
// environment or speak HTTP/2. It retries nothing: what an answer means is told
// here, what to do about it is the dispatcher's.
package push
