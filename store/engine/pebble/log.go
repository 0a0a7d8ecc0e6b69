package pebble

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
)

// ExitCode is the process's exit status after an fsync error: EX_IOERR of
// sysexits.h.
const ExitCode = 74

// logger brings the database's own lines to slog. What the database calls
// information is of use only to its developers.
type logger struct {
	log   *slog.Logger
	fatal func(msg string)
}

// Infof logs at debug level.
func (l logger) Infof(format string, args ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("pebble: " + fmt.Sprintf(format, args...))
	}
}

// Errorf logs at warn level: what fails a call is returned by that call.
func (l logger) Errorf(format string, args ...any) {
	l.log.Warn("pebble: " + fmt.Sprintf(format, args...))
}

// Fatalf ends the process. The database calls it where it cannot go on, such as
// after a failed fsync.
func (l logger) Fatalf(format string, args ...any) {
	l.fatal(fmt.Sprintf(format, args...))
}

// listener logs the few events an operator can act on. Without a DataCorruption
// of its own the database would end the process on a damaged block, whereas a
// reader gets engine.ErrCorrupt and all other data stay readable.
func listener(log *slog.Logger) *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: func(err error) { log.Warn("store: background work failed", "err", firstLine(err)) },
		DataCorruption: func(i pebble.DataCorruptionInfo) {
			log.Error("store: damaged data found; restore a backup", "path", i.Path, "err", firstLine(i.Details))
		},
		WriteStallBegin: func(i pebble.WriteStallBeginInfo) {
			log.Warn("store: writes wait for compaction", "reason", i.Reason)
		},
		WriteStallEnd: func() { log.Info("store: writes go on") },
	}
}
