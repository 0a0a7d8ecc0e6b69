//go:build windows

package pebble

import (
	"errors"
	"syscall"
)

// heldElsewhere says whether locking failed because the lock file is open
// elsewhere: ERROR_SHARING_VIOLATION.
func heldElsewhere(err error) bool {
	return errors.Is(err, syscall.Errno(32))
}
