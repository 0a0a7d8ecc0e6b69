package charts

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var commands = regexp.MustCompile("`orchestrix ([^`]+)`")

// TestCommandsOfRunbooksAreThere: what a runbook tells somebody to type at night exists,
// and has the flags.
func TestCommandsOfRunbooksAreThere(t *testing.T) {
	t.Parallel()
	help := map[string]string{}
	found := 0
	for _, name := range glob(t, "docs", "runbooks", "*.md") {
		for _, m := range commands.FindAllStringSubmatch(string(read(t, name)), -1) {
			found++
			command, rest := split(m[1])
			if help[command] == "" {
				out, err := exec.CommandContext(t.Context(), binary(t), append(strings.Fields(command), "--help")...).CombinedOutput()
				if err != nil || !strings.Contains(string(out), "orchestrix "+command+" ") {
					t.Errorf("%s: orchestrix %s is no command: %v", filepath.Base(name), command, err)
					continue
				}
				help[command] = string(out)
			}
			for _, word := range rest {
				if strings.HasPrefix(word, "--") && !strings.Contains(help[command], "  "+word+" ") {
					t.Errorf("%s: orchestrix %s has no %s", filepath.Base(name), command, word)
				}
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d commands were found", found)
	}
}

// split parts a command line: the command, which is one word or two, and what follows.
func split(line string) (command string, rest []string) {
	words := strings.Fields(line)
	n := 1
	if len(words) > 1 && regexp.MustCompile("^[a-z][a-z-]+$").MatchString(words[1]) {
		n = 2
	}
	return strings.Join(words[:n], " "), words[n:]
}
