package charts

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// program returns the path of one of Prometheus's programs.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
		return path
	case os.Getenv("CI") != "":
		t.Fatalf("%v: tools/need-prometheus.sh installs it", err)
	default:
		t.Skipf("%v: tools/need-prometheus.sh installs it", err)
	}
	return ""
}

func promtool(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), program(t, "promtool"), args...).CombinedOutput()
	if err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestRulesAreValid(t *testing.T) {
	t.Parallel()
	promtool(t, append([]string{"check", "rules", "--lint=all", "--lint-fatal"}, glob(t, "charts", "alerts", "*.yaml")...)...)
}

func TestAlertsFireWhenTheyShould(t *testing.T) {
	t.Parallel()
	promtool(t, append([]string{"test", "rules"}, glob(t, "charts", "alerts", "tests", "*.yaml")...)...)
}

// TestEveryAlertHasARunbook and a case that fires; no runbook is left over.
func TestEveryAlertHasARunbook(t *testing.T) {
	t.Parallel()
	const site = "https://github.com/orchestrix/orchestrix/blob/main/"
	fires := string(read(t, filepath.Join("..", "..", "charts", "alerts", "tests", "fire.yaml")))
	books := map[string]bool{}
	for _, name := range glob(t, "docs", "runbooks", "*.md") {
		books[filepath.Base(name)] = false
	}
	for _, r := range rules(t) {
		if r.Alert == "" {
			continue
		}
		book, ok := strings.CutPrefix(r.Annotations["runbook_url"], site+"docs/runbooks/")
		if _, there := books[book]; !ok || !there {
			t.Errorf("%s: there is no runbook %q", r.Alert, r.Annotations["runbook_url"])
			continue
		}
		books[book] = true
		text := string(read(t, filepath.Join("..", "..", "docs", "runbooks", book)))
		if title, _, _ := strings.Cut(text, "\n"); !names(title, r.Alert) {
			t.Errorf("%s: its runbook is that of %q", r.Alert, title)
		}
		if !slices.Contains([]string{"critical", "warning"}, r.Labels["severity"]) || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s wants a severity, a summary and a description", r.Alert)
		}
		if !strings.Contains(fires, `{alertname="`+r.Alert+`"}`) {
			t.Errorf("no test has %s fire", r.Alert)
		}
	}
	for book, used := range books {
		if !used {
			t.Errorf("no alert leads to %s", book)
		}
	}
}

// names reports whether a runbook's title names the alert, or its beginning and a star.
func names(title, alert string) bool {
	_, list, _ := strings.Cut(title, ": ")
	return slices.ContainsFunc(strings.Split(list, ", "), func(name string) bool {
		begin, star := strings.CutSuffix(name, "*")
		return name == alert || star && strings.HasPrefix(alert, begin)
	})
}
