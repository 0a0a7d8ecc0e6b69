//go:build !unix

package doctor

// openFiles has nothing to look at where there is no such limit.
func openFiles(int) Check {
	return Check{"open files", Skipped, "this system has no such limit", ""}
}
