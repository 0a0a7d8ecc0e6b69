//go:build unix

package push

import (
	"errors"
	"io"
	"syscall"
)

// quiet reports whether an idle connection has nothing to read: neither bytes,
// which nobody asked for, nor the end of the stream, nor an error. It does not
// block. The byte it may take is no loss: such a connection is closed.
func (c *conn) quiet() bool {
	err := c.sys.Read(c.probe)
	return err == nil && errors.Is(c.probed, syscall.EAGAIN)
}

// probeFD reads one byte without waiting. It is kept with the connection as a
// bound method, since a new closure per push would be an allocation per push.
func (c *conn) probeFD(fd uintptr) (done bool) {
	for {
		n, err := syscall.Read(int(fd), c.scratch[:])
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EWOULDBLOCK:
			c.probed = syscall.EAGAIN
		case n > 0:
			c.probed = io.ErrNoProgress
		case err == nil:
			c.probed = io.EOF
		default:
			c.probed = err
		}
		return true
	}
}
