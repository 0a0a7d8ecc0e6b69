package push

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/orchestrix/orchestrix/job"
)

func prefixes(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, text := range texts {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}

func TestGuardAddresses(t *testing.T) {
	t.Parallel()
	strict := NewGuard(nil, false)
	for _, text := range []string{
		"127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", // loopback
		"10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fd12:3456::1", "::ffff:10.0.0.1", // private
		"100.64.0.1", "100.127.255.254", // shared
		"169.254.0.1", "169.254.169.254", "fe80::1", "fe80::1%eth0", "::ffff:169.254.169.254", "fd00:ec2::254", // link-local, metadata
		"192.0.0.192", "100.100.100.200", // other clouds' metadata
		"224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1", // multicast
		"0.0.0.0", "0.1.2.3", "::", "::ffff:0.0.0.0", // unspecified
		"255.255.255.255", "240.0.0.1", // broadcast, reserved
		"192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "2001:db8::1", "3fff::1", // documentation, benchmarks
		"64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::7f00:1", // NAT64
		"2002:7f00:1::", "2002:808:808::1", // 6to4
		"2001:0:4136:e378:8000:63bf:3fff:fdd2",                              // Teredo
		"::127.0.0.1", "::ffff:0:127.0.0.1", "fec0::1", "100::1", "5f00::1", // compatible, translated, site-local, discard, SRv6
	} {
		addr := netip.MustParseAddr(text)
		var blocked *BlockedError
		if err := strict.CheckAddr(addr); !errors.As(err, &blocked) {
			t.Errorf("%s: got %v, want a refusal", text, err)
		} else if !strings.Contains(err.Error(), "--allow-cidr "+addr.Unmap().WithZone("").String()+"/") {
			t.Errorf("%s: %q does not say how to allow it", text, err)
		}
		all := NewGuard(prefixes("0.0.0.0/0", "::/0"), false)
		if err := all.CheckAddr(addr); err != nil {
			t.Errorf("%s: refused though all is allowed: %v", text, err)
		}
	}
	for _, text := range []string{"8.8.8.8", "93.184.216.34", "172.32.0.1", "100.128.0.1", "169.255.0.1", "2606:2800:220:1::1", "2a00:1450::1", "::ffff:8.8.8.8"} {
		if err := strict.CheckAddr(netip.MustParseAddr(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	if err := strict.CheckAddr(netip.Addr{}); err == nil {
		t.Error("the zero address passed")
	}
}

// A flag allows what it names and nothing beside it.
func TestGuardAllow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		allow    []string
		loopback bool
		passes   []string
		refused  []string
	}{
		{[]string{"10.1.0.0/16"}, false, []string{"10.1.2.3", "::ffff:10.1.2.3", "8.8.8.8"}, []string{"10.2.0.1", "127.0.0.1", "64:ff9b::a01:203"}},
		{[]string{"::ffff:10.1.0.0/112"}, false, []string{"10.1.2.3"}, []string{"10.2.0.1"}},
		{[]string{"fd00:1::/32", "127.0.0.1/32"}, false, []string{"fd00:1::5", "127.0.0.1"}, []string{"fd00:2::5", "127.0.0.2", "::1"}},
		{[]string{"fe80::/10"}, false, []string{"fe80::1", "fe80::1%eth0"}, []string{"fec0::1"}},
		{nil, true, []string{"127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"}, []string{"10.0.0.1", "::", "0.0.0.0", "::127.0.0.1"}},
	} {
		g := NewGuard(prefixes(c.allow...), c.loopback)
		for _, text := range c.passes {
			if err := g.CheckAddr(netip.MustParseAddr(text)); err != nil {
				t.Errorf("allow %v: %v", c.allow, err)
			}
		}
		for _, text := range c.refused {
			if err := g.CheckAddr(netip.MustParseAddr(text)); err == nil {
				t.Errorf("allow %v: %s passed", c.allow, text)
			}
		}
	}
}

func TestNewGuardKeepsTheCallersPrefixes(t *testing.T) {
	t.Parallel()
	allow := append(make([]netip.Prefix, 0, 8), prefixes("10.0.0.0/8")...)
	NewGuard(allow, true)
	if extra := allow[:2][1]; extra.IsValid() {
		t.Errorf("%v was written into the caller's slice", extra)
	}
}

func TestGuardCheckURL(t *testing.T) {
	t.Parallel()
	names := map[string][]string{
		"public.example": {"93.184.216.34"}, "private.example": {"10.0.0.5"}, "both.example": {"10.0.0.5", "93.184.216.34"},
		"mapped.example": {"::ffff:127.0.0.1"}, "two.example": {"10.0.0.5", "::1"},
	}
	g := NewGuard(nil, false)
	g.lookup = func(_ context.Context, _, host string) (addrs []netip.Addr, err error) {
		for _, text := range names[host] {
			addrs = append(addrs, netip.MustParseAddr(text))
		}
		if addrs == nil {
			err = errors.New("no such host")
		}
		return addrs, err
	}
	for raw, want := range map[string]string{
		"https://93.184.216.34/":      "",
		"http://8.8.8.8:12345/x":      "",
		"https://public.example/":     "",
		"https://unknown.example/":    "", // the dial check decides
		"https://both.example/":       "",
		"http://127.0.0.1:9/":         "address 127.0.0.1 is not public; to allow it, start the server with --allow-cidr 127.0.0.1/32",
		"http://[::1]/":               "address ::1 is not public; to allow it, start the server with --allow-cidr ::1/128",
		"http://[::ffff:127.0.0.1]/":  "--allow-cidr 127.0.0.1/32",
		"http://[::]/":                "--allow-cidr ::/128",
		"http://0.0.0.0/":             "--allow-cidr 0.0.0.0/32",
		"http://[::ffff:7f00:1]/":     "--allow-cidr 127.0.0.1/32",
		"http://[64:ff9b::a00:1]/":    "--allow-cidr 64:ff9b::a00:1/128",
		"http://169.254.169.254/":     "--allow-cidr 169.254.169.254/32",
		"http://private.example/":     "private.example resolves to 10.0.0.5, which is not public; to allow it, start the server with --allow-cidr 10.0.0.5/32",
		"http://PRIVATE.example/":     "private.example resolves to 10.0.0.5",
		"http://mapped.example/":      "mapped.example resolves to 127.0.0.1",
		"http://two.example/":         "two.example resolves to 10.0.0.5",
		"http://0177.0.0.1/":          "four decimal numbers",
		"http://2130706433/":          "four decimal numbers",
		"http://0x7f000001/":          "four decimal numbers",
		"http://0x7f.0.0.1/":          "four decimal numbers",
		"http://127.1/":               "four decimal numbers",
		"http://127.0.0.01/":          "four decimal numbers",
		"http://127.0.0.1./":          "four decimal numbers",
		"http://127.0.0.0x1/":         "four decimal numbers",
		"http://1.2.3.4.5/":           "four decimal numbers",
		"http://⑫⑦.⓪.⓪.①/":            "--allow-cidr 127.0.0.1/32",
		"file:///etc/passwd":          "http:// or https://",
		"http://user@public.example/": "user name",
	} {
		err := g.CheckURL(context.Background(), raw)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", raw, err, want)
		}
	}
}

// A slow resolver does not hold a registration up, and does not refuse it.
func TestGuardCheckURLResolvesBriefly(t *testing.T) {
	t.Parallel()
	g := NewGuard(nil, false)
	g.lookup = func(ctx context.Context, _, _ string) ([]netip.Addr, error) {
		deadline, ok := ctx.Deadline()
		if !ok || time.Until(deadline) > lookupTimeout {
			t.Error("resolving is not bounded")
		}
		return nil, context.DeadlineExceeded
	}
	if err := g.CheckURL(context.Background(), "http://slow.example/"); err != nil {
		t.Error(err)
	}
}

// nameServer is a DNS server in memory: each question about a name is answered
// by addr.
func nameServer(t *testing.T, addr func() netip.Addr) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		t.Cleanup(func() { there.Close() })
		go serveNames(there, addr)
		return here, nil
	}}
}

