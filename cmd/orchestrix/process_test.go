package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orchestrix/orchestrix/cmd/orchestrix/internal/bench"
	"github.com/orchestrix/orchestrix/cmd/orchestrix/internal/dev"
)

// process runs a command line in a process of its own.
func process(t *testing.T, args ...string) (stdout []byte, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(tools(t), "orchestrix"), args...)
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err = cmd.Run(); err != nil {
		t.Log(complaints.String())
	}
	return out.Bytes(), err
}

func TestDevExit(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	out, err := process(t, "dev", "--exit", "--dir", dir, "-o", "json")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var s dev.Summary
	if err := json.Unmarshal(out, &s); err != nil {
		t.Fatal(err)
	}
	if !s.OK || s.Refused != 0 || s.Pushes == 0 || len(s.Lines) != len(dev.Samples()) {
		t.Errorf("summary: %+v", s)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("a given directory is kept: %v", err)
	}
	// A second run on the same directory finds its own jobs among the old ones.
	if out, err := process(t, "dev", "--exit", "--dir", dir); err != nil {
		t.Errorf("again: %v\n%s", err, out)
	}
}

// Samples that get no time to end have not ended as expected, and dev says so.
func TestDevExitFails(t *testing.T) {
	t.Parallel()
	out, err := process(t, "dev", "--exit", "--timeout", "1ms")
	if err == nil || !strings.Contains(string(out), "no ") {
		t.Errorf("samples that had no time: %v\n%s", err, out)
	}
}

func TestBench(t *testing.T) {
	t.Parallel()
	out, err := process(t, "bench", "--jobs", "300", "--batch", "100", "--concurrency", "16", "--clients", "8", "--dir", t.TempDir(), "-o", "json")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var r bench.Report
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Phases) != 3 || r.Worker.Bare != 300 || r.Worker.Distinct != 600 || r.Worker.Unsigned != 0 || r.Worker.Verified == 0 {
		t.Errorf("report: %+v", r)
	}
	for _, p := range r.Phases {
		if p.Rate <= 0 || p.WallRatio <= 0 {
			t.Errorf("phase %+v", p)
		}
	}
}
