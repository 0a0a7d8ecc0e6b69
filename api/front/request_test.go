package front

import (
	"bufio"
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var testTargets = map[string]*url.URL{
	"POST /jobs HTTP/1.1":       {Path: "/jobs"},
	"POST /jobs/batch HTTP/1.1": {Path: "/jobs/batch"},
}

// post is a plain request with some more headers.
func post(body string, headers ...string) string {
	var b strings.Builder
	b.WriteString("POST /jobs HTTP/1.1\r\nHost: localhost:8080\r\n")
	for _, h := range headers {
		b.WriteString(h + "\r\n")
	}
	b.WriteString("Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
	return b.String()
}

func TestParse(t *testing.T) {
	t.Parallel()
	const ok = "POST /jobs HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
	head := func(lines string) string { return "POST /jobs HTTP/1.1\r\n" + lines + "\r\n\r\n{}" }
	for name, c := range map[string]struct {
		text string
		want verdict
	}{
		"plain":                  {ok, plain},
		"longer target":          {strings.Replace(ok, "/jobs", "/jobs/batch", 1), plain},
		"keep-alive":             {post("{}", "Connection: Keep-Alive"), plain},
		"repeated":               {post("{}", "Accept: a", "Accept: b"), plain},
		"spaces around a value":  {head("Host:a\r\nContent-Length: \t2 "), plain},
		"next request behind it": {ok + ok, plain},
		"nothing yet":            {"", incomplete},
		"half a word":            {"POS", incomplete},
		"no end of head":         {ok[:len(ok)-3], incomplete},
		"half a body":            {ok[:len(ok)-1], incomplete},

		"other method":          {strings.Replace(ok, "POST", "GET", 1), foreign},
		"other method, begun":   {"PUT", foreign},
		"other path":            {strings.Replace(ok, "/jobs", "/job", 1), foreign},
		"query":                 {strings.Replace(ok, "/jobs", "/jobs?a=b", 1), foreign},
		"absolute target":       {strings.Replace(ok, "/jobs", "http://a/jobs", 1), foreign},
		"encoded path":          {strings.Replace(ok, "/jobs", "/%6aobs", 1), foreign},
		"HTTP/1.0":              {strings.Replace(ok, "1.1", "1.0", 1), foreign},
		"HTTP/2":                {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", foreign},
		"empty line before":     {"\r\n" + ok, foreign},
		"spaces in the line":    {strings.Replace(ok, "POST ", "POST  ", 1), foreign},
		"lone LF":               {head("Host: a\nContent-Length: 2"), foreign},
		"lone CR":               {head("Host: a\rb\r\nContent-Length: 2"), foreign},
		"NUL":                   {head("Host: a\r\nA: \x00\r\nContent-Length: 2"), foreign},
		"not ASCII":             {head("Host: a\r\nA: \xe4\r\nContent-Length: 2"), foreign},
		"folded":                {head("Host: a\r\nA: b\r\n c\r\nContent-Length: 2"), foreign},
		"space before a colon":  {head("Host: a\r\nContent-Length : 2"), foreign},
		"space before a name":   {head("Host: a\r\n Content-Length: 2"), foreign},
		"no name":               {head("Host: a\r\n: b\r\nContent-Length: 2"), foreign},
		"no colon":              {head("Host: a\r\nab\r\nContent-Length: 2"), foreign},
		"no host":               {head("Content-Length: 2"), foreign},
		"empty host":            {head("Host:\r\nContent-Length: 2"), foreign},
		"two hosts":             {head("Host: a\r\nhost: a\r\nContent-Length: 2"), foreign},
		"odd host":              {head("Host: a/b\r\nContent-Length: 2"), foreign},
		"no length":             {head("Host: a"), foreign},
		"no body":               {head("Host: a\r\nContent-Length: 0"), foreign},
		"two equal lengths":     {head("Host: a\r\nContent-Length: 2\r\nContent-Length: 2"), foreign},
		"list of lengths":       {head("Host: a\r\nContent-Length: 2, 2"), foreign},
		"signed length":         {head("Host: a\r\nContent-Length: +2"), foreign},
		"negative length":       {head("Host: a\r\nContent-Length: -2"), foreign},
		"hexadecimal length":    {head("Host: a\r\nContent-Length: 0x2"), foreign},
		"length with _":         {head("Host: a\r\nContent-Length: 1_0"), foreign},
		"length of 2^64 and 2":  {head("Host: a\r\nContent-Length: 18446744073709551618"), foreign},
		"long body":             {head("Host: a\r\nContent-Length: 65537"), foreign},
		"chunked":               {head("Host: a\r\nTransfer-Encoding: chunked"), foreign},
		"chunked and a length":  {post("{}", "Transfer-Encoding: chunked"), foreign},
		"chunked in lower case": {post("{}", "transfer-encoding: chunked"), foreign},
		"close":                 {post("{}", "Connection: close"), foreign},
		"upgrade":               {post("{}", "Connection: upgrade", "Upgrade: h2c"), foreign},
		"expectation":           {post("{}", "Expect: 100-continue"), foreign},
		"trailer":               {post("{}", "Trailer: A"), foreign},
		"65 headers":            {post("{}", strings.Split(strings.Repeat("A: b,", 63), ",")[:63]...), foreign},
		"long head":             {post("{}", "A: "+strings.Repeat("b", maxHead)), foreign},
		"long head, begun":      {"POST /" + strings.Repeat("b", maxHead), foreign},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r request
			if got := r.parse([]byte(c.text), testTargets); got != c.want {
				t.Errorf("parse(%q) = %d, want %d", c.text, got, c.want)
			}
		})
	}
}

// Whatever parts a plain request comes in, it is judged once it is whole, and as
// if it had come whole.
func TestParseInParts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := []byte(plainRequests().Draw(t, "request"))
		var whole, parts request
		if v := whole.parse(text, testTargets); v != plain {
			t.Fatalf("parse(%q) = %d", text, v)
		}
		for _, n := range rapid.SliceOfN(rapid.IntRange(0, len(text)-1), 0, 8).Draw(t, "parts") {
			if n >= parts.scanned { // what has come does not go away
				if v := parts.parse(text[:n], testTargets); v != incomplete {
					t.Fatalf("parse(%q) = %d", text[:n], v)
				}
			}
		}
		if v := parts.parse(text, testTargets); v != plain || parts.size() != whole.size() {
			t.Fatalf("parse in parts = %d of %d bytes, want %d bytes", v, parts.size(), whole.size())
		}
		agree(t, &parts, text)
	})
}

