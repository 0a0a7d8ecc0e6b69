package redis

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// kind is how the servers of a store are found.
type kind int

const (
	single kind = iota
	sentinel
	cluster
)

var schemes = map[string]struct {
	kind kind
	tls  bool
}{
	"redis":           {single, false},
	"rediss":          {single, true},
	"redis-sentinel":  {sentinel, false},
	"rediss-sentinel": {sentinel, true},
	"redis-cluster":   {cluster, false},
	"rediss-cluster":  {cluster, true},
}

// The defaults of a URL's parameters.
const (
	defaultPrefix = "orchestrix"
	// defaultTimeout bounds how long a call waits for its answer: longer than any
	// script of the store takes, short enough for a caller to try again.
	defaultTimeout = 3 * time.Second
	// defaultPool is how many calls may be under way at once to a server: one for
	// each shard of a store with the default number.
	defaultPool = 64

	maxPool    = 10_000
	maxTimeout = time.Minute
)

// Target is a parsed URL: where a store is. It holds secrets; Target.String does
// not show them.
type Target struct {
	scheme    string
	kind      kind
	addresses []string
	master    string // of the Sentinels
	database  int

	username, password                 string
	sentinelUsername, sentinelPassword string

	prefix  string
	tls     *tls.Config
	timeout time.Duration
	pool    int
}

// IsURL reports whether text begins as a URL that Parse may read.
func IsURL(text string) bool {
	scheme, _, ok := strings.Cut(text, "://")
	_, known := schemes[scheme]
	return ok && known
}

// Parse reads a URL:
//
//	redis://[user:password@]host[:6379][/database]
//	redis-sentinel://[user:password@]host[:26379],host.../master[/database]
//	redis-cluster://[user:password@]host[:6379],host...
//
// or the same with rediss, which is TLS. Parameters are prefix (what all keys
// begin with, "orchestrix"), timeout (how long a call waits for its answer, 3s),
// pool (connections to each server, 64), sentinel_username and sentinel_password,
// and for TLS ca, cert, key (PEM files) and server_name. It reads those files. An
// error names no secret.
func Parse(text string) (*Target, error) {
	scheme, rest, _ := strings.Cut(text, "://")
	s, ok := schemes[scheme]
	if !ok {
		return nil, errors.New("a Redis URL begins with redis://, redis-sentinel:// or redis-cluster://, or with rediss for TLS")
	}
	t := &Target{scheme: scheme, kind: s.kind}
	// The hosts by hand: url.Parse takes one host only.
	authority, tail := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, tail = rest[:i], rest[i:]
	}
	login, hosts := "", authority
	if i := strings.LastIndex(authority, "@"); i >= 0 {
		login, hosts = authority[:i+1], authority[i+1:]
	}
	u, err := url.Parse(scheme + "://" + login + "host" + tail)
	if err != nil || u.Fragment != "" {
		return nil, fmt.Errorf("%s URL: it cannot be read; percent-encode what is special in user and password", scheme)
	}
	t.username, t.password = u.User.Username(), password(u.User)
	if err := errors.Join(t.parseHosts(hosts), t.parsePath(u.Path), t.parseQuery(u.Query(), s.tls)); err != nil {
		return nil, fmt.Errorf("%s URL: %w", scheme, err)
	}
	return t, nil
}

func password(u *url.Userinfo) string {
	p, _ := u.Password()
	return p
}

func (t *Target) parseHosts(hosts string) error {
	port := "6379"
	if t.kind == sentinel {
		port = "26379"
	}
	for host := range strings.SplitSeq(hosts, ",") {
		name, p, err := net.SplitHostPort(host)
		if err != nil {
			name, p = strings.Trim(host, "[]"), port
			if strings.Contains(name, ":") != strings.HasPrefix(host, "[") {
				name = ""
			}
		}
		if n, err := strconv.ParseUint(p, 10, 16); name == "" || err != nil || n == 0 {
			return errors.New("it must name host:port, and an IPv6 address in brackets")
		}
		t.addresses = append(t.addresses, net.JoinHostPort(name, p))
	}
	if t.kind == single && len(t.addresses) > 1 {
		return errors.New("one server is one host; several are redis-cluster:// or redis-sentinel://")
	}
	return nil
}

