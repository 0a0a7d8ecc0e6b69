package front

import (
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// maxKept is the longest answer whose buffers are kept for the next one.
const maxKept = 64 << 10

// response collects an answer, which is written when the handler has returned.
type response struct {
	header http.Header
	status int
	body   []byte
	out    []byte
}

func (r *response) reset() {
	clear(r.header)
	r.status = 0
	if cap(r.body)+cap(r.out) > maxKept {
		r.body, r.out = nil, nil
	}
	r.body = r.body[:0]
}

// Header implements http.ResponseWriter.
func (r *response) Header() http.Header { return r.header }

// WriteHeader implements http.ResponseWriter. What comes before the answer (1xx)
// is not sent.
func (r *response) WriteHeader(status int) {
	if r.status == 0 && status >= 200 {
		r.status = status
	}
}

// Write implements http.ResponseWriter.
func (r *response) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	r.body = append(r.body, p...)
	return len(p), nil
}

// closes reports whether the handler wants the connection to be closed.
func (r *response) closes() bool {
	v := r.header["Connection"]
	return len(v) > 0 && strings.EqualFold(v[0], "close")
}

// text returns the answer as it is sent. Its length is told by what the handler
// wrote and not by what it said.
func (r *response) text(date string, last bool) []byte {
	r.WriteHeader(http.StatusOK)
	out := r.out[:0]
	out = append(out, "HTTP/1.1 "...)
	out = strconv.AppendInt(out, int64(r.status), 10)
	out = append(append(out, ' '), http.StatusText(r.status)...)
	out = append(append(out, "\r\nDate: "...), date...)
	for name, values := range r.header {
		if name == "Content-Length" || name == "Connection" || name == "Transfer-Encoding" || name == "Date" {
			continue
		}
		for _, v := range values {
			out = append(append(append(out, "\r\n"...), name...), ": "...)
			out = appendValue(out, v)
		}
	}
	if last {
		out = append(out, "\r\nConnection: close"...)
	}
	if r.status != http.StatusNoContent && r.status != http.StatusNotModified {
		out = append(out, "\r\nContent-Length: "...)
		out = strconv.AppendInt(out, int64(len(r.body)), 10)
		out = append(append(out, "\r\n\r\n"...), r.body...)
	} else {
		out = append(out, "\r\n\r\n"...)
	}
	r.out = out
	return out
}

// appendValue keeps a line break from ending the header.
func appendValue(out []byte, value string) []byte {
	if !strings.ContainsAny(value, "\r\n") {
		return append(out, value...)
	}
	for _, c := range []byte(value) {
		if c == '\r' || c == '\n' {
			c = ' '
		}
		out = append(out, c)
	}
	return out
}

// dates is the text of the Date header, made once a second.
type dates struct{ now atomic.Pointer[date] }

type date struct {
	second int64
	text   string
}

func (d *dates) at(now time.Time) string {
	second := now.Unix()
	if known := d.now.Load(); known != nil && known.second == second {
		return known.text
	}
	text := now.UTC().Format(http.TimeFormat)
	d.now.Store(&date{second, text})
	return text
}
