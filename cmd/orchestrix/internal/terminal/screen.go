package terminal

import (
	"fmt"
	"io"
	"strings"
)

// Screen is a block of lines at the end of the output that is drawn again and
// again in place. It must only be used where Terminal.Live is set.
type Screen struct {
	t     *Terminal
	lines int
}

// Screen begins a block below what was written so far.
func (t *Terminal) Screen() *Screen { return &Screen{t: t} }

// Draw replaces the block. Lines over the terminal's height are left out, since
// what has scrolled away cannot be drawn again.
func (s *Screen) Draw(block string) error {
	lines := strings.Split(strings.TrimRight(block, "\n"), "\n")
	if height := s.t.Height(); height > 1 && len(lines) > height-1 {
		lines = lines[:height-1]
	}
	var b strings.Builder
	if s.lines > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", s.lines)
	}
	b.WriteString("\r\x1b[J")
	for _, line := range lines {
		b.WriteString(line + "\n")
	}
	s.lines = len(lines)
	_, err := io.WriteString(s.t.Out, b.String())
	return err
}
