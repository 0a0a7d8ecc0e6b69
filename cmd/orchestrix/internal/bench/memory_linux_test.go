package bench

import (
	"os"
	"testing"
	"time"
)

func TestProcessMemory(t *testing.T) {
	t.Parallel()
	resident, peak, err := processMemory(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	// A Go program takes more than a MiB, and this one less than a few GiB.
	if resident < 1<<20 || peak < 1<<20 || max(resident, peak) > 1<<33 {
		t.Errorf("resident %d, peak %d bytes", resident, peak)
	}
	if _, _, err := processMemory(-1); err == nil {
		t.Error("the memory of no process is known")
	}
}

func TestKibibytes(t *testing.T) {
	t.Parallel()
	status := []byte("Name:\tVmRSS:\nVmHWM:\t    2180 kB\nVmRSS:\t  12 kB\nThreads:\t1\n")
	for name, want := range map[string]int64{"VmHWM:": 2180 << 10, "VmRSS:": 12 << 10} {
		if got, err := kibibytes(status, name); err != nil || got != want {
			t.Errorf("%s %d, %v; want %d", name, got, err, want)
		}
	}
	for _, name := range []string{"VmSwap:", "Name:", "Threads"} {
		if got, err := kibibytes(status, name); err == nil {
			t.Errorf("%s is %d", name, got)
		}
	}
}

// The CPU time of a process that computes rises; that of no process is unknown.
func TestProcessCPU(t *testing.T) {
	t.Parallel()
	before, err := processCPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		now, err := processCPU(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if now > before {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s after ten seconds of looking at it", now)
		}
	}
	if _, err := processCPU(1 << 28); err == nil {
		t.Error("the CPU time of no process is known")
	}
}
