//go:build unix

package doctor

import (
	"fmt"
	"syscall"
)

// spareFiles is what a server opens beside its pushes: the store's files and
// the connections of its clients.
const spareFiles = 2048

// openFiles compares the limit on open files with the pushes that may be under
// way at once, each of which is a connection.
func openFiles(inFlight int) Check {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return Check{"open files", Skipped, err.Error(), ""}
	}
	// The limit that counts is the hard one: Go raises the soft one by itself.
	check := Check{"open files", OK, fmt.Sprintf("up to %d", limit.Max), ""}
	if want := uint64(inFlight + spareFiles); limit.Max < want {
		check.Result = Warning
		check.Advice = fmt.Sprintf("--max-in-flight %d wants %d: raise the limit (ulimit -n, LimitNOFILE)", inFlight, want)
	}
	return check
}
