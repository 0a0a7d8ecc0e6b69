package push

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// MaxRetryAfter clamps a worker's retry-after.
const MaxRetryAfter = 24 * time.Hour

// head is what a push needs to know of an answer's status line and headers.
type head struct {
	status      int
	http10      bool
	length      int64 // -1 where content-length is absent
	chunked     bool
	closes      bool // connection: close
	async       bool
	noRetry     bool
	contentType string
	location    string
	retryAfter  string
}

// parse reads a head that ends in an empty line. It copies what it keeps.
func (h *head) parse(data []byte) error {
	*h = head{length: -1}
	line, rest, err := cutLine(data)
	if err != nil {
		return err
	}
	if err := h.statusLine(line); err != nil {
		return err
	}
	for count := 0; ; count++ {
		if line, rest, err = cutLine(rest); err != nil {
			return err
		}
		if len(line) == 0 {
			return h.checkFraming()
		}
		if count == MaxAnswerHeaders {
			return badAnswer("it has too many headers")
		}
		name, value, err := cutField(line)
		if err == nil {
			err = h.header(name, value)
		}
		if err != nil {
			return err
		}
	}
}

func cutLine(data []byte) (line, rest []byte, err error) {
	line, rest, ok := bytes.Cut(data, []byte("\n"))
	if !ok {
		return nil, nil, badAnswer("a header line has no end")
	}
	return bytes.TrimSuffix(line, []byte("\r")), rest, nil
}

func checkText(line []byte) error {
	for _, c := range line {
		if c < ' ' && c != '\t' || c == 0x7f {
			return badAnswer("a control character stands in its headers")
		}
	}
	return nil
}

// statusLine reads "HTTP/1.1 200 OK"; the reason phrase may be absent.
func (h *head) statusLine(line []byte) error {
	if err := checkText(line); err != nil {
		return err
	}
	const shape = "HTTP/1.x NNN"
	if len(line) < len(shape) || string(line[:7]) != "HTTP/1." || line[8] != ' ' || len(line) > len(shape) && line[len(shape)] != ' ' {
		return badAnswer("it is not an HTTP/1 answer")
	}
	if line[7] != '0' && line[7] != '1' {
		return badAnswer("its HTTP version is not 1.0 or 1.1")
	}
	h.http10 = line[7] == '0'
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return badAnswer("its status is not a number")
		}
		h.status = h.status*10 + int(c-'0')
	}
	if h.status < 100 {
		return badAnswer("its status is under 100")
	}
	return nil
}

// cutField splits a header or trailer line.
func cutField(line []byte) (name, value []byte, err error) {
	if line[0] == ' ' || line[0] == '\t' {
		return nil, nil, badAnswer("a header is folded over two lines")
	}
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok || !isToken(name) {
		return nil, nil, badAnswer("a header line is malformed")
	}
	return name, bytes.Trim(value, " \t"), checkText(value)
}

func (h *head) header(name, value []byte) error {
	switch {
	case is(name, "content-length"):
		return h.contentLength(value)
	case is(name, "transfer-encoding"):
		if h.chunked || h.http10 || !is(value, "chunked") {
			return badAnswer("its transfer-encoding is not chunked")
		}
		h.chunked = true
	case is(name, "connection"):
		h.closes = h.closes || hasToken(value, "close")
	case is(name, "content-type"):
		h.contentType = contentTypeOf(value)
	case is(name, "retry-after"):
		h.retryAfter = string(value)
	case is(name, "location"):
		h.location = string(value)
	case is(name, "orchestrix-no-retry"):
		h.noRetry = is(value, "true")
	case is(name, "orchestrix-async"):
		h.async = is(value, "true")
	}
	return nil
}

// contentLength accepts repeated equal values (RFC 9110, 8.6), no others.
func (h *head) contentLength(value []byte) error {
	n, err := strconv.ParseUint(string(value), 10, 63)
	if err != nil || h.length >= 0 && h.length != int64(n) {
		return badAnswer("its content-length is malformed or given twice")
	}
	h.length = int64(n)
	return nil
}

// checkFraming refuses what two readers could frame differently.
func (h *head) checkFraming() error {
	if h.chunked && h.length >= 0 {
		return badAnswer("it has both content-length and transfer-encoding")
	}
	return nil
}

// hasBody reports whether bytes may follow the head.
func (h *head) hasBody() bool {
	return h.status >= 200 && h.status != 204 && h.status != 304
}

// is compares without regard to ASCII case; lower is in lower case.
func is(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

func hasToken(list []byte, token string) bool {
	for part := range bytes.SplitSeq(list, []byte(",")) {
		if is(bytes.Trim(part, " \t"), token) {
			return true
		}
	}
	return false
}

// contentTypeOf spares the usual ones their allocation.
func contentTypeOf(value []byte) string {
	for _, known := range [...]string{"application/json", "text/plain; charset=utf-8", "application/json; charset=utf-8", "text/plain"} {
		if string(value) == known {
			return known
		}
	}
	const limit = 256
	return strings.ToValidUTF8(string(value[:min(len(value), limit)]), "?")
}

// parseRetryAfter reads seconds or an HTTP date. What is neither, such as 1e309
// or a negative number, is as if it were absent; what is longer than
// MaxRetryAfter, however many digits it has, is clamped.
func parseRetryAfter(text string, now time.Time) (wait time.Duration, ok bool) {
	if text == "" {
		return 0, false
	}
	if strings.Trim(text, "0123456789") == "" {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil || n > uint64(MaxRetryAfter/time.Second) {
			return MaxRetryAfter, true
		}
		return time.Duration(n) * time.Second, true
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0, false
	}
	return min(max(at.Sub(now), 0), MaxRetryAfter), true
}
