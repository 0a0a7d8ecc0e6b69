package push

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"
)

// Proxy is an HTTP proxy through which all connections to workers and token
// endpoints are made, by CONNECT (RFC 9110, 9.3.6) for http and https alike. It
// is the operator's own, so that the guard does not judge its address. A name is
// resolved here, and the proxy is asked for the address that the guard has let
// pass: it is never told a name, which it might resolve to another address.
// A Proxy is immutable and may be used concurrently.
type Proxy struct {
	address string // host and port
	auth    string // of Proxy-Authorization; empty without
}

// ParseProxy reads http://host:port, with user:password@ before the host where
// the proxy wants that.
func ParseProxy(text string) (*Proxy, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" || u.Hostname() == "" || u.Opaque != "":
		return nil, errors.New("must be http://host:port, or http://user:password@host:port")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("must have no path, query or fragment")
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	p := &Proxy{address: net.JoinHostPort(u.Hostname(), port)}
	if u.User != nil {
		password, _ := u.User.Password()
		p.auth = "Basic " + base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password))
	}
	return p, nil
}

// String returns the proxy's host and port, without credentials.
func (p *Proxy) String() string { return p.address }

// proxyError says that the proxy, and not the destination, is at fault.
type proxyError struct {
	proxy *Proxy
	text  string
}

func (e proxyError) Error() string { return "the egress proxy " + e.proxy.address + " " + e.text }

const (
	// maxProxyAnswer bounds the head of an answer to CONNECT.
	maxProxyAnswer = 16 << 10
	// maxProxyTries is how many addresses of one name the proxy is asked for.
	maxProxyTries = 3
)

// connect makes a connection to host and port, directly or through the proxy, if
// the guard lets its address pass.
func (c *Client) connect(ctx context.Context, network, address string) (net.Conn, error) {
	if c.proxy == nil {
		return c.dialer.DialContext(ctx, network, address)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addrs, err := c.guard.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	for _, addr := range addrs[:min(len(addrs), maxProxyTries)] {
		var conn net.Conn
		if conn, err = c.proxy.connect(ctx, net.JoinHostPort(addr.String(), port)); err == nil {
			return conn, nil
		}
		if errors.As(err, new(proxyError)) {
			break
		}
	}
	return nil, err
}

// resolve returns the addresses of a host that may be dialled, IPv4 first, or
// why there is none.
func (g *Guard) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, g.CheckAddr(addr)
	}
	all, err := g.lookup(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	var refused error = &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	var addrs []netip.Addr
	for _, addr := range all {
		addr = addr.Unmap()
		if err := g.CheckAddr(addr); err != nil {
			refused = err
			continue
		}
		addrs = append(addrs, addr)
	}
	if len(addrs) == 0 {
		return nil, refused
	}
	slices.SortStableFunc(addrs, func(a, b netip.Addr) int { return a.BitLen() - b.BitLen() })
	return addrs, nil
}

// connect asks the proxy for a connection to an address.
func (p *Proxy) connect(ctx context.Context, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", p.address)
	if err != nil {
		return nil, p.failed(ctx, err, "cannot be reached: ")
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(longAgo) })
	err = p.ask(conn, address)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = conn.SetDeadline(time.Time{})
	}
	if err != nil {
		conn.Close()
		if errors.As(err, new(unreachable)) {
			return nil, err
		}
		return nil, p.failed(ctx, err, "")
	}
	return conn, nil
}

// failed says what the proxy did not do; that of who gave up stays theirs.
func (p *Proxy) failed(ctx context.Context, err error, what string) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	var own proxyError
	if errors.As(err, &own) {
		return own
	}
	if isTimeout(err) {
		return proxyError{p, "did not answer in time"}
	}
	return proxyError{p, what + lossText(err)}
}

// unreachable says that the proxy could not reach the destination.
type unreachable struct {
	proxy  *Proxy
	status int
}

func (e unreachable) Error() string {
	return fmt.Sprintf("the egress proxy %s cannot reach it (%d)", e.proxy.address, e.status)
}

// ask sends CONNECT and reads the answer's head. A proxy that says 502 or 504
// has tried: that is the destination's fault. Anything else but 2xx is its own.
func (p *Proxy) ask(conn net.Conn, address string) error {
	text := "CONNECT " + address + " HTTP/1.1\r\nHost: " + address + "\r\n"
	if p.auth != "" {
		text += "Proxy-Authorization: " + p.auth + "\r\n"
	}
	if _, err := io.WriteString(conn, text+"\r\n"); err != nil {
		return err
	}
	r := bufio.NewReader(io.LimitReader(conn, maxProxyAnswer))
	answer, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) || errors.Is(err, io.ErrUnexpectedEOF) && r.Buffered() == 0 {
			return err
		}
		return proxyError{p, "answers CONNECT with something that is not HTTP"}
	}
	answer.Body.Close()
	switch status := answer.StatusCode; {
	case status == http.StatusBadGateway || status == http.StatusGatewayTimeout:
		return unreachable{p, status}
	case status == http.StatusProxyAuthRequired:
		return proxyError{p, "wants other credentials (407)"}
	case status < 200 || status > 299:
		return proxyError{p, fmt.Sprintf("refuses to connect (%d)", status)}
	case r.Buffered() > 0:
		return proxyError{p, "sends what nobody asked for"}
	}
	return nil
}
