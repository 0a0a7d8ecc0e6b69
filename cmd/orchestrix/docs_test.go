package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// The documents whose commands are run.
var documents = []string{"README.md", "docs/cli.md", "docs/api.md", "docs/configuration.md", "docs/operations.md", "docs/schedules.md"}

const repository = "../.."

// block is a fenced block of shell commands. One in the background goes on
// while the ones after it are run.
type block struct {
	line       int
	background bool
	text       string
}

var fence = regexp.MustCompile("(?ms)^```sh( background)?\n(.*?)^```$")

func blocks(text string) []block {
	var out []block
	for _, m := range fence.FindAllStringSubmatchIndex(text, -1) {
		out = append(out, block{strings.Count(text[:m[0]], "\n") + 1, m[2] >= 0, text[m[4]:m[5]]})
	}
	return out
}

// Every command in the documentation works: the blocks of a document are run in
// order, against a real server on a port of the test's own.
func TestDocumentedCommands(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("there is no bash")
	}
	for _, name := range documents {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(filepath.Join(repository, name))
			if err != nil {
				t.Fatal(err)
			}
			found := blocks(string(text))
			if len(found) == 0 || strings.Count(string(text), "\n```sh") != len(found) {
				t.Fatalf("%d blocks understood of %d", len(found), strings.Count(string(text), "\n```sh"))
			}
			if name != "README.md" { // which starts its own
				found = append([]block{{0, true, "orchestrix serve --allow-cidr 127.0.0.0/8\n"}}, found...)
			}
			runBlocks(t, found)
		})
	}
}

// runBlocks runs the blocks as one script. The first that fails ends it, and is
// named.
func runBlocks(t *testing.T, found []block) {
	t.Helper()
	dir, port := t.TempDir(), freePort(t)
	var b strings.Builder
	b.WriteString("set -euo pipefail\ntrap 'code=$?; kill $(jobs -p) 2>/dev/null || true; wait; exit $code' EXIT\n")
	for i, block := range found {
		text := strings.ReplaceAll(block.text, "go run ./cmd/orchestrix", "orchestrix")
		// The test's own binary stands for what would be built, and needs no path.
		text = strings.ReplaceAll(text, "make build\n", "")
		text = strings.ReplaceAll(text, "127.0.0.1:8080", fmt.Sprintf("127.0.0.1:%d", port))
		fmt.Fprintf(&b, "block='the block at line %d'\n", block.line)
		if !block.background {
			b.WriteString(text)
			continue
		}
		// What goes on says on one of its first lines where it listens.
		fmt.Fprintf(&b, "( exec %s ) >log%d 2>&1 &\nfor n in $(seq 300); do grep -qE 'listen|^server' log%d && break; kill -0 $! || { cat log%d; exit 1; }; sleep 0.1; done\n",
			strings.TrimSpace(text), i, i, i)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", "trap 'echo \"failed: $block\" >&2' ERR\n"+b.String())
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+tools(t)+string(os.PathListSeparator)+os.Getenv("PATH"),
		fmt.Sprintf("ORCHESTRIX_LISTEN=127.0.0.1:%d", port), fmt.Sprintf("ORCHESTRIX_URL=http://127.0.0.1:%d", port))
	cmd.WaitDelay = 10 * time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// tools returns a directory with a program "orchestrix", which is this test.
func tools(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\nexec env %s=1 '%s' \"$@\"\n", asCLI, self)
	if err := os.WriteFile(filepath.Join(dir, "orchestrix"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// The table of settings in the documentation is drawn from the flags.
func TestSettingsAreDocumented(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("\n| setting | default | |\n| --- | --- | --- |\n")
	serve, _, err := root().Find([]string{"serve"})
	if err != nil {
		t.Fatal(err)
	}
	serve.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" || f.Hidden {
			return
		}
		_, usage := pflag.UnquoteUsage(f)
		value := "none"
		if f.DefValue != "" && f.DefValue != "[]" && f.DefValue != "0" {
			value = "`" + f.DefValue + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", f.Name, value, strings.NewReplacer("|", "\\|", "<", "&lt;").Replace(usage))
	})
	generated(t, "docs/configuration.md", "settings", b.String()+"\n")
}

// generated compares the part of a document between two marks, which -update
// writes anew.
func generated(t *testing.T, name, mark, want string) {
	t.Helper()
	path := filepath.Join(repository, name)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(data), "<!-- "+mark+" -->\n")
	got, after, ok2 := strings.Cut(rest, "<!-- /"+mark+" -->\n")
	if !ok1 || !ok2 {
		t.Fatalf("%s has no part %q", name, mark)
	}
	if got == want {
		return
	}
	if !*update {
		t.Errorf("%s: the part %q is not what the code says; run the test with -update", name, mark)
		return
	}
	text := before + "<!-- " + mark + " -->\n" + want + "<!-- /" + mark + " -->\n" + after
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
