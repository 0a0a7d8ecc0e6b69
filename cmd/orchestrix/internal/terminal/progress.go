package terminal

import (
	"fmt"
	"time"
)

// quiet is how long a step may take before it is worth a line; plainEvery is
// the pace of lines where they cannot be drawn again.
const (
	quiet      = 500 * time.Millisecond
	liveEvery  = 200 * time.Millisecond
	plainEvery = 2 * time.Second
)

// Progress shows how far something is, on standard error: one line drawn again
// on a terminal, a line every two seconds elsewhere. The zero time is before any.
type Progress struct {
	t     *Terminal
	began time.Time
	last  time.Time
	shown bool
}

// Progress begins to show progress.
func (t *Terminal) Progress() *Progress { return &Progress{t: t, began: time.Now()} }

// Update shows the line, unless one was shown just before.
func (p *Progress) Update(format string, args ...any) {
	now := time.Now()
	every, first := plainEvery, plainEvery
	if p.t.LiveErr {
		every, first = liveEvery, quiet
	}
	if now.Sub(p.began) < first || now.Sub(p.last) < every {
		return
	}
	p.last = now
	p.show(fmt.Sprintf(format, args...))
}

func (p *Progress) show(line string) {
	if p.t.LiveErr {
		fmt.Fprintf(p.t.Err, "\r\x1b[2K%s", line)
		p.shown = true
		return
	}
	fmt.Fprintln(p.t.Err, line)
}

// Done takes the line away from a terminal.
func (p *Progress) Done() {
	if p.shown {
		fmt.Fprint(p.t.Err, "\r\x1b[2K")
		p.shown = false
	}
}
