package main

import (
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestHelp(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "serve", "dev", "enqueue", "listen", "jobs", "bench", "doctor", "store accept-loss"} {
		args := append(strings.Fields(name), "--help")
		r := command(t, "", args...)
		if r.code != exitOK || r.err != "" {
			t.Errorf("%v: code %d, %s", args, r.code, r.err)
		}
		golden(t, "help-"+strings.ReplaceAll(name, " ", "-")+".txt", r.out)
	}
}

// every visits all commands of the tool that are not hidden.
func every(cmd *cobra.Command, visit func(*cobra.Command)) {
	visit(cmd)
	for _, sub := range cmd.Commands() {
		if !sub.Hidden {
			every(sub, visit)
		}
	}
}

func root() *cobra.Command { return (&cli{stdout: io.Discard, stderr: io.Discard}).root() }

func TestEveryCommandTeaches(t *testing.T) {
	t.Parallel()
	every(root(), func(cmd *cobra.Command) {
		if cmd.Short == "" {
			t.Errorf("%s has no short text", cmd.CommandPath())
		}
		top := cmd.HasParent() && !cmd.Parent().HasParent()
		if top && cmd.Example == "" {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		for line := range strings.Lines(cmd.Long) {
			if len(line) > 82 {
				t.Errorf("%s: a line of its help is %d characters long: %s", cmd.CommandPath(), len(line), line)
			}
		}
	})
}

func TestUsageErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		args []string
		want string
	}{
		{[]string{"fly"}, `unknown command "fly"`},
		{[]string{"jobs", "fly"}, `there is no command "fly"`},
		{[]string{"jobs", "get"}, "accepts 1 arg"},
		{[]string{"version", "-o", "xml"}, "--output must be table or json"},
		{[]string{"version", "--colour"}, "unknown flag: --colour"},
		{[]string{"enqueue", "not json"}, "the payload is not JSON"},
		{[]string{"enqueue", "@/nowhere/file"}, "payload: open /nowhere/file"},
		{[]string{"enqueue", "--body", "a", "1"}, "give one of a payload, --body and --body-file"},
		{[]string{"enqueue", "--body", "", "--body-file", "x"}, "give one of a payload, --body and --body-file"},
		{[]string{"enqueue", "--body-file", "/nowhere/file"}, "--body-file: open /nowhere/file"},
		{[]string{"enqueue", "--delay", "soon"}, `--delay "soon" is not a duration`},
		{[]string{"enqueue", "--run-at", "noon"}, `--run-at "noon" is not a time`},
		{[]string{"enqueue", "--label", "x"}, `--label "x" must be name:value`},
		{[]string{"enqueue", "--count", "2", "--wait"}, "--count must be"},
		{[]string{"jobs", "cancel"}, "give ids, or choose jobs by --queue"},
		{[]string{"jobs", "delete", "--all", "job_x"}, "either ids or flags"},
		{[]string{"jobs", "retry", "--since", "soon"}, `--since "soon" is not a duration`},
		{[]string{"jobs", "retry", "--label", "soon"}, `--label "soon" must be name:value`},
		{[]string{"queues", "purge"}, "accepts 1 arg"},
		{[]string{"listen", "--fail-rate", "2"}, "--fail-rate must be from 0 to 1"},
		{[]string{"listen", "--status", "42"}, "--status must be"},
		{[]string{"bench", "--jobs", "0"}, "--jobs"},
		{[]string{"serve", "--store", "postgres://user:hidden@host"}, `unknown store "postgres"`},
		{[]string{"serve", "--store", "redis://user:hidden@host?x=1"}, `there is no parameter "x"`},
		{[]string{"store", "accept-loss", "--store", "redis://user:hidden@host?x=1"}, `there is no parameter "x"`},
		{[]string{"serve", "--listen", "0.0.0.0:8080"}, "export ORCHESTRIX_ROOT_KEY=$(orchestrix api-keys generate) && orchestrix serve --listen 0.0.0.0:8080"},
		{[]string{"serve", "--log-level", "loud"}, "--log-level"},
		{[]string{"serve", "--retention", "1s"}, "--retention must be from"},
		{[]string{"jobs", "list", "--server", "nowhere"}, "server URL"},
		{[]string{"serve", "--config", "/nowhere.yaml"}, "does not exist"},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			t.Parallel()
			r := command(t, "", tt.args...)
			if r.code != exitUsage {
				t.Errorf("exit code %d, want %d", r.code, exitUsage)
			}
			if !strings.Contains(r.err, tt.want) || !strings.Contains(r.err, "--help") {
				t.Errorf("says %q, want %q and where to find help", r.err, tt.want)
			}
			if strings.Contains(r.err, "hidden") {
				t.Errorf("shows a password: %s", r.err)
			}
		})
	}
}
