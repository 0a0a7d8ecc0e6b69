package push

import "net"

// writing is a long request that is being written while its answer is read.
type writing struct {
	conn     *conn
	done     chan struct{}
	wrote    bool // of these, none is read before done is closed
	complete bool
}

func startWriting(c *conn, head, body []byte) *writing {
	w := &writing{conn: c, done: make(chan struct{})}
	go w.run(head, body)
	return w
}

func (w *writing) run(head, body []byte) {
	defer close(w.done)
	buffers := net.Buffers{head, body}
	n, err := buffers.WriteTo(w.conn.Conn) // writev on TCP, two writes on TLS
	w.wrote = n > 0
	w.complete = err == nil
}

// stop ends the writing where it is not done, and reports whether all was
// written. Afterwards head and body are the caller's again.
func (w *writing) stop() (complete bool) {
	select {
	case <-w.done:
	default:
		w.conn.plain.SetWriteDeadline(longAgo)
		<-w.done
	}
	return w.complete
}
