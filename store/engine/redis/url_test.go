package redis

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]Target{
		"redis://localhost": {kind: single, addresses: []string{"localhost:6379"}},
		"redis://[::1]/2":   {kind: single, addresses: []string{"[::1]:6379"}, database: 2},
		"redis://u:p%40ss%2F@10.0.0.1:7000?prefix=a.b-c_1&timeout=1s&pool=7": {
			kind: single, addresses: []string{"10.0.0.1:7000"}, username: "u", password: "p@ss/", prefix: "a.b-c_1", timeout: time.Second, pool: 7,
		},
		"redis://:secret@h": {kind: single, addresses: []string{"h:6379"}, password: "secret"},
		"redis-sentinel://u:p@a,b:26380,[::1]:26381/main/3?sentinel_username=su&sentinel_password=sp": {
			kind: sentinel, addresses: []string{"a:26379", "b:26380", "[::1]:26381"}, master: "main", database: 3,
			username: "u", password: "p", sentinelUsername: "su", sentinelPassword: "sp",
		},
		"redis-cluster://a:1,b:2,c/": {kind: cluster, addresses: []string{"a:1", "b:2", "c:6379"}},
	} {
		got, err := Parse(url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		want.scheme, _, _ = strings.Cut(url, "://")
		if want.prefix == "" {
			want.prefix = "orchestrix"
		}
		if want.timeout == 0 {
			want.timeout, want.pool = 3*time.Second, 64
		}
		if !reflect.DeepEqual(*got, want) {
			t.Errorf("%s: %+v, want %+v", url, *got, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"":                                "redis://",
		"http://h":                        "redis://",
		"redis:h":                         "redis://",
		"redis://":                        "host:port",
		"redis://h:x":                     "host:port",
		"redis://h:0":                     "host:port",
		"redis://::1":                     "host:port",
		"redis://a,b":                     "redis-cluster://",
		"redis://h/x":                     "not a number",
		"redis://h#x":                     "percent-encode",
		"redis://u:s3cret%zz@h":           "percent-encode",
		"redis://h?prefix=":               "prefix",
		"redis://h?prefix={a}":            "prefix",
		"redis://h?timeout=1":             "timeout",
		"redis://h?timeout=2h":            "timeout",
		"redis://h?pool=0":                "pool",
		"redis://h?pool=1&pool=2":         "twice",
		"redis://h?db=1":                  `"db"`,
		"redis://h?ca=x":                  "rediss",
		"redis://h?sentinel_password=x":   "redis-sentinel://",
		"redis-sentinel://h":              "master",
		"redis-sentinel://h/":             "master",
		"redis-cluster://h/1":             "numbered databases",
		"rediss://h?ca=/nowhere.pem":      "ca:",
		"rediss://h?cert=a":               "together",
		"rediss://h?cert=/no&key=/no":     "cert, key:",
		"rediss-sentinel://h/m?ca=url.go": "no certificate",
	} {
		_, err := Parse(url)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: %v, want %q", url, err, want)
		}
	}
}

func TestTLSOfURL(t *testing.T) {
	t.Parallel()
	for scheme, s := range schemes {
		path := ""
		if s.kind == sentinel {
			path = "/m"
		}
		got, err := Parse(scheme + "://h" + path)
		if err != nil || (got.tls != nil) != strings.HasPrefix(scheme, "rediss") {
			t.Errorf("%s: TLS %v, %v", scheme, got.tls, err)
		}
		if !IsURL(scheme+"://h") || IsURL(scheme+":h") {
			t.Errorf("%s is not told from others", scheme)
		}
	}
	got, err := Parse("rediss://h?server_name=other")
	if err != nil || got.tls.ServerName != "other" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestStringShowsNoSecret(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"redis://u:s3cret@h":   "redis://h:6379",
		"redis://h/3?prefix=x": "redis://h:6379/3?prefix=x",
		"rediss-sentinel://u:s3cret@a,b/m/3?sentinel_password=s3cret": "rediss-sentinel://a:26379,b:26379/m/3",
	} {
		target, err := Parse(url)
		if err != nil || target.String() != want {
			t.Errorf("%s is shown as %s, %v", url, target, err)
		}
	}
}

func TestDurability(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Durability{
		"memory": DurableMemory, "aof": DurableAOF, "replicas=1": DurableReplicas(1), "replicas=16": DurableReplicas(16),
	} {
		if got, err := ParseDurability(text); err != nil || got != want || got.String() != text {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "fsync", "replicas", "replicas=", "replicas=0", "replicas=17", "replicas=-1", "replicas=x"} {
		if got, err := ParseDurability(text); err == nil {
			t.Errorf("%q is read as %s", text, got)
		}
	}
}

func TestStoreRecord(t *testing.T) {
	t.Parallel()
	for _, r := range []storeRecord{
		{1, 0, 64, 1700000000000, true, ""}, {1, 0, 1, 0, false, ""}, {1, 3, MaxShards, 5, true, " hue=blue shade=dark"},
	} {
		if got, err := parseStoreRecord(r.String()); err != nil || got != r {
			t.Errorf("%s: %+v, %v", r, got, err)
		}
	}
	if got, err := parseStoreRecord("layout=2 anything"); err != nil || got.layout != 2 {
		t.Errorf("a newer record: %+v, %v", got, err)
	}
	for _, text := range []string{
		"", "x", "layout=0", "layout=1", "layout=1 shards=0 created=1", "layout=1 shards=5000 created=1", "layout=1 shards=4",
		"layout=1. shards=4 created=1", "layout=1.-1 shards=4 created=1",
	} {
		if got, err := parseStoreRecord(text); err == nil {
			t.Errorf("%q is read as %+v", text, got)
		}
	}
}

// The scripts are what the binary has; each begins with the prelude.
func TestScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("lua/*.lua")
	if err != nil {
		t.Fatal(err)
	}
	scripts := []*script{applyScript, acquireScript, renewScript, releaseScript, headScript, getScript, scanScript, countersScript, namesScript}
	if len(files) != len(scripts)+3 { // the prelude, the probe, and the look at losses
		t.Errorf("%d files for %d scripts", len(files), len(scripts))
	}
	// What the probe does not try may be forbidden to the store's user.
	for _, s := range scripts {
		for _, part := range strings.Split(s.source, "call('")[1:] {
			command, _, _ := strings.Cut(part, "'")
			if !strings.Contains(probeScript, "call('"+command+"'") {
				t.Errorf("%s runs %s, which the probe does not", s.name, command)
			}
		}
	}
}
