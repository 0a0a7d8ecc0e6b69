package terminal

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPlainOutputHasNoEscapes(t *testing.T) {
	t.Parallel()
	var out, notes bytes.Buffer
	term := New(&out, &notes, false)
	if term.Live || term.LiveErr || term.Color || term.Width() != 0 || term.Height() != 0 {
		t.Fatalf("a buffer is taken for a terminal: %+v", term)
	}
	table := Table{Header: []string{"name", "cpu µs/job", "state"}, Rows: [][]string{{"a", "7", "dead"}, {"longer", "1234", "ok"}}, Right: []int{1}, Status: 2}
	if err := term.WriteTable(table); err != nil {
		t.Fatal(err)
	}
	term.Note("a note about %s", "nothing")
	want := "NAME    CPU µs/JOB  STATE\na                7  dead\nlonger        1234  ok\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
	if got := notes.String(); got != "a note about nothing\n" {
		t.Errorf("note = %q", got)
	}
}

func TestColor(t *testing.T) {
	t.Parallel()
	colored := &Terminal{Color: true}
	if got := colored.Paint("dead"); !strings.Contains(got, "\x1b[") || !strings.Contains(got, "dead") {
		t.Errorf("Paint = %q", got)
	}
	if got := colored.Paint("whatever"); got != "whatever" {
		t.Errorf("Paint of a word without a meaning = %q", got)
	}
	if got := (&Terminal{}).Paint("dead"); got != "dead" {
		t.Errorf("Paint without colours = %q", got)
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		live bool
		want string
	}{
		{"plain", false, "4 of 9\n8 of 9\n"},
		{"live", true, "\r\x1b[2K1 of 9\r\x1b[2K2 of 9\r\x1b[2K3 of 9\r\x1b[2K4 of 9\r\x1b[2K5 of 9\r\x1b[2K6 of 9\r\x1b[2K7 of 9\r\x1b[2K8 of 9\r\x1b[2K9 of 9\r\x1b[2K"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var notes bytes.Buffer
				p := (&Terminal{Err: &notes, LiveErr: tt.live}).Progress()
				for i := range 10 {
					p.Update("%d of 9", i) // at once, and then every half second
					time.Sleep(500 * time.Millisecond)
				}
				p.Done()
				p.Done()
				if diff := cmp.Diff(tt.want, notes.String()); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestScreen(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := (&Terminal{Out: &out}).Screen()
	for _, block := range []string{"a\nb\nc\n", "d\n"} {
		if err := s.Draw(block); err != nil {
			t.Fatal(err)
		}
	}
	want := "\r\x1b[Ja\nb\nc\n" + "\x1b[3A\r\x1b[Jd\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}
