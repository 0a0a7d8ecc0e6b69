package seenpg_test

import "syscall"

// dieWithParent has the system end the process with this one, which may be killed
// before it cleans up.
func dieWithParent(as *syscall.SysProcAttr) { as.Pdeathsig = syscall.SIGQUIT }
