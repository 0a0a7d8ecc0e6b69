package bench

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// processMemory returns the resident memory of a process in bytes, now and at
// its greatest so far, as the kernel has noted it.
func processMemory(pid int) (resident, peak int64, err error) {
	path := fmt.Sprintf("/proc/%d/status", pid)
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, 0, err
	}
	resident, err1 := kibibytes(data, "VmRSS:")
	peak, err2 := kibibytes(data, "VmHWM:")
	if err1 != nil || err2 != nil {
		return 0, 0, fmt.Errorf("%s: cannot be understood", path)
	}
	return resident, peak, nil
}

// kibibytes reads a line such as "VmRSS:	  2180 kB" of status, in bytes.
func kibibytes(status []byte, name string) (int64, error) {
	_, rest, _ := bytes.Cut(status, []byte("\n"+name))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	number, _ := bytes.CutSuffix(bytes.TrimSpace(line), []byte(" kB"))
	n, err := strconv.ParseInt(string(number), 10, 64)
	return n << 10, err
}
