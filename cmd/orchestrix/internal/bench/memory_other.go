//go:build !linux

package bench

import "errors"

// processMemory is only known where there is /proc; without it the benchmark
// prints rates alone.
func processMemory(int) (resident, peak int64, err error) { return 0, 0, errors.ErrUnsupported }
