package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/cmd/orchestrix/internal/terminal"
	"github.com/orchestrix/orchestrix/job"
)

// ago shows how long ago a time was, as short as a table wants it.
func ago(at, now time.Time) string {
	switch d := now.Sub(at); {
	case at.IsZero():
		return "-"
	case d < -time.Second:
		return "in " + brief(-d)
	case d < time.Second:
		return "now"
	default:
		return brief(d) + " ago"
	}
}

// brief shows a duration by its largest unit.
func brief(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%dµs", d.Microseconds())
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// orDash makes an empty cell visible.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// oneLine keeps what a worker sent from breaking a table or a terminal.
func oneLine(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) {
			return ' '
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if runes := []rune(s); len(runes) > limit {
		return string(runes[:limit-1]) + "…"
	}
	return s
}

// fields is a two-column table of one thing.
type fields [][]string

func (f *fields) add(name, value string) {
	if value != "" {
		*f = append(*f, []string{name, value})
	}
}

func (c *cli) showFields(f fields) error {
	width := 0
	for _, row := range f {
		width = max(width, len(row[0]))
	}
	for _, row := range f {
		value := c.term.Paint(row[1])
		if _, err := fmt.Fprintf(c.stdout, "%-*s  %s\n", width+1, row[0]+":", value); err != nil {
			return err
		}
	}
	return nil
}

func jobTable(jobs []client.Job, now time.Time) terminal.Table {
	t := terminal.Table{Header: []string{"id", "queue", "type", "status", "attempts", "created", "next / finished"}, Right: []int{4}, Status: 3}
	for i := range jobs {
		j := &jobs[i]
		end := j.FinishedAt
		if end.IsZero() {
			end = j.NextAttemptAt
		}
		t.Rows = append(t.Rows, []string{
			j.ID, j.Queue, j.Type, j.Status, strconv.Itoa(j.Attempt), ago(j.CreatedAt, now), ago(end, now),
		})
	}
	return t
}

func attemptTable(attempts []client.Attempt) terminal.Table {
	t := terminal.Table{Header: []string{"attempt", "worker", "started", "took", "outcome", "status", "answer or error"}, Right: []int{0, 3}, Status: 4}
	for _, a := range attempts {
		status := ""
		if a.StatusCode != 0 {
			status = strconv.Itoa(a.StatusCode)
		}
		said := a.Error
		if said == "" {
			said = a.Answer
		}
		t.Rows = append(t.Rows, []string{
			strconv.Itoa(a.Number), orDash(a.Worker), a.StartedAt.Local().Format("15:04:05.000"), brief(a.Duration.Std()),
			a.Outcome, orDash(status), orDash(oneLine(said, 60)),
		})
	}
	return t
}

func workerTable(workers []client.Worker, now time.Time) terminal.Table {
	t := terminal.Table{
		Header: []string{"name", "url", "queues", "state", "in flight", "succeeded", "failed", "last success"},
		Right:  []int{4, 5, 6}, Status: 3,
	}
	for _, w := range workers {
		t.Rows = append(t.Rows, []string{
			w.Name, w.URL, oneLine(strings.Join(w.Queues, ","), 40), workerState(w, now), strconv.Itoa(w.InFlight),
			strconv.FormatInt(w.Succeeded, 10), strconv.FormatInt(w.Failed, 10), ago(w.LastSuccessAt, now),
		})
	}
	return t
}

func workerState(w client.Worker, now time.Time) string {
	switch {
	case w.Paused:
		return "paused"
	case len(w.Circuits) > 0:
		return "circuit_open"
	case w.ThrottledUntil.After(now):
		return "throttled"
	}
	return "active"
}

func queueTable(queues []client.Queue) terminal.Table {
	header := append([]string{"queue", "state"}, job.ShownStatuses()...)
	t := terminal.Table{Header: append(header, "jobs/s"), Right: []int{2, 3, 4, 5, 6, 7, 8, 9, 10}, Status: 1}
	for i := range queues {
		q := &queues[i]
		row := []string{q.Name, queueState(q)}
		for _, status := range job.ShownStatuses() {
			row = append(row, strconv.FormatInt(q.Counts[status], 10))
		}
		t.Rows = append(t.Rows, append(row, strconv.FormatFloat(q.Throughput, 'f', 1, 64)))
	}
	return t
}

func queueState(q *client.Queue) string {
	switch {
	case q.Paused:
		return "paused"
	case q.Blocked != "":
		return q.Blocked
	}
	return "active"
}
