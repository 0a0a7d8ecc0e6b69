package main

import (
	"strings"
	"testing"

	"github.com/orchestrix/orchestrix/client"
)

func TestBulkFromTheShell(t *testing.T) {
	t.Parallel()
	server := "--server=" + startServer(t)
	pending := func(want int64) {
		t.Helper()
		q := decode[client.Queue](t, command(t, "", "queues", "get", server, "-o", "json", "q"))
		if q.Counts["pending"] != want {
			t.Errorf("%v, want %d pending", q.Counts, want)
		}
	}
	if r := command(t, "", "enqueue", server, "--queue", "q", "--type", "t", "--count", "30", "1"); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	if r := command(t, "", "enqueue", server, "--queue", "q", "--type", "u", "--label", "a:b", "1"); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	for _, answer := range []string{"", "y\n", "no\n"} {
		r := command(t, answer, "jobs", "cancel", server, "--queue", "q")
		if r.code != exitFailed || !strings.Contains(r.err, "31 jobs match; type yes to cancel them: ") || !strings.Contains(r.err, "nothing was changed") {
			t.Errorf("answered %q: %+v", answer, r)
		}
	}
	pending(31)
	r := command(t, "yes\n", "jobs", "cancel", server, "--label", "a:b", "--since", "1h", "--wait")
	if r.code != exitOK || !strings.Contains(r.err, "1 job matches") || !strings.Contains(r.out, "succeeded") || !strings.Contains(r.out, "label a:b") {
		t.Errorf("answered yes: %+v", r)
	}
	pending(30)
	if r := command(t, "", "jobs", "cancel", server, "--label", "a:c"); r.code != exitOK || !strings.Contains(r.err, "no such jobs") || r.out != "" {
		t.Errorf("none match: %+v", r)
	}
	o := decode[client.Operation](t, command(t, "", "queues", "purge", server, "-o", "json", "--yes", "--wait", "q"))
	if o.Kind != "purge" || o.Done != 30 || !o.Over() {
		t.Errorf("purge: %+v", o)
	}
	pending(0)
	if o := decode[client.Operation](t, command(t, "", "jobs", "retry", server, "-o", "json", "--yes", "--wait", "--status", "cancelled", "--type", "t")); o.Done != 30 {
		t.Errorf("retry: %+v", o)
	}
	pending(30)
	if r := command(t, "yes\n", "queues", "purge", server, "q"); r.code != exitOK || !strings.Contains(r.err, "30 jobs match; type yes to purge them") || !strings.Contains(r.err, "operations get --wait op_") {
		t.Errorf("purge: %+v", r)
	}
	list := command(t, "", "operations", "list", server)
	if strings.Count(list.out, "op_") != 4 || !strings.Contains(list.out, "queue q") {
		t.Errorf("operations:\n%s", list.out)
	}
	newest := decode[[]client.Operation](t, command(t, "", "operations", "list", server, "-o", "json"))[0]
	if r := command(t, "", "operations", "get", server, "--wait", newest.ID); r.code != exitOK || !strings.Contains(r.out, "succeeded") {
		t.Errorf("get: %+v", r)
	}
	if r := command(t, "", "operations", "cancel", server, newest.ID); r.code != exitRefused || !strings.Contains(r.err, "already succeeded") {
		t.Errorf("cancel: %+v", r)
	}
	if r := command(t, "", "jobs", "delete", server, "--all", "--yes", "--wait"); r.code != exitOK || !strings.Contains(r.out, "31") {
		t.Errorf("delete: %+v", r)
	}
	if r := command(t, "", "jobs", "list", server); !strings.Contains(r.err, "no such jobs") {
		t.Errorf("jobs are left: %+v", r)
	}
}
