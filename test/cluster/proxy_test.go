package cluster_test

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// proxy is a TCP proxy that can be slow, and can cut connections.
type proxy struct {
	listener net.Listener
	target   string
	// delay is what it adds to the way there, in nanoseconds.
	delay atomic.Int64
	// cutEvery, where it is not 0, has it cut a connection with every so many
	// requests, when that has been sent and before its answer.
	cutEvery, requests, cuts atomic.Int64

	mu      sync.Mutex
	open    map[net.Conn]bool
	running sync.WaitGroup
}

func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, target: target, open: map[net.Conn]bool{}}
	p.running.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// url is where an engine finds what is behind it.
func (p *proxy) url() string { return "redis://" + p.listener.Addr().String() + "/" }

func (p *proxy) close() {
	p.listener.Close()
	p.mu.Lock()
	for c := range p.open {
		c.Close()
	}
	p.open = nil
	p.mu.Unlock()
	p.running.Wait()
}

// keep notes a connection, for the end; it reports false after that.
func (p *proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open == nil {
		c.Close()
		return false
	}
	p.open[c] = true
	return true
}

func (p *proxy) drop(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
	c.Close()
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		if !p.keep(client) {
			return
		}
		server, err := new(net.Dialer).DialContext(context.Background(), "tcp", p.target)
		if err != nil {
			p.drop(client)
			continue
		}
		if !p.keep(server) {
			return
		}
		p.running.Go(func() { p.there(client, server) })
		p.running.Go(func() {
			io.Copy(client, server) // ends with either
			p.drop(client)
			p.drop(server)
		})
	}
}

type chunk struct {
	data []byte
	due  time.Time
}

// there carries what a client sends, each piece as long after it came as the delay
// says.
func (p *proxy) there(client, server net.Conn) {
	pieces := make(chan chunk, 1000)
	p.running.Go(func() {
		for c := range pieces {
			if wait := time.Until(c.due); wait > 0 {
				<-time.NewTimer(wait).C
			}
			if _, err := server.Write(c.data); err != nil {
				continue // and take the rest
			}
			if every := p.cutEvery.Load(); every > 0 && p.requests.Add(1)%every == 0 {
				p.cuts.Add(1)
				p.drop(client)
				p.drop(server)
			}
		}
		p.drop(server)
	})
	defer close(pieces)
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		if n > 0 {
			pieces <- chunk{append([]byte(nil), buffer[:n]...), time.Now().Add(time.Duration(p.delay.Load()))}
		}
		if err != nil {
			return
		}
	}
}
