//go:build !windows

package redistest

import (
	"os"
	"syscall"
)

var stop, goOn os.Signal = syscall.SIGSTOP, syscall.SIGCONT
