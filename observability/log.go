package observability

import (
	"fmt"
	"io"
	"log/slog"
	"os"

	"golang.org/x/term"
)

// LogFormat is how log lines are written.
type LogFormat string

// The formats.
const (
	LogAuto LogFormat = "auto" // text on a terminal, else JSON
	LogText LogFormat = "text"
	LogJSON LogFormat = "json"
)

// ParseLogFormat reads a format's name; empty means auto.
func ParseLogFormat(name string) (LogFormat, error) {
	switch f := LogFormat(name); f {
	case "":
		return LogAuto, nil
	case LogAuto, LogText, LogJSON:
		return f, nil
	}
	return "", fmt.Errorf("log format %q: want auto, text or json", name)
}

// NewLogger returns a logger that writes lines of at least that level to w. The
// level may be changed while it runs where it is a *slog.LevelVar.
func NewLogger(w io.Writer, level slog.Leveler, format LogFormat) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == LogText || format == LogAuto && isTerminal(w) {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
