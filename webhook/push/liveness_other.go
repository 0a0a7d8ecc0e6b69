//go:build !unix

package push

// quiet cannot look at an idle socket without blocking here, so every idle
// connection is taken for alive. One that the worker has closed fails its push
// with connection_lost, and the job is retried.
func (c *conn) quiet() bool { return true }

func (c *conn) probeFD(uintptr) bool { return true }
