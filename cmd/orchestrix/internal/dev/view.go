package dev

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/cmd/orchestrix/internal/terminal"
	"github.com/orchestrix/orchestrix/job"
)

// latestShown is how many jobs the live table lists: few enough for a small
// terminal under the table of queues.
const latestShown = 10

// view shows a round while it goes on: a picture drawn again in place on a
// terminal, a line for each change elsewhere.
type view struct {
	t      *terminal.Terminal
	screen *terminal.Screen
	head   []string
}

func newView(t *terminal.Terminal, head []string) *view {
	v := &view{t: t, head: head}
	if t.Live && !t.JSON {
		v.screen = t.Screen()
		return v
	}
	for _, line := range head {
		t.Note("%s", line)
	}
	return v
}

// update shows the state of the round and what changed in it.
func (v *view) update(r *round, queues []client.Queue, changed []*tracked) error {
	if v.screen == nil {
		for _, t := range changed {
			v.t.Note("%s", changeLine(&t.job))
		}
		return nil
	}
	var b strings.Builder
	for _, line := range v.head {
		b.WriteString(line + "\n")
	}
	b.WriteString("\n" + v.t.Render(queueTable(queues)) + "\n\n" + v.t.Render(latestTable(r.latest(latestShown))) + "\n")
	return v.screen.Draw(b.String())
}

func changeLine(j *client.Job) string {
	line := fmt.Sprintf("%s  %s  %-8s %-15s %-9s %s", time.Now().Format("15:04:05.000"), j.ID, j.Queue, j.Type, j.Status, attempts(j.Attempt))
	if why := lastError(j); why != "" && j.Status != job.Succeeded.String() {
		line += "  (" + why + ")"
	}
	return line
}

// lastError is why the last attempt failed, "" where it did not.
func lastError(j *client.Job) string {
	if len(j.Attempts) == 0 {
		return ""
	}
	return j.Attempts[len(j.Attempts)-1].Error
}

func queueTable(queues []client.Queue) terminal.Table {
	t := terminal.Table{Header: append([]string{"queue"}, job.ShownStatuses()...), Right: []int{1, 2, 3, 4, 5, 6, 7, 8}, Status: -1}
	for _, q := range queues {
		row := []string{q.Name}
		for _, status := range job.ShownStatuses() {
			row = append(row, strconv.FormatInt(q.Counts[status], 10))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// latestTable has what is least needed at the right, where a narrow terminal
// cuts it off.
func latestTable(jobs []client.Job) terminal.Table {
	t := terminal.Table{Header: []string{"status", "type", "queue", "attempts", "latest jobs", "last error"}, Right: []int{3}, Status: 0}
	for i := range jobs {
		j := &jobs[i]
		why := ""
		if j.Status != job.Succeeded.String() {
			why = lastError(j)
		}
		t.Rows = append(t.Rows, []string{j.Status, j.Type, j.Queue, strconv.Itoa(j.Attempt), j.ID, why})
	}
	return t
}

// WriteSummary shows the summary as a table or as JSON.
func WriteSummary(t *terminal.Terminal, s Summary) error {
	if t.JSON {
		return t.WriteJSON(s)
	}
	// The verdict stands first, where no terminal cuts it off.
	table := terminal.Table{
		Header: []string{"ok", "type", "what it shows", "jobs", "attempts", "ended", "expected"},
		Right:  []int{3, 4}, Status: 0,
	}
	for _, l := range s.Lines {
		ok := "yes"
		if !l.OK {
			ok = "no"
		}
		table.Rows = append(table.Rows, []string{ok, l.Type, l.Shows, strconv.Itoa(l.Jobs), strconv.Itoa(l.Attempts), l.ended(), l.Expected})
	}
	return t.WriteTable(table)
}
