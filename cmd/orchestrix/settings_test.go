package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

// resolve parses a command line as run would, and returns the values of flags.
func resolve(t *testing.T, args []string, flags ...string) (map[string]string, error) {
	t.Helper()
	got := map[string]string{}
	c := &cli{stdout: io.Discard, stderr: io.Discard}
	root := c.root()
	for _, cmd := range root.Commands() {
		cmd.RunE = func(cmd *cobra.Command, _ []string) error {
			for _, name := range flags {
				got[name] = cmd.Flags().Lookup(name).Value.String()
			}
			return nil
		}
	}
	root.SetArgs(args)
	return got, root.Execute()
}

func TestSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "o.yaml")
	text := "listen: 127.0.0.1:1\ndrain-grace: 1s\nretention: 30d\nallow-cidr: [10.0.0.0/8, 192.168.0.0/16]\nshards: 8\nserver: http://file\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("ORCHESTRIX_CONFIG", file)
	t.Setenv("ORCHESTRIX_LISTEN", "127.0.0.1:2")
	t.Setenv("ORCHESTRIX_DRAIN_GRACE", "2s")
	t.Setenv("ORCHESTRIX_URL", "http://environment")
	t.Setenv("ORCHESTRIX_KEY", "ox_x")
	t.Setenv("ORCHESTRIX_PORT", "tcp://10.0.0.1:80") // as Kubernetes does
	t.Setenv("ORCHESTRIX_STORE", "")                 // set to nothing is not set
	got, err := resolve(t, []string{"serve", "--listen", "127.0.0.1:3"}, "listen", "drain-grace", "retention", "allow-cidr", "shards", "server", "api-key", "store")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"listen": "127.0.0.1:3", "drain-grace": "2s", "retention": "30d", "allow-cidr": "[10.0.0.0/8,192.168.0.0/16]",
		"shards": "8", "server": "http://environment", "api-key": "ox_x", "store": "embedded:./data",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// The API key is not the key of a job, and a server's address not that of dev.
	t.Setenv("ORCHESTRIX_TYPE", "from the environment")
	got, err = resolve(t, []string{"enqueue"}, "key", "type", "server")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"key": "", "type": "job", "server": "http://environment"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestSettingsFileIsChecked(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"listn: 127.0.0.1:1\n":    `there is no setting "listn"`,
		"config: other.yaml\n":    `there is no setting "config"`,
		"shards: many\n":          `setting "shards"`,
		"listen: [\n":             "configuration file",
		"retention: 3 days\n":     `setting "retention"`,
		"priority: high\n":        `there is no setting "priority"`,
		"drain-grace: -1s\n":      `setting "drain-grace"`,
		"listen:\n  host: a\n":    "there is no setting",
		"server: http://x\n-: 1 ": "configuration file",
	}
	for text, want := range tests {
		file := filepath.Join(t.TempDir(), "o.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := resolve(t, []string{"serve", "--config", file}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
