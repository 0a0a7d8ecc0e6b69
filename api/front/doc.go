// Package front serves the few calls that come by the thousand, on connections
// of their own, for a fraction of what net/http's server takes for them.
//
// A Listener stands before an http.Server. A connection stays here as long as
// its requests are plain: POST to one of the chosen targets in HTTP/1.1, with a
// Content-Length, a short body, and nothing that needs a thought (see parse).
// They are given to the same handler as all others, a router for all the package
// knows. With the first request that is not plain, the connection goes to
// the http.Server with every byte that was read of it, and stays there. So there
// is one judge of what is odd, wrong or slow, and that is net/http; this package
// refuses nothing and answers nothing by itself.
//
// What it saves is what such a request has no use for: watching for the client's
// end while the handler runs, which takes a goroutine and a system call for each
// request, setting four deadlines, and making request, header and buffers anew.
//
// It promises the server's time-outs, one write for an answer, and that Drain
// waits for the requests that are being served. It knows no TLS, HTTP/2, trailers,
// upgrades or streaming, and does not cancel a request whose client has gone.
package front