func plainRequests() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		headers := rapid.SliceOfN(rapid.StringMatching(`X-[A-Za-z0-9-]{0,9}:[ \t]?[!-~]{0,9}`), 0, 6).Draw(t, "headers")
		return post(rapid.StringN(1, 50, -1).Draw(t, "body"), headers...)
	})
}

// failer is what *testing.T and *rapid.T have in common here.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// agree holds a plain request against net/http's reading of the same bytes.
func agree(t failer, r *request, data []byte) {
	t.Helper()
	got := r.use(data)
	in := bufio.NewReader(bytes.NewReader(data))
	want, err := http.ReadRequest(in)
	if err != nil {
		t.Fatalf("net/http refuses %q: %v", data, err)
	}
	if got.Method != want.Method || got.Host != want.Host || got.RequestURI != want.RequestURI || got.ContentLength != want.ContentLength || got.Proto != want.Proto || got.Close != want.Close {
		t.Fatalf("of %q:\n got %+v\nwant %+v", data, got, want)
	}
	if !reflect.DeepEqual(got.URL, want.URL) || !maps.EqualFunc(got.Header, want.Header, slices.Equal[[]string]) {
		t.Fatalf("of %q:\n got %v %v\nwant %v %v", data, got.URL, got.Header, want.URL, want.Header)
	}
	gotBody, err1 := io.ReadAll(got.Body)
	wantBody, err2 := io.ReadAll(want.Body)
	if err1 != nil || err2 != nil || !bytes.Equal(gotBody, wantBody) {
		t.Fatalf("of %q: body %q, %v, want %q, %v", data, gotBody, err1, wantBody, err2)
	}
	if rest, _ := io.ReadAll(in); !bytes.Equal(rest, data[r.size():]) {
		t.Fatalf("of %q: %q is left, want %q", data, data[r.size():], rest)
	}
}

// What is taken for plain, net/http reads in the same way, to the same byte.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		post("{}"), post("{}") + post("[]"), post("{}", "Accept: a", "accept: b", "Idempotency-Key:k"), post("{}", "Connection: keep-alive, close"),
		post("{}", "Transfer-Encoding: chunked"), "POST /jobs HTTP/1.1\r\nHost: [::1]:80\r\ncontent-length: 001\r\n\r\n{}", "GET / HTTP/1.1\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var r request
		if r.parse(data, testTargets) == plain {
			agree(t, &r, data)
		}
	})
}
