package push

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orchestrix/orchestrix/job"
)

func TestValidateHeaders(t *testing.T) {
	t.Parallel()
	const hop = "is a hop-by-hop header and cannot be set"
	for name, c := range map[string]struct {
		headers map[string]string
		want    map[string]string // field to message
	}{
		"none":    {nil, nil},
		"usual":   {map[string]string{"Authorization": "Bearer x", "X-Api-Key": "1", "traceparent": "00-a", "Accept": "*/*", "Cookie": "a=b; c=d", "X_Y.z!": ""}, nil},
		"tab":     {map[string]string{"X-A": "a\tb"}, nil},
		"longest": {map[string]string{repeated("x", MaxHeaderName): repeated("y", MaxHeaderValue)}, nil},
		"values": {map[string]string{
			"A": "a\r\nX-Evil: 1", "B": "a\nb", "C": "a\rb", "D": "a\x00", "E": "\x7f", "F": "ü", "G": " a", "H": "a\t", "I": "\x1b[31m",
		}, fields("must be visible ASCII, spaces and tabs, with none of them at its ends", "A", "B", "C", "D", "E", "F", "G", "H", "I")},
		"long value": {map[string]string{"A": repeated("x", MaxHeaderValue+1)}, fields("must be at most 4096 bytes", "A")},
		"long name":  {map[string]string{repeated("x", 129): ""}, map[string]string{fmt.Sprintf("headers[%q]", repeated("x", 64)): "must have a name of at most 128 bytes"}},
		"names": {map[string]string{"": "", "a b": "", "a:b": "", "a\r\nb": "", "ü": "", "a(": ""}, map[string]string{
			`headers[""]`: "is not a valid header name", `headers["a b"]`: "is not a valid header name", `headers["a:b"]`: "is not a valid header name",
			`headers["a\r\nb"]`: "is not a valid header name", `headers["ü"]`: "is not a valid header name", `headers["a("]`: "is not a valid header name",
		}},
		"hop-by-hop": {
			map[string]string{"Connection": "x", "keep-alive": "x", "TE": "x", "Trailer": "x", "Transfer-Encoding": "x", "Upgrade": "x", "Proxy-Authorization": "x", "PROXY-X": "x", "Proxy-Connection": "x"},
			fields(hop, "Connection", "keep-alive", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "Proxy-Authorization", "PROXY-X", "Proxy-Connection"),
		},
		"the payload's": {map[string]string{"Content-Length": "1", "HOST": "x", "Expect": "100-continue", "Content-Type": "x", "User-Agent": "x", "Accept-Encoding": "gzip", "Content-Encoding": "gzip"}, map[string]string{
			"headers.Content-Length": "is the payload's length and cannot be set", "headers.HOST": "is taken from the URL and cannot be set",
			"headers.Expect": "is not supported: the payload is always sent at once", "headers.Content-Type": "is the payload's: set the job's content_type",
			"headers.User-Agent": "is always Orchestrix's and cannot be set", "headers.Accept-Encoding": "is always identity: answers are kept as they are sent",
			"headers.Content-Encoding": "cannot be set: payloads are sent as they are",
		}},
		"signed": {map[string]string{"Webhook-Id": "x", "orchestrix-anything": "x"}, map[string]string{
			"headers.Webhook-Id":          "must not begin with webhook-: such headers are signed by the server",
			"headers.orchestrix-anything": "must not begin with orchestrix-: such headers are signed by the server",
		}},
		"twice":      {map[string]string{"X-A": "1", "x-a": "2"}, fields("is given twice, in different case", "x-a")},
		"too many":   {manyHeaders(MaxHeaders+1, ""), map[string]string{"headers": "must have at most 64 entries"}},
		"just right": {manyHeaders(MaxHeaders, ""), nil},
		"too much":   {manyHeaders(5, repeated("x", MaxHeaderValue)), map[string]string{"headers": "must be at most 16384 bytes, all names and values together"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := map[string]string{}
			for _, e := range ValidateHeaders("headers", c.headers) {
				got[e.Field] = e.Message
			}
			if c.want == nil {
				c.want = map[string]string{}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func fields(message string, names ...string) map[string]string {
	out := map[string]string{}
	for _, name := range names {
		out["headers."+name] = message
	}
	return out
}

func manyHeaders(n int, value string) map[string]string {
	out := map[string]string{}
	for i := range n {
		out[fmt.Sprintf("X-%d", i)] = value
	}
	return out
}

// FuzzHeaders: what passes the validation stands in the request as one line.
func FuzzHeaders(f *testing.F) {
	f.Add("X-A", "b")
	f.Add("X-A: b\r\nEvil", "1")
	f.Add("Content-Length", "0")
	d := newDestination(f, "http://a/")
	f.Fuzz(func(t *testing.T, name, value string) {
		headers := map[string]string{name: value}
		r := &Request{Destination: d, JobID: job.ID{1}, Headers: headers, Body: []byte("{}")}
		head, _, err := r.appendHead(nil, nil, "x", "", r.EnqueuedAt, r.Deadline)
		if valid := len(ValidateHeaders("h", headers)) == 0; valid != (err == nil) {
			t.Fatalf("valid %v, but %v", valid, err)
		}
		plain, _, _ := (&Request{Destination: d, JobID: job.ID{1}, Body: []byte("{}")}).appendHead(nil, nil, "x", "", r.EnqueuedAt, r.Deadline)
		if err == nil && strings.Count(string(head), "\r\n") != strings.Count(string(plain), "\r\n")+1 {
			t.Fatalf("%q", head)
		}
	})
}
