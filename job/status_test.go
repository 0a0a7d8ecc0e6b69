package job_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orchestrix/orchestrix/job"
)

// The numbers are stored: a change of one is a change of the store's format.
func TestStoredNumbers(t *testing.T) {
	t.Parallel()
	got := map[string]uint8{}
	for _, s := range job.Statuses() {
		got["status "+s.String()] = uint8(s)
	}
	for _, o := range job.Outcomes() {
		got["outcome "+o.String()] = uint8(o)
	}
	for _, p := range job.Priorities() {
		got["priority "+p.String()] = uint8(p)
	}
	want := map[string]uint8{
		"status waiting": 1, "status succeeded": 2, "status dead": 3, "status cancelled": 4, "status expired": 5,
		"outcome succeeded": 1, "outcome failed": 2, "outcome timed_out": 3, "outcome cancelled": 4, "outcome throttled": 5, "outcome lost": 6,
		"priority critical": 1, "priority high": 2, "priority normal": 3, "priority low": 4,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stored numbers (-want +got):\n%s", diff)
	}
}

func TestParseStatus(t *testing.T) {
	t.Parallel()
	for _, s := range job.Statuses() {
		if back, ok := job.ParseStatus(s.String()); !ok || back != s {
			t.Errorf("ParseStatus(%q) = %v, %t", s, back, ok)
		}
	}
	for _, name := range []string{"", "Waiting", "status(0)", "status(9)", "running", "pending", " dead"} {
		if s, ok := job.ParseStatus(name); ok || s != 0 {
			t.Errorf("ParseStatus(%q) = %v, %t", name, s, ok)
		}
	}
}

func TestParsePriority(t *testing.T) {
	t.Parallel()
	for _, p := range job.Priorities() {
		if back, ok := job.ParsePriority(p.String()); !ok || back != p {
			t.Errorf("ParsePriority(%q) = %v, %t", p, back, ok)
		}
	}
	for _, name := range []string{"", "Normal", "priority(0)", "urgent", "3"} {
		if p, ok := job.ParsePriority(name); ok || p != 0 {
			t.Errorf("ParsePriority(%q) = %v, %t", name, p, ok)
		}
	}
}

func TestPrioritiesAreServedInTheirOrder(t *testing.T) {
	t.Parallel()
	if got := job.Priorities(); !slices.IsSorted(got) || got[0] != job.Critical {
		t.Errorf("priorities %v: the lowest number is served first", got)
	}
}

func TestNamesOfUnknownNumbers(t *testing.T) {
	t.Parallel()
	for want, got := range map[string]fmt.Stringer{
		"status(0)": job.Status(0), "status(6)": job.Status(6), "status(255)": job.Status(255),
		"outcome(0)": job.Outcome(0), "outcome(7)": job.Outcome(7), "outcome(255)": job.Outcome(255),
		"priority(0)": job.Priority(0), "priority(5)": job.Priority(5), "priority(255)": job.Priority(255),
		"event(0)": job.Event(0), "event(10)": job.Event(10), "event(255)": job.Event(255),
	} {
		if got.String() != want {
			t.Errorf("String() = %q, want %q", got, want)
		}
	}
}

func TestTerminal(t *testing.T) {
	t.Parallel()
	want := map[job.Status]bool{job.Succeeded: true, job.Dead: true, job.Cancelled: true, job.Expired: true}
	for s := range 256 {
		if got := job.Status(s).Terminal(); got != want[job.Status(s)] {
			t.Errorf("%s: terminal %t", job.Status(s), got)
		}
	}
}
