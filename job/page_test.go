package job_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orchestrix/orchestrix/job"
)

var update = flag.Bool("update", false, "write docs/job-states.md from the transition table")

// TestStatesPage holds the documentation to the table in state.go. After a
// change of the table: go test ./job -run TestStatesPage -update
func TestStatesPage(t *testing.T) {
	t.Parallel()
	path := filepath.Join("..", "docs", "job-states.md")
	want := statesPage()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("%s differs from the table; go test ./job -run TestStatesPage -update (-want +got):\n%s", path, diff)
	}
}

func statesPage() string {
	var b strings.Builder
	b.WriteString(`<!-- Written by "go test ./job -run TestStatesPage -update" from job/state.go. Change it there. -->

# The states of a job

What is *stored* of a job is ` + "`waiting`" + ` or one terminal status. Every change is one row of the table below; the code, this page
and the tests are drawn from that one table.

` + "```mermaid\n" + job.Diagram() + "```" + `

| from | event | to | ends an attempt | counts against ` + "`max_attempts`" + ` | meaning |
| --- | --- | --- | --- | --- | --- |
`)
	for _, row := range job.Transitions() {
		from := "(no job)"
		if row.From != 0 {
			from = "`" + row.From.String() + "`"
		}
		fmt.Fprintf(&b, "| %s | %s | `%s` | %s | %s | %s |\n", from, row.On, row.To, yes(row.EndsAttempt), yes(row.Counts), row.Meaning)
	}
	b.WriteString(`
## What is shown

A terminal job shows its status. Of a waiting job the store knows only that it waits; what is shown is computed on reading, the first row that fits:

| shown | when |
| --- | --- |
| ` + "`running`" + ` | it is being pushed now |
| ` + "`retrying`" + ` | an attempt has failed or was lost, and the next one is due later |
| ` + "`scheduled`" + ` | its first attempt is due later |
| ` + "`pending`" + ` | it is due and waits for capacity |

## How an attempt ends

| outcome | the job then |
| --- | --- |
`)
	for _, o := range job.Outcomes() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", o, outcomeMeanings[o])
	}
	b.WriteString("\nTerminal is terminal: only a redrive leads out of it. The job then keeps its id and its history under a new `incarnation`.\n")
	return b.String()
}

var outcomeMeanings = map[job.Outcome]string{
	job.OutcomeSucceeded: "is `succeeded`",
	job.OutcomeFailed:    "waits for its next attempt, or is `dead`: attempts used up, or told never to retry",
	job.OutcomeTimedOut:  "as after a failure",
	job.OutcomeCancelled: "is `cancelled`: the running request was closed",
	job.OutcomeThrottled: "waits until the worker may be asked again; the attempt does not count against `max_attempts`",
	job.OutcomeLost:      fmt.Sprintf("is pushed again with the same `webhook-id`; the attempt does not count, but %d losses in a row make the job `dead` as poison", job.MaxLosses),
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

func TestStatesPageSaysWhatEachOutcomeMeans(t *testing.T) {
	t.Parallel()
	for _, o := range job.Outcomes() {
		if outcomeMeanings[o] == "" {
			t.Errorf("the page has no words for %s", o)
		}
	}
}
