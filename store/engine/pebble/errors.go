package pebble

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2"

	"github.com/orchestrix/orchestrix/store/engine"
)

// ErrNotStore is returned by Open for a directory that holds something else
// than a store. It is never written to.
var ErrNotStore = errors.New("directory is not empty and holds no store")

// corrupt says what is damaged and what to do about it.
func corrupt(dir string, cause error) error {
	return fmt.Errorf("%w: %s: %s: nothing was removed; restore a backup of the directory, or move it away to begin with an empty store",
		engine.ErrCorrupt, dir, firstLine(cause))
}

// firstLine leaves out the details that the database's errors carry along.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// readError classifies an error met while reading an open store.
func (e *Engine) readError(op string, shard int, err error) error {
	if pebble.IsCorruptionError(err) || errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s shard %d: %w", op, shard, corrupt(e.dir, err))
	}
	return fmt.Errorf("%s shard %d: %w: %w", op, shard, engine.ErrUnavailable, err)
}

// openError classifies an error of opening an existing database. What the
// operating system refuses is passed on; all else means that the files are not
// what the database wrote.
func openError(dir string, err error) error {
	if strings.Contains(err.Error(), "unknown format major version") {
		return fmt.Errorf("store %s was written by a newer version of this program: use that version: %w", dir, err)
	}
	var errno syscall.Errno
	refused := errors.As(err, &errno) && errno != syscall.ENOENT
	if refused && !pebble.IsCorruptionError(err) {
		return fmt.Errorf("open store %s: %w", dir, err)
	}
	return corrupt(dir, err)
}
