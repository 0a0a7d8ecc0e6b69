package push

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"code.dny.dev/ssrf"
)

// Guard decides which addresses may be dialled. It judges the address that is
// about to be connected to, after the name was resolved, so that a name which
// changes its mind (DNS rebinding) gains nothing.
//
// By default only public unicast addresses pass, on any port: loopback,
// private, shared (CGNAT), link-local and with it metadata services, multicast,
// broadcast, unspecified, documentation and other reserved ranges are refused,
// and so are the IPv6 forms that embed an IPv4 address: NAT64, 6to4, Teredo. An
// IPv4-mapped address is judged as the IPv4 address that it is.
//
// A Guard is immutable and may be used concurrently.
type Guard struct {
	rules *ssrf.Guardian
	// lookup resolves a name at registration; tests replace it.
	lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// lookupTimeout bounds the resolving of a name at registration. The dial check
// is the one that decides, so a slow resolver need not hold up a person.
const lookupTimeout = 2 * time.Second

// NewGuard returns a guard that also lets pass the given prefixes and, with
// allowLoopback, 127.0.0.0/8 and ::1.
func NewGuard(allow []netip.Prefix, allowLoopback bool) *Guard {
	if allowLoopback {
		allow = append(slices.Clone(allow), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"))
	}
	var v4, v6 []netip.Prefix
	for _, p := range allow {
		if p = unmapPrefix(p); p.Addr().Is4() {
			v4 = append(v4, p)
		} else {
			v6 = append(v6, p)
		}
	}
	return &Guard{
		rules:  ssrf.New(ssrf.WithAnyPort(), ssrf.WithAllowedV4Prefixes(v4...), ssrf.WithAllowedV6Prefixes(v6...)),
		lookup: net.DefaultResolver.LookupNetIP,
	}
}

// unmapPrefix turns ::ffff:10.0.0.0/104 into 10.0.0.0/8: addresses are judged
// unmapped.
func unmapPrefix(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p
}

// BlockedError says that the guard refused an address. It is for people: it
// names the flag that allows the address.
type BlockedError struct {
	// Host is the name that resolved to Addr; empty where it was given itself.
	Host string
	Addr netip.Addr
}

// Error names the address and the flag.
func (e *BlockedError) Error() string {
	prefix := netip.PrefixFrom(e.Addr, e.Addr.BitLen())
	if e.Host == "" {
		return fmt.Sprintf("address %s is not public; to allow it, start the server with --allow-cidr %s", e.Addr, prefix)
	}
	return fmt.Sprintf("%s resolves to %s, which is not public; to allow it, start the server with --allow-cidr %s", e.Host, e.Addr, prefix)
}

// CheckAddr returns a *BlockedError where the address must not be dialled.
func (g *Guard) CheckAddr(addr netip.Addr) error {
	addr = addr.Unmap().WithZone("")
	if !addr.IsValid() || g.rules.SafeAddr(addr) != nil {
		return &BlockedError{Addr: addr}
	}
	return nil
}

// CheckURL judges a URL when a worker is registered: it returns the error of
// the package's CheckURL, or a *BlockedError. A literal address is judged at
// once. A name is resolved, for at most two seconds, and refused where every
// address is; one that does not resolve is accepted, since the check when
// dialling decides.
func (g *Guard) CheckURL(ctx context.Context, raw string) error {
	t, err := parseURL(raw)
	if err != nil {
		return err
	}
	if addr, err := netip.ParseAddr(t.host); err == nil {
		return g.CheckAddr(addr)
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	addrs, _ := g.lookup(ctx, "ip", t.host)
	var refused error
	for _, addr := range addrs {
		err := g.CheckAddr(addr)
		if err == nil {
			return nil
		}
		var blocked *BlockedError
		if errors.As(err, &blocked) && refused == nil {
			blocked.Host = t.host
			refused = blocked
		}
	}
	return refused
}

// control is a net.Dialer's: it runs before each connect, with the resolved
// address.
func (g *Guard) control(network, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil || (network != "tcp4" && network != "tcp6") {
		return fmt.Errorf("refusing to dial %s over %s", address, network)
	}
	return g.CheckAddr(ap.Addr())
}
