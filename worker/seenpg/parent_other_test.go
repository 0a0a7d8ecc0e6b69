//go:build unix && !linux

package seenpg_test

import "syscall"

// dieWithParent does nothing: what ends the process is the test's clean-up.
func dieWithParent(*syscall.SysProcAttr) {}