func (t *Target) parsePath(path string) error {
	path = strings.TrimPrefix(path, "/")
	if t.kind == sentinel {
		t.master, path, _ = strings.Cut(path, "/")
		if t.master == "" {
			return errors.New("it must name the master that the Sentinels watch, such as redis-sentinel://host:26379/mymaster")
		}
	}
	if path == "" {
		return nil
	}
	if t.kind == cluster {
		return errors.New("on Redis Cluster there are no numbered databases")
	}
	n, err := strconv.ParseUint(path, 10, 16)
	if err != nil {
		return fmt.Errorf("database %q is not a number", path)
	}
	t.database = int(n)
	return nil
}

var prefixes = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$`)

func (t *Target) parseQuery(query url.Values, secure bool) error {
	t.prefix, t.timeout, t.pool = defaultPrefix, defaultTimeout, defaultPool
	var files tlsFiles
	for name, values := range query {
		value := values[0]
		var err error
		switch name {
		case "prefix":
			if t.prefix = value; !prefixes.MatchString(value) {
				err = errors.New("prefix must be 1 to 64 letters, digits, dots, dashes and underscores")
			}
		case "timeout":
			if t.timeout, err = time.ParseDuration(value); err != nil || t.timeout < 100*time.Millisecond || t.timeout > maxTimeout {
				err = errors.New("timeout must be from 100ms to 1m")
			}
		case "pool":
			if t.pool, err = strconv.Atoi(value); err != nil || t.pool < 1 || t.pool > maxPool {
				err = fmt.Errorf("pool must be from 1 to %d", maxPool)
			}
		case "sentinel_username":
			t.sentinelUsername = value
		case "sentinel_password":
			t.sentinelPassword = value
		default:
			if !files.set(name, value) {
				err = fmt.Errorf("there is no parameter %q", name)
			}
		}
		if err != nil {
			return err
		}
		if len(values) > 1 {
			return fmt.Errorf("%s is given twice", name)
		}
	}
	if t.kind != sentinel && t.sentinelUsername+t.sentinelPassword != "" {
		return errors.New("sentinel_username and sentinel_password are for redis-sentinel:// and rediss-sentinel://")
	}
	if !secure {
		if files != (tlsFiles{}) {
			return errors.New("ca, cert, key and server_name are for TLS: begin the URL with rediss")
		}
		return nil
	}
	var err error
	t.tls, err = files.config()
	return err
}

// tlsFiles are the parameters of TLS.
type tlsFiles struct{ ca, cert, key, serverName string }

func (f *tlsFiles) set(name, value string) bool {
	field := map[string]*string{"ca": &f.ca, "cert": &f.cert, "key": &f.key, "server_name": &f.serverName}[name]
	if field == nil {
		return false
	}
	*field = value
	return true
}

func (f *tlsFiles) config() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: f.serverName}
	if f.ca != "" {
		pem, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca: %s holds no certificate in PEM", f.ca)
		}
	}
	if (f.cert == "") != (f.key == "") {
		return nil, errors.New("cert and key must be given together")
	}
	if f.cert != "" {
		pair, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return nil, fmt.Errorf("cert, key: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// String shows the URL without its secrets.
func (t *Target) String() string {
	text := t.scheme + "://" + strings.Join(t.addresses, ",")
	if t.master != "" {
		text += "/" + t.master
	}
	if t.database != 0 {
		text += "/" + strconv.Itoa(t.database)
	}
	if t.prefix != defaultPrefix {
		text += "?prefix=" + t.prefix
	}
	return text
}
