package job_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/orchestrix/orchestrix/job"
)

func TestTransitionsAreUnique(t *testing.T) {
	t.Parallel()
	type cause struct {
		from job.Status
		on   job.Event
	}
	seen := map[cause]bool{}
	for _, row := range job.Transitions() {
		c := cause{row.From, row.On}
		if seen[c] {
			t.Errorf("%s on %s has two rows", row.From, row.On)
		}
		seen[c] = true
	}
}

func TestEachTransition(t *testing.T) {
	t.Parallel()
	for _, row := range job.Transitions() {
		switch {
		case row.Counts && !row.EndsAttempt:
			t.Errorf("%s on %s counts an attempt that it does not end", row.From, row.On)
		case row.EndsAttempt && row.From != job.Waiting:
			t.Errorf("%s on %s ends an attempt, but only a waiting job has one", row.From, row.On)
		case (row.From == 0) != (row.On == job.EventEnqueue):
			t.Errorf("%s on %s: a job begins with enqueue and with nothing else", row.From, row.On)
		case row.From.Terminal() && (row.On != job.EventRedrive || row.To != job.Waiting):
			t.Errorf("%s on %s to %s: a terminal job leaves only by redrive", row.From, row.On, row.To)
		case row.On == job.EventRedrive && !row.From.Terminal():
			t.Errorf("%s on %s: only a terminal job is redriven", row.From, row.On)
		case !slices.Contains(job.Statuses(), row.To):
			t.Errorf("%s on %s leads to %s", row.From, row.On, row.To)
		}
		if row.Meaning == "" || strings.HasSuffix(row.Meaning, ".") || strings.Contains(row.Meaning, "|") {
			t.Errorf("%s on %s: meaning %q does not fit a table's cell", row.From, row.On, row.Meaning)
		}
	}
}

// Throttled and lost attempts do not use up max_attempts; those that failed do.
func TestWhichAttemptsCount(t *testing.T) {
	t.Parallel()
	want := map[job.Event]bool{
		job.EventSucceed: true, job.EventRetry: true, job.EventKill: true,
		job.EventThrottle: false, job.EventLose: false,
	}
	for on, counts := range want {
		row, ok := job.Next(job.Waiting, on)
		if !ok || !row.EndsAttempt || row.Counts != counts {
			t.Errorf("%s: %+v, %t; want the end of an attempt, counted: %t", on, row, ok, counts)
		}
	}
}

func TestNextAgreesWithTheTable(t *testing.T) {
	t.Parallel()
	rows := job.Transitions()
	for from := range 8 {
		for on := range 16 {
			f, o := job.Status(from), job.Event(on)
			i := slices.IndexFunc(rows, func(r job.Transition) bool { return r.From == f && r.On == o })
			row, ok := job.Next(f, o)
			switch {
			case ok != (i >= 0):
				t.Errorf("Next(%s, %s): allowed %t", f, o, ok)
			case ok && row != rows[i]:
				t.Errorf("Next(%s, %s) = %+v, want %+v", f, o, row, rows[i])
			case !ok && row != job.Transition{}:
				t.Errorf("Next(%s, %s) is not allowed but gives %+v", f, o, row)
			}
		}
	}
}

func TestEveryStatusIsReachedAndLeft(t *testing.T) {
	t.Parallel()
	for _, s := range job.Statuses() {
		rows := job.Transitions()
		if !slices.ContainsFunc(rows, func(r job.Transition) bool { return r.To == s }) {
			t.Errorf("nothing leads to %s", s)
		}
		if !slices.ContainsFunc(rows, func(r job.Transition) bool { return r.From == s }) {
			t.Errorf("nothing leads out of %s", s)
		}
	}
}

func TestTransitionsIsACopy(t *testing.T) {
	t.Parallel()
	job.Transitions()[0].To = job.Dead
	if row, _ := job.Next(0, job.EventEnqueue); row.To != job.Waiting {
		t.Error("a caller can change the table")
	}
}

func TestDiagramHasEachTransition(t *testing.T) {
	t.Parallel()
	diagram := job.Diagram()
	if !strings.HasPrefix(diagram, "stateDiagram-v2\n") {
		t.Errorf("diagram begins with %.20q", diagram)
	}
	if got, want := strings.Count(diagram, " --> "), len(job.Transitions()); got != want {
		t.Errorf("%d arrows, want %d", got, want)
	}
	for _, line := range []string{
		"    [*] --> waiting: enqueue\n",
		"    waiting --> waiting: retry\n",
		"    waiting --> dead: kill\n",
		"    dead --> waiting: redrive\n",
	} {
		if !strings.Contains(diagram, line) {
			t.Errorf("%q is not in\n%s", line, diagram)
		}
	}
}
