package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/orchestrix/orchestrix/client"
)

func TestUniqueFromTheShell(t *testing.T) {
	t.Parallel()
	server := "--server=" + startServer(t)
	enqueue := func(flags ...string) result {
		return command(t, "", append([]string{"enqueue", server, "-o", "json", "--queue", "q", "--type", "sync", "1"}, flags...)...)
	}
	first := decode[client.Receipt](t, enqueue("--unique"))
	if again := decode[client.Receipt](t, enqueue("--unique")); again.ID != first.ID || !again.Existing {
		t.Errorf("again: %+v", again)
	}
	if r := enqueue("--unique-on-conflict", "reject"); r.code != exitRefused || !strings.Contains(r.err, first.ID) {
		t.Errorf("rejected: %+v", r)
	}
	second := decode[client.Receipt](t, enqueue("--unique-on-conflict", "replace"))
	if r := command(t, "", "jobs", "get", server, first.ID); !strings.Contains(r.out, "replaced") || !regexp.MustCompile(`replaced by: +`+second.ID+`\n`).MatchString(r.out) {
		t.Errorf("the first one:\n%s", r.out)
	}
	timed := decode[client.Receipt](t, enqueue("--unique-by", "type,key", "--key", "k", "--unique-until", "ttl", "--unique-ttl", "2d"))
	if r := command(t, "", "jobs", "get", server, timed.ID); !regexp.MustCompile(`unique: +by type, key until ttl of 2d\n`).MatchString(r.out) {
		t.Errorf("as shown:\n%s", r.out)
	}
	for _, flags := range [][]string{{"--unique", "--count", "2"}, {"--unique-ttl", "soon"}} {
		if r := enqueue(flags...); r.code != exitUsage {
			t.Errorf("%q: %+v", flags, r)
		}
	}
	for _, flags := range [][]string{{"--unique-ttl", "1m"}, {"--unique-by", "label"}, {"--unique-until", "never"}} {
		if r := enqueue(flags...); r.code != exitRefused || !strings.Contains(r.err, "unique.") {
			t.Errorf("%q: %+v", flags, r)
		}
	}
}
