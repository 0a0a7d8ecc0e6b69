package front

import (
	"bytes"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
)

// verdict is what parse says of the bytes of a request.
type verdict uint8

const (
	incomplete verdict = iota
	plain
	foreign // not to be served here
)

// maxHeaders is how many headers a plain request has at most.
const maxHeaders = 64

// request is what was read of a request, and the http.Request that is made of it.
type request struct {
	base    http.Request // holds what is the same for all of a connection
	http    http.Request
	url     url.URL
	header  http.Header
	values  []string // the memory of header's values
	host    string
	head    int // length; 0 until the head is complete
	length  int // of the body
	scanned int // up to here no head ends
	body    body
}

// body is a request's body, which was read before.
type body struct{ bytes.Reader }

// Close implements io.Closer.
func (*body) Close() error { return nil }

func (r *request) reset() { r.head, r.length, r.scanned = 0, 0, 0 }

// size is the length of head and body.
func (r *request) size() int { return r.head + r.length }

// parse looks at what has come of a request. Plain is only what allows no two
// opinions on where it ends or what it means: lines that end in CR LF, names that
// are tokens, values of visible ASCII, one Host and one Content-Length, no
// framing, no expectation, no folding, and no Connection but keep-alive.
func (r *request) parse(data []byte, targets map[string]*url.URL) verdict {
	if r.head == 0 {
		if !startsPost(data) {
			return foreign
		}
		end := bytes.Index(data[r.scanned:], []byte("\r\n\r\n"))
		if end < 0 && len(data) <= maxHead {
			r.scanned = max(0, len(data)-3)
			return incomplete
		}
		if end += r.scanned; end < r.scanned || end > maxHead || !r.parseHead(string(data[:end+2]), targets) {
			return foreign
		}
		r.head = end + 4
	}
	if len(data) < r.size() {
		return incomplete
	}
	return plain
}

func startsPost(data []byte) bool {
	const post = "POST /"
	n := min(len(data), len(post))
	return string(data[:n]) == post[:n]
}

// parseHead parses the lines of a head. It reports whether they are plain.
func (r *request) parseHead(head string, targets map[string]*url.URL) bool {
	line, rest, _ := strings.Cut(head, "\r\n")
	target := targets[line]
	if target == nil {
		return false
	}
	r.url = *target
	if r.header == nil {
		r.header, r.values = make(http.Header, 16), make([]string, 0, maxHeaders)
	}
	clear(r.header)
	r.values, r.host, r.length = r.values[:0], "", -1
	for count := 0; rest != ""; count++ {
		line, rest, _ = strings.Cut(rest, "\r\n")
		name, value, ok := strings.Cut(line, ":")
		if value = strings.Trim(value, " \t"); !ok || count == maxHeaders || !isToken(name) || !isVisible(value) {
			return false
		}
		if !r.add(textproto.CanonicalMIMEHeaderKey(name), value) {
			return false
		}
	}
	return r.host != "" && r.length > 0
}

// add takes one header. It reports false where the request is not plain with it.
func (r *request) add(name, value string) bool {
	switch name {
	case "Host":
		first := r.host == ""
		r.host = value
		return first && isHost(value)
	case "Content-Length":
		n, err := strconv.ParseUint(value, 10, 32)
		if err != nil || r.length >= 0 || n > maxBody {
			return false
		}
		r.length = int(n)
	case "Connection":
		return strings.EqualFold(value, "keep-alive")
	case "Transfer-Encoding", "Expect", "Upgrade", "Trailer", "Te", "Keep-Alive", "Proxy-Connection", "Http2-Settings", "Pragma":
		return false
	}
	if known := r.header[name]; known != nil {
		r.header[name] = append(known, value)
		return true
	}
	n := len(r.values)
	r.values = append(r.values, value)
	r.header[name] = r.values[n : n+1 : n+1]
	return true
}

// use returns the request over the bytes that parse has seen.
func (r *request) use(data []byte) *http.Request {
	r.body.Reset(data[r.head:r.size()])
	r.http = r.base
	h := &r.http
	h.Method, h.URL, h.RequestURI = http.MethodPost, &r.url, r.url.Path
	h.Proto, h.ProtoMajor, h.ProtoMinor = "HTTP/1.1", 1, 1
	h.Header, h.Host, h.Body, h.ContentLength = r.header, r.host, &r.body, int64(r.length)
	return h
}

func isVisible(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c > '~' {
			return false
		}
	}
	return true
}

// The bytes of a header's name (RFC 9110, 5.6.2) and of a plain host.
var tokenBytes, hostBytes = bytesOf("!#$%&'*+-.^_`|~"), bytesOf("-._:[]")

// bytesOf is the set of the letters, the digits and more.
func bytesOf(more string) (t [256]bool) {
	for c := range t {
		t[c] = c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c < 0x80 && strings.ContainsRune(more, rune(c))
	}
	return t
}

func isToken(s string) bool { return s != "" && all(s, &tokenBytes) }
func isHost(s string) bool  { return s != "" && all(s, &hostBytes) }

func all(s string, of *[256]bool) bool {
	for i := range len(s) {
		if !of[s[i]] {
			return false
		}
	}
	return true
}