// serveNames speaks DNS over a stream: each message behind its length.
func serveNames(c net.Conn, addr func() netip.Addr) {
	defer c.Close()
	for buf := make([]byte, 4096); ; {
		n, err := c.Read(buf[:2])
		if err != nil || n < 2 {
			return
		}
		length := int(buf[0])<<8 | int(buf[1])
		if n, err = c.Read(buf[:length]); err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(buf[:n]) != nil {
			return
		}
		m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
		q := m.Questions[0]
		header := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1}
		if a := addr(); q.Type == dnsmessage.TypeA && a.Is4() {
			m.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AResource{A: a.As4()}}}
		} else if q.Type == dnsmessage.TypeAAAA && a.Is6() {
			m.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}}}
		}
		out, err := m.Pack()
		if err != nil {
			return
		}
		if _, err := c.Write(append([]byte{byte(len(out) >> 8), byte(len(out))}, out...)); err != nil {
			return
		}
	}
}

// DNS rebinding: the name is public when the worker is registered and leads
// inside when it is dialled. The dial check sees the address.
func TestRebindingIsRefused(t *testing.T) {
	t.Parallel()
	server := serveRaw(t, answerWith(okAnswer, false))
	port := server.url[strings.LastIndexByte(server.url, ':'):]
	for _, inside := range []string{"127.0.0.1", "::ffff:127.0.0.1", "::1", "0.0.0.0", "::", "169.254.169.254"} {
		t.Run(inside, func(t *testing.T) {
			t.Parallel()
			var rebound atomic.Bool
			resolver := nameServer(t, func() netip.Addr {
				if rebound.Load() {
					return netip.MustParseAddr(inside)
				}
				return netip.MustParseAddr("93.184.216.34")
			})
			guard := NewGuard(nil, false)
			guard.lookup = resolver.LookupNetIP
			client := newClient(t, Options{Guard: guard})
			client.dialer.Resolver = resolver
			url := "http://rebinding.example" + port
			if err := guard.CheckURL(context.Background(), url); err != nil {
				t.Fatalf("at registration: %v", err)
			}
			rebound.Store(true)
			a := client.Push(context.Background(), newRequest(newDestination(t, url), "{}"))
			if a.Outcome != job.OutcomeFailed || a.Reason != job.ReasonBlockedAddress || a.Sent ||
				!strings.HasPrefix(a.Error, "rebinding.example resolves to ") || !strings.Contains(a.Error, "--allow-cidr ") {
				t.Errorf("got %+v", a)
			}
		})
	}
	t.Cleanup(func() {
		if n := server.conns.Load(); n != 0 {
			t.Errorf("%d connections reached the inside", n)
		}
	})
}

