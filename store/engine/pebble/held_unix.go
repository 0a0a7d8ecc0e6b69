//go:build unix

package pebble

import (
	"errors"
	"io/fs"
	"strings"
	"syscall"
)

// heldElsewhere says whether locking failed because the lock is taken. Where the
// lock file could not even be opened the error has its path, and is another one.
// For a lock of this very process the file system has only a text.
func heldElsewhere(err error) bool {
	var path *fs.PathError
	if errors.As(err, &path) {
		return false
	}
	return errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) ||
		strings.Contains(err.Error(), "lock held")
}
