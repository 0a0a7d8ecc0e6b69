package redistest

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the system end the process with this one, which may be killed
// before it cleans up.
func dieWithParent(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