// The same path with an allowed address reaches the server: the refusals above
// are the guard's.
func TestNamesAreResolved(t *testing.T) {
	t.Parallel()
	server := serveRaw(t, answerWith(okAnswer, false))
	client := newClient(t, Options{})
	client.dialer.Resolver = nameServer(t, func() netip.Addr { return netip.MustParseAddr("127.0.0.1") })
	pushOK(t, client, newDestination(t, "http://worker.example"+server.url[strings.LastIndexByte(server.url, ':'):]))
	client.dialer.Resolver = nameServer(t, func() netip.Addr { return netip.Addr{} })
	a := client.Push(context.Background(), newRequest(newDestination(t, "http://nobody.example"), "{}"))
	if a.Reason != job.ReasonDNS || a.Error != "no such host: nobody.example" {
		t.Errorf("got %+v", a)
	}
}

func TestBlockedAddressIsNotDialled(t *testing.T) {
	t.Parallel()
	server := serveRaw(t, answerWith(okAnswer, false))
	client := newClient(t, Options{Guard: NewGuard(prefixes("10.0.0.0/8"), false)})
	a := client.Push(context.Background(), newRequest(newDestination(t, server.url), "{}"))
	want := "address 127.0.0.1 is not public; to allow it, start the server with --allow-cidr 127.0.0.1/32"
	if a.Outcome != job.OutcomeFailed || a.Reason != job.ReasonBlockedAddress || a.Error != want || server.conns.Load() != 0 {
		t.Errorf("got %+v", a)
	}
	if err := client.dialer.Control("unix", "/tmp/x", nil); err == nil {
		t.Error("a socket of another kind passed")
	}
}

// Without a guard the strict one is in force.
func TestDefaultGuardIsStrict(t *testing.T) {
	t.Parallel()
	client := New(Options{})
	defer client.Close()
	if err := client.dialer.Control("tcp4", "127.0.0.1:80", nil); err == nil {
		t.Error("loopback passed")
	}
	if err := client.dialer.Control("tcp6", fmt.Sprintf("[%s]:80", "2606:2800:220:1::1"), nil); err != nil {
		t.Error(err)
	}
}
