// Package terminal is how the command line tool speaks: tables or JSON on
// standard output for the reader or the next program, progress and notes on
// standard error for the person who waits.
//
// It promises that what is not a terminal gets no escape sequence, and that
// NO_COLOR is honoured. Tables are redrawn in place on a terminal and printed
// line by line elsewhere. It knows nothing of jobs.
package terminal

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"
)

// Terminal writes for one run of a command. It is not safe for concurrent use.
type Terminal struct {
	// Out gets results, Err gets progress and notes.
	Out, Err io.Writer
	// JSON asks for JSON on Out instead of tables.
	JSON bool
	// Live says that Out is a terminal, where lines can be drawn again.
	Live bool
	// LiveErr says the same of Err.
	LiveErr bool
	// Color says that Out may be coloured.
	Color bool
}

// New returns a Terminal on the two writers. Only an *os.File can be a terminal.
func New(out, err io.Writer, asJSON bool) *Terminal {
	live := isTerminal(out)
	return &Terminal{
		Out: out, Err: err, JSON: asJSON, Live: live, LiveErr: isTerminal(err),
		Color: live && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// plainWidth is how wide a table may be where there is no terminal to ask: it
// is cut by nobody, and a file has room.
const plainWidth = 0

// Width returns the width of the terminal in columns; 0 means unlimited.
func (t *Terminal) Width() int {
	if f, ok := t.Out.(*os.File); ok && t.Live {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return width
		}
	}
	return plainWidth
}

// Height returns the height of the terminal in lines; 0 means unlimited.
func (t *Terminal) Height() int {
	if f, ok := t.Out.(*os.File); ok && t.Live {
		if _, height, err := term.GetSize(int(f.Fd())); err == nil && height > 0 {
			return height
		}
	}
	return 0
}

// WriteJSON writes v as indented JSON.
func (t *Terminal) WriteJSON(v any) error {
	encoder := json.NewEncoder(t.Out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// Note tells the person something that is not part of the result.
func (t *Terminal) Note(format string, args ...any) {
	if t.LiveErr { // over a "^C" that the terminal has echoed
		format = "\r\x1b[K" + format
	}
	fmt.Fprintf(t.Err, format+"\n", args...)
}

// Table is rows under a header. A row shorter than the header is filled up.
type Table struct {
	Header []string
	Rows   [][]string
	// Right are the columns, from 0, that hold numbers.
	Right []int
	// Status is the column whose words are coloured; -1 for none.
	Status int
}

// WriteTable writes the table, cut to the terminal's width.
func (t *Terminal) WriteTable(table Table) error {
	_, err := io.WriteString(t.Out, t.Render(table)+"\n")
	return err
}

// Render returns the table as text without a final line break. Where it is too
// wide for the terminal it moves together, and is cut at the right where that
// is not enough.
func (t *Terminal) Render(in Table) string {
	out := t.render(in, "  ")
	if width := t.Width(); width > 0 && text.LongestLineLen(out) >= width {
		return t.render(in, " ")
	}
	return out
}

func (t *Terminal) render(in Table, gap string) string {
	w := table.NewWriter()
	style := table.StyleLight
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft, style.Box.PaddingRight = "", gap
	style.Format.Header = text.FormatDefault
	style.Size.WidthMax = t.Width()
	w.SetStyle(style)
	w.AppendHeader(t.row(upper(in.Header), -1))
	for _, cells := range in.Rows {
		w.AppendRow(t.row(cells, in.Status))
	}
	configs := make([]table.ColumnConfig, 0, len(in.Right))
	for _, column := range in.Right {
		configs = append(configs, table.ColumnConfig{Number: column + 1, Align: text.AlignRight, AlignHeader: text.AlignRight})
	}
	w.SetColumnConfigs(configs)
	w.SuppressTrailingSpaces()
	return w.Render()
}

// upper returns the header in capitals, but for a unit that would be another one.
func upper(header []string) []string {
	out := make([]string, len(header))
	for i, h := range header {
		out[i] = strings.ReplaceAll(strings.ToUpper(h), "\u039cS", "µs") // the capital of µ is a Greek M
	}
	return out
}

func (t *Terminal) row(cells []string, status int) table.Row {
	row := make(table.Row, len(cells))
	for i, cell := range cells {
		if i == status {
			cell = t.Paint(cell)
		}
		row[i] = cell
	}
	return row
}

// Paint colours a word by its meaning where colours are allowed: what a job can
// be, and the verdicts of a check.
func (t *Terminal) Paint(word string) string {
	if !t.Color {
		return word
	}
	switch word {
	case "succeeded", "ok", "yes", "healthy", "200":
		return text.FgGreen.Sprint(word)
	case "dead", "failed", "FAILED", "no", "timed_out", "lost", "error", "critical":
		return text.FgRed.Sprint(word)
	case "retrying", "warn", "paused", "throttled", "circuit_open", "expired":
		return text.FgYellow.Sprint(word)
	case "running":
		return text.FgCyan.Sprint(word)
	case "scheduled", "pending", "cancelled", "trace", "debug":
		return text.Faint.Sprint(word)
	}
	return word
}

// Bold returns s in bold where colours are allowed.
func (t *Terminal) Bold(s string) string {
	if !t.Color {
		return s
	}
	return text.Bold.Sprint(s)
}
