package push

import (
	"strings"
	"testing"

	"github.com/orchestrix/orchestrix/webhook"
)

func TestCheckURL(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"https://example.com":                       "",
		"http://example.com:8080/a/b?c=d":           "",
		"http://my_worker:9000/":                    "",
		"http://localhost":                          "",
		"https://xn--bcher-kva.example/":            "",
		"https://bücher.example/ä?ö=ü":              "",
		"http://[2606:2800:220:1::1]:8443/":         "",
		"http://1.2.3.4/":                           "",
		"HTTP://EXAMPLE.COM/":                       "",
		"http://example.com.":                       "",
		"http://example.com/" + repeated("x", 2000): "",
		"": "must not be empty",
		"http://example.com/" + repeated("x", 2<<10): "at most 2048 bytes",
		"example.com":                          "must begin with http:// or https://",
		"//example.com/":                       "must begin with http:// or https://",
		"/hook":                                "must begin with http:// or https://",
		"file:///etc/passwd":                   "must begin with http:// or https://",
		"ftp://example.com/":                   "must begin with http:// or https://",
		"javascript:alert(1)":                  "must begin with http:// or https://",
		"unix:///run/docker.sock":              "must begin with http:// or https://",
		"gopher://example.com/":                "must begin with http:// or https://",
		"http:":                                "must name a host",
		"http:example.com":                     "must name a host",
		"http:///x":                            "must name a host",
		"http://:80/":                          "must name a host",
		"http://user:pw@example.com/":          "user name or password",
		"http://user@example.com/":             "user name or password",
		"http://@example.com/":                 "user name or password",
		"http://example.com/#a":                "fragment",
		"http://example.com/#":                 "fragment",
		"http://example.com:0/":                "port from 1 to 65535",
		"http://example.com:65536/":            "port from 1 to 65535",
		"http://example.com:/":                 "a port after the colon",
		"http://example.com:http/":             "not a valid URL",
		"http://example.com:-1/":               "not a valid URL",
		"http://example.com:80:80/":            "not a valid URL",
		"http://exa mple.com/":                 "not a valid URL",
		"http://example.com/a\r\nX-Evil: 1":    "control characters",
		"http://example.com/\x00":              "control characters",
		"http://example.com/\x7f":              "control characters",
		"http://example.com/\xff":              "control characters",
		"http://[::1":                          "not a valid URL",
		"http://[fe80::1%25eth0]/":             "without a zone",
		"http://[v1.x:y]/":                     "not a valid URL",
		"http://a..b/":                         "valid host name",
		"http://.a/":                           "valid host name",
		"http://./":                            "valid host name",
		"http://a,b/":                          "valid host name",
		"http://a%0d%0ab/":                     "not a valid URL",
		"http://" + repeated("a", 64) + "/":    "valid host name",
		"http://" + repeated("a.", 127) + "a/": "valid host name",
		"http://example.com\\@evil.example/":   "not a valid URL",
		"http://%31%32%37.0.0.1/":              "not a valid URL",
	} {
		err := CheckURL(raw)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.80q: got %v, want %q", raw, err, want)
		}
	}
}

// The message never repeats what may hold a password.
func TestCheckURLDoesNotLeak(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{"http://u:s3cret@example.com:x/", "http://u:s3cret@exa mple.com/", "http://u:s3cret@[::1", "u:s3cret@x"} {
		if err := CheckURL(raw); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: got %v", raw, err)
		}
	}
}

func TestDestination(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]struct{ shown, address, start string }{
		"https://Example.com": {
			"https://example.com/", "example.com:443", "POST / HTTP/1.1\r\nHost: example.com\r\n",
		},
		"http://example.com:80?a=b c\"": {
			"http://example.com/", "example.com:80", "POST /?a=b%20c%22 HTTP/1.1\r\nHost: example.com\r\n",
		},
		"https://example.com:80/x%2Fy/ä?": {
			"https://example.com:80/x%2Fy/%C3%A4", "example.com:80", "POST /x%2Fy/%C3%A4? HTTP/1.1\r\nHost: example.com:80\r\n",
		},
		"http://[2606:2800:0220::1]/?t=s3cret": {
			"http://[2606:2800:220::1]/", "[2606:2800:220::1]:80", "POST /?t=s3cret HTTP/1.1\r\nHost: [2606:2800:220::1]\r\n",
		},
		"https://[::1]:08443": {
			"https://[::1]:8443/", "[::1]:8443", "POST / HTTP/1.1\r\nHost: [::1]:8443\r\n",
		},
		"https://bücher.example/": {
			"https://xn--bcher-kva.example/", "xn--bcher-kva.example:443", "POST / HTTP/1.1\r\nHost: xn--bcher-kva.example\r\n",
		},
	} {
		d := newDestination(t, raw)
		if d.URL() != want.shown || d.Address() != want.address || d.start != want.start || d.Name() != "w" {
			t.Errorf("%s: got %q, %q, %q", raw, d.URL(), d.Address(), d.start)
		}
	}
}

func TestNewDestinationRefuses(t *testing.T) {
	t.Parallel()
	secrets := []webhook.Secret{testSecret}
	for name, c := range map[string]DestinationConfig{
		"URL":         {URL: "file:///x", Secrets: secrets},
		"header":      {URL: "http://a/", Secrets: secrets, Headers: map[string]string{"host": "b"}},
		"no secret":   {URL: "http://a/"},
		"zero secret": {URL: "http://a/", Secrets: []webhook.Secret{testSecret, {}}},
	} {
		if d, err := NewDestination(c); err == nil || d != nil {
			t.Errorf("%s: got %v, %v", name, d, err)
		}
	}
}

// Whatever passes the check makes one clean request line.
func FuzzParseURL(f *testing.F) {
	for _, seed := range []string{"http://a/b?c", "https://ü.example:1/ä?ö", "http://[::1%25x]/", "http://a\\b/", "http://0x7f.1", "http://a?\r\n", "http://a:80/%zz"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := parseURL(raw)
		if err != nil {
			if len(err.Error()) > 200 {
				t.Fatalf("%q", err)
			}
			return
		}
		for _, part := range []string{u.path, u.hostPort, u.host, u.port, u.shown} {
			for i := range len(part) {
				if part[i] <= ' ' || part[i] >= 0x7f {
					t.Fatalf("%q: %q", raw, part)
				}
			}
		}
		if !strings.HasPrefix(u.path, "/") || u.host == "" || strings.ContainsAny(u.host, "/?#@\\%") || strings.Contains(u.shown, "?") {
			t.Fatalf("%q: %+v", raw, u)
		}
	})
}
