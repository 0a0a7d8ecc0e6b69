package main

import (
	"bytes"
	"context"
	"flag"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/orchestrix/orchestrix/app"
)

// asCLI in the environment makes the test binary the command line tool, so that
// tests can start it as a process.
const asCLI = "ORCHESTRIX_TEST_AS_CLI"

var update = flag.Bool("update", false, "write golden files and the generated parts of the documentation anew")

func TestMain(m *testing.M) {
	if os.Getenv(asCLI) != "" {
		main()
	}
	// The settings of whoever runs the tests are not theirs.
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, envPrefix) {
			os.Unsetenv(name)
		}
	}
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what takes milliseconds.
const patience = 30 * time.Second

// result is what a command line did.
type result struct {
	code     int
	out, err string
}

// command runs one command line within the test.
func command(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var out, err bytes.Buffer
	code := run(ctx, args, strings.NewReader(stdin), &out, &err)
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	return result{code, out.String(), err.String()}
}

// startServer runs a server in memory for as long as the test, and returns its
// URL.
func startServer(t *testing.T) string {
	t.Helper()
	config := app.Defaults()
	config.Store, config.Listen, config.Shards = "memory:", "127.0.0.1:0", 2
	config.AllowCIDR = loopback()
	config.Logger = slog.New(slog.DiscardHandler)
	a, err := app.New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the server: %v", err)
		}
	})
	return a.URL()
}

// golden compares with a file, which -update writes anew.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (run the test with -update if it should change):\n%s", path, diff)
	}
}
