package push

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// MaxURLLength bounds a worker's URL in bytes.
const MaxURLLength = 2 << 10

// CheckURL returns what is wrong with the URL of a worker, for its author; nil
// if nothing is. It wants http or https, a host, and neither user information
// nor a fragment. It does not judge the address: see Guard.CheckURL.
func CheckURL(raw string) error {
	_, err := parseURL(raw)
	return err
}

// target is a parsed worker URL.
type target struct {
	tls      bool
	host     string // ASCII, lower case, IPv6 without brackets
	port     string
	path     string // path and query as they are sent
	shown    string // without query
	hostPort string // as in the host header
	key      string // of the pool: what shares connections
}

func (t *target) address() string { return net.JoinHostPort(t.host, t.port) }

func parseURL(raw string) (*target, error) {
	u, err := splitURL(raw)
	if err != nil {
		return nil, err
	}
	host, err := checkHost(u.Hostname())
	if err != nil {
		return nil, err
	}
	t := &target{tls: u.Scheme == "https", host: host, port: u.Port()}
	if err := t.setPort(u.Host); err != nil {
		return nil, err
	}
	t.path = requestPath(raw)
	t.key = u.Scheme + "://" + t.address()
	t.shown = u.Scheme + "://" + t.hostPort + cutQuery(t.path)
	return t, nil
}

// splitURL checks all but the host and the port.
func splitURL(raw string) (*url.URL, error) {
	switch {
	case raw == "":
		return nil, errors.New("must not be empty")
	case len(raw) > MaxURLLength:
		return nil, fmt.Errorf("must be at most %d bytes long", MaxURLLength)
	case strings.ContainsFunc(raw, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }):
		return nil, errors.New("must be UTF-8 without control characters")
	}
	u, err := url.Parse(raw)
	if err != nil {
		// The parser's own message repeats the URL, which may hold a password.
		return nil, errors.New("is not a valid URL")
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("must begin with http:// or https://")
	case u.User != nil:
		return nil, errors.New("must not hold a user name or password; use a header")
	case u.Opaque != "" || u.Hostname() == "":
		return nil, errors.New("must name a host")
	case u.Fragment != "" || strings.Contains(raw, "#"):
		return nil, errors.New("must not have a fragment")
	}
	return u, nil
}

// checkHost returns the host as it is resolved and sent.
func checkHost(host string) (string, error) {
	if strings.Contains(host, ":") {
		addr, err := netip.ParseAddr(host)
		if err != nil || addr.Zone() != "" {
			return "", errors.New("must have a valid IPv6 address, without a zone, as its host")
		}
		return addr.String(), nil
	}
	ascii, err := asciiHost(host)
	if err != nil || !validName(ascii) {
		return "", errors.New("must have a valid host name")
	}
	if looksNumeric(ascii) {
		addr, err := netip.ParseAddr(ascii)
		if err != nil {
			// Some resolvers read 0177.0.0.1, 127.1 or 2130706433 as 127.0.0.1.
			return "", errors.New("must write an IPv4 address as four decimal numbers")
		}
		return addr.String(), nil
	}
	return ascii, nil
}

// asciiHost leaves ASCII names to validName: IDNA refuses the underscore that
// many internal names hold.
func asciiHost(host string) (string, error) {
	for i := range len(host) {
		if host[i] >= 0x80 {
			return idna.Lookup.ToASCII(host)
		}
	}
	return strings.ToLower(host), nil
}

func validName(name string) bool {
	name = strings.TrimSuffix(name, ".")
	if name == "" || len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, notInLabel) {
			return false
		}
	}
	return true
}

func notInLabel(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_')
}

// looksNumeric reports whether the last label is a number in any of the
// notations that inet_aton reads: such a name is an address or nothing.
func looksNumeric(name string) bool {
	name = strings.TrimSuffix(name, ".")
	last := name[strings.LastIndexByte(name, '.')+1:]
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		last = strings.TrimLeft(hex, "abcdef0123456789")
		return last == ""
	}
	return strings.Trim(last, "0123456789") == ""
}

func (t *target) setPort(hostPort string) error {
	standard := "80"
	if t.tls {
		standard = "443"
	}
	if t.port == "" {
		if strings.HasSuffix(hostPort, ":") {
			return errors.New("must have a port after the colon")
		}
		t.port = standard
	}
	n, err := strconv.ParseUint(t.port, 10, 16)
	if err != nil || n == 0 {
		return errors.New("must have a port from 1 to 65535")
	}
	t.port = strconv.FormatUint(n, 10)
	t.hostPort = t.address()
	if t.port == standard {
		t.hostPort = strings.TrimSuffix(t.hostPort, ":"+standard)
	}
	return nil
}

// requestPath returns path and query of a valid URL in origin form, as they were
// written but for what may not stand in a request line, which is encoded. (The
// parsed URL would not do: its path has lost which slashes were encoded.)
func requestPath(raw string) string {
	_, rest, _ := strings.Cut(raw, "//")
	var path string
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		path = rest[i:]
	}
	out := make([]byte, 0, len(path)+1)
	if !strings.HasPrefix(path, "/") {
		out = append(out, '/')
	}
	for i := range len(path) {
		if c := path[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>\\^`{|}", c) >= 0 {
			out = fmt.Appendf(out, "%%%02X", c)
		} else {
			out = append(out, c)
		}
	}
	return string(out)
}

func cutQuery(path string) string {
	path, _, _ = strings.Cut(path, "?")
	return path
}
